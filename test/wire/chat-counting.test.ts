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
});
