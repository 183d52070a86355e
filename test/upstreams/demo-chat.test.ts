import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/base/errors.js';
import type { Json, JsonObject } from '../../src/base/json.js';
import { demo } from '../../src/upstreams/demo/demo.js';
import { findDemoModel } from '../../src/upstreams/demo/models.js';
import { countPieces, piecesOf, tokenCounters } from '../../src/upstreams/demo/tokenizer.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordingsAreMissing } from '../conformance/recordings.js';
import { eventually } from '../helpers/deadline.js';
import { demoClient, growsWithItsInput, hasTheRecordedMembers, refuses } from '../helpers/demo-client.js';
import { runs } from '../helpers/depth.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { joinedChunks } from '../helpers/openai-shapes.js';
import { MESSAGES, onBareHost } from '../helpers/scene.js';
import { callWith, wholeBody } from '../helpers/upstream-call.js';

interface Token {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: readonly number[];
}
/** Members of a choice that a test looks into. */
interface Choice {
  readonly index: number;
  readonly message: { readonly content: string; readonly tool_calls?: unknown; readonly reasoning_content?: string };
  readonly delta: { readonly role?: string };
  readonly logprobs: { readonly content: readonly (Token & { readonly top_logprobs: readonly Token[] })[] } | null;
  readonly finish_reason: string;
}
interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
}

const { whole, streamed } = demoClient();

/** A request with one user message. */
function ask(content: Json = 'Hello there', rest: JsonObject = {}): JsonObject {
  return { model: 'gpt-4o', messages: [{ role: 'user', content }], ...rest };
}
function choicesOf(body: JsonObject): readonly Choice[] {
  return JSON.parse(JSON.stringify(body.choices ?? []));
}
function usageOf(body: JsonObject): Usage {
  return JSON.parse(JSON.stringify(body.usage));
}
async function choiceOf(body: JsonObject): Promise<Choice> {
  const [choice] = choicesOf(await whole(body));
  assert.ok(choice);
  return choice;
}
async function textOf(body: JsonObject): Promise<string> {
  return (await choiceOf(body)).message.content;
}

const weather = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
const tools = ['get_weather', 'get_time'].map((name) => ({
  type: 'function',
  function: { name, parameters: weather },
}));

