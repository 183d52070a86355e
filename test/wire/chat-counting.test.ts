import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { JsonObject } from '../../src/base/json.js';
import { ChatStream } from '../../src/wire/chat/stream.js';
import type { WatchOptions } from '../../src/wire/watched-stream.js';
import { runs } from '../helpers/depth.js';

const PLAIN: WatchOptions = {
  hideUsage: false,
  awaitsUsage: false,
  showModel: undefined,
  n: 1,
  takes: 'text',
  maxEventBytes: 1_000_000,
};

/** Facts of a stream, and the chunks that it showed. */
function watched(events: readonly string[], takes: WatchOptions['takes'], pieces = 1) {
  const stream = new ChatStream({ ...PLAIN, takes });
  const shown: JsonObject[] = [];
  const bytes = Buffer.from(events.map((event) => `data: ${event}\n\n`).join(''));
  const size = Math.ceil(bytes.length / pieces) || 1;
  for (let at = 0; at < bytes.length; at += size) keep(stream.watchPiece(bytes.subarray(at, at + size)));
  keep(stream.watchEnd());
  const { usage, done, finished, failure, begun } = stream;
  return { facts: { tokens: stream.deliveredTokens(), usage, done, finished, failure, begun }, shown };

  function keep(given: ReturnType<ChatStream['watchPiece']>): void {
    if (given === undefined) return;
    if (typeof given === 'string' || given instanceof Uint8Array) {
      const text = Buffer.from(given).toString();
      for (const event of text.split('\n\n')) if (event !== '') shown.push(JSON.parse(event.slice('data: '.length)));
    } else shown.push(...given);
  }
}

/** A stream read by what its chunks have in common must be what it is when each chunk is parsed. */
function check(events: readonly string[], pieces = 1): void {
  const asText = watched(events, 'text', pieces);
  const asObjects = watched(events, 'objects', pieces);
  assert.deepEqual(asText.facts, asObjects.facts, events.join('\n'));
  assert.deepEqual(asText.shown, asObjects.shown, events.join('\n'));
}

/** A JSON string as other servers write theirs: with the escapes that they need not use. */
const written = fc
  .array(
    fc.constantFrom(
      ...['a', ' ', 'é', '🎉', '\\u0061', '\\u00e9', '\\uD83C\\uDF89', '\\ud83c', '\\udf89', '\\ud83c\\u0061'],
      ...['\\/', '/', '\\n', '\\"', '\\\\', '\\u2028', '\u2028', '\\u0000', '{', '}', ']', ',', ':', 'stop'],
    ),
    { maxLength: 4 },
  )
  .map((parts) => `"${parts.join('')}"`);

const name = fc.constantFrom(
  ...['content', 'reasoning', 'reasoning_content', 'role', 'refusal', 'text', 'id', 'type', 'a_new_name', 'logprobs'],
  ...['annotations', 'finish_reason', 'cont\\u0065nt', 'r\\u006fle', 'finish_r\\u0065ason', '1', '__proto__', 'usage'],
);

const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    written,
    fc.constantFrom('null', '1', 'true', '""', '[]', '{}'),
    fc.array(tie('value'), { maxLength: 2 }).map((items) => `[${items.join(', ')}]`),
    fc.array(fc.tuple(name, tie('value')), { maxLength: 3 }).map(objectText),
  ),
}));

function objectText(members: readonly (readonly [string, string])[]): string {
  return `{${members.map(([one, said]) => `"${one}": ${said}`).join(',')}}`;
}

/** Members of a chunk's first choice, in any order, some of them twice. */
const choice = fc.array(
  fc.tuple(fc.constantFrom('delta', 'delta', 'message', 'text', 'logprobs', 'finish_reason', 'extra', 'index'), value),
  { minLength: 1, maxLength: 4 },
);
const chunk = fc
  .tuple(
    fc.array(choice, { maxLength: 2 }),
    fc.array(fc.tuple(fc.constantFrom('id', 'choices', 'obfuscation'), value), { maxLength: 2 }),
    fc.boolean(),
  )
  .map(([choices, more, isFirst]) => {
    const member = ['choices', `[${choices.map(objectText).join(',')}]`] as const;
    return objectText(isFirst ? [member, ...more] : [...more, member]);
  });

/** A stream of chunks that are alike but for their strings, as those of most servers are. */
const alike = fc
  .tuple(chunk, fc.array(fc.array(written, { maxLength: 6 }), { minLength: 1, maxLength: 8 }))
  .map(([first, texts]) => [
    first,
    ...texts.map((others) => {
      let at = 0;
      // Strings that are no names take turns with others.
      return first.replace(/"(?:[^"\\]|\\.)*"(\s*:)?/g, (text, colon) => {
        if (colon !== undefined || at >= others.length) return text;
        at += 1;
        return others[at - 1] ?? text;
      });
    }),
  ]);

