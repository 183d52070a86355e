import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import OpenAI from 'openai';
import type { Json, JsonObject } from '../../src/base/json.js';
import { chatCompletion, chatHead } from '../../src/wire/chat/answer.js';
import { collectChunks } from '../../src/wire/chat/collect-chunks.js';
import type { EndedResponse, ResponseFailure } from '../../src/wire/responses/events.js';
import {
  completedResponse,
  inProgressResponse,
  queuedResponse,
  responseHead,
} from '../../src/wire/responses/object.js';
import { readResponsesRequest } from '../../src/wire/responses/request.js';
import { TranslatedStream } from '../../src/wire/responses/translated-stream.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import { runs } from '../helpers/depth.js';
import { type ReadEvent, readEvents } from './read-events.js';

const NOW = 1_770_000_000_000;
const USAGE = {
  prompt_tokens: 5,
  completion_tokens: 7,
  total_tokens: 12,
  prompt_tokens_details: { cached_tokens: 2 },
  completion_tokens_details: { reasoning_tokens: 3 },
};
const FAILURE: ResponseFailure = { message: 'It broke.', type: 'server_error', code: 'upstream_error', param: null };

const headOf = (body: object = {}) =>
  responseHead('req_1', readResponsesRequest(JSON.parse(JSON.stringify({ model: 'm', input: 'Hi', ...body }))), NOW);
const HEAD = headOf();

function chunk(delta: JsonObject, more: JsonObject = {}): JsonObject {
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'up',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: null, ...more }],
  };
}

const finish = (reason: string): JsonObject => chunk({}, { finish_reason: reason });
const usageChunk: JsonObject = { ...chunk({}), choices: [], usage: USAGE };
const callStart = (index: number, id: string, name = 'f'): JsonObject => ({
  tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }],
});
const callPiece = (index: number, text: string): JsonObject => ({
  tool_calls: [{ index, function: { arguments: text } }],
});

interface Streamed extends EndedResponse {
  readonly events: readonly ReadEvent[];
}

function stream(chunks: readonly JsonObject[], head = HEAD): Streamed {
  const encoder = new TranslatedStream(head);
  const written = encoder.encodeStart() + chunks.map((piece) => encoder.encodeChunk(piece)).join('');
  const { text, response } = encoder.encodeEnd(undefined, NOW + 2_000);
  return { text: written + text, response, events: readEvents(written + text) };
}

const namesOf = ({ events }: Streamed): readonly string[] => events.map(({ name }) => name.replace(/^response\./, ''));
const outputOf = ({ output }: JsonObject): readonly JsonObject[] => (Array.isArray(output) ? output : []);

async function completionOf(chunks: readonly JsonObject[]): Promise<JsonObject> {
  async function* source(): AsyncGenerator<JsonObject> {
    yield* chunks;
  }
  return chatCompletion(await collectChunks(source(), chatHead('s', 'm', NOW), 1_000_000));
}

/** What holds of every stream. */
function assertOrdered({ events, response }: Streamed): void {
  const added: unknown[] = [];
  const done = new Map<unknown, unknown>();
  for (const [at, { name, data }] of events.entries()) {
    assert.equal(data.type, name);
    assert.equal(data.sequence_number, at, 'numbers have no gaps');
    if (name === 'response.output_item.added') {
      assert.equal(data.output_index, added.length, 'items stand side by side');
      added.push(Object(data.item).id);
    } else if (data.output_index !== undefined) {
      const index = Number(data.output_index);
      assert.ok(!done.has(index), 'nothing comes after the end of an item');
      assert.equal(data.item_id ?? Object(data.item).id, added[index], 'an item keeps its id');
      if (name === 'response.output_item.done') done.set(index, data.item);
    }
  }
  assert.equal(new Set(added).size, added.length);
  assert.deepEqual(
    outputOf(response),
    added.map((_, index) => done.get(index)),
  );
  assert.deepEqual(events.at(-1)?.data.response, response);
}

const TEXT = [
  chunk({ role: 'assistant', content: '', refusal: null }),
  chunk({ content: 'Hel' }),
  chunk({ content: 'lo' }),
  finish('stop'),
  usageChunk,
];
const CALLS = [
  chunk({ role: 'assistant', content: null, ...callStart(0, 'call_a'), refusal: null }),
  chunk(callPiece(0, '{"a"')),
  chunk(callStart(1, 'call_b', 'g')),
  chunk(callPiece(1, '{')),
  chunk(callPiece(0, ':1}')),
  chunk(callPiece(1, '}')),
  finish('tool_calls'),
];
const LOGPROB = { token: 'Hi', logprob: -0.1, bytes: [72, 105], top_logprobs: [{ token: 'Hi', logprob: -0.1 }] };
const CITATION = { start_index: 0, end_index: 2, url: 'https://x/', title: 'X' };