describe('a text answer of the demo', () => {
  it('has the members of a recorded one in their order', { skip: recordingsAreMissing }, async () => {
    hasTheRecordedMembers(await whole(ask()), 'POST /v1/chat/completions 200 application/json');
  });

  it('says that it is a demo, and of which model, and quotes what it was told', async () => {
    const image = { type: 'image_url', image_url: { url: 'https://example.com/a.png' } };
    const text = await textOf(ask([{ type: 'text', text: 'What is this?' }, image, image]));
    assert.match(text, /demo.*gpt-4o.*What is this\?.*2 images/s);
  });

  const said: readonly (readonly [string, string])[] = [
    ['Say this is a test', 'this is a test'],
    ['say: "hello"', 'hello'],
    ['Please repeat after me: one\ntwo', 'one\ntwo'],
    ['Repeat 👩‍👩‍👧‍👦 naïve 漢字', '👩‍👩‍👧‍👦 naïve 漢字'],
    ['say <|endoftext|> twice', '<|endoftext|> twice'],
    ['say a\ud83db', 'a\ufffdb'],
  ];
  for (const [prompt, expected] of said) {
    it(`does what ${JSON.stringify(prompt)} asks, whole and in pieces`, async () => {
      assert.equal(await textOf(ask(prompt)), expected);
      assert.equal(joinedChunks(await streamed(ask(prompt))).content, expected);
    });
  }

  it('is the same for the same request, by the clock it was given, and differs for another', async () => {
    const clock = frozenClock();
    const [one, same] = [await demoClient({ clock }).whole(ask()), await demoClient({ clock }).whole(ask())];
    assert.deepEqual(one, same);
    assert.equal(one.created, clock.wallMs() / 1_000);
    assert.notDeepEqual(choicesOf(await whole(ask('Bye'))), choicesOf(one));
  });

  it('comes n times, each a little different', async () => {
    const choices = choicesOf(await whole(ask('say hi', { n: 3 })));
    assert.equal(choices[0]?.message.content, 'hi');
    assert.equal(new Set(choices.map(({ message }) => message.content)).size, 3);
  });

  it('ends before a stop, and at the smaller ceiling', async () => {
    const stopped = await choiceOf(ask('say one two three four', { stop: ['four', ' three', 'absent'] }));
    assert.deepEqual([stopped.message.content, stopped.finish_reason], ['one two', 'stop']);
    const body = await whole(ask('say one two three four five', { max_tokens: 3, max_completion_tokens: 40 }));
    const [cut] = choicesOf(body);
    assert.deepEqual([cut?.message.content, cut?.finish_reason], ['one two three', 'length']);
    assert.equal(usageOf(body).completion_tokens, 3);
  });

  it('bears log probabilities that make up the text', async () => {
    const { message, logprobs } = await choiceOf(ask('say naïve 漢字 👍', { logprobs: true, top_logprobs: 3 }));
    assert.equal(logprobs?.content.map(({ token }) => token).join(''), message.content);
    for (const { token, logprob, bytes, top_logprobs } of logprobs?.content ?? []) {
      assert.equal(Buffer.from(bytes).toString(), token);
      assert.ok(logprob <= 0 && Number.isFinite(logprob));
      assert.equal(top_logprobs[0]?.token, token);
      assert.equal(new Set(top_logprobs.map((one) => one.token)).size, 3);
      const falling = top_logprobs.map((one) => one.logprob);
      assert.deepEqual(
        falling,
        falling.toSorted((a, b) => b - a),
      );
    }
    assert.deepEqual((await choiceOf(ask('say hi', { logprobs: true }))).logprobs?.content[0]?.top_logprobs, []);
    assert.equal((await choiceOf(ask('say hi'))).logprobs, null);
  });

  it('in JSON is an object, and a shorter one rather than half of one', async () => {
    const body = (ceiling: number) =>
      ask('Answer in JSON', { response_format: { type: 'json_object' }, max_tokens: ceiling });
    assert.match(JSON.parse(await textOf(body(1_000))).message, /demo/);
    for (const ceiling of [8, 2, 1]) {
      const { message, finish_reason } = await choiceOf(body(ceiling));
      assert.equal(typeof JSON.parse(message.content), 'object');
      assert.equal(finish_reason, 'stop');
    }
  });

  it('of a reasoning model costs thoughts, half of a low ceiling at most', async () => {
    for (const model of ['o3', 'gpt-5-mini']) {
      const { completion_tokens, completion_tokens_details: details } = usageOf(await whole(ask('say one', { model })));
      assert.ok(details.reasoning_tokens > 0 && completion_tokens > details.reasoning_tokens);
    }
    for (const rest of [{ model: 'gpt-5.1', reasoning_effort: 'none' }, { model: 'gpt-4o' }]) {
      const answer = await whole(ask('say one', rest));
      assert.equal(usageOf(answer).completion_tokens_details.reasoning_tokens, 0);
    }
    const short = await whole(ask('say one two three four five', { model: 'gpt-5', max_completion_tokens: 6 }));
    assert.ok(usageOf(short).completion_tokens <= 6 && choicesOf(short)[0]?.message.content !== '');
  });

  it('of a reasoning model shows its thoughts where much effort is asked for, whole', async () => {
    const thoughtOf = async (rest: JsonObject) => (await choiceOf(ask('say one', rest))).message.reasoning_content;
    assert.match((await thoughtOf({ model: 'gpt-5-mini', reasoning_effort: 'max' })) ?? '', /gpt-5-mini/);
    assert.equal(await thoughtOf({ model: 'gpt-5-mini' }), undefined);
    assert.equal(await thoughtOf({ model: 'gpt-4o', reasoning_effort: 'high' }), undefined);
  });
});

