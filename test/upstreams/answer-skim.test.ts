import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createCancellation } from '../../src/base/cancellation.js';
import { GatewayError } from '../../src/base/errors.js';
import type { JsonObject } from '../../src/base/json.js';
import { ANSWER_BOUNDS, parseDocument, REQUEST_BOUNDS, scanDocument } from '../../src/base/json-document.js';
import type { OutgoingCall } from '../../src/upstreams/answer.js';
import { AnswerSkim } from '../../src/upstreams/answer-skim.js';
import { readWhole, type WholeAnswer, wholeBytes } from '../../src/upstreams/read-whole.js';
import { MODEL_ENDPOINTS } from '../../src/wire/model-endpoint.js';
import { readChatRequest } from '../../src/wire/model-request.js';
import { wholeChat } from '../helpers/chat-answers.js';
import { DEPTH, runs } from '../helpers/depth.js';

/** A chat or embeddings call of a model, whose name at the upstream is `m`. */
function callOf(operation: 'chat.completions' | 'embeddings', model = 'm'): OutgoingCall {
  const result = parseDocument(
    Buffer.from(JSON.stringify({ model, messages: [{ role: 'user', content: 'Hi' }] })),
    REQUEST_BOUNDS,
  );
  if (result.kind !== 'document') throw new Error(result.reason);
  return Object.assign(createCancellation(), {
    holdBytes() {},
    holdInTime() {},
    upstream: { name: 'u', send: () => Promise.reject(new Error('Not asked')) },
    endpoint: MODEL_ENDPOINTS[operation],
    keyId: 'k',
    tier: 'basic',
    requestId: 'r',
    isBackground: false,
    document: result.document,
    asks: { ...readChatRequest(result.outline), model },
    model: { upstreamModel: 'm' },
    outputCeiling: undefined,
    requiresCeiling: false,
    inputTokens: 5,
    maxResponseBytes: 1_000_000,
    answerBounds: ANSWER_BOUNDS,
    view: { takes: 'text' as const },
    attempts: 1,
  });
}

/** All that is told of an answer, or why it is none. */
async function told(read: () => unknown): Promise<unknown> {
  try {
    const { body, usage, serviceTier, toolCalls, ...rest } = (await read()) as WholeAnswer;
    const bytes = body instanceof Uint8Array ? Buffer.from(body).toString('latin1') : body;
    return { bytes, usage, serviceTier, toolCalls, delivered: (rest as { outputBytes?: number }).outputBytes };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { status: error.status, message: error.message, code: error.code };
  }
}

const USAGE_TEXT = '"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}';
const hostile = fc
  .array(
    fc.constantFrom(
      ...[
        '"',
        '\\',
        '\\"',
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '\n',
        '\u0001',
        '\ud800',
        'é',
        '😀',
        '\\u0022',
        'x'.repeat(70),
      ],
      ...[USAGE_TEXT, `}],${USAGE_TEXT}}`, `"],${USAGE_TEXT},"a":"`, '"error":{"message":"no"}', '"finish_reason":"x"'],
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''));

