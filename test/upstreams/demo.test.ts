import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { GatewayError } from '../../src/base/errors.js';
import type { Json, JsonObject } from '../../src/base/json.js';
import { demo } from '../../src/upstreams/demo/demo.js';
import { estimatingTokenizer, tokenizers } from '../../src/upstreams/demo/tokenizer.js';
import type { UpstreamReply } from '../../src/upstreams/upstream.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import { joinedChunks, shapeOf } from '../helpers/openai-shapes.js';
import { callWith } from '../helpers/upstream-call.js';

type Call = { id: string; type: string; function: { name: string; arguments: string } };
type Token = { token: string; logprob: number; bytes: number[] };
type Entry = Token & { top_logprobs: [Token, ...Token[]] };
type Message = {
  role: string;
  content: string;
  tool_calls: [Call, ...Call[]];
  function_call: { name: string; arguments: string };
};
/** What a test looks into, of an answer or of a chunk. */
interface Choice {
  readonly index: number;
  readonly message: Message;
  readonly delta: Message;
  readonly logprobs: { content: [Entry, ...Entry[]] };
  readonly finish_reason: string;
}
interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
}

const upstream = demo();
const ajv = new Ajv2020({ strict: false, validateFormats: false });

function send(body: JsonObject, signal = new AbortController().signal, to = upstream): Promise<UpstreamReply> {
  return to.send(callWith(body, { signal }));
}

/** A request with one user message. */
function ask(content: Json = 'Hello there', rest: JsonObject = {}): JsonObject {
  return { model: 'gpt-4o', messages: [{ role: 'user', content }], ...rest };
}

async function whole(body: JsonObject): Promise<JsonObject> {
  const reply = await send(body);
  assert.equal(reply.kind, 'whole');
  return reply.kind === 'whole' ? JSON.parse(JSON.stringify(reply.body)) : {};
}

async function streamed(body: JsonObject): Promise<JsonObject[]> {
  const reply = await send({ ...body, stream: true });
  const chunks: JsonObject[] = [];
  if (reply.kind === 'chunks') for await (const chunk of reply.chunks) chunks.push(JSON.parse(JSON.stringify(chunk)));
  return chunks;
}

function choicesOf(body: JsonObject | undefined): [Choice, ...Choice[]] {
  return JSON.parse(JSON.stringify(body?.choices ?? []));
}

async function textOf(body: JsonObject): Promise<string> {
  return choicesOf(await whole(body))[0].message.content;
}

function usageOf(body: JsonObject | undefined): Usage {
  return JSON.parse(JSON.stringify(body?.usage));
}

async function refusal(body: JsonObject): Promise<GatewayError> {
  try {
    await send(body);
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    return error;
  }
  throw new Error(`Expected a refusal of ${JSON.stringify(body).slice(0, 300)}`);
}

const weather = {
  type: 'object',
  properties: { city: { type: 'string' }, unit: { enum: ['c', 'f'] } },
  required: ['city', 'unit'],
  additionalProperties: false,
};
const tools = [
  { type: 'function', function: { name: 'get_weather', description: 'Weather', parameters: weather, strict: true } },
  {
    type: 'function',
    function: {
      name: 'get_time',
      parameters: { type: 'object', properties: { zone: { type: 'string', pattern: '^[A-Z]{3}$' } } },
    },
  },
  { type: 'function', function: { name: 'ping' } },
];