describe('a stream of the demo', () => {
  const requests: Readonly<Record<string, JsonObject>> = {
    text: ask(),
    'several choices': ask('say one two three', { n: 2 }),
    'log probabilities': ask('say one 漢字 👍', { logprobs: true, top_logprobs: 2 }),
    'shown thoughts': ask('say one', { model: 'o3', reasoning_effort: 'high' }),
    'a ceiling': ask('say one two three', { max_tokens: 2 }),
    'no text at all': ask('say one two three', { stop: 'one' }),
    calls: ask('go', { tools, tool_choice: 'required' }),
    'a cut call': ask('go', { tools, tool_choice: 'required', max_tokens: 12 }),
    'custom calls': ask('go', { tools: [{ type: 'custom', custom: { name: 'c' } }], tool_choice: 'required' }),
    json: ask('give me json', { response_format: { type: 'json_object' } }),
    thoughts: ask('hi', { model: 'o4-mini', reasoning_effort: 'high' }),
  };
  for (const [name, body] of Object.entries(requests)) {
    it(`joins to the whole answer, usage that adds up included: ${name}`, async () => {
      const answer = await whole(body);
      const chunks = await streamed({ ...body, stream_options: { include_usage: true } });
      for (const { index, message, finish_reason, logprobs } of choicesOf(answer)) {
        const { content, tool_calls } = message;
        assert.deepEqual(joinedChunks(chunks, index), {
          content,
          ...(tool_calls ? { tool_calls } : {}),
          finish_reason,
        });
        const own = chunks.flatMap(choicesOf).filter((choice) => choice.index === index);
        assert.deepEqual(
          own.flatMap((choice) => choice.logprobs?.content ?? []),
          logprobs?.content ?? [],
        );
        assert.deepEqual(own.map(({ delta }) => delta.role ?? '').join(''), 'assistant');
      }
      assert.deepEqual(chunks.at(-1)?.usage, answer.usage);
      assert.ok(chunks.slice(0, -1).every(({ usage }) => usage === null));
      const { prompt_tokens, completion_tokens, total_tokens } = usageOf(answer);
      assert.equal(total_tokens, prompt_tokens + completion_tokens);
    });
  }

  it('has many pieces and no usage nobody asked for', async () => {
    const chunks = await streamed(ask());
    assert.ok(chunks.length > 20, `${chunks.length} chunks`);
    assert.ok(chunks.every((chunk) => !('usage' in chunk)));
  });

  it('is what OpenAI describes, and so is the whole answer', { skip: specIsMissing }, async () => {
    const check = specChecker();
    const legacy = ask('go', { functions: [{ name: 'f', parameters: weather }], function_call: { name: 'f' } });
    for (const body of [...Object.values(requests), legacy]) {
      check('CreateChatCompletionResponse', await whole(body));
      for (const chunk of await streamed({ ...body, stream_options: { include_usage: true } })) {
        check('CreateChatCompletionStreamResponse', chunk);
      }
    }
  });

  it('waits between chunks as it is told, by the clock', async () => {
    const delays: number[] = [];
    const setTimer = (run: () => void, delayMs: number) => {
      delays.push(delayMs);
      run();
      return () => {};
    };
    const clock = { ...frozenClock(), setTimer };
    const chunks = await demoClient({ chunkDelayMs: 1_000, clock }).streamed(ask('say a b'));
    assert.deepEqual(delays, Array(chunks.length).fill(1_000));
  });

  for (const chunkDelayMs of [0, 60_000]) {
    it(`ends at once when the call is aborted (delay ${chunkDelayMs} ms)`, { timeout: 10_000 }, async () => {
      const controller = new AbortController();
      const body = ask(`say ${'word '.repeat(10_000)}`, { stream: true });
      const { send } = demo({ chunkDelayMs });
      const reply = await send(callWith(body, { signal: controller.signal }));
      setImmediate(() => controller.abort(new Error('gone')));
      let chunks = 0;
      await assert.rejects(async () => {
        if (reply.kind === 'chunks') for await (const _ of reply.chunks) chunks += 1;
      }, /gone/);
      assert.ok(chunks < 1_000, `${chunks} chunks`);
      await assert.rejects(send(callWith(body, { signal: controller.signal })), /gone/);
    });
  }
});

