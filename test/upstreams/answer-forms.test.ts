import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { errorBody } from '../../src/base/errors.js';
import { upstreamFailure } from '../../src/upstreams/upstream-failure.js';
import {
  chunkOf,
  head,
  lastChunk,
  reply,
  sse,
  streamChat,
  streamEvents,
  streamReply,
  USAGE,
  wholeChat,
} from '../helpers/chat-answers.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, MODEL, onBareHost, type Scene, withScene } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';

const WHOLE = JSON.stringify(wholeChat('Hello'));
const STREAM = streamChat(['Hel', 'lo']);

/** A good answer with those headers, of any bytes. */
function answer(bytes: string | Uint8Array, headers: Readonly<Record<string, string>>, status = 200): Step[] {
  const body = Buffer.from(bytes);
  const all = { 'content-type': 'application/json', 'content-length': String(body.length), ...headers };
  return [
    { kind: 'send', bytes: head(status, all) },
    { kind: 'send', bytes: body },
  ];
}

/** The text that the official client reads. */
async function textOf({ client }: Scene, stream: boolean): Promise<string> {
  if (!stream) return (await client().chat.completions.create(CALL)).choices[0]?.message.content ?? '';
  let text = '';
  for await (const chunk of await client().chat.completions.create({ ...CALL, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? '';
  }
  return text;
}

describe('content codings of an upstream', () => {
  const codings: readonly (readonly [string, (text: string) => string | Uint8Array])[] = [
    ['none', (text) => text],
    ['', (text) => text],
    ['identity', (text) => text],
    ['utf-8', (text) => text],
    ['gzip', gzipSync],
    ['x-gzip', gzipSync],
    ['GZIP', gzipSync],
    ['gzip, identity', gzipSync],
    ['gzip', (text) => text],
    ['deflate', deflateSync],
    ['deflate', deflateRawSync],
    ['br', brotliCompressSync],
  ];
  for (const [at, [coding, encode]] of codings.entries()) {
    for (const stream of [false, true]) {
      it(`${coding || '(empty)'} is understood, ${stream ? 'streamed' : 'whole'} (${at})`, async () => {
        const headers = {
          'content-encoding': coding,
          'content-type': stream ? 'text/event-stream' : 'application/json',
        };
        const script = () => answer(encode(stream ? STREAM : WHOLE), headers);
        await withScene(BARE_HOST, { script }, async (scene) => assert.equal(await textOf(scene, stream), 'Hello'));
      });
    }
    it(`${coding || '(empty)'} keeps the words of an error (${at})`, async () => {
      const error = JSON.stringify({ error: { message: 'Too hot.', param: 'temperature', code: null } });
      const script = () => answer(encode(error), { 'content-encoding': coding }, 400);
      await withScene(BARE_HOST, { script }, async (scene) => {
        await assert.rejects(textOf(scene, false), { status: 400, param: 'temperature', message: '400 Too hot.' });
      });
    });
  }

  for (const stream of [false, true]) {
    onBareHost(
      `a bomb is no more than the largest answer, ${stream ? 'streamed' : 'whole'}`,
      () => ({
        broken: true,
        maxResponseBytes: 1_000_000,
        script: () => answer(gzipSync(`{"choices":[${' '.repeat(40_000_000)}]}`), { 'content-encoding': 'gzip' }),
      }),
      async (scene) => {
        await assert.rejects(textOf(scene, stream), { status: 502, code: 'upstream_bad_response' });
      },
    );
  }

  onBareHost(
    'what breaks off or is none of that coding is a 502, and the next call is served',
    () => ({ broken: true }),
    async (scene) => {
      const bad = [gzipSync(WHOLE).subarray(0, 60), Buffer.from([0x1f, 0x8b, 1, 2, 3, 4])];
      for (const bytes of bad) {
        scene.upstream.answerWith(() => answer(bytes, { 'content-encoding': 'gzip' }));
        await assert.rejects(textOf(scene, false), { status: 502 });
        await assert.rejects(textOf(scene, true), { status: 502 });
      }
      scene.upstream.answerWith(() => reply(WHOLE));
      assert.equal(await textOf(scene, false), 'Hello');
    },
  );
});

describe('the content of an answer decides, not its label', () => {
  for (const contentType of [
    'text/plain',
    'application/octet-stream',
    'application/json',
    'text/event-stream',
    'text/html',
  ]) {
    for (const stream of [false, true]) {
      for (const sent of ['events', 'json'] as const) {
        it(`${sent} under ${contentType} where ${stream ? 'a stream' : 'a whole answer'} was asked`, async () => {
          const script = () => answer(sent === 'json' ? WHOLE : STREAM, { 'content-type': contentType });
          await withScene(BARE_HOST, { script }, async (scene) => {
            assert.equal(await textOf(scene, stream), 'Hello');
            assert.equal(scene.setup.records[0]?.outputTokens, 9, 'usage is read');
          });
        });
      }
    }
  }

  for (const beginning of [': ping\n\n', '\n\n', '\ufeff', 'event: message\n', 'id: 1\n', 'retry: 5\n']) {
    onBareHost(
      `a stream that begins with ${JSON.stringify(beginning)}, byte by byte`,
      () => ({
        script: () => [
          { kind: 'send', bytes: head(200, { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' }) },
          ...[...Buffer.from(beginning)].map((byte) => chunkOf(Uint8Array.of(byte))),
          chunkOf(STREAM),
          lastChunk(),
        ],
      }),
      async (scene) => assert.equal(await textOf(scene, true), 'Hello'),
    );
  }

  it('tool calls get their indexes, and usage stays hidden from who did not ask', async () => {
    const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } });
    const message = { tool_calls: [call('a'), call('b')] };
    await withScene(
      BARE_HOST,
      { script: () => reply(wholeChat(null, { message, finishReason: 'tool_calls' })) },
      async ({ client }) => {
        const chunks = [];
        for await (const chunk of await client().chat.completions.create({ ...CALL, stream: true })) chunks.push(chunk);
        const calls = chunks.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? []);
        assert.deepEqual(
          calls.map(({ index, id }) => [index, id]),
          [
            [0, 'a'],
            [1, 'b'],
          ],
        );
        assert.ok(chunks.every((chunk) => chunk.usage === undefined || chunk.usage === null));
      },
    );
  });

  onBareHost(
    'a response whole where a stream was asked, and a stream where a whole one was',
    () => ({
      models: { m: { responses: 'pass' } },
      script: (request) => {
        const response = { id: 'resp_1', object: 'response', status: 'completed', model: 'm', output: [], usage: null };
        if (request.json().stream === true) return reply(response);
        return answer(`event: response.completed\n${sse({ type: 'response.completed', response })}`, {});
      },
    }),
    async ({ client }) => {
      const response = await client().responses.create({ model: 'm', input: 'hi' });
      assert.equal(response.status, 'completed');
      const types: string[] = [];
      for await (const event of await client().responses.create({ model: 'm', input: 'hi', stream: true }))
        types.push(event.type);
      assert.deepEqual(types, ['response.completed']);
    },
  );
});

describe('a status told inside a 200', () => {
  const cases: readonly (readonly [what: string, body: unknown, status: number])[] = [
    [
      'llama.cpp',
      {
        error: { message: 'the request exceeds the available context size', code: 400, type: 'invalid_request_error' },
      },
      400,
    ],
    ['OpenRouter', { error: { message: 'Rate limited', code: 429 } }, 429],
    ['a status beside it', { error: { message: 'Not that' }, status: 422 }, 422],
    ['a code in text', { error: { message: 'No such model', code: '404' } }, 404],
    ['details', { code: 400, details: 'Too many stops' }, 400],
    ['an object that is an error', { object: 'error', message: 'Bad stop', code: 400 }, 400],
    ['an overload', { error: { message: 'Busy on gpu-7', code: 503 } }, 503],
    ['no status', { error: { message: 'It failed' } }, 502],
    ['a message alone', { detail: 'It failed' }, 502],
    ['a code that is no status', { error: { message: 'It failed', code: 3_051 } }, 502],
  ];
  for (const [what, body, status] of cases) {
    it(`of a whole answer: ${what}`, async () => {
      await withScene(BARE_HOST, { broken: true, script: () => reply(body) }, async (scene) => {
        await assert.rejects(textOf(scene, false), (error: Error & { status?: number; headers?: Headers }) => {
          assert.equal(error.status, status);
          assert.doesNotMatch(error.message, /gpu-7/);
          if (status === 400) assert.equal(error.headers?.get('x-should-retry'), 'false');
          return true;
        });
      });
    });
    it(`of a first event in place of a response's: ${what}`, async () => {
      const script = () => answer(sse(body), { 'content-type': 'text/event-stream' });
      const models = { m: { responses: 'pass' } } as const;
      await withScene(BARE_HOST, { broken: true, models, script }, async ({ client }) => {
        const asked = client().responses.create({ model: 'm', input: 'hi', stream: true });
        await assert.rejects(asked, (error: Error & { status?: number }) => {
          // A status beside an error is not its own.
          assert.equal(error.status, what === 'a status beside it' ? 502 : status);
          assert.doesNotMatch(error.message, /gpu-7/);
          return true;
        });
      });
    });
    if (typeof body !== 'object' || body === null || 'status' in body) continue;
    it(`of a first event: ${what}`, async () => {
      const script = () => answer(sse(body), { 'content-type': 'text/event-stream' });
      await withScene(BARE_HOST, { broken: true, script }, async (scene) => {
        await assert.rejects(textOf(scene, true), { status });
      });
    });
  }
});

describe('the reason that an upstream gives', () => {
  const cases: readonly (readonly [body: unknown, message: string])[] = [
    [
      { detail: [{ loc: ['body', 'frequency_penalty'], msg: 'Extra inputs are not permitted' }] },
      'body.frequency_penalty: Extra inputs are not permitted',
    ],
    [
      {
        object: 'error',
        message: {
          detail: [
            { type: 'x', loc: ['body', 'n'], msg: 'Too many' },
            { loc: ['body', 'stop', 0], msg: 'Too long' },
          ],
        },
      },
      'body.n: Too many; body.stop.0: Too long',
    ],
    [{ errors: [{ message: 'First.' }, { message: 'Second.' }] }, 'First.; Second.'],
    [{ msg: 'Said so.' }, 'Said so.'],
    [{ Message: 'Said so.' }, 'Said so.'],
    [{ fault: { faultstring: 'Said so.', detail: { errorcode: 'x' } } }, 'Said so.'],
    [['One.', 'Two.'], 'One.; Two.'],
    [{ error_message: 'Said so.' }, 'Said so.'],
    [{ error: { message: ['One.', { message: 'Two.' }] } }, 'One.; Two.'],
    [{ error: { message: { detail: 'Inside.' } } }, 'Inside.'],
    [{ errors: { detail: 'Inside.' } }, 'Inside.'],
    [{ detail: { message: 'Inside.' } }, 'Inside.'],
    [{ errors: ['A.', 'B.'] }, 'A.; B.'],
    [
      { errors: { temperature: ['is too high', 'is odd'], n: 'is too many' } },
      'temperature: is too high; is odd; n: is too many',
    ],
    [{ error: { issues: [{ path: ['messages', 0], message: 'Required' }] } }, 'messages.0: Required'],
    [{ title: 'Bad Request', detail: 'The stop is too long.' }, 'The stop is too long.'],
    [{ error: 'invalid_request', error_description: 'Not so.' }, 'Not so.'],
    [
      { statusCode: 400, error: 'Bad Request', message: ['n must be a number', 'n is odd'] },
      'n must be a number; n is odd',
    ],
  ];
  for (const [body, message] of cases) {
    it(JSON.stringify(body), () => {
      for (const status of [400, 422])
        assert.equal(errorBody(upstreamFailure({ status, body })).error.message, message);
    });
  }

  onBareHost(
    'is read of a short plain text, and not of a page',
    () => ({ broken: true }),
    async (scene) => {
      const words = async (text: string, contentType: string) => {
        scene.upstream.answerWith(() => answer(text, { 'content-type': contentType }, 400));
        return textOf(scene, false).catch((error: Error) => error.message);
      };
      assert.equal(await words('Prompt is empty\n', 'text/plain; charset=utf-8'), '400 Prompt is empty');
      for (const text of ['<html>nginx</html>', 'word '.repeat(500)]) {
        assert.equal(await words(text, 'text/plain'), '400 The upstream refused the request as invalid.');
        assert.equal(
          await words(JSON.stringify(text), 'application/json'),
          '400 The upstream refused the request as invalid.',
        );
      }
      assert.equal(
        await words('"Prompt is empty, says http://10.0.0.5/x"', 'application/json'),
        '400 Prompt is empty, says [redacted]',
      );
      assert.equal(await words('["Prompt is empty"]', 'application/json'), '400 Prompt is empty');
    },
  );
});

describe('a legacy completion that its server answers as a chat', () => {
  const thinking = sse({
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'm',
    choices: [{ index: 0, delta: { reasoning_content: 'Hm' } }],
  });
  const events = streamEvents(['Hel', 'lo', ' you', ' all'], { usage: 'last', finishReason: 'eos_token' });
  onBareHost(
    'has its text, streamed',
    () => ({ script: () => streamReply([thinking, thinking, thinking, ...events]) }),
    async (scene) => {
      const call = { model: MODEL, prompt: 'Hi', stream: true, stream_options: { include_usage: true } } as const;
      let text = '';
      let last: unknown;
      for await (const chunk of await scene.client().completions.create(call)) {
        assert.equal(chunk.object, 'text_completion');
        for (const choice of chunk.choices) {
          assert.equal(typeof choice.text, 'string');
          assert.ok(!('delta' in choice));
          text += choice.text;
          last = choice.finish_reason;
        }
        if (chunk.choices.length === 0) assert.equal(chunk.usage?.completion_tokens, 9);
      }
      assert.deepEqual([text, last], ['Hello you all', 'stop']);
      assert.deepEqual([scene.setup.records[0]?.outputTokens, scene.setup.records[0]?.counted], [9, 'exact']);
    },
  );
  onBareHost(
    'has its text, whole',
    () => ({ script: () => reply(wholeChat('Hello')) }),
    async ({ client, upstream }) => {
      const whole = await client().completions.create({ model: MODEL, prompt: 'Hi' });
      assert.deepEqual(
        [whole.object, whole.choices[0]?.text, whole.usage?.completion_tokens],
        ['text_completion', 'Hello', 9],
      );
      // A text that speaks of a message is none.
      const choices = [{ index: 0, text: 'a "message": {}', logprobs: null, finish_reason: 'stop', message: {} }];
      const legacy = { id: 'c', object: 'text_completion', created: 1, model: MODEL, choices, usage: USAGE };
      upstream.answerWith(() => reply(legacy));
      const response = await client().completions.create({ model: MODEL, prompt: 'Hi' }).asResponse();
      assert.equal(await response.text(), JSON.stringify(legacy));
    },
  );
});

it('the reason that an upstream gives is looked for as deep as servers put it, and no deeper', () => {
  let message: unknown = 'Too hot';
  const said: string[] = [];
  for (let depth = 0; depth < 10_000; depth += 1) {
    if (depth < 2 || depth > 9_998) said.push(upstreamFailure({ status: 400, body: { error: { message } } }).message);
    message = [message];
  }
  assert.deepEqual(said, ['Too hot', 'Too hot', 'The upstream refused the request as invalid.']);
});

describe('a refusal of the user’s own prompt', () => {
  for (const status of [403, 421, 451]) {
    for (const message of [
      'Your input was flagged',
      'Moderation refused this',
      'The prompt violates our usage policy',
    ]) {
      it(`${status}: ${message}`, () => {
        const error = upstreamFailure({ status, body: { error: { message, code: 'x' } } });
        assert.deepEqual([error.status, error.message, error.shouldRetry], [403, message, false]);
      });
    }
    it(`${status} for another reason is the gateway's own`, () => {
      assert.equal(upstreamFailure({ status, body: { error: { message: 'Key not allowed' } } }).status, 502);
    });
  }
});

describe('embeddings in base64, where the upstream knows only numbers', () => {
  const data = [
    [0.5, -1, 3.25e-2],
    [1, 0, 0],
  ].map((embedding, index) => ({ object: 'embedding', index, embedding }));
  const body = { object: 'list', data, model: 'gpt-4o-mini', usage: { prompt_tokens: 2, total_tokens: 2 } };

  onBareHost(
    'are encoded, as the official client asks',
    () => ({ script: () => reply(JSON.stringify(body, null, 1)) }),
    async ({ client }) => {
      const answered = await client().embeddings.create({ model: 'gpt-4o-mini', input: ['a', 'b'] });
      assert.deepEqual(
        answered.data.map(({ embedding }) => embedding.map((value) => Math.round(value * 10_000) / 10_000)),
        data.map(({ embedding }) => embedding),
      );
    },
  );

  onBareHost(
    'stay numbers for a client that wants these',
    () => ({ script: () => reply(body) }),
    async ({ client }) => {
      const asked = { model: 'gpt-4o-mini', input: 'a', encoding_format: 'float' } as const;
      assert.deepEqual((await client().embeddings.create(asked)).data[0]?.embedding, data[0]?.embedding);
    },
  );
});

describe('the name of a model', () => {
  const PATH = '/models/llama.gguf';
  for (const stream of [false, true]) {
    onBareHost(
      `that is a path is not shown, ${stream ? 'streamed' : 'whole'}`,
      () => ({
        models: { llama: {}, house: { upstreamModel: 'gpt-4o' } },
        script: (request) =>
          request.json().stream === true
            ? answer(streamChat(['Hi'], { model: PATH }), { 'content-type': 'text/event-stream' })
            : reply(wholeChat('Hi', { model: PATH })),
      }),
      async ({ client }) => {
        for (const model of ['llama', 'house']) {
          const answered = await client().chat.completions.create({ ...CALL, model, stream });
          if (!('controller' in answered)) assert.equal(answered.model, model);
          else for await (const chunk of answered) assert.equal(chunk.model, model);
        }
      },
    );
  }

  for (const [said, shown] of [
    ['The model gpt-4o-2024-08-06 is busy', 'The model house is busy'],
    ['Rate limit reached for GPT-4o.', 'Rate limit reached for house.'],
    ['no openai/gpt-4o: sorry', 'no house: sorry'],
    ['`gpt-4o-mini` is another', '`house` is another'],
    ['gpt-4-turbo stays', 'gpt-4-turbo stays'],
  ] as const) {
    onBareHost(
      `in an error: ${said}`,
      () => ({
        models: { house: { upstreamModel: 'gpt-4o' } },
        script: () => reply({ error: { message: said, param: 'messages' } }, { status: 400 }),
      }),
      async ({ client }) => {
        await assert.rejects(client().chat.completions.create({ ...CALL, model: 'house' }), {
          message: `400 ${shown}`,
        });
      },
    );
  }
});

onBareHost(
  'the name of a model is hidden wherever it stands in an error, also one with other characters than most',
  () => ({
    models: { house: { upstreamModel: 'Our Model (v2)' } },
    script: () =>
      reply({ error: { message: 'OUR MODEL (V2) is busy, our Model (v2), says Our Model (v2)' } }, { status: 400 }),
  }),
  async ({ client }) => {
    await assert.rejects(client().chat.completions.create({ ...CALL, model: 'house' }), {
      message: '400 house is busy, house, says house',
    });
  },
);

onBareHost(
  'an event of 5 MB is one',
  () => ({ script: () => answer(streamChat(['x'.repeat(5_000_000)]), { 'content-type': 'text/event-stream' }) }),
  async (scene) => assert.equal((await textOf(scene, true)).length, 5_000_000),
);

onBareHost(
  'a stream of nothing but its end is no answer',
  () => ({ broken: true, script: () => answer('data: [DONE]\n\n', { 'content-type': 'text/event-stream' }) }),
  async (scene) => {
    await assert.rejects(textOf(scene, true), { status: 502 });
    assert.equal(scene.setup.records[0]?.outcome, 'error');
  },
);