const STREAMS: Readonly<Record<string, readonly JsonObject[]>> = {
  text: TEXT,
  calls: CALLS,
  silence: [chunk({ role: 'assistant', content: '' }), finish('stop')],
  refusal: [chunk({ refusal: 'I ' }), chunk({ refusal: "won't" }), finish('stop')],
  thoughts: [
    chunk({ reasoning_content: 'Hm' }),
    chunk({ reasoning_content: '…' }),
    chunk({ content: 'Hi' }),
    finish('stop'),
  ],
  'a custom tool': [
    chunk({ content: 'Look:' }),
    chunk({ tool_calls: [{ index: 0, id: 'call_c', type: 'custom', custom: { name: 'sh', input: '' } }] }),
    chunk({ tool_calls: [{ index: 0, custom: { input: 'ls' } }] }),
    finish('tool_calls'),
  ],
  'log probabilities': [chunk({ content: 'Hi' }, { logprobs: { content: [LOGPROB], refusal: null } }), finish('stop')],
  citations: [
    chunk({ content: 'Hi' }),
    chunk({ annotations: [{ type: 'url_citation', url_citation: CITATION }] }),
    finish('stop'),
  ],
  'the ceiling': [chunk({ content: 'Hel' }), finish('length')],
  'the filter': [chunk({ content: 'Hel' }), finish('content_filter')],
  'a call cut off': [
    chunk({ content: 'x' }),
    chunk(callStart(0, 'call_a')),
    chunk(callPiece(0, '{')),
    finish('length'),
  ],
  'text again after a call': [
    chunk({ content: 'a' }),
    chunk(callStart(0, 'call_a')),
    chunk({ content: 'b' }),
    chunk(callPiece(0, '{}')),
    finish('tool_calls'),
  ],
  'a call without id, its name late': [
    chunk({ tool_calls: [{ index: 0, function: { arguments: '{' } }] }),
    chunk({ tool_calls: [{ index: 0, function: { name: 'f', arguments: '}' } }] }),
    finish('tool_calls'),
  ],
  'no end': [chunk({ content: 'Hi' })],
};

describe('completedResponse', () => {
  it('has the members of a recorded response in their order', { skip: recordingsAreMissing }, async () => {
    const response = completedResponse(HEAD, await completionOf(TEXT), NOW);
    for (const recorded of recordedAnswers('POST /v1/responses 200 application/json')) {
      // `billing` is about whoever pays OpenAI.
      const names = Object.keys(Object(recorded)).filter((name) => name !== 'billing');
      const ours = Object.keys(response).filter((name) => names.includes(name));
      assert.deepEqual(ours, names);
      const [item, own] = [outputOf(Object(recorded))[0], outputOf(response)[0]];
      assert.deepEqual(Object.keys(own ?? {}), Object.keys(item ?? {}));
      assert.deepEqual(Object.keys(Object(own?.content)[0]), Object.keys(Object(item?.content)[0]));
    }
  });

  it('says again what was asked for', () => {
    const asked = {
      instructions: 'Be brief',
      max_output_tokens: 99,
      max_tool_calls: 2,
      metadata: { a: 'b' },
      parallel_tool_calls: false,
      previous_response_id: 'resp_0',
      prompt_cache_key: 'p',
      safety_identifier: 's',
      service_tier: 'flex',
      store: false,
      temperature: 0.5,
      tool_choice: 'required',
      top_logprobs: 2,
      top_p: 0.5,
      truncation: 'auto',
      user: 'u',
    };
    const { reasoning, text, tools, ...response } = inProgressResponse(
      headOf({
        ...asked,
        reasoning: { effort: 'low' },
        text: { verbosity: 'low' },
        tools: [{ type: 'function', name: 'f' }],
      }),
    );
    for (const [name, value] of Object.entries(asked)) assert.deepEqual(response[name], value, name);
    assert.deepEqual(reasoning, { effort: 'low', summary: null });
    assert.deepEqual(text, { format: { type: 'text' }, verbosity: 'low' });
    assert.deepEqual(tools, [{ type: 'function', name: 'f', parameters: null, strict: false }]);
  });

  it('tells usage in the words of responses', async () => {
    const { usage, service_tier } = completedResponse(
      HEAD,
      { ...(await completionOf(TEXT)), service_tier: 'odd' },
      NOW,
    );
    assert.deepEqual(usage, {
      input_tokens: 5,
      input_tokens_details: { cached_tokens: 2, cache_write_tokens: 0 },
      output_tokens: 7,
      output_tokens_details: { reasoning_tokens: 3 },
      total_tokens: 12,
    });
    assert.equal(service_tier, 'default', 'a tier that nobody knows breaks SDKs');
  });

  it('is what OpenAI describes, in each state', { skip: specIsMissing }, () => {
    const check = specChecker();
    for (const response of [queuedResponse(HEAD), inProgressResponse(HEAD)]) {
      check('Response', response);
      assert.deepEqual([response.output, response.usage], [[], null]);
    }
  });
});

