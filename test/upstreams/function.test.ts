import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { GatewayError } from '../../src/base/errors.js';
import type { JsonObject } from '../../src/base/json.js';
import { fromFunction } from '../../src/upstreams/function.js';
import type { Upstream, UpstreamReply } from '../../src/upstreams/upstream.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import { joinedChunks, shapeOf } from '../helpers/openai-shapes.js';
import { callWith, wholeBody } from '../helpers/upstream-call.js';

type Fn = Parameters<typeof fromFunction>[0];

const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };

function send(upstream: Upstream, body: JsonObject, signal = new AbortController().signal): Promise<UpstreamReply> {
  const asked = { model: 'mine', messages: [{ role: 'user', content: 'hi' }], ...body };
  return upstream.send(callWith(asked, { signal }));
}

async function whole(fn: Fn, body: JsonObject = {}): Promise<JsonObject> {
  const reply = await send(fromFunction(fn), body);
  assert.equal(reply.kind, 'whole');
  return wholeBody(reply);
}

async function streamed(fn: Fn, body: JsonObject = {}): Promise<JsonObject[]> {
  const reply = await send(fromFunction(fn), { stream: true, ...body });
  assert.equal(reply.kind, 'chunks');
  const chunks: JsonObject[] = [];
  if (reply.kind === 'chunks') for await (const chunk of reply.chunks) chunks.push(chunk);
  return chunks;
}

/** What the first choice says, as `joinedChunks` tells it. */
function said(body: JsonObject): JsonObject {
  const [choice] = Object.values(body.choices ?? {});
  const { content, tool_calls } = choice.message;
  return { content, ...(tool_calls === undefined ? {} : { tool_calls }), finish_reason: choice.finish_reason };
}

const weather = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } };
const time = { id: 'call_2', type: 'function', function: { name: 'time', arguments: '{}' } };
const shell = { id: 'call_1', type: 'custom', custom: { name: 'shell', input: 'ls -l' } };