describe('work of the demo in the background', () => {
  it('takes a second by the clock, and can be cancelled until then', async () => {
    const timers: { readonly run: () => void; readonly delayMs: number }[] = [];
    const setTimer = (run: () => void, delayMs: number) => {
      timers.push({ run, delayMs });
      return () => {};
    };
    const clock = { ...frozenClock(), setTimer };
    const client = demoClient({ clock });
    const answer = client.whole(ask('say hi'), 'chat.completions', { isBackground: true });
    assert.deepEqual(
      timers.map(({ delayMs }) => delayMs),
      [1_000],
    );
    timers[0]?.run();
    assert.equal(choicesOf(await answer)[0]?.message.content, 'hi');
    const controller = new AbortController();
    const cancelled = client.whole(ask(), 'chat.completions', { isBackground: true, signal: controller.signal });
    controller.abort(new Error('cancelled'));
    await assert.rejects(cancelled, /cancelled/);
  });
});

onBareHost(
  'a response in the background is under way for a second behind the gateway, and can be cancelled in it',
  () => ({ upstream: demo() }),
  async ({ client }) => {
    const { responses } = client();
    const { id, status } = await responses.create({ model: 'gpt-4o', input: 'say hi', background: true });
    assert.equal(status, 'queued');
    assert.equal((await responses.cancel(id)).status, 'cancelled');
    const other = await responses.create({ model: 'gpt-4o', input: 'say hi', background: true });
    await eventually(async () => (await responses.retrieve(other.id)).status === 'in_progress', 'the answer to begin');
    await eventually(async () => (await responses.retrieve(other.id)).status === 'completed', 'the response to end');
    assert.equal((await responses.retrieve(other.id)).output_text, 'hi');
  },
);

onBareHost(
  'the efforts and verbosities that there are not are refused, under the names that the client used',
  () => ({ upstream: demo() }),
  async ({ client }) => {
    const { responses, chat } = client();
    const call = { model: 'gpt-5', input: 'say hi' };
    const odd = JSON.parse('"banana"');
    for (const [asked, param] of [
      [responses.create({ ...call, reasoning: { effort: odd } }), 'reasoning.effort'],
      [responses.create({ ...call, text: { verbosity: odd } }), 'text.verbosity'],
      [chat.completions.create({ model: 'gpt-5', messages: MESSAGES, reasoning_effort: odd }), 'reasoning_effort'],
    ] as const) {
      await assert.rejects(asked, (error: Error & { status?: number; param?: string }) => {
        assert.deepEqual([error.status, error.param], [400, param]);
        assert.match(error.message, /'banana'.*'low'/);
        return true;
      });
    }
  },
);

onBareHost(
  'log probabilities of 128 answers come in turns: other calls are answered meanwhile',
  () => ({ upstream: demo() }),
  async ({ client }) => {
    const { chat } = client();
    const quick = (): Promise<unknown> =>
      chat.completions.create({ model: 'gpt-4o', messages: [{ role: 'user', content: 'say hi' }] });
    await quick();
    let isOver = false;
    const large = chat.completions
      .create({
        model: 'gpt-4o',
        messages: [{ role: 'user', content: 'Tell me a long story. '.repeat(200) }],
        n: 128,
        logprobs: true,
        top_logprobs: 20,
      })
      .finally(() => {
        isOver = true;
      });
    await quick();
    assert.equal(isOver, false);
    assert.equal((await large).choices.length, 128);
  },
);

describe('token counts of the demo', () => {
  it('are those of OpenAI for a plain message, and take special tokens for text', async () => {
    // Recorded: "Hello, world!" is 11 tokens.
    assert.equal(usageOf(await whole(ask('Hello, world!'))).prompt_tokens, 11);
    assert.ok(usageOf(await whole(ask('<|endoftext|> <|im_start|>'))).prompt_tokens > 12);
  });

  it('come with pieces that join to the text', () => {
    const texts = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary' }), fc.lorem({ maxCount: 40 }));
    fc.assert(
      fc.property(texts, (text) => {
        assert.equal(piecesOf(text).join(''), text.toWellFormed());
        assert.ok(piecesOf(text).every((piece) => piece !== ''));
      }),
      runs(20),
    );
  });

  it('of an estimate, and beyond the exact part, are near the exact ones for prose', async () => {
    const exact = await tokenCounters()('o200k_base');
    const text = 'The gateway lives inside your backend. It authenticates, limits, routes and meters every call. ';
    const ratio = countPieces([text]) / exact([text]);
    assert.ok(ratio > 0.9 && ratio < 1.4, String(ratio));
    const perText = exact([text.repeat(4_000)]) / 4_000;
    assert.ok(Math.abs(perText / exact([text.repeat(100)]) - 0.01) < 0.001, String(perText));
  });
});