describe('TranslatedStream', () => {
  it('writes a text as OpenAI does', () => {
    const streamed = stream(TEXT);
    assert.deepEqual(namesOf(streamed), [
      'created',
      'in_progress',
      'output_item.added',
      'content_part.added',
      'output_text.delta',
      'output_text.delta',
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'completed',
    ]);
    assert.match(HEAD.id, /^resp_[0-9a-f]{48}$/);
    assert.deepEqual(streamed.response.completed_at, NOW / 1000 + 2);
  });

  it('ends thoughts and text before what follows', () => {
    assert.deepEqual(namesOf(stream(STREAMS.thoughts ?? [])).slice(2, -1), [
      'output_item.added',
      'content_part.added',
      'reasoning_text.delta',
      'reasoning_text.delta',
      'reasoning_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'content_part.added',
      'output_text.delta',
      'output_text.done',
      'content_part.done',
      'output_item.done',
    ]);
    assert.deepEqual(namesOf(stream(STREAMS['a custom tool'] ?? [])).slice(5), [
      'output_text.done',
      'content_part.done',
      'output_item.done',
      'output_item.added',
      'custom_tool_call_input.delta',
      'custom_tool_call_input.done',
      'output_item.done',
      'completed',
    ]);
  });

  it('keeps parallel calls apart whose deltas take turns', () => {
    const streamed = stream(CALLS);
    assert.deepEqual(namesOf(streamed).slice(2), [
      'output_item.added',
      'function_call_arguments.delta',
      'output_item.added',
      'function_call_arguments.delta',
      'function_call_arguments.delta',
      'function_call_arguments.delta',
      'function_call_arguments.done',
      'output_item.done',
      'function_call_arguments.done',
      'output_item.done',
      'completed',
    ]);
    assert.deepEqual(
      outputOf(streamed.response).map(({ id: _, ...item }) => item),
      [
        { type: 'function_call', status: 'completed', arguments: '{"a":1}', call_id: 'call_a', name: 'f' },
        { type: 'function_call', status: 'completed', arguments: '{}', call_id: 'call_b', name: 'g' },
      ],
    );
  });

  const endings = [
    ['the ceiling', 'max_output_tokens', ['incomplete']],
    ['the filter', 'content_filter', ['incomplete']],
    ['a call cut off', 'max_output_tokens', ['completed', 'incomplete']],
  ] as const;
  for (const [name, reason, statuses] of endings) {
    it(`ends incomplete at ${name}`, () => {
      const { response, events } = stream(STREAMS[name] ?? []);
      assert.equal(events.at(-1)?.name, 'response.incomplete');
      assert.deepEqual([response.status, response.incomplete_details], ['incomplete', { reason }]);
      assert.deepEqual(response.completed_at, null);
      assert.deepEqual(
        outputOf(response).map(({ status }) => status),
        statuses,
      );
    });
  }

  for (const [name, chunks] of Object.entries(STREAMS)) {
    it(`is in order: ${name}`, () => assertOrdered(stream(chunks)));

    it(`is what OpenAI describes: ${name}`, { skip: specIsMissing }, () => {
      const check = specChecker();
      for (const { data } of stream(chunks).events) check('ResponseStreamEvent', data);
    });

    it(`is understood by OpenAI's own client: ${name}`, async () => {
      const { text, response } = stream(chunks);
      const { output } = await readByClient(text);
      assert.deepEqual(output.map(withoutParsed), JSON.parse(JSON.stringify(outputOf(response))));
    });
  }

  it('begins queued in the background', () => {
    const encoder = new TranslatedStream(headOf({ background: true }));
    const events = readEvents(encoder.encodeStart());
    assert.deepEqual(
      events.map(({ name, data }) => [name, Object(data.response).status, data.sequence_number]),
      [
        ['response.created', 'queued', 0],
        ['response.queued', 'queued', 1],
        ['response.in_progress', 'in_progress', 2],
      ],
    );
  });

  it('takes the usage it is given over that of the chunks', () => {
    const encoder = new TranslatedStream(HEAD);
    encoder.encodeStart();
    for (const piece of TEXT) encoder.encodeChunk(piece);
    const { response } = encoder.encodeEnd({ prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }, NOW);
    assert.equal(Object(response.usage).total_tokens, 2);
  });

  it('reads the first choice only', () => {
    const other = {
      ...chunk({ content: 'no' }),
      choices: [{ index: 1, delta: { content: 'no' }, finish_reason: 'length' }],
    };
    assert.deepEqual(stream([...TEXT, other]).response, stream(TEXT).response);
  });

  it('fails with the error in both shapes, and keeps what was said', { skip: specIsMissing }, () => {
    const check = specChecker();
    const encoder = new TranslatedStream(HEAD);
    const before = encoder.encodeStart() + encoder.encodeChunk(chunk({ content: 'Hel' }));
    const { text, response } = encoder.encodeFailure(FAILURE);
    const events = readEvents(before + text);
    for (const [at, { data }] of events.entries()) {
      check('ResponseStreamEvent', data);
      assert.equal(data.sequence_number, at);
    }
    const [error, failed] = events.slice(-2);
    const { type: _, ...flat } = FAILURE;
    assert.deepEqual(error?.data, { type: 'error', sequence_number: 5, error: FAILURE, ...flat });
    assert.deepEqual(failed?.data.response, response);
    assert.deepEqual(response.error, { code: 'server_error', message: 'It broke.' });
    assert.deepEqual([response.status, outputOf(response)[0]?.status], ['failed', 'incomplete']);
  });

  const codes: readonly (readonly [Partial<ResponseFailure>, string])[] = [
    [{ type: 'requests', code: 'rate_limit_exceeded' }, 'rate_limit_exceeded'],
    [{ type: 'insufficient_quota', code: 'insufficient_quota' }, 'rate_limit_exceeded'],
    [{ type: 'invalid_request_error', code: 'context_length_exceeded' }, 'invalid_prompt'],
    [{ type: 'invalid_request_error', code: 'invalid_image_url' }, 'invalid_image_url'],
    [{ type: 'server_error', code: null }, 'server_error'],
  ];
  for (const [failure, code] of codes) {
    it(`fails with a code that responses have: ${JSON.stringify(failure)}`, () => {
      const { response } = new TranslatedStream(HEAD).encodeFailure({ ...FAILURE, ...failure });
      assert.equal(Object(response.error).code, code);
    });
  }

  it("fails in OpenAI's own client with the message", async () => {
    const encoder = new TranslatedStream(HEAD);
    const text =
      encoder.encodeStart() + encoder.encodeChunk(chunk({ content: 'Hel' })) + encoder.encodeFailure(FAILURE).text;
    await assert.rejects(readByClient(text), /It broke\./);
  });

  it('makes the same response however the answer is cut', async () => {
    await fc.assert(
      fc.asyncProperty(cutAnswer(), async (chunks) => {
        const streamed = stream(chunks);
        assertOrdered(streamed);
        const whole = completedResponse(HEAD, await completionOf(chunks), NOW + 2_000);
        assert.deepEqual(streamed.response, whole);
      }),
      runs(30),
    );
  });

  it('loses nothing where thoughts, text and calls take turns in any order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyDelta(), { maxLength: 20 }), async (deltas) => {
        const chunks = [...deltas.map((delta) => chunk(delta)), finish('stop')];
        const streamed = stream(chunks);
        assertOrdered(streamed);
        const whole = completedResponse(HEAD, await completionOf(chunks), NOW);
        assert.deepEqual(saidIn(streamed.response), saidIn(whole));
      }),
      runs(30),
    );
  });
});