const count = fc.constantFrom<unknown>(0, 7, 150, 1.5, -1, '12', null, 1e300, 2 ** 53);
const usage = fc.oneof(
  { weight: 4, arbitrary: fc.record({ prompt_tokens: fc.nat(999), completion_tokens: fc.nat(999) }) },
  fc.record(
    {
      prompt_tokens: count,
      completion_tokens: count,
      total_tokens: count,
      cost: count,
      speed: fc.constantFrom('fast', 'slow'),
      service_tier: hostile,
      completion_tokens_details: fc.record({ reasoning_tokens: count }),
      server_tool_use: fc.record({ web_search_requests: count }),
      hostile,
    },
    { requiredKeys: [] },
  ),
  fc.constantFrom(null, [], 'many'),
);
const choice = fc.record(
  {
    index: fc.constant(0),
    message: fc.record(
      {
        role: fc.constant('assistant'),
        content: hostile,
        tool_calls: fc.array(fc.record({ function: fc.record({ name: hostile, arguments: hostile }) }), {
          maxLength: 2,
        }),
      },
      { requiredKeys: ['content'] },
    ),
    finish_reason: fc.oneof(fc.constantFrom('stop', 'length', null, 'eos', 'error', 'tool_calls'), hostile),
    error: fc.constantFrom(null, { message: 'It broke' }),
    usage,
  },
  { requiredKeys: ['index', 'message', 'finish_reason'] },
);
const plainChoice = fc.record({
  index: fc.constant(0),
  message: fc.record({ role: fc.constant('assistant'), content: hostile }),
  finish_reason: fc.constantFrom('stop', 'length', 'tool_calls'),
});
const choices = fc.array(fc.oneof({ weight: 3, arbitrary: plainChoice }, choice), { maxLength: 2 });
/** Members of an answer, any of them perhaps twice, at any place. */
const member = fc.oneof(
  { weight: 4, arbitrary: fc.tuple(fc.constant('usage'), usage) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('choices'), fc.oneof({ weight: 9, arbitrary: choices }, fc.json())) },
  fc.tuple(fc.constantFrom('model', 'id', 'object'), fc.oneof(fc.constantFrom('m', '/srv/m.gguf', null), hostile)),
  fc.tuple(fc.constant('service_tier'), fc.oneof(fc.constantFrom('default', 'flex', '', null, 5), hostile)),
  fc.tuple(fc.constant('error'), fc.constantFrom(null, false, 'no', { message: 'It broke', code: 429 })),
  fc.tuple(
    fc.constantFrom('x_groq', 'output', 'data'),
    fc.constantFrom<unknown>([], { usage: { prompt_tokens: 1 } }, 0),
  ),
  fc.tuple(hostile, fc.oneof(hostile, fc.jsonValue())),
);
const space = fc.constantFrom('', '', ' ', '\n  ', '\t\r\n');
/** The text of an answer as some server may write it. */
const answer = fc
  .tuple(
    fc.uniqueArray(member, { selector: ([name]) => name, maxLength: 8 }),
    fc.array(member, { maxLength: 1 }),
    fc.tuple(space, space, fc.constantFrom(undefined, 1), fc.constantFrom('', '', '\ufeff'), fc.nat(9)),
  )
  .map(([once, again, [before, after, indent, mark, spelt]]) => {
    const members = (spelt < 7 ? once : [...once, ...again]).map(([name, value]) => {
      const quoted = JSON.stringify(name);
      const first = `\\u00${quoted.charCodeAt(1).toString(16)}`;
      const written = spelt === 9 && /^"[a-z]/.test(quoted) ? `"${first}${quoted.slice(2)}` : quoted;
      const json = typeof value === 'string' && name === 'choices' ? value : JSON.stringify(value, null, indent);
      return `${before}${written}${after}:${before}${json}${after}`;
    });
    return Buffer.from(`${mark}${before}{${members.join()}${after}}${before}`);
  });

describe('an answer that is skimmed', () => {
  it('is told as one that is read: nothing that a model says forges its usage', async () => {
    let plain = 0;
    await fc.assert(
      fc.asyncProperty(answer, fc.constantFrom('m', 'house'), async (bytes, model) => {
        const call = callOf('chat.completions', model);
        const read = await told(() => wholeBytes(call, bytes));
        assert.deepEqual(await told(() => readWhole(call, { kind: 'whole', body: bytes })), read);
        const start = bytes[0] === 0xef ? 3 : 0;
        const found = new AnswerSkim(bytes.subarray(start), 'choices').walk(bytes.length);
        if (found === 'plain') plain += 1;
      }),
      runs(500),
    );
    assert.ok(plain > 100 * DEPTH, `${plain} were plain`);
  });

  it('is the same in whatever turns', () => {
    fc.assert(
      fc.property(answer, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (bytes, steps) => {
        const whole = new AnswerSkim(bytes, 'choices');
        const inTurns = new AnswerSkim(bytes, 'choices');
        const found = whole.walk(bytes.length);
        let until = 0;
        let last = inTurns.walk(until);
        for (let at = 0; last === 'paused'; at += 1) {
          until += steps[at % steps.length] ?? 1;
          last = inTurns.walk(until);
        }
        assert.equal(last, found);
        for (const name of ['choices', 'usage', 'model', 'service_tier']) {
          const span = whole.members.get(name);
          assert.deepEqual(inTurns.members.get(name)?.start, span?.start);
          assert.deepEqual(inTurns.members.get(name)?.end, span?.end);
        }
      }),
      runs(150),
    );
  });

  it('is no answer when it is cut off anywhere, or a bracket, quote, comma or colon is lost or doubled', () => {
    const content = 'He said: "a", {b}, [c] \\ and left';
    const text = JSON.stringify(wholeChat(content, { message: { tool_calls: [], annotations: [{ a: [1, true] }] } }));
    const isPlain = (bytes: Buffer): boolean => new AnswerSkim(bytes, 'choices').walk(bytes.length) === 'plain';
    const bytes = Buffer.from(text);
    assert.ok(isPlain(bytes));
    for (let at = 0; at < bytes.length; at += 1) assert.ok(!isPlain(bytes.subarray(0, at)), `cut off at ${at}`);
    const [from, to] = [text.indexOf('He said'), text.indexOf(' and left')];
    for (let at = 0; at < text.length; at += 1) {
      const isInside = at >= from && at < to;
      if (isInside || !/[[\]{}",:]/.test(text[at] ?? '')) continue;
      const changed = [text.slice(0, at) + text.slice(at + 1), text.slice(0, at) + text[at] + text.slice(at)];
      for (const broken of changed.map((one) => Buffer.from(one))) {
        const isJson = !('kind' in scanDocument(broken, ANSWER_BOUNDS));
        assert.equal(isPlain(broken) && !isJson, false, `${broken}`);
      }
    }
  });

  it('is odd where it is deep, has many members or letters outside of texts, or is not UTF-8', () => {
    const found = (json: string | Buffer): string => {
      const bytes = Buffer.from(json);
      return new AnswerSkim(bytes, 'choices').walk(bytes.length);
    };
    const nested = (depth: number): string => `{"choices":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    assert.deepEqual([found(nested(29)), found(nested(30)), found(nested(10_000))], ['plain', 'odd', 'odd']);
    const members = (length: number): string => `{${Array.from({ length }, (_, at) => `"n${at}":1`).join()}}`;
    assert.deepEqual([found(members(32)), found(members(33)), found('{"a":1,"b":2,"a":3}')], ['plain', 'odd', 'odd']);
    for (const value of ['NaN', 'true1', '1true', 'tru', 'Infinity', 'undefined', '<html>', "'a'", '1'.repeat(2_000)]) {
      assert.equal(found(`{"choices":[${value}]}`), 'odd', value);
    }
    assert.equal(found(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 'odd');
    for (const json of ['', '[]', '[{}]', '1', '{}{}', '{},', '{"choices":{}}', '{"choices":[],"error":{}}']) {
      assert.equal(found(json), 'odd', json);
    }
  });

  it('passes embeddings as they came, and their usage makes no output', async () => {
    const data = [{ object: 'embedding', index: 0, embedding: [0.25, -1e-9] }];
    const answered: JsonObject = { object: 'list', data, model: 'm', usage: { prompt_tokens: 3, total_tokens: 3 } };
    const bytes = Buffer.from(JSON.stringify(answered));
    const call = callOf('embeddings');
    const read = await told(() => wholeBytes(call, bytes));
    assert.deepEqual(await told(() => readWhole(call, { kind: 'whole', body: bytes })), read);
    assert.equal((await readWhole(call, { kind: 'whole', body: bytes })).usage?.inputTokens, 3);
  });
});