/** Ways of saying the same, and what it comes to. */
const answers: Record<string, { fn: Fn; said: JsonObject; usage?: JsonObject }> = {
  'a string': { fn: () => 'Hello', said: { content: 'Hello', finish_reason: 'stop' } },
  'a promise of a string': { fn: async () => 'Hello', said: { content: 'Hello', finish_reason: 'stop' } },
  'an empty string': { fn: () => '', said: { content: '', finish_reason: 'stop' } },
  'a message': {
    fn: () => ({ content: 'Hello', finish_reason: 'length', usage: USAGE }),
    said: { content: 'Hello', finish_reason: 'length' },
    usage: USAGE,
  },
  'a message with calls': {
    fn: () => ({ tool_calls: [weather, time] }),
    said: { content: null, tool_calls: [weather, time], finish_reason: 'tool_calls' },
  },
  'a message with a call whose arguments are a value': {
    fn: () => ({ tool_calls: [{ id: 'call_2', function: { name: 'time', arguments: {} } }] }),
    said: { content: null, tool_calls: [time], finish_reason: 'tool_calls' },
  },
  'a message with a call of a custom tool beside one of a function': {
    fn: () => ({ tool_calls: [shell, time] }),
    said: { content: null, tool_calls: [shell, time], finish_reason: 'tool_calls' },
  },
  'a choice': {
    fn: () => ({ message: { role: 'assistant', content: 'Hello' }, finish_reason: 'content_filter' }),
    said: { content: 'Hello', finish_reason: 'content_filter' },
  },
  'a whole completion': {
    fn: () => ({
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
      usage: USAGE,
    }),
    said: { content: 'Hello', finish_reason: 'stop' },
    usage: USAGE,
  },
  'a list of strings': { fn: () => ['Hel', 'lo'], said: { content: 'Hello', finish_reason: 'stop' } },
  'a generator of strings': {
    fn: function* () {
      yield 'Hel';
      yield '';
      yield 'lo';
    },
    said: { content: 'Hello', finish_reason: 'stop' },
  },
  'an async generator of strings': {
    fn: async function* () {
      yield 'Hel';
      await wait(1);
      yield 'lo';
    },
    said: { content: 'Hello', finish_reason: 'stop' },
  },
  'a generator of nothing': { fn: async function* () {}, said: { content: '', finish_reason: 'stop' } },
  'a generator of deltas': {
    fn: async function* () {
      yield { role: 'assistant' };
      yield { content: 'Hel' };
      yield { finish_reason: 'length' };
      yield { content: 'lo' };
      yield { usage: USAGE };
    },
    said: { content: 'Hello', finish_reason: 'length' },
    usage: USAGE,
  },
  'a generator of calls in pieces': {
    fn: async function* () {
      yield { tool_calls: [{ index: 0, id: 'call_1', function: { name: 'weather', arguments: '' } }] };
      yield { tool_calls: [{ index: 0, id: null, type: null, function: { name: null, arguments: '{"city":' } }] };
      yield { tool_calls: [{ index: 1, id: 'call_2', type: 'function', function: { name: 'time', arguments: '{}' } }] };
      yield { tool_calls: [{ index: 0, function: { arguments: '"Oslo"}' } }] };
    },
    said: { content: null, tool_calls: [weather, time], finish_reason: 'tool_calls' },
  },
  'a generator of calls without an index': {
    fn: async function* () {
      yield { tool_calls: [{ id: 'call_1', function: { name: 'weather', arguments: '{"city":' } }] };
      yield { tool_calls: [{ function: { arguments: '"Oslo"}' } }] };
      yield { tool_calls: [{ id: 'call_2', function: { name: 'time', arguments: '{}' } }] };
    },
    said: { content: null, tool_calls: [weather, time], finish_reason: 'tool_calls' },
  },
  'a generator of calls of custom tools in pieces': {
    fn: async function* () {
      yield { tool_calls: [{ index: 0, id: 'call_1', type: 'custom', custom: { name: 'shell', input: '' } }] };
      yield { tool_calls: [{ index: 1, id: 'call_2', type: 'function', function: { name: 'time', arguments: '{' } }] };
      yield { tool_calls: [{ index: 0, id: null, type: null, custom: { name: null, input: 'ls ' } }] };
      yield { tool_calls: [{ index: 0, custom: { input: '-l' } }] };
      yield { tool_calls: [{ index: 1, function: { arguments: '}' } }] };
    },
    said: { content: null, tool_calls: [shell, time], finish_reason: 'tool_calls' },
  },
  'a generator of calls of custom tools without an index or a type': {
    fn: async function* () {
      yield { tool_calls: [{ id: 'call_1', custom: { name: 'shell', input: 'ls ' } }] };
      yield { tool_calls: [{ custom: { input: '-l' } }] };
      yield { tool_calls: [{ id: 'call_2', function: { name: 'time', arguments: '{}' } }] };
    },
    said: { content: null, tool_calls: [shell, time], finish_reason: 'tool_calls' },
  },
  'text and then a call': {
    fn: async function* () {
      yield 'Let me see.';
      yield { tool_calls: [time] };
    },
    said: { content: 'Let me see.', tool_calls: [time], finish_reason: 'tool_calls' },
  },
  'chunks of its own': {
    fn: async function* () {
      const head = { id: 'x', object: 'chat.completion.chunk', created: 1, model: 'theirs' };
      yield { ...head, choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] };
      yield { ...head, choices: [{ index: 0, delta: { content: 'Hello' }, finish_reason: null }] };
      yield { ...head, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] };
      yield { ...head, choices: [], usage: USAGE };
    },
    said: { content: 'Hello', finish_reason: 'stop' },
    usage: USAGE,
  },
  'chunks of its own with a call of a custom tool': {
    fn: async function* () {
      const head = { id: 'x', object: 'chat.completion.chunk', created: 1, model: 'theirs' };
      const chunk = (delta: JsonObject, finish_reason: string | null = null): JsonObject => ({
        ...head,
        choices: [{ index: 0, delta, finish_reason }],
      });
      const first = { index: 0, id: 'call_1', type: 'custom', custom: { name: 'shell', input: '' } };
      yield chunk({ role: 'assistant', content: null, tool_calls: [first] });
      yield chunk({ tool_calls: [{ index: 0, custom: { input: 'ls ' } }] });
      yield chunk({ tool_calls: [{ index: 0, custom: { input: '-l' } }] });
      yield chunk({}, 'tool_calls');
    },
    said: { content: null, tool_calls: [shell], finish_reason: 'tool_calls' },
  },
};