describe('hostile input to the demo', () => {
  const texts: Readonly<Record<string, string>> = {
    tabs: '\t',
    'line feeds after "say"': '\n',
    letters: 'a',
    families: '👩‍👩‍👧‍👦',
    'long runs': `${'a'.repeat(127)} `,
    quotes: '"',
  };
  for (const [name, unit] of Object.entries(texts)) {
    it(`costs what it is long: ${name}`, () =>
      growsWithItsInput(
        (size) => whole(ask(`say ${unit.repeat(Math.ceil(size / unit.length))}!`, { model: 'gpt-4.1' })),
        20_000,
      ));
  }

  it('that asks for 128 choices with all log probabilities gets short ones', async () => {
    const answer = await whole(ask('word '.repeat(2_000), { n: 128, logprobs: true, top_logprobs: 20 }));
    const lengths = choicesOf(answer).map(({ message }) => message.content.length);
    assert.equal(lengths.length, 128);
    assert.ok(lengths.slice(1).every((length) => length < 80));
    const long = ask(`say ${'word '.repeat(10_000)}`, { logprobs: true, top_logprobs: 20 });
    assert.deepEqual((await choiceOf(long)).logprobs?.content.length, 2_000);
  });

  it('may name what is no name: an object that is no text', async () => {
    for (const name of [{ toString: null }, [{ valueOf: 1 }], 5, null]) {
      const parameters = { type: 'object', properties: { a: { type: 'string' } }, required: [name] };
      const tool = { type: 'function', function: { name: 'f', parameters } };
      const call = { type: 'function', function: { name: 'f' } };
      const { message } = await choiceOf(ask('Use f', { tools: [tool], tool_choice: call }));
      assert.ok(Array.isArray(message.tool_calls) && message.tool_calls.length === 1);
    }
  });

  it('is answered or refused, whatever it is, and never breaks', async () => {
    const body = ask('Answer in JSON, and use get_weather', {
      tools: [...tools, { type: 'custom', custom: { name: 'c', format: { type: 'grammar', grammar: {} } } }],
      tool_choice: { type: 'function', function: { name: 'get_time' } },
      functions: [{ name: 'f', parameters: weather }],
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: weather } },
      stop: ['a'],
      logprobs: true,
      top_logprobs: 1,
      reasoning_effort: 'low',
    });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...pathsOf(body)), fc.jsonValue(), async (place, value) => {
        const changed = JSON.parse(JSON.stringify(body));
        const parent = place.slice(0, -1).reduce((holder, name) => holder[name], changed);
        parent[place.at(-1) ?? ''] = value;
        await whole(changed).catch((error: unknown) => {
          assert.ok(error instanceof GatewayError && error.status < 500, String(error));
        });
      }),
      runs(30),
    );
  });
});

