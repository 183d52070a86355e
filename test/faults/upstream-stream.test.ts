import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { chunkOf, lastChunk, sse, streamChat, streamEvents, streamHead, streamReply } from '../helpers/chat-answers.js';
import { within } from '../helpers/deadline.js';
import { CALL, onBareHost, type Scene } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';
import { errorCodeOf, eventsOf, streamText, textOf, withoutUsage } from '../helpers/stream-client.js';

const PIECES = ['Once', ' upon', ' a', ' time'];
const TEXT = PIECES.join('');
const EVENTS = streamEvents(PIECES);
const [FIRST = '', SECOND = ''] = EVENTS;

/** A head, two good events, then this. */
function* afterTwoEvents(...steps: Step[]): Generator<Step> {
  yield streamHead();
  yield chunkOf(FIRST + SECOND);
  yield* steps;
}

/** The stream ended with an error of that code after the two events, and the upstream's work was ended. */
async function assertGivenUp(scene: Scene, code: RegExp): Promise<string> {
  const text = await streamText(scene);
  const events = eventsOf(text);
  assert.match(text, /^(?:data: [^\n]+\n\n)+$/);
  assert.equal(events.length, 3, text);
  assert.deepEqual(events.slice(0, 2), withoutUsage(eventsOf(FIRST + SECOND)));
  assert.match(errorCodeOf(events) ?? '', code, text);
  assert.match(events[2] ?? '', /^\{"error":\{/);
  await scene.setup.usage.allSettled();
  assert.equal(scene.setup.records[0]?.outcome, 'error');
  return text;
}

describe('where a stream ends', () => {
  const complete: [string, readonly string[]][] = [
    ['at a [DONE] without its blank line', [...EVENTS.slice(0, -1), 'data: [DONE]']],
    ['at a [DONE] with one line end', [...EVENTS.slice(0, -1), 'data: [DONE]\n']],
    ['after its finish reason, without [DONE]', EVENTS.slice(0, -1)],
    [
      'after its finish reason, without the last blank line',
      [streamChat(PIECES, { usage: 'never', done: false }).trimEnd()],
    ],
    ['at [DONE] without a space after the colon', [EVENTS.join('').replaceAll('data: ', 'data:')]],
  ];
  for (const [where, pieces] of complete) {
    onBareHost(
      `${where}, it is complete and ends with [DONE]`,
      () => ({ script: () => streamReply(pieces) }),
      async (scene) => {
        const events = eventsOf(await streamText(scene));
        assert.deepEqual([textOf(events), events.at(-1)], [TEXT, '[DONE]']);
        assert.equal(scene.setup.records[0]?.outcome, 'ok');
      },
    );
  }

  onBareHost(
    'at [DONE], an upstream that never ends is not waited for, and its connection is given up',
    () => ({ script: () => [streamHead(), ...EVENTS.map(chunkOf), { kind: 'stall' }] }),
    async (scene) => {
      const events = eventsOf(await streamText(scene));
      assert.deepEqual([textOf(events), events.at(-1)], [TEXT, '[DONE]']);
      await within((await scene.upstream.request(0)).closed, 'the connection to be closed', 10_000);
      assert.equal(scene.setup.records[0]?.outcome, 'ok');
    },
  );

  onBareHost(
    'politely but without a finish reason, it is cut: the official client throws',
    () => ({
      broken: true,
      script: () => streamReply(streamEvents(PIECES, { finishReason: null, usage: 'never', done: false })),
    }),
    async ({ client }) => {
      const stream = await client().chat.completions.create({ ...CALL, stream: true });
      const texts: string[] = [];
      const reading = (async () => {
        for await (const chunk of stream) texts.push(chunk.choices[0]?.delta.content ?? '');
      })();
      await assert.rejects(within(reading, 'the stream to end'), { code: 'upstream_stream_interrupted' });
      assert.equal(texts.join(''), TEXT, 'what was delivered is intact');
    },
  );

  onBareHost(
    'with one of two answers finished, it is cut',
    () => ({ broken: true, script: () => streamReply(EVENTS.slice(0, -2)) }),
    async (scene) => {
      const events = eventsOf(await streamText(scene, { n: 2 }));
      assert.equal(errorCodeOf(events), 'upstream_stream_interrupted');
    },
  );

  onBareHost(
    'at [DONE], whatever the upstream does after it: the client has its end, and the connection is given up',
    () => ({ http: { bodyTimeoutMs: 300 }, script: () => [streamHead(), ...EVENTS.map(chunkOf), { kind: 'stall' }] }),
    async (scene) => {
      assert.equal(eventsOf(await streamText(scene)).at(-1), '[DONE]');
      await within((await scene.upstream.request(0)).closed, 'the connection to be given up');
    },
  );
});

describe('a stream that goes wrong ends with an error event after what was good, never with [DONE], and is given up', () => {
  const garbage = {
    'no JSON': 'data: <html>\n\n',
    'no JSON, in braces': 'data: {"choices":[{"delta":{"content":"a"}]}\n\n',
    'a chunk like the one before, with a text that is none': SECOND.replace(/"content":"[^"]*"/, '"content":"a\\x"'),
    'nested too deeply': `data: {"choices":${'['.repeat(1_000)}${']'.repeat(1_000)}}\n\n`,
    'half a chunk': `${SECOND.slice(0, 60)}\n\n`,
    'a number': 'data: 42\n\n',
    'an array': 'data: []\n\n',
    'a string': 'data: "DONE"\n\n',
    'bytes that are no UTF-8': Buffer.from('data: {"choices":[{"delta":{"content":"\xff\xfe"}}]}\n\n', 'latin1'),
    'an event without end': `data: {"choices":"${'x'.repeat(5_000_000)}`,
  };
  for (const [what, event] of Object.entries(garbage)) {
    onBareHost(
      what,
      () => ({
        broken: true,
        maxResponseBytes: 4_000_000,
        script: () => afterTwoEvents(chunkOf(event), { kind: 'stall' }),
      }),
      async (scene) => {
        await assertGivenUp(scene, /^upstream_bad_response$/);
        await within((await scene.upstream.request(0)).closed, 'the upstream’s work to be ended');
      },
    );
  }

  const said = { message: 'The model burnt down', type: 'server_error', param: null, code: 'model_on_fire' };
  const reports = {
    'an error as OpenAI sends it': sse({ error: said }),
    'an error as an event of that name': `event: error\n${sse({ error: said })}`,
    'an error in bare words': sse({ error: 'The model burnt down' }),
    'an error beside chunk fields': sse({ id: 'x', object: 'error', choices: [], error: said }),
  };
  for (const [what, event] of Object.entries(reports)) {
    onBareHost(
      what,
      () => ({
        broken: true,
        script: () => afterTwoEvents(chunkOf(event), { kind: 'stall' }),
        maxResponseBytes: 4_000_000,
      }),
      async (scene) => {
        const text = await assertGivenUp(scene, what.includes('bare') ? /./ : /^model_on_fire$/);
        assert.match(text, /The model burnt down/);
        await within((await scene.upstream.request(0)).closed, 'the upstream’s work to be ended');
      },
    );
  }

  onBareHost(
    'silence',
    () => ({ broken: true, http: { bodyTimeoutMs: 300 }, script: () => afterTwoEvents({ kind: 'stall' }) }),
    async (scene) => {
      await assertGivenUp(scene, /^upstream_stall$/);
      await within((await scene.upstream.request(0)).closed, 'the upstream’s work to be ended');
    },
  );

  onBareHost(
    'longer than a call may take',
    () => ({ broken: true, timeoutMs: 400, script: () => afterTwoEvents({ kind: 'stall' }) }),
    async (scene) => {
      await assertGivenUp(scene, /^upstream_(?:stall|timeout)$/);
      await within((await scene.upstream.request(0)).closed, 'the upstream’s work to be ended');
    },
  );

  onBareHost(
    'longer than an answer may be',
    () => ({ broken: true, maxResponseBytes: 20_000, script: endless }),
    async (scene) => {
      const events = eventsOf(await streamText(scene));
      assert.equal(errorCodeOf(events), 'upstream_bad_response');
      assert.ok(events.join('').length < 40_000);
      await within((await scene.upstream.request(0)).closed, 'the upstream’s work to be ended');
    },
  );
});

function* endless(): Generator<Step> {
  yield streamHead();
  for (;;) yield chunkOf(FIRST);
}

describe('before its first event a stream that goes wrong is an HTTP error', () => {
  const cases: [string, number, string, () => Iterable<Step>][] = [
    [
      'an error event',
      502,
      'model_on_fire',
      () => [streamHead(), chunkOf(sse({ error: { message: 'x', code: 'model_on_fire' } }))],
    ],
    ['garbage', 502, 'upstream_bad_response', () => [streamHead(), chunkOf('data: oops\n\n')]],
    ['nothing at all', 502, 'upstream_bad_response', () => [streamHead(), lastChunk()]],
    ['[DONE] alone', 502, 'upstream_bad_response', () => [streamHead(), chunkOf('data: [DONE]\n\n'), lastChunk()]],
    [
      'objects that are no chunks, then [DONE]',
      502,
      'upstream_bad_response',
      () => [
        streamHead(),
        chunkOf('data: {}\n\ndata: {"base_resp":{"status_code":1004}}\n\ndata: [DONE]\n\n'),
        lastChunk(),
      ],
    ],
    [
      'comments alone, then silence',
      504,
      'upstream_timeout',
      () => [streamHead(), chunkOf(': hi\n\n'), { kind: 'stall' }],
    ],
    ['silence after the head', 504, 'upstream_timeout', () => [streamHead(), { kind: 'stall' }]],
    ['silence before the head', 504, 'upstream_timeout', () => [{ kind: 'stall' }]],
  ];
  for (const [what, status, code, script] of cases) {
    onBareHost(
      what,
      () => ({ broken: true, script, http: { headersTimeoutMs: 300, bodyTimeoutMs: 300 } }),
      async ({ client, setup }) => {
        const call = client().chat.completions.create({ ...CALL, stream: true });
        await assert.rejects(within(call, 'the answer'), { status, code });
        await setup.usage.allSettled();
        assert.equal(setup.records[0]?.outcome, 'error');
      },
    );
  }
});
