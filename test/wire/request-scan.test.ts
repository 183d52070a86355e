import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/base/errors.js';
import { memberCount, objectOf as parsedObject } from '../../src/base/json.js';
import { jsonBounds, REQUEST_BOUNDS } from '../../src/base/json-document.js';
import type { JsonBounds } from '../../src/base/json-scan.js';
import type { ReadCall } from '../../src/call/terms.js';
import { ACTED_ON, readCall, readParsed } from '../../src/endpoints/model/read-call.js';
import { MODEL_ENDPOINTS } from '../../src/wire/model-endpoint.js';
import { scanRequest } from '../../src/wire/request-scan.js';
import { runs } from '../helpers/depth.js';

const OPERATIONS = ['chat.completions', 'completions', 'embeddings', 'moderations'] as const;
type Operation = (typeof OPERATIONS)[number];

/** All that is known of a call once its body was read; or the error that its client is told. */
async function outcome(read: () => ReadCall | PromiseLike<ReadCall>): Promise<unknown> {
  try {
    const { document, ...facts } = await read();
    const spans: unknown[] = [];
    for (let { first: member } = document.members; member !== undefined; member = member.next) {
      spans.push([member.name, member.start, member.end]);
    }
    const { size, keysWithin, valuesWithin } = document.members;
    // By the parser, who keeps one of two.
    const keys = memberCount(parsedObject(document.bytes));
    if (document.hasDistinctNames === true) assert.equal(keysWithin, keys, 'each name stands once');
    return { ...facts, bytes: document.bytes.toString('latin1'), spans, size, keysWithin, valuesWithin };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const { status, type, code, param, message } = error;
    return { status, type, code, param, message };
  }
}

async function assertSame(operation: Operation, bytes: Buffer, bounds: JsonBounds = REQUEST_BOUNDS): Promise<void> {
  const endpoint = MODEL_ENDPOINTS[operation];
  const scanned = await outcome(() => readCall(endpoint, bytes, bounds));
  const parsed = await outcome(() => readParsed(endpoint, bytes, bounds));
  assert.deepEqual(scanned, parsed, bytes.toString('latin1').slice(0, 2_000));
}

function isScanned(body: object | string): boolean {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return scanRequest(bytes, REQUEST_BOUNDS, ACTED_ON) !== undefined;
}

// Bodies are made as text, piece by piece: their spelling matters, and some are no JSON.
const oneOf = (words: string): fc.Arbitrary<string> => fc.constantFrom(...words.trim().split(/\s+/));
const listsOf = (items: fc.Arbitrary<string>, gaps: fc.Arbitrary<string>, minLength = 0): fc.Arbitrary<string> =>
  fc.tuple(fc.array(items, { minLength, maxLength: 4 }), gaps).map(([all, gap]) => `[${gap}${all.join(`${gap},`)}]`);