describe('a text answer of the demo', () => {
  it('has the members of a recorded one in their order', { skip: recordingsAreMissing }, async () => {
    const [recorded] = recordedAnswers('POST /v1/chat/completions 200 application/json');
    assert.deepEqual(shapeOf(await whole(ask())), shapeOf(recorded));
  });

  it('says that it is a demo, and repeats what it was told', async () => {
    const text = await textOf(ask('What is the capital of Norway?'));
    assert.match(text, /demo/);
    assert.match(text, /What is the capital of Norway\?/);
  });

  const said: [string, string][] = [
    ['Say this is a test', 'this is a test'],
    ['say "hello"', 'hello'],
    ['Please repeat after me: one\ntwo', 'one\ntwo'],
    ['Repeat 👩‍👩‍👧‍👦 naïve 漢字', '👩‍👩‍👧‍👦 naïve 漢字'],
    ['say <|endoftext|> twice', '<|endoftext|> twice'],
  ];
  for (const [prompt, expected] of said) {
    it(`does what ${JSON.stringify(prompt)} asks, whole and in pieces`, async () => {
      assert.equal(await textOf(ask(prompt)), expected);
      assert.equal(joinedChunks(await streamed(ask(prompt))).content, expected);
    });
  }

  it('is the same for the same request, and differs for another', async () => {
    const [one, same, other] = await Promise.all([whole(ask()), whole(ask()), whole(ask('Bye'))]);
    assert.deepEqual({ ...one, created: 0 }, { ...same, created: 0 });
    assert.notDeepEqual(choicesOf(one), choicesOf(other));
    assert.deepEqual(
      choicesOf(await whole(ask('Hello there', { seed: 7, user: 'u', metadata: { a: 'b' }, store: true }))),
      choicesOf(one),
    );
  });

  it('knows the model it plays and what it never is', async () => {
    const body = await whole(ask());
    assert.equal(body.model, 'gpt-4o');
    assert.equal(body.service_tier, 'default');
    assert.match(String(body.system_fingerprint), /^fp_demo\w+$/);
    assert.match(String(body.id), /^chatcmpl-[A-Za-z0-9]{29}$/);
    assert.ok(Math.abs(Number(body.created) * 1000 - Date.now()) < 60_000);
  });

  it('counts the images it was given', async () => {
    const image = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } };
    const text = await textOf(ask([{ type: 'text', text: 'Look' }, image, image]));
    assert.match(text, /2 images/);
    assert.match(text, /Look/);
    assert.match(await textOf(ask([image])), /1 image,/);
  });

  it('comes n times, each a little different', async () => {
    const body = await whole(ask('say hi', { n: 3 }));
    const texts = choicesOf(body).map(({ message }) => message.content);
    assert.deepEqual(
      choicesOf(body).map(({ index }) => index),
      [0, 1, 2],
    );
    assert.equal(texts[0], 'hi');
    assert.equal(new Set(texts).size, 3);
    const single = usageOf(await whole(ask('say hi'))).completion_tokens;
    assert.ok(usageOf(body).completion_tokens >= 3 * single);
  });

  it('ends before a stop, whichever comes first', async () => {
    const body = await whole(ask('say one two three four', { stop: ['four', ' three', 'absent'] }));
    assert.equal(choicesOf(body)[0].message.content, 'one two');
    assert.equal(choicesOf(body)[0].finish_reason, 'stop');
    assert.equal(await textOf(ask('say one two', { stop: ' two' })), 'one');
  });

  it('ends at the smaller ceiling', async () => {
    const body = await whole(ask('say one two three four five six', { max_tokens: 3, max_completion_tokens: 40 }));
    assert.equal(choicesOf(body)[0].message.content, 'one two three');
    assert.equal(choicesOf(body)[0].finish_reason, 'length');
    assert.equal(usageOf(body).completion_tokens, 3);
  });

  it('bears log probabilities that make up the text', async () => {
    const [choice] = choicesOf(await whole(ask('say naïve 漢字 👍', { logprobs: true, top_logprobs: 3 })));
    const { content } = choice.logprobs;
    assert.equal(content.map(({ token }) => token).join(''), choice.message.content);
    for (const { token, logprob, bytes, top_logprobs } of content) {
      assert.equal(Buffer.from(bytes).toString(), token);
      assert.ok(logprob <= 0 && Number.isFinite(logprob));
      assert.equal(top_logprobs.length, 3);
      assert.equal(top_logprobs[0].token, token);
      assert.equal(new Set(top_logprobs.map((one) => one.token)).size, 3);
      const falling = top_logprobs.map((one) => one.logprob);
      assert.deepEqual(
        falling,
        [...falling].sort((a, b) => b - a),
      );
    }
    const [plain] = choicesOf(await whole(ask('say hi', { logprobs: true })));
    assert.deepEqual(plain.logprobs.content[0].top_logprobs, []);
    assert.equal(choicesOf(await whole(ask('say hi')))[0].logprobs, null);
  });

  it('costs thought where the model reasons, and counts it', async () => {
    const thinking = usageOf(await whole(ask('say hi', { model: 'o3' })));
    assert.ok(thinking.completion_tokens_details.reasoning_tokens > 0);
    assert.ok(thinking.completion_tokens > thinking.completion_tokens_details.reasoning_tokens);
    assert.equal(usageOf(await whole(ask('say hi'))).completion_tokens_details.reasoning_tokens, 0);
    const short = await whole(ask('say one two three four five six', { model: 'gpt-5', max_completion_tokens: 6 }));
    assert.equal(choicesOf(short)[0].finish_reason, 'length');
    assert.ok(usageOf(short).completion_tokens <= 6);
    assert.ok(choicesOf(short)[0].message.content.length > 0);
  });
});