describe('a function answers with', () => {
  for (const [name, { fn, said: expected, usage }] of Object.entries(answers)) {
    it(`${name}, whole`, async () => {
      const body = await whole(fn);
      assert.deepEqual(said(body), expected);
      assert.deepEqual(body.usage, usage);
      assert.equal(body.object, 'chat.completion');
    });

    it(`${name}, streamed`, async () => {
      const chunks = await streamed(fn, { stream_options: { include_usage: true } });
      assert.deepEqual(joinedChunks(chunks), { ...expected, content: expected.content ?? null });
      const finishes = chunks.filter(({ choices }) => Object.values(choices ?? {})[0]?.finish_reason != null);
      assert.equal(finishes.length, 1, 'one finish reason');
      assert.deepEqual(
        chunks.map((chunk) => chunk.usage ?? null).filter((one) => one !== null),
        usage ? [usage] : [],
      );
      const roles = chunks.filter(({ choices }) => Object.values(choices ?? {})[0]?.delta?.role !== undefined);
      assert.equal(roles.length, 1, 'one role');
      assert.equal(new Set(chunks.map(({ id }) => id)).size, 1, 'one id');
    });
  }

  it('an answer of the shape OpenAI describes', { skip: specIsMissing }, async () => {
    const check = specChecker();
    for (const [name, { fn }] of Object.entries(answers)) {
      const given = name === 'a whole completion' ? 'Hello' : fn;
      const use: Fn = typeof given === 'string' ? () => given : given;
      check('CreateChatCompletionResponse', await whole(use));
      for (const chunk of await streamed(use)) {
        // Its own chunks are passed on as they are, and these leave `logprobs` out.
        check('CreateChatCompletionStreamResponse', chunk);
      }
    }
  });

  it('an answer with the members of a recorded one', { skip: recordingsAreMissing }, async () => {
    const [recorded] = recordedAnswers('POST /v1/chat/completions 200 application/json');
    const { service_tier, system_fingerprint, ...rest } = JSON.parse(JSON.stringify(recorded));
    assert.deepEqual(shapeOf(await whole(() => ({ content: 'Hi', usage: rest.usage }))), shapeOf(rest));
  });

  it('a whole completion that is not touched', async () => {
    const message = { role: 'assistant', content: 'x' };
    const completion = { id: 'mine', choices: [{ index: 0, message, finish_reason: 'stop', odd: 1 }], extra: [1] };
    const { created, ...body } = await whole(() => completion);
    assert.deepEqual(body, { object: 'chat.completion', model: 'mine', ...completion });
    assert.ok(Number.isInteger(created));
  });

  it('a whole completion whose choices lack what clients count on: that is filled in', async () => {
    const { choices } = await whole(() => ({ choices: [{ message: { content: 'min' } }] }));
    const message = { role: 'assistant', content: 'min', refusal: null, annotations: [] };
    assert.deepEqual(choices, [{ index: 0, message, logprobs: null, finish_reason: 'stop' }]);
  });

  it('chunks of choices alone, which get their ids, role and finish reason', async () => {
    for (const last of [{ choices: [{ delta: {}, finish_reason: 'length' }] }, undefined]) {
      const chunks = await streamed(function* () {
        yield { choices: [{ delta: { content: 'a' } }] };
        yield { choices: [{ delta: { content: 'b' } }] };
        if (last !== undefined) yield last;
      });
      assert.deepEqual(
        chunks.map(({ choices }) => JSON.stringify(choices)),
        [
          '[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]',
          '[{"index":0,"delta":{"content":"a"},"logprobs":null,"finish_reason":null}]',
          '[{"index":0,"delta":{"content":"b"},"logprobs":null,"finish_reason":null}]',
          `[{"index":0,"delta":{},"logprobs":null,"finish_reason":"${last === undefined ? 'stop' : 'length'}"}]`,
        ],
      );
      assert.equal(new Set(chunks.map(({ id }) => id)).size, 1);
    }
  });

  it('no usage when it says none, nor when it says nonsense', async () => {
    assert.ok(!('usage' in (await whole(() => 'Hi'))));
    assert.ok(!('usage' in (await whole(() => ({ content: 'Hi', usage: { total_tokens: 'many' } })))));
    const chunks = await streamed(() => 'Hi', { stream_options: { include_usage: true } });
    assert.ok(chunks.every(({ usage }) => usage === null));
  });

  it('an error object, passed on for the gateway to tell', async () => {
    const error = { error: { message: 'busy', type: 'server_error', param: null, code: null } };
    assert.deepEqual(await whole(() => error), error);
    assert.deepEqual(await streamed(() => error), [error]);
    assert.deepEqual(
      (
        await streamed(function* () {
          yield 'x';
          yield error;
        })
      ).at(-2),
      error,
    );
  });
});