describe('chunks that are read by what they have in common', () => {
  it('count and show as if each were parsed, whatever their members, order and escapes', () => {
    fc.assert(
      fc.property(fc.array(alike, { minLength: 1, maxLength: 3 }), fc.nat(3), (streams, pieces) =>
        check(streams.flat(), pieces + 1),
      ),
      runs(1_000),
    );
  });

  const one = (members: string, more = ''): string => `{"id":"c","choices":[{"index":0,${members}}]${more}}`;
  const deltas = (...given: readonly string[]): string[] => given.map((delta) => one(`"delta":${delta}`));
  const streams: Readonly<Record<string, readonly string[]>> = {
    'a text told twice, once other thoughts have come': deltas(
      '{"reasoning":"a","reasoning_content":"b"}',
      '{"reasoning":"same","reasoning_content":"same"}',
      '{"reasoning":"s\\u0061me","reasoning_content":"same"}',
    ),
    'a member that comes twice': deltas('{"content":"","content":"a"}', '{"content":"long words","content":"b"}'),
    'a member that is null at last': deltas('{"content":"a","content":null}', '{"content":"b","content":null}'),
    'choices that come twice': [
      '{"choices":[{"delta":{"content":"a"}}],"choices":[{"delta":{"content":"b"}}]}',
      '{"choices":[{"delta":{"content":"long words"}}],"choices":[{"delta":{"content":"c"}}]}',
    ],
    'a reason under a name with escapes': [
      one('"delta":{"content":"a"},"finish_r\\u0065ason":""'),
      one('"delta":{"content":"b"},"finish_r\\u0065ason":"stop"'),
    ],
    'a role under a name with escapes': deltas(
      '{"r\\u006fle":"","content":"a"}',
      '{"r\\u006fle":"assistant","content":"b"}',
    ),
    'texts beside the delta': [
      one('"delta":{"content":"a"},"stop_string":"","native_token":"x"'),
      one('"delta":{"content":"b"},"stop_string":"END OF TEXT","native_token":"y"'),
    ],
    'tokens of log probabilities that are all the same': [
      one('"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":0,"bytes":null}]}'),
      one('"delta":{"content":"b"},"logprobs":{"content":[{"token":"b","logprob":0,"bytes":null}]}'),
    ],
    'texts in a list that never change': deltas('{"content":["a"]}', '{"content":["a"]}', '{"content":["a"]}'),
    'annotations with words': deltas(
      '{"content":"a","annotations":[{"title":"One"}]}',
      '{"content":"b","annotations":[{"title":"Another title"}]}',
    ),
    'members whose order changes': [
      '{"choices":[{"delta":{"content":"a"},"index":0}],"id":"c"}',
      '{"id":"c","choices":[{"index":0,"delta":{"content":"b"}}]}',
      '{"choices":[{"delta":{"content":"c"},"index":0}],"id":"c"}',
    ],
    'a text that grows, after pieces': deltas(
      ...[
        '{"content":"a"}',
        '{"content":"b"}',
        '{"content":"c"}',
        '{"content":"cd"}',
        '{"content":"cde"}',
        '{"content":"cdef"}',
      ],
    ),
    'usage within the choices of each chunk': [1, 1, 2].map((tokens) =>
      one(`"delta":{"content":"words"},"usage":{"prompt_tokens":1,"completion_tokens":${tokens}}`),
    ),
    'empty choices among others': [
      one('"delta":{"content":"a"}'),
      '{"id":"c","choices":[]}',
      one('"delta":{"content":"b"}'),
    ],
    'a vendor’s own names': deltas('{"x_thought":{"deep":{"words":"a"}}}', '{"x_thought":{"deep":{"words":"bcd"}}}'),
    'halves of surrogates': deltas(
      '{"content":"a"}',
      '{"content":"\\ud83c"}',
      '{"content":"\\udf89\\uD83C\\uDF89\\uD83C\\u0061"}',
    ),
    'a delta that is a text': [one('"delta":"a"'), one('"delta":"bcd"')],
    'padding of another length': [
      one('"delta":{"content":"a"}', ',"obfuscation":"xxxxxxxx"'),
      one('"delta":{"content":"b"}', ',"obfuscation":"x"'),
    ],
  };
  for (const [name, events] of Object.entries(streams)) {
    it(`count and show as if each were parsed: ${name}`, () => {
      check(events);
      check(events, events.length);
      check([...events, ...events, ...events]);
    });
  }
});