const member = (name: string, value: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  value.map((text) => `"${name}":${text}`);
const objectOf = (...members: fc.Arbitrary<string>[]): fc.Arbitrary<string> =>
  fc.tuple(...members).map((all) => `{${all.filter((text) => text !== '').join()}}`);
const maybe = (text: fc.Arbitrary<string>): fc.Arbitrary<string> => fc.oneof(fc.constant(''), fc.constant(''), text);

/** The parts that bodies are made of. */
interface Parts {
  readonly names: fc.Arbitrary<string>;
  readonly words: fc.Arbitrary<string>;
  /** Insides of texts. */
  readonly insides: fc.Arbitrary<string>;
  readonly scalars: fc.Arbitrary<string>;
  readonly gaps: fc.Arbitrary<string>;
}

const LONG = fc
  .tuple(fc.constantFrom<string>('a', 'word ', 'é', 'line\\n', '\\u00e9', '\\\\'), fc.integer({ min: 10, max: 400 }))
  .map(([part, times]) => part.repeat(times));
const TAME: Parts = {
  names: oneOf(`role content type text name tool_calls id function arguments index input prompt instructions
    max_tokens max_completion_tokens n best_of stream stream_options include_usage temperature top_p presence_penalty
    frequency_penalty user stop tool_choice plugins web_search_options search_parameters enable_search mode metadata
    response_format json_schema parameters properties data source service_tier speed detail x y z tool_call_id refusal`),
  words: oneOf('user system assistant tool text function gpt-4o custom auto web_search off flex message'),
  insides: fc.oneof(
    fc.constantFrom(
      '',
      '\\n',
      '\\"',
      '\\\\',
      '\\\\\\"',
      '\\u00e9',
      '\\u20ac',
      '\\ud83d\\ude00',
      'ä',
      '€',
      '😀',
      'x\\/y',
    ),
    fc.string({ maxLength: 8 }).map((text) => JSON.stringify(text).slice(1, -1)),
    LONG,
  ),
  scalars: oneOf('true false null 0 1 2 -1 3.5 1e3 0.1 -0 2.5E-2 12345678901234567890'),
  gaps: fc.constantFrom('', '', '', ' ', '\n  ', '\r\n\t'),
};
const WILD: Parts = {
  names: fc.oneof(
    TAME.names,
    oneOf(`model messages tools file_id file_ids container image_url audio_url url file constructor prototype __proto__
      store Model MESSAGES Max_Tokens toString \\u006dodel \\u006dessages na\\u0000me größe file_\\u0069d Container
      \\ud83d\\ude00`),
  ),
  words: fc.oneof(
    TAME.words,
    oneOf(
      `image_url input_audio file namespace data:image/png;base64,AAAA https://example.com/a.png AAAABBBB fast us\\u0065r`,
    ),
  ),
  insides: fc.oneof(
    TAME.insides,
    fc.constantFrom('\\ud83d', '\\ude00', '\\x', '\\u00g0', '\n', '\t', '\u0001', '\\', 'proto', '\\b\\f\\r\\t'),
  ),
  scalars: fc.oneof(
    TAME.scalars,
    oneOf('1e400 128 129 01 1. tru NaN'),
    fc.integer({ min: 60, max: 70 }).map((digits) => '1'.repeat(digits)),
  ),
  gaps: fc.oneof(TAME.gaps, fc.constant('\u00a0')),
};

const mostly = (tame: fc.Arbitrary<string>, wild: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof({ weight: 15, arbitrary: tame }, { weight: 1, arbitrary: wild });
/** With something odd here or there. */
const NEARLY_TAME: Parts = {
  names: mostly(TAME.names, WILD.names),
  words: mostly(TAME.words, WILD.words),
  insides: mostly(TAME.insides, WILD.insides),
  scalars: mostly(TAME.scalars, WILD.scalars),
  gaps: TAME.gaps,
};

function bodiesOf({ names, words, insides, scalars, gaps }: Parts): fc.Arbitrary<string> {
  const strings = fc.array(insides, { maxLength: 3 }).map((parts) => `"${parts.join('')}"`);
  const quoted = words.map((word) => `"${word}"`);
  const leaves = fc.oneof(strings, quoted, scalars);
  const { value: values, object: objects } = fc.letrec<{ value: string; object: string }>((tie) => ({
    value: fc.oneof({ maxDepth: 5 }, leaves, listsOf(tie('value'), gaps), tie('object')),
    object: fc
      .tuple(fc.array(fc.tuple(names, tie('value')), { maxLength: 4 }), gaps)
      .map(([all, gap]) => `{${gap}${all.map(([name, value]) => `"${name}"${gap}:${gap}${value}`).join(`,${gap}`)}}`),
  }));
  const anyMember = fc.tuple(names, values).map(([name, value]) => `"${name}":${value}`);
  const types = fc.oneof(quoted, leaves);
  const parts = objectOf(member('type', types), maybe(member('text', strings)), maybe(anyMember));
  const messages = objectOf(
    member('role', types),
    member('content', fc.oneof(strings, listsOf(parts, gaps), values)),
    maybe(anyMember),
  );
  const tools = objectOf(member('type', quoted), maybe(member('function', objects)), maybe(member('tools', values)));
  const settings = fc.oneof(
    anyMember,
    fc.tuple(names, scalars).map(([name, value]) => `"${name}":${value}`),
    member('stream', oneOf('true false null 1')),
    member('stream_options', oneOf('{} null {"include_usage":true} {"include_usage":1} []')),
    member('max_tokens', oneOf('0 1 100 1e3 1.5 null "1" -1 99999999999')),
    member('tools', listsOf(tools, gaps)),
    member('tools', fc.oneof(listsOf(objects, gaps), values)),
  );
  const models = fc.constantFrom('"m"', '"m"', '"gpt-4o"', '"ä"', '"a\\u0062"', '""', 'null', `"${'m'.repeat(300)}"`);
  const inputs = fc.oneof(
    member('messages', listsOf(messages, gaps, 1)),
    member('messages', listsOf(messages, gaps, 1)),
    member('messages', listsOf(messages, gaps, 1)),
    member('messages', values),
    member('prompt', values),
    member('input', values),
  );
  return fc
    .tuple(
      member('model', models),
      inputs,
      fc.uniqueArray(settings, { maxLength: 3, selector: (text) => text.split(':')[0] }),
      gaps,
    )
    .map(([model, input, more, gap]) => `{${gap}${[...more, model, input].join(`,${gap}`)}${gap}}${gap}`);
}

const BODIES = fc.oneof(
  bodiesOf(TAME),
  bodiesOf(NEARLY_TAME),
  bodiesOf(NEARLY_TAME),
  bodiesOf(WILD),
  fc.tuple(bodiesOf(TAME), fc.constantFrom('}', ',', '\ufeff', '{}')).map(([body, end]) => body + end),
);
/** Bodies with a byte that is another, too much, missing, or the last. */
const MUTATED = fc
  .tuple(BODIES, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.constantFrom('put', 'insert', 'drop', 'cut'))
  .map(([text, place, byte, how]) => {
    const bytes = Buffer.from(text);
    const at = place % bytes.length;
    if (how === 'put') bytes[at] = byte;
    if (how === 'insert') return Buffer.concat([bytes.subarray(0, at), Buffer.from([byte]), bytes.subarray(at)]);
    if (how === 'drop') return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
    return how === 'cut' ? bytes.subarray(0, at) : bytes;
  });

describe('a scanned request', () => {
  it('is read as the parsed one is: the same facts, places, estimates and refusals', async () => {
    const bodies = fc.oneof(
      BODIES.map((text) => Buffer.from(text)),
      MUTATED,
    );
    let scanned = 0;
    let all = 0;
    await fc.assert(
      fc.asyncProperty(bodies, fc.constantFrom(...OPERATIONS), fc.nat(3), async (body, operation, offset) => {
        // Wherever it begins in memory.
        const bytes = Buffer.concat([Buffer.alloc(offset), body]).subarray(offset);
        await assertSame(operation, bytes);
        all += 1;
        if (scanRequest(bytes, REQUEST_BOUNDS, ACTED_ON) !== undefined) scanned += 1;
      }),
      runs(250),
    );
    assert.ok(scanned > all / 50, `${scanned} of ${all} were scanned`);
  });

  it('meets each bound where the parsed one does', async () => {
    const bounds = { ...jsonBounds(40, 400).request, maxDepth: 5 };
    for (let count = 0; count < 60; count += 1) {
      for (const more of [
        `"a":[${Array(count).fill('1').join()}]`,
        `"a":{${Array.from({ length: count }, (_, at) => `"k${at}":1`).join()}}`,
        Array.from({ length: count + 1 }, (_, at) => `"m${at}":1`).join(),
        `"a":${'['.repeat(count)}${']'.repeat(count)}`,
        `"a":"${'x'.repeat(count + 320)}"`,
      ]) {
        const text = `{"model":"m","messages":[{"role":"user","content":"x"}],${more}}`;
        await assertSame('chat.completions', Buffer.from(text), bounds);
      }
    }
  });

  it('knows a text of any length from one that is broken anywhere, wherever it begins in memory', async () => {
    const around = (text: string): string => `{"model":"m","messages":[{"role":"user","content":"${text}"}]}`;
    for (const odd of ['\\n', '\\"', '\\\\', 'é', '\n', '\u001f', '"', '\\x', '\\u00e9', '\\ud83d\\ude00', '\\ud83d']) {
      for (const length of [0, 24, 25, 40, 600, 1_500]) {
        for (const before of [0, 1, 2, 3, length - 1, length]) {
          if (before < 0) continue;
          const text = around(`${'x'.repeat(before)}${odd}${'y'.repeat(length)}`);
          const offset = before % 4;
          await assertSame(
            'chat.completions',
            Buffer.concat([Buffer.alloc(offset), Buffer.from(text)]).subarray(offset),
          );
        }
      }
    }
  });

  it('has the numbers that the parser reads', () => {
    const digits = (most: number): fc.Arbitrary<string> =>
      fc.array(fc.constantFrom(...'0123456789'), { minLength: 1, maxLength: most }).map((all) => all.join(''));
    const whole = digits(18).map((text) => text.replace(/^0+(?=\d)/, ''));
    const fraction = fc.oneof(
      fc.constant(''),
      digits(25).map((text) => `.${text}`),
    );
    const exponent = fc.constantFrom('', '', '', 'e2', 'E-7', 'e+300');
    const number = fc.tuple(fc.constantFrom('', '', '-'), whole, fraction, exponent).map((parts) => parts.join(''));
    fc.assert(
      fc.property(number, (text) => {
        const bytes = Buffer.from(`{"messages":[{}],"temperature":${text}}`);
        assert.equal(scanRequest(bytes, REQUEST_BOUNDS, ACTED_ON)?.body.temperature, Number(text), text);
      }),
      runs(1_000),
    );
  });

  it('is what ordinary requests are, and no others', () => {
    const messages = [
      { role: 'system', content: 'Größe\n"quoted" \u0001 \\ 😀' },
      { role: 'user', content: [{ type: 'text', text: 'Hello' }] },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'c', content: 'ok' },
    ];
    const base = { model: 'gpt-4o', messages };
    const settings = {
      stream: true,
      stream_options: { include_usage: true },
      temperature: 0.5,
      user: 'ä',
      stop: ['a'],
    };
    const tools = [
      { type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { anyName: {} } } } },
    ];
    const format = {
      type: 'json_schema',
      json_schema: { name: 'n', schema: { type: 'object', properties: { 'Any name': {} } } },
    };
    const ordinary = [
      base,
      { ...base, ...settings },
      { ...base, tools, tool_choice: 'auto', response_format: format, metadata: { Any: 'name' } },
      { model: 'm', prompt: ['a', 'b'] },
      { model: 'm', input: 'text' },
      { model: 'm', input: [[1, 2], [3]] },
    ];
    for (const body of ordinary) {
      assert.ok(isScanned(body), JSON.stringify(body));
      assert.ok(isScanned(JSON.stringify(body, null, 2)));
      const escaped = JSON.stringify(body).replace(
        /[^\x20-\x7e]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
      );
      // Of a text that is acted on, none is written with escapes.
      assert.ok(isScanned(escaped));
    }
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AAAA' } };
    const odd: (object | string)[] = [
      { ...base, messages: [{ role: 'user', content: [image] }] },
      { ...base, messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: 'f' } }] }] },
      { ...base, messages: [{ role: 'user', content: [{ image_url: 'https://example.com' }] }] },
      { ...base, file_ids: ['f'] },
      { ...base, x: { container: 'c' } },
      { ...base, messages: [] },
      { ...base, Max_Tokens: 1 },
      { ...base, größe: 1 },
      { ...base, x: { constructor: { prototype: 1 } } },
      '{"model":"m","messages":[{"role":"user","content":"a","content":"b"}]}',
      '{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"x":1,"y":2,"x":3}}]}',
      '{"model":"m","model":"n","messages":[{"role":"user","content":"a"}]}',
    ];
    for (const body of odd) assert.ok(!isScanned(body), JSON.stringify(body));
  });
});