describe('a function', () => {
  it('is told the body, who calls and the signal', async () => {
    const { signal } = new AbortController();
    let seen: unknown[] = [];
    await send(
      fromFunction((...given) => {
        seen = given;
        return 'x';
      }),
      { odd: 1 },
      signal,
    );
    assert.deepEqual(seen, [
      { model: 'mine', messages: [{ role: 'user', content: 'hi' }], odd: 1 },
      { signal, requestId: 'req_1', keyId: 'key_1' },
    ]);
  });

  it('has a name', () => {
    assert.equal(fromFunction(() => 'x').name, 'function');
    assert.equal(fromFunction(() => 'x', { name: 'mine' }).name, 'mine');
  });

  const busy = new GatewayError({ status: 503, message: 'busy' });
  const failing: Record<string, Fn> = {
    throws: () => {
      throw busy;
    },
    rejects: async () => {
      throw busy;
    },
    'throws before its first piece': async function* () {
      if (busy.status === 503) throw busy;
      yield 'never';
    },
  };
  for (const [name, fn] of Object.entries(failing)) {
    it(`that ${name} fails before the answer has begun`, async () => {
      for (const stream of [true, false])
        await assert.rejects(send(fromFunction(fn), { stream }), (error) => error === busy);
    });
  }

  it('that throws after its first piece breaks the stream, and fails a whole answer', async () => {
    const fn = async function* () {
      yield 'x';
      throw busy;
    };
    const reply = await send(fromFunction(fn), { stream: true });
    assert.equal(reply.kind, 'chunks');
    await assert.rejects(
      async () => {
        if (reply.kind === 'chunks') for await (const chunk of reply.chunks) assert.ok(chunk);
      },
      (error) => error === busy,
    );
    await assert.rejects(send(fromFunction(fn), {}), (error) => error === busy);
  });

  it('that answers what is no answer is told so', async () => {
    const nonsense: [Fn, RegExp][] = [
      // @ts-expect-error: what JavaScript may do.
      [() => undefined, /got undefined/],
      // @ts-expect-error: what JavaScript may do.
      [() => 42, /got 42 \(number\)/],
      [() => ({}), /to have `choices`/],
      [() => ({ content: [{ type: 'text' }] }), /`content`/],
      [() => ({ tool_calls: [{ id: 'x' }] }), /with a `name`/],
      [() => ({ tool_calls: [{ id: 'x', type: 'custom', custom: { input: 'ls' } }] }), /`custom` with a `name`/],
      [() => [{ tool_calls: [{ id: 'x', type: 'custom', custom: { input: 'ls' } }] }], /`custom` with a `name`/],
    ];
    for (const [fn, message] of nonsense) {
      await assert.rejects(send(fromFunction(fn), {}), { name: 'TypeError', message });
      await assert.rejects(send(fromFunction(fn), { stream: true }), { name: 'TypeError', message });
    }
    await assert.rejects(
      send(
        fromFunction(() => [1]),
        {},
      ),
      { name: 'TypeError', message: /yield strings or objects/ },
    );
  });
});