describe('models of the demo', () => {
  const real = `gpt-5 gpt-5.1 gpt-5.4-mini-2026-03-17 gpt-5.1-codex-max gpt-6-sol gpt-4.1-nano-2025-04-14 gpt-4o-2024-08-06
    gpt-4-0613 gpt-4-32k gpt-4-1106-preview gpt-3.5-turbo-16k-0613 o1 o3-mini o4-mini-deep-research chatgpt-4o-latest gpt-audio
    gpt-oss-120b ft:gpt-4o-mini:acme::x1 claude-opus-4-5-20251101 claude-3.5-sonnet claude-haiku-4-5 claude-sonnet-4-6
    gemini-3-pro-preview gemini-2.5-flash-lite-preview-09-2025 gemma3:27b llama3.3-70b-instruct llama-4-scout-17b-16e-instruct
    Meta-Llama-3.1-8B-Instruct codellama-34b-instruct mistral mistral-large-2411 mixtral-8x7b-instruct codestral-2508
    deepseek-r1-distill-llama-70b deepseek-v3.2 deepseek-r1:14b qwen3-coder-480b-a35b-instruct qwen2.5:7b qwq-32b grok-4.1-fast-reasoning
    kimi-k2-thinking glm-4.6 minimax-m2 phi-4-mini-instruct command-r-plus nova-pro-v1 us.anthropic.claude-sonnet-4-20250514-v1:0`;
  const organised = `openai/gpt-4o:extended meta-llama/llama-3.3-70b-instruct:free acme/own-model:latest
    accounts/fireworks/models/llama-v3p1-8b-instruct Qwen/Qwen2.5-Coder-32B-Instruct org/model:tag`;
  const madeUp = `constructor __proto__ toString nope model default no-such-model gpt gpt- gpt-99 gpt-9.9 gpt-4foo gpt-4omni
    gpt-4o-does-not-exist GPT-4o ft:gpt-4o o o9 o33 o1-banana chatgpt claudette llamas llama.cpp /gpt-4o gpt-4o/ ../gpt-4o openai//gpt-4o
    a/b/c/d/gpt-4o`;
  const namesIn = (text: string): readonly string[] => text.trim().split(/\s+/);

  it('are the families people know, and any name with an organisation before it', async () => {
    for (const model of [...namesIn(real), ...namesIn(organised)]) {
      assert.equal((await whole(ask('say hi', { model }))).model, model);
    }
  });

  it('are not names that are made up', async () => {
    for (const model of [...namesIn(madeUp), 'gpt-4 ', ' gpt-4', 'gpt-4o\n', 'x'.repeat(200), '-'.repeat(250)]) {
      await refuses(whole(ask('hi', { model })), /does not exist/, { status: 404, code: 'model_not_found' });
    }
    for (const model of ['text-embedding-3-small', 'dall-e-3', 'whisper-1', 'omni-moderation-latest']) {
      await refuses(whole(ask('hi', { model })), /cannot be used for chat/, { param: 'model' });
    }
  });

  const windows: readonly (readonly [string, number])[] = [
    ['gpt-3.5-turbo-16k', 16_385],
    ['gpt-4-0613', 8_192],
    ['gpt-4-1106-preview', 128_000],
    ['gpt-4.1-mini-2025-04-14', 1_047_576],
    ['gpt-5.1', 400_000],
    ['us.anthropic.claude-sonnet-4-20250514-v1:0', 200_000],
    ['acme/own-model', 128_000],
  ];
  it('have their own windows, and say when a conversation has outgrown them', async () => {
    for (const [name, tokens] of windows)
      assert.equal(findDemoModel(name, 'chat.completions').contextLength, tokens, name);
    const tooLong = whole(ask('word '.repeat(9_000), { model: 'gpt-4' }));
    await refuses(tooLong, /maximum context length is 8192 tokens.*resulted in 9\d{3} tokens/, {
      code: 'context_length_exceeded',
    });
    const withAnswer = whole(ask('word '.repeat(6_000), { model: 'gpt-4', max_tokens: 4_000 }));
    await refuses(withAnswer, /requested 10\d{3} tokens \(60\d\d in the messages, 4000 in the completion\)/);
  });
});

it('nothing of the demo but its maker is loaded before it is asked', () => {
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const imports = readFileSync(path, 'utf8').matchAll(/^(?:import|export) (?!type )[^;]*?from '(\.[^']+)\.js';/gm);
    for (const [, from = ''] of imports) visit(join(dirname(path), `${from}.ts`));
  };
  visit('src/index.ts');
  assert.ok(seen.size > 50, `${seen.size} files`);
  assert.deepEqual(
    [...seen].filter((path) => path.startsWith('src/upstreams/demo/')),
    ['src/upstreams/demo/demo.ts'],
  );
});

it('a demo is heard by who asks it first', async () => {
  const call = callWith(ask('say hi'));
  const { send, forward } = demo();
  const [reply, files] = await Promise.all([
    send(call),
    forward?.({ ...call, operation: 'files', method: 'GET', path: '/files', headers: {}, body: undefined }),
  ]);
  assert.equal(choicesOf(wholeBody(reply))[0]?.message.content, 'hi');
  assert.equal(files?.status, 200);
});

/** The places of a value's members. */
function pathsOf(value: unknown): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => [[name], ...pathsOf(member).map((path) => [name, ...path])]);
}