/** The texts of each kind joined, and the calls. */
function saidIn(response: JsonObject): Json {
  const said = { output_text: '', refusal: '', reasoning_text: '' };
  const calls: Record<string, Json> = {};
  for (const { content, call_id, name, arguments: text } of outputOf(response)) {
    for (const part of Array.isArray(content) ? content : []) {
      said.output_text += part.type === 'output_text' ? part.text : '';
      said.reasoning_text += part.type === 'reasoning_text' ? part.text : '';
      said.refusal += part.refusal ?? '';
    }
    if (typeof call_id === 'string') calls[call_id] = [name ?? null, text ?? null];
  }
  return { ...said, calls };
}

const pieces = () => fc.array(fc.string({ minLength: 1, maxLength: 5 }), { maxLength: 4 });

/** One call announced, then its arguments in pieces. */
const callDeltas = (index: number): fc.Arbitrary<JsonObject[]> =>
  pieces().map((texts) => [callStart(index, `call_${index}`), ...texts.map((text) => callPiece(index, text))]);

/** Thoughts, then text and refusal by turns, then calls by turns: the order in which models answer. */
function cutAnswer(): fc.Arbitrary<readonly JsonObject[]> {
  return fc
    .record({
      thoughts: pieces(),
      text: pieces(),
      withLogprobs: fc.boolean(),
      refusal: pieces(),
      calls: fc
        .integer({ min: 0, max: 3 })
        .chain((count) => fc.tuple(...Array.from({ length: count }, (_, at) => callDeltas(at)))),
      turns: fc.infiniteStream(fc.nat(2)),
      reason: fc.constantFrom('stop', 'length', 'content_filter', 'tool_calls'),
      joined: fc.boolean(),
    })
    .map(({ thoughts, text, withLogprobs, refusal, calls, turns, reason, joined }) => {
      const logprobs = (token: string) => ({ logprobs: { content: [{ ...LOGPROB, token }], refusal: null } });
      const written = text.map((content) => chunk({ content }, withLogprobs ? logprobs(content) : {}));
      const refused = refusal.map((piece) => chunk({ refusal: piece }));
      const heads = calls.map(([first]) => chunk(first ?? {}));
      const queues = calls.map((deltas) => deltas.slice(1).map((delta) => chunk(delta)));
      return [
        ...(joined ? [] : [chunk({ role: 'assistant', content: '' })]),
        ...thoughts.map((piece) => chunk({ reasoning_content: piece })),
        ...written.slice(0, 1),
        ...takingTurns([written.slice(1), refused], turns),
        ...heads,
        ...takingTurns(queues, turns),
        finish(reason),
        usageChunk,
      ];
    });
}