describe('an abort', () => {
  const reason = new Error('the client went away');

  it('ends a function that never answers', async () => {
    const controller = new AbortController();
    const sent = send(
      fromFunction(() => new Promise<string>(() => {})),
      {},
      controller.signal,
    );
    controller.abort(reason);
    await assert.rejects(sent, (error) => error === reason);
    let called = false;
    await assert.rejects(
      send(
        fromFunction(() => {
          called = true;
          return 'x';
        }),
        {},
        controller.signal,
      ),
      (error) => error === reason,
    );
    assert.equal(called, false);
  });

  for (const stream of [true, false]) {
    it(`ends a generator stuck before its first piece (stream: ${stream})`, async () => {
      const controller = new AbortController();
      const sent = send(
        fromFunction(async function* () {
          await new Promise(() => {});
          yield 'x';
        }),
        { stream },
        controller.signal,
      );
      setImmediate(() => controller.abort(reason));
      await assert.rejects(sent, (error) => error === reason);
    });
  }

  it('ends the iteration at once when the generator is stuck, and calls its return', async () => {
    const controller = new AbortController();
    let returned = 0;
    let step = 0;
    const stuck: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: () => (step++ === 0 ? Promise.resolve({ done: false, value: 'x' }) : new Promise(() => {})),
        return: async () => {
          returned += 1;
          return { done: true, value: undefined };
        },
      }),
    };
    const reply = await send(
      fromFunction(() => stuck),
      { stream: true },
      controller.signal,
    );
    assert.equal(reply.kind, 'chunks');
    const seen: JsonObject[] = [];
    await assert.rejects(
      async () => {
        if (reply.kind !== 'chunks') return;
        for await (const chunk of reply.chunks) {
          seen.push(chunk);
          if (seen.length === 2) setImmediate(() => controller.abort(reason));
        }
      },
      (error) => error === reason,
    );
    assert.equal(returned, 1);
    assert.equal(seen.length, 2, 'the role, the piece, and no end that never came');
  });

  it('runs the finally of a generator nobody asks for more', async () => {
    const controller = new AbortController();
    let released = false;
    const fn = async function* () {
      try {
        yield 'a';
        yield 'b';
      } finally {
        released = true;
      }
    };
    await send(fromFunction(fn), { stream: true }, controller.signal);
    controller.abort(reason);
    await wait(5);
    assert.equal(released, true);
  });

  it('is not needed: a client that stops reading runs the finally, too', async () => {
    let released = false;
    const fn = async function* () {
      try {
        for (;;) yield 'a';
      } finally {
        released = true;
      }
    };
    const reply = await send(fromFunction(fn), { stream: true });
    if (reply.kind === 'chunks') for await (const _ of reply.chunks) break;
    assert.equal(released, true);
  });

  it('leaves no listeners behind', async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const count =
      (add: number, original: (...given: never[]) => void) =>
      (...given: never[]) => {
        listeners += add;
        original.apply(signal, given);
      };
    signal.addEventListener = count(1, signal.addEventListener);
    signal.removeEventListener = count(-1, signal.removeEventListener);
    const reply = await send(
      fromFunction(async function* () {
        yield 'a';
        yield 'b';
      }),
      { stream: true },
      signal,
    );
    if (reply.kind === 'chunks') for await (const chunk of reply.chunks) assert.ok(chunk);
    assert.equal(listeners, 0);
  });
});

it('takes no more from a generator than the client reads', async () => {
  let made = 0;
  const fn = async function* () {
    for (;;) yield `${made++} `;
  };
  const reply = await send(fromFunction(fn), { stream: true });
  assert.equal(reply.kind, 'chunks');
  if (reply.kind !== 'chunks') return;
  const chunks = reply.chunks[Symbol.asyncIterator]();
  for (let read = 0; read < 10; read += 1) await chunks.next();
  await wait(5);
  assert.ok(made <= 11, `${made} pieces for 10 chunks`);
  await chunks.return?.();
});