describe('token counts of the demo', () => {
  it('are those of OpenAI for a plain message', async () => {
    // Recorded: "Hello, world!" is 11 tokens in, "Hello! How can I assist you today?" is 9 out (8 and an end of turn).
    const usage = usageOf(await whole(ask('Hello, world!')));
    assert.equal(usage.prompt_tokens, 11);
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  });

  it('take special tokens for text', async () => {
    const usage = usageOf(await whole(ask('<|endoftext|> <|im_start|>')));
    assert.ok(usage.prompt_tokens > 12);
  });

  it('cost little time, whatever is sent', async () => {
    await whole(ask());
    for (const text of ['a'.repeat(150_000), ' '.repeat(150_000), '👩‍👩‍👧‍👦'.repeat(14_000), '漢'.repeat(80_000)]) {
      const startedAt = performance.now();
      await whole(ask(text, { model: 'gpt-4.1' }));
      assert.ok(performance.now() - startedAt < 2_000, `${text.slice(0, 2)}: ${performance.now() - startedAt} ms`);
    }
  });

  it('grow with what is beyond the exact part', async () => {
    const { count } = await tokenizers()('o200k_base');
    const text = 'The quick brown fox. '.repeat(20_000);
    const exact = count([text.slice(0, 200_000)]);
    assert.ok(Math.abs(count([text]) / exact - text.length / 200_000) < 0.01);
  });

  it('come with pieces that join to the text, whichever tokenizer takes it apart', async () => {
    const exact = await tokenizers()('o200k_base');
    const older = await tokenizers()('cl100k_base');
    const estimate = estimatingTokenizer();
    const texts = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }), fc.lorem({ maxCount: 40 }));
    fc.assert(
      fc.property(texts, (text) => {
        for (const tokenizer of [exact, older, estimate]) {
          const pieces = tokenizer.pieces(text);
          assert.equal(pieces.map((piece) => piece.text).join(''), text);
          assert.ok(pieces.every((piece) => piece.tokens > 0 && piece.text !== ''));
          assert.equal(
            pieces.reduce((sum, { tokens }) => sum + tokens, 0),
            tokenizer.count([text]),
          );
          if (!text.includes('\ufffd')) assert.ok(pieces.every((piece) => !piece.text.includes('\ufffd')));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of an estimate are near the exact ones for prose', async () => {
    const exact = await tokenizers()('o200k_base');
    const text =
      'The gateway lives inside your backend. It authenticates, limits, routes and meters every call. '.repeat(20);
    const ratio = estimatingTokenizer().count([text]) / exact.count([text]);
    assert.ok(ratio > 0.9 && ratio < 1.4, String(ratio));
  });

  it('survive halves of surrogate pairs', async () => {
    const text = await textOf(ask('say a\ud83db'));
    assert.equal(text, 'a\ufffdb');
  });
});

describe('a stream of the demo', () => {
  const requests: Record<string, JsonObject> = {
    text: ask(),
    'several choices': ask('say one two three', { n: 2 }),
    'log probabilities': ask('say one 漢字 👍', { logprobs: true, top_logprobs: 2 }),
    'a ceiling': ask('say one two three', { max_tokens: 2 }),
    'no text at all': ask('say one two three', { stop: 'one' }),
    calls: ask('go', { tools }),
    'a cut call': ask('go', { tools, max_tokens: 12 }),
    json: ask('give me json', { response_format: { type: 'json_object' } }),
    thought: ask('hi', { model: 'o4-mini' }),
  };
  for (const [name, body] of Object.entries(requests)) {
    it(`joins to the whole answer: ${name}`, async () => {
      const answer = await whole(body);
      const chunks = await streamed({ ...body, stream_options: { include_usage: true } });
      for (const { index, message, finish_reason, logprobs } of choicesOf(answer)) {
        const { content, tool_calls } = message;
        const expected = { content, ...(tool_calls ? { tool_calls } : {}), finish_reason };
        assert.deepEqual(joinedChunks(chunks, index), expected);
        const own = chunks.flatMap(choicesOf).filter((choice) => choice.index === index);
        const pieces = own.flatMap((choice) => choice.logprobs?.content ?? []);
        assert.deepEqual(pieces, logprobs?.content ?? []);
        assert.equal(own.filter((choice) => choice.delta.role !== undefined).length, 1);
        assert.equal(own[0]?.delta.role, 'assistant');
      }
      assert.deepEqual(chunks.at(-1)?.usage, answer.usage);
      assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
    });
  }

  it('has many pieces and no usage nobody asked for', async () => {
    const chunks = await streamed(ask());
    assert.ok(chunks.length > 20, `${chunks.length} chunks`);
    assert.ok(chunks.every((chunk) => !('usage' in chunk)));
  });

  it('is what OpenAI describes, and so is the whole answer', { skip: specIsMissing }, async () => {
    const check = specChecker();
    const legacy = ask('go', { functions: [{ name: 'f', parameters: weather }] });
    for (const body of [...Object.values(requests), legacy]) {
      check('CreateChatCompletionResponse', await whole(body));
      for (const chunk of await streamed({ ...body, stream_options: { include_usage: true } })) {
        check('CreateChatCompletionStreamResponse', chunk);
      }
    }
  });

  it('waits between chunks as it is told', async () => {
    const reply = await send(ask('say a b', { stream: true }), undefined, demo({ chunkDelayMs: 10 }));
    const startedAt = performance.now();
    let chunks = 0;
    if (reply.kind === 'chunks') for await (const _ of reply.chunks) chunks += 1;
    assert.ok(performance.now() - startedAt >= 9 * chunks);
  });

  for (const chunkDelayMs of [0, 60_000]) {
    it(`ends at once when the call is aborted (delay ${chunkDelayMs} ms)`, async () => {
      const controller = new AbortController();
      const reason = new Error('gone');
      const reply = await send(ask('say hi '.repeat(500), { stream: true }), controller.signal, demo({ chunkDelayMs }));
      const startedAt = performance.now();
      setTimeout(() => controller.abort(reason), 5);
      let chunks = 0;
      await assert.rejects(
        async () => {
          if (reply.kind !== 'chunks') return;
          for await (const _ of reply.chunks) {
            chunks += 1;
            await wait(1);
          }
        },
        (error) => error === reason,
      );
      assert.ok(performance.now() - startedAt < 1_000);
      assert.ok(chunks < 500);
      await assert.rejects(send(ask(), controller.signal), (error) => error === reason);
    });
  }

  it('lets other work in between, so that an abort is heard by whoever reads without a pause', async () => {
    const controller = new AbortController();
    const reply = await send(ask(`say ${'word '.repeat(20_000)}`, { stream: true }), controller.signal);
    setImmediate(() => controller.abort(new Error('gone')));
    let chunks = 0;
    await assert.rejects(async () => {
      if (reply.kind === 'chunks') for await (const _ of reply.chunks) chunks += 1;
    }, /gone/);
    assert.ok(chunks < 1_000, `${chunks} chunks`);
  });
});

describe('tools of the demo', () => {
  const callsOf = async (rest: JsonObject): Promise<Message['tool_calls']> =>
    choicesOf(await whole(ask('go', rest)))[0].message.tool_calls;

  it('are all called at once, with arguments that satisfy their schemas', async () => {
    const [choice] = choicesOf(await whole(ask('go', { tools })));
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.equal(choice.message.content, null);
    assert.deepEqual(
      choice.message.tool_calls.map((call) => call.function.name),
      ['get_weather', 'get_time', 'ping'],
    );
    for (const [index, call] of choice.message.tool_calls.entries()) {
      assert.match(call.id, /^call_[A-Za-z0-9]{24}$/);
      const value = JSON.parse(call.function.arguments);
      assert.ok(ajv.validate(tools[index]?.function.parameters ?? {}, value), call.function.arguments);
    }
    assert.equal(new Set(choice.message.tool_calls.map((call) => call.id)).size, 3);
  });

  it('are called one at a time, by name, or not at all, as the client chooses', async () => {
    assert.equal((await callsOf({ tools, tool_choice: 'required' })).length, 3);
    assert.equal((await callsOf({ tools, parallel_tool_calls: false })).length, 1);
    assert.equal(await callsOf({ tools, tool_choice: 'none' }), undefined);
    const tool_choice = { type: 'function', function: { name: 'ping' } };
    const [named] = choicesOf(await whole(ask('go', { tools, tool_choice })));
    assert.deepEqual(
      named.message.tool_calls.map((call) => call.function),
      [{ name: 'ping', arguments: '{}' }],
    );
    assert.equal(named.finish_reason, 'stop');
    const allowed = { mode: 'required', tools: [{ type: 'function', function: { name: 'get_time' } }] };
    const only = await callsOf({ tools, tool_choice: { type: 'allowed_tools', allowed_tools: allowed } });
    assert.deepEqual(
      only.map((call) => call.function.name),
      ['get_time'],
    );
  });

  it('get words for their results, so that the loop ends', async () => {
    const [{ message }] = choicesOf(await whole(ask('go', { tools })));
    const results = message.tool_calls.map(({ id }, index) => ({
      role: 'tool',
      tool_call_id: id,
      content: `result ${index}`,
    }));
    for (const tool_choice of ['auto', 'required']) {
      const body = {
        model: 'gpt-4o',
        tools,
        tool_choice,
        messages: [{ role: 'user', content: 'go' }, message, ...results],
      };
      const [choice] = choicesOf(await whole(body));
      assert.equal(choice.finish_reason, 'stop');
      assert.match(choice.message.content, /get_weather: result 0; get_time: result 1; ping: result 2/);
    }
  });

  it('of a next user message are called again, with other ids', async () => {
    const [first] = choicesOf(await whole(ask('go', { tools })));
    const [call] = first.message.tool_calls;
    const messages = [
      { role: 'user', content: 'go' },
      { ...first.message, tool_calls: [call] },
      { role: 'tool', tool_call_id: call.id, content: 'ok' },
      { role: 'user', content: 'again' },
    ];
    const [again] = choicesOf(await whole({ model: 'gpt-4o', tools, messages }));
    assert.equal(again.finish_reason, 'tool_calls');
    assert.notEqual(again.message.tool_calls[0].id, call.id);
  });

  it('of old are called in the old way', async () => {
    const functions = [{ name: 'f', parameters: weather }, { name: 'g' }];
    const [choice] = choicesOf(await whole(ask('go', { functions })));
    assert.equal(choice.finish_reason, 'function_call');
    assert.equal(choice.message.function_call.name, 'f');
    assert.ok(ajv.validate(weather, JSON.parse(choice.message.function_call.arguments)));
    assert.equal(choice.message.tool_calls, undefined);
    const [named] = choicesOf(await whole(ask('go', { functions, function_call: { name: 'g' } })));
    assert.equal(named.message.function_call.name, 'g');
    assert.equal(
      choicesOf(await whole(ask('go', { functions, function_call: 'none' })))[0].message.function_call,
      undefined,
    );
    const chunks = await streamed(ask('go', { functions }));
    const deltas = chunks.flatMap(choicesOf).map(({ delta }) => delta.function_call);
    assert.equal(deltas[0]?.name, 'f');
    assert.equal(deltas.filter((call) => call?.name !== undefined).length, 1);
    assert.equal(deltas.map((call) => call?.arguments ?? '').join(''), choice.message.function_call.arguments);
    const messages = [
      { role: 'user', content: 'go' },
      choice.message,
      { role: 'function', name: 'f', content: '21 degrees' },
    ];
    assert.match(await textOf({ model: 'gpt-4o', functions, messages }), /f: 21 degrees/);
  });

  it('with arguments cut at the ceiling say so', async () => {
    const body = await whole(ask('go', { tools, max_tokens: 12 }));
    assert.equal(choicesOf(body)[0].finish_reason, 'length');
    assert.ok(usageOf(body).completion_tokens <= 12);
  });
});

describe('response formats of the demo', () => {
  it('json_object gives an object', async () => {
    const value = JSON.parse(await textOf(ask('Answer in JSON', { response_format: { type: 'json_object' } })));
    assert.equal(typeof value, 'object');
    assert.match(value.message, /demo/);
  });

  it('json_schema gives what the schema asks for', async () => {
    const schema = {
      type: 'object',
      properties: {
        name: { type: 'string' },
        age: { type: 'integer', minimum: 0, maximum: 150 },
        email: { type: ['string', 'null'], format: 'email' },
        steps: { type: 'array', items: { $ref: '#/$defs/step' }, minItems: 2 },
      },
      required: ['name', 'age', 'email', 'steps'],
      additionalProperties: false,
      $defs: {
        step: {
          type: 'object',
          properties: { say: { type: 'string' } },
          required: ['say'],
          additionalProperties: false,
        },
      },
    };
    const response_format = { type: 'json_schema', json_schema: { name: 'user_profile', strict: true, schema } };
    const value = JSON.parse(await textOf(ask('Who?', { response_format })));
    assert.ok(ajv.validate(schema, value), ajv.errorsText());
    assert.equal(joinedChunks(await streamed(ask('Who?', { response_format }))).content, JSON.stringify(value));
  });

  it('text is the default said aloud', async () => {
    assert.equal(await textOf(ask('say hi', { response_format: { type: 'text' } })), 'hi');
  });
});

describe('models of the demo', () => {
  const known = [
    'gpt-3.5-turbo',
    'gpt-4',
    'gpt-4-0613',
    'gpt-4o-2024-08-06',
    'gpt-4.1-nano',
    'gpt-5',
    'gpt-5.1',
    'gpt-oss-120b',
    'o1',
    'o3-mini',
    'o4-mini-2025-04-16',
    'chatgpt-4o-latest',
    'claude-3.5-sonnet',
    'claude-opus-4-1-20250805',
    'gemini-2.5-pro',
    'llama3.3-70b-instruct',
    'meta-llama/Llama-3.3-70B-Instruct',
    'deepseek-ai/deepseek-v3.1',
    'mistral-large-3-675b-instruct-2512',
    'mistralai/mistral-nemotron',
    'qwen/qwen3-next-80b-a3b-instruct',
    'alibaba-qwen3-32b',
    'openai-gpt-oss-20b',
    'grok-4.1-fast-reasoning',
    'xai/grok-code-fast-1',
    'moonshotai/kimi-k2-thinking',
    'minimaxai/minimax-m2',
    'glm-4.6',
  ];
  it('are the families people know', async () => {
    for (const model of known) assert.equal((await whole(ask('say hi', { model }))).model, model);
  });

  it('are not names that are made up', async () => {
    const unknown = [
      'constructor',
      '__proto__',
      'toString',
      'nope',
      'gpt',
      'gpt-',
      'gpt-99',
      'gpt-4 ',
      ' gpt-4',
      'o',
      'o33',
      'claudette',
      'a/b/c/d/gpt-4o',
      '/gpt-4o',
      'gpt-4o/',
      'gpt-4o\n',
      'x'.repeat(200),
    ];
    for (const model of unknown) {
      const error = await refusal(ask('hi', { model }));
      assert.deepEqual(
        [error.status, error.code, error.type],
        [404, 'model_not_found', 'invalid_request_error'],
        model,
      );
      assert.equal(error.message, `The model \`${model}\` does not exist or you do not have access to it.`);
    }
  });

  it('have their own context and output limits', async () => {
    const long = 'word '.repeat(9_000);
    const tooLong = await refusal(ask(long, { model: 'gpt-4' }));
    assert.deepEqual([tooLong.status, tooLong.code, tooLong.param], [400, 'context_length_exceeded', 'messages']);
    assert.match(
      tooLong.message,
      /^This model's maximum context length is 8192 tokens\. However, your messages resulted in 9\d{3} tokens\./,
    );
    await whole(ask(long, { model: 'gpt-4o' }));
    const withAnswer = await refusal(ask('word '.repeat(6_000), { model: 'gpt-4', max_tokens: 4_000 }));
    assert.match(withAnswer.message, /you requested 10\d{3} tokens \(60\d\d in the messages, 4000 in the completion\)/);
    await whole(ask('word '.repeat(140_000), { model: 'claude-opus-4' }));
    await refusal(ask('word '.repeat(201_000), { model: 'claude-opus-4' }));
    await refusal(ask('word '.repeat(17_000), { model: 'ft:gpt-3.5-turbo:acme::x1' }));
    await whole(ask('word '.repeat(140_000), { model: 'gpt-5.1' }));
  });

  it('do not answer to names that nobody gave', async () => {
    const made = ['gpt-4foo', 'gpt-4omni', 'gpt-4o-does-not-exist', 'gpt-9.9', '../gpt-4o', 'o9', 'gpt', 'constructor'];
    for (const model of made) assert.equal((await refusal(ask('hi', { model }))).code, 'model_not_found', model);
    const real =
      'gpt-4o-2024-08-06 gpt-4-0613 gpt-4-turbo-preview gpt-4o-mini-search-preview gpt-5.1-codex-max gpt-5-chat-latest';
    const others =
      'o1 o1-pro o3-mini o4-mini-deep-research chatgpt-4o-latest openai/gpt-oss-120b ft:gpt-4o-mini:acme::x1';
    for (const model of `${real} ${others}`.split(' ')) await whole(ask('hi', { model }));
  });

  it('name what is too large', async () => {
    const tooMuch = await refusal(ask('hi', { max_tokens: 40_000 }));
    assert.equal(
      tooMuch.message,
      'max_tokens is too large: 40000. This model supports at most 16384 completion tokens, whereas you provided 40000.',
    );
    assert.deepEqual([tooMuch.code, tooMuch.param], ['invalid_value', 'max_tokens']);
  });
});

describe('the demo refuses', () => {
  const history = (...messages: Json[]): JsonObject => ({ model: 'gpt-4o', messages });
  const user = { role: 'user', content: 'hi' };
  const call = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } };
  const calling = { role: 'assistant', content: null, tool_calls: [call] };
  const image = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } };
  const strict = (parameters: JsonObject): JsonObject => ({
    tools: [{ type: 'function', function: { name: 'f', strict: true, parameters } }],
  });

  /** Name, body, code, parameter, message. */
  const rows: [string, JsonObject, string | null, string | null, string | RegExp][] = [
    ['no model', { messages: [user] }, null, null, 'you must provide a model parameter'],
    [
      'no messages',
      { model: 'gpt-4o' },
      'missing_required_parameter',
      'messages',
      "Missing required parameter: 'messages'.",
    ],
    [
      'empty messages',
      history(),
      'empty_array',
      'messages',
      "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
    ],
    [
      'messages of another type',
      { model: 'gpt-4o', messages: 'hi' },
      'invalid_type',
      'messages',
      /expected an array of objects, but got a string/,
    ],
    ['a message that is none', history('hi'), 'invalid_type', 'messages[0]', /expected an object, but got a string/],
    [
      'a message of no role',
      history({ content: 'hi' }),
      'missing_required_parameter',
      'messages[0].role',
      "Missing required parameter: 'messages[0].role'.",
    ],
    [
      'an unknown role',
      history(user, { role: 'robot', content: 'hi' }),
      'invalid_value',
      'messages[1].role',
      "Invalid value: 'robot'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.",
    ],
    [
      'a role named constructor',
      history({ role: 'constructor', content: 'hi' }),
      'invalid_value',
      'messages[0].role',
      /^Invalid value: 'constructor'/,
    ],
    [
      'no content',
      history({ role: 'user' }),
      'missing_required_parameter',
      'messages[0].content',
      "Missing required parameter: 'messages[0].content'.",
    ],
    [
      'content of another type',
      history({ role: 'user', content: {} }),
      'invalid_type',
      'messages[0].content',
      "Invalid type for 'messages[0].content': expected one of a string or array of objects, but got an object instead.",
    ],
    [
      'null content of a user',
      history({ role: 'user', content: null }),
      'invalid_type',
      'messages[0].content',
      /but got null/,
    ],
    [
      'an assistant that says nothing',
      history({ role: 'assistant', content: null }),
      'invalid_type',
      'messages[0].content',
      /but got null/,
    ],
    [
      'an unknown part',
      history({ role: 'user', content: [{ type: 'video' }] }),
      'invalid_value',
      'messages[0].content[0].type',
      /^Invalid value: 'video'/,
    ],
    [
      'an image without url',
      history({ role: 'user', content: [{ type: 'image_url', image_url: {} }] }),
      'missing_required_parameter',
      'messages[0].content[0].image_url.url',
      /Missing/,
    ],
    [
      'an image from the system',
      history({ role: 'system', content: [image] }),
      'invalid_value',
      'messages[0]',
      /only allowed for messages with role 'user'/,
    ],
    [
      'an image for a blind model',
      { ...ask([image]), model: 'gpt-3.5-turbo' },
      null,
      'messages.[0].content',
      /only supported by certain models/,
    ],
    [
      'calls without results',
      history(user, calling, user),
      null,
      'messages.[2].role',
      "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: call_1",
    ],
    ['calls without results at the end', history(user, calling), null, 'messages.[1].role', /call_1$/],
    [
      'results without calls',
      history(user, { role: 'tool', tool_call_id: 'x', content: 'y' }),
      null,
      'messages.[1].role',
      /must be a response to a preceeding message with 'tool_calls'/,
    ],
    [
      'results of another call',
      history(user, calling, { role: 'tool', tool_call_id: 'x', content: 'y' }),
      null,
      'messages.[2].tool_call_id',
      /'x' not found/,
    ],
    [
      'results of no call id',
      history(user, calling, { role: 'tool', content: 'y' }),
      'missing_required_parameter',
      'messages[2].tool_call_id',
      /Missing/,
    ],
    [
      'a hot temperature',
      ask('hi', { temperature: 200 }),
      'decimal_above_max_value',
      'temperature',
      "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 200 instead.",
    ],
    [
      'a cold temperature',
      ask('hi', { temperature: -0.1 }),
      'decimal_below_min_value',
      'temperature',
      /Expected a value >= 0, but got -0.1/,
    ],
    [
      'a temperature in words',
      ask('hi', { temperature: 'hot' }),
      'invalid_type',
      'temperature',
      /expected a decimal, but got a string/,
    ],
    ['top_p above 1', ask('hi', { top_p: 1.1 }), 'decimal_above_max_value', 'top_p', /<= 1/],
    ['a large penalty', ask('hi', { presence_penalty: 2.1 }), 'decimal_above_max_value', 'presence_penalty', /<= 2/],
    [
      'a small penalty',
      ask('hi', { frequency_penalty: -2.1 }),
      'decimal_below_min_value',
      'frequency_penalty',
      />= -2/,
    ],
    [
      'n of 0',
      ask('hi', { n: 0 }),
      'integer_below_min_value',
      'n',
      "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ],
    ['n of 129', ask('hi', { n: 129 }), 'integer_above_max_value', 'n', /<= 128/],
    ['half an n', ask('hi', { n: 1.5 }), 'invalid_type', 'n', /expected an integer/],
    ['max_tokens of 0', ask('hi', { max_tokens: 0 }), 'integer_below_min_value', 'max_tokens', />= 1/],
    [
      'five stops',
      ask('hi', { stop: ['a', 'b', 'c', 'd', 'e'] }),
      'array_above_max_length',
      'stop',
      /maximum length 4, but got an array with length 5/,
    ],
    ['a stop that is none', ask('hi', { stop: [1] }), 'invalid_type', 'stop[0]', /expected a string/],
    ['top_logprobs alone', ask('hi', { top_logprobs: 2 }), null, 'top_logprobs', /'logprobs'/],
    [
      '21 top_logprobs',
      ask('hi', { logprobs: true, top_logprobs: 21 }),
      'integer_above_max_value',
      'top_logprobs',
      /<= 20/,
    ],
    [
      'stream_options alone',
      ask('hi', { stream_options: {} }),
      null,
      'stream_options',
      "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
    ],
    [
      'JSON mode without the word',
      ask('hi', { response_format: { type: 'json_object' } }),
      null,
      'messages',
      "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    ],
    [
      'an unknown format',
      ask('hi', { response_format: { type: 'xml' } }),
      'invalid_value',
      'response_format.type',
      /'xml'/,
    ],
    [
      'a format without schema',
      ask('hi', { response_format: { type: 'json_schema', json_schema: { name: 'x' } } }),
      'missing_required_parameter',
      'response_format.json_schema.schema',
      /Missing/,
    ],
    [
      'an open strict schema',
      ask('hi', strict({ type: 'object', properties: {} })),
      'invalid_function_parameters',
      'tools[0].function.parameters',
      "Invalid schema for function 'f': In context=(), 'additionalProperties' is required to be supplied and to be false.",
    ],
    [
      'an optional member of a strict schema',
      ask('hi', strict({ type: 'object', properties: { a: {} }, required: [], additionalProperties: false })),
      'invalid_function_parameters',
      'tools[0].function.parameters',
      /Missing 'a'/,
    ],
    [
      'an open object deep in a strict schema',
      ask(
        'hi',
        strict({ type: 'object', properties: { a: { type: 'object' } }, required: ['a'], additionalProperties: false }),
      ),
      'invalid_function_parameters',
      'tools[0].function.parameters',
      /In context=\('properties', 'a'\)/,
    ],
    ['no tools at all', ask('hi', { tools: [] }), 'empty_array', 'tools', /empty array/],
    [
      'a tool of no name',
      ask('hi', { tools: [{ type: 'function', function: {} }] }),
      'missing_required_parameter',
      'tools[0].function.name',
      /Missing/,
    ],
    [
      'a tool of an odd name',
      ask('hi', { tools: [{ type: 'function', function: { name: 'a b' } }] }),
      'invalid_value',
      'tools[0].function.name',
      /does not match pattern/,
    ],
    [
      'a tool_choice without tools',
      ask('hi', { tool_choice: 'auto' }),
      null,
      'tool_choice',
      /only allowed when 'tools' are specified/,
    ],
    [
      'an unknown tool_choice',
      ask('hi', { tools, tool_choice: 'maybe' }),
      'invalid_value',
      'tool_choice',
      "Invalid value: 'maybe'. Supported values are: 'none', 'auto', and 'required'.",
    ],
    [
      'the choice of an unknown tool',
      ask('hi', { tools, tool_choice: { type: 'function', function: { name: 'constructor' } } }),
      null,
      'tool_choice',
      /'constructor'/,
    ],
    [
      'the choice of an unknown function',
      ask('hi', { functions: [{ name: 'f' }], function_call: { name: 'g' } }),
      null,
      'function_call',
      /'g'/,
    ],
    [
      'parallel_tool_calls without tools',
      ask('hi', { parallel_tool_calls: true }),
      null,
      'parallel_tool_calls',
      /'tools'/,
    ],
    [
      'max_tokens of a reasoning model',
      ask('hi', { model: 'o3', max_tokens: 5 }),
      'unsupported_parameter',
      'max_tokens',
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    ],
    [
      'max_tokens of gpt-5',
      ask('hi', { model: 'gpt-5', max_tokens: 5 }),
      'unsupported_parameter',
      'max_tokens',
      /max_completion_tokens/,
    ],
    [
      'a temperature of a reasoning model',
      ask('hi', { model: 'o3', temperature: 0.5 }),
      'unsupported_value',
      'temperature',
      "Unsupported value: 'temperature' does not support 0.5 with this model. Only the default (1) value is supported.",
    ],
    ['speech', ask('hi', { modalities: ['text', 'audio'] }), 'unsupported_parameter', 'modalities', /text only/],
    [
      'a type that makes no text of itself',
      ask('hi', { tools: [{ type: { toString: 0 }, function: { name: 'f' } }] }),
      'invalid_value',
      'tools[0].type',
      /'\{"toString":0\}'/,
    ],
    ['an unknown service tier', ask('hi', { service_tier: 'gold' }), 'invalid_value', 'service_tier', /'gold'/],
  ];
  for (const [name, body, code, param, message] of rows) {
    it(name, async () => {
      const error = await refusal(body);
      assert.deepEqual(
        [error.status, error.type, error.code, error.param],
        [400, 'invalid_request_error', code, param],
      );
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      if (body.stream_options === undefined)
        assert.equal((await refusal({ ...body, stream: true })).message, error.message);
    });
  }

  it('nothing that OpenAI takes', async () => {
    const nothing = Object.fromEntries(
      [
        'temperature',
        'top_p',
        'n',
        'stop',
        'max_tokens',
        'max_completion_tokens',
        'logprobs',
        'top_logprobs',
        'stream',
        'stream_options',
        'tools',
        'tool_choice',
        'functions',
        'function_call',
        'response_format',
        'seed',
        'user',
        'metadata',
        'store',
        'service_tier',
        'logit_bias',
        'parallel_tool_calls',
        'reasoning_effort',
        'modalities',
      ].map((name) => [name, null]),
    );
    assert.equal(await textOf(ask('say hi', nothing)), 'hi');
    const everything = {
      temperature: 0,
      top_p: 1,
      presence_penalty: -2,
      frequency_penalty: 2,
      seed: -1,
      user: 'u',
      store: false,
      metadata: {},
      service_tier: 'auto',
      logit_bias: { 50256: -100 },
      prediction: { type: 'content', content: 'x' },
      unknown_parameter: 1,
    };
    assert.equal(await textOf(ask('say hi', everything)), 'hi');
    await whole(
      history(
        { role: 'developer', content: 'x' },
        { role: 'system', content: [{ type: 'text', text: 'x' }] },
        user,
        { role: 'assistant', content: 'ok' },
        user,
      ),
    );
  });

  it('or answers whatever is sent, and never breaks', async () => {
    const grammar = { syntax: 'lark', definition: 'start: "a" WORD+\n%import common.WORD' };
    const custom = { name: 'c', description: 'd', format: { type: 'grammar', grammar } };
    const body = ask('Answer in JSON', {
      tools: [...tools, { type: 'custom', custom }],
      tool_choice: { type: 'function', function: { name: 'ping' } },
      functions: [{ name: 'f', parameters: weather }],
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: weather } },
      stop: ['a'],
      logprobs: true,
      top_logprobs: 1,
      metadata: { a: 'b' },
    });
    const places = pathsOf(body);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...places), fc.jsonValue(), async (place, value) => {
        const changed = JSON.parse(JSON.stringify(body));
        const parent = place.slice(0, -1).reduce((holder, name) => holder[name], changed);
        parent[place.at(-1) ?? ''] = value;
        try {
          await send(changed);
        } catch (error) {
          assert.ok(error instanceof GatewayError && error.status < 500, String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** Where in a value its members are. */
function pathsOf(value: unknown): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => [[name], ...pathsOf(member).map((path) => [name, ...path])]);
}