function takingTurns(queues: readonly (readonly JsonObject[])[], turns: Iterable<number>): readonly JsonObject[] {
  const left = queues.map((queue) => [...queue]);
  const taken: JsonObject[] = [];
  for (const turn of turns) {
    const running = left.filter((queue) => queue.length > 0);
    const next = running[turn % Math.max(1, running.length)]?.shift();
    if (next === undefined) return taken;
    taken.push(next);
  }
  return taken;
}

const anyDelta = (): fc.Arbitrary<JsonObject> =>
  fc.oneof(
    fc.string({ maxLength: 3 }).map((content) => ({ content })),
    fc.string({ maxLength: 3 }).map((refusal) => ({ refusal })),
    fc.string({ maxLength: 3 }).map((text) => ({ reasoning_content: text })),
    fc.record({ content: fc.string({ maxLength: 3 }), reasoning_content: fc.string({ maxLength: 3 }) }),
    fc.tuple(fc.nat(2), fc.string({ maxLength: 3 })).map(([index, text]) => ({
      tool_calls: [{ index, id: `call_${index}`, type: 'function', function: { name: 'f', arguments: text } }],
    })),
  );

/** Feeds a stream through OpenAI's own client, which throws at any disorder. */
async function readByClient(text: string): Promise<{ readonly output: readonly object[] }> {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    response.end(text);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  try {
    const { port } = server.address() as AddressInfo;
    const client = new OpenAI({ apiKey: 'sk-test', baseURL: `http://127.0.0.1:${port}/v1`, maxRetries: 0 });
    return await client.responses.stream({ model: 'm', input: 'Hi' }).finalResponse();
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

/** The client adds what it parsed. */
function withoutParsed(item: object): unknown {
  return JSON.parse(
    JSON.stringify(item, (name, value) => (name === 'parsed' || name === 'parsed_arguments' ? undefined : value)),
  );
}
