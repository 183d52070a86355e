import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ChunkForm, ChunkForms } from '../../src/wire/chat/chunk-template.js';
import { ChatStream } from '../../src/wire/chat/stream.js';
import type { WatchOptions } from '../../src/wire/watched-stream.js';
import { runs } from '../helpers/depth.js';

const PLAIN: WatchOptions = {
  hideUsage: true,
  awaitsUsage: false,
  showModel: undefined,
  n: 1,
  takes: 'text',
  maxEventBytes: 100_000,
};

/**
 * Everything that a client and the ledger get of a stream.
 * @param isReadOver whether the bytes of a piece are others once it was taken. @default false
 */
function watched(
  events: readonly (string | Uint8Array)[],
  options: WatchOptions,
  { isReadOver = false }: { readonly isReadOver?: boolean } = {},
) {
  const stream = new ChatStream(options);
  const shown: Uint8Array[] = [];
  const tokens: number[] = [];
  for (const event of events) {
    const given = Buffer.from(event);
    const piece = stream.watchPiece(given);
    if (isReadOver) given.fill('!');
    assert.ok(piece === undefined || typeof piece === 'string' || piece instanceof Uint8Array);
    shown.push(Buffer.from(piece ?? ''));
    tokens.push(stream.deliveredTokens());
  }
  stream.watchEnd();
  const { done, begun, finished, failure, usage, hasShownUsage, serviceTier, toolCalls, lastChunk } = stream;
  const texts = shown.map((piece) => Buffer.from(piece).toString());
  const told = { failure, usage, hasShownUsage, serviceTier, toolCalls, lastChunk };
  return { shown: texts, tokens, done, begun, finished, ...told };
}

/** The events as pieces that are cut at those places instead. */
function cutAt(events: readonly string[], cuts: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let rest = Buffer.from(events.join(''));
  for (const cut of cuts) {
    if (cut > 0 && cut < rest.length) pieces.push(rest.subarray(0, cut));
    if (cut < rest.length) rest = rest.subarray(cut);
  }
  // Most reads bring one event.
  const first = rest.indexOf('\n\n') + 2;
  for (let at = first === 1 ? rest.length : first, from = 0; from < rest.length; ) {
    pieces.push(rest.subarray(from, at));
    from = at;
    const next = rest.indexOf('\n\n', at);
    at = next === -1 ? rest.length : next + 2;
  }
  return pieces;
}

/** A form by which every event is parsed. */
class NeverLearning extends ChunkForm {
  override add(): void {}
}

const anyOf = <T>(...values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);

const MEMBERS = fc.record(
  {
    id: anyOf<unknown>('chatcmpl-1', 'chatcmpl-2', '', 'é"\\\n', 7, null),
    object: fc.constant('chat.completion.chunk'),
    created: anyOf<unknown>(1, 0, 1_770_950_813, 1_770_950_814, 1.5, -3, 1e21, '1', null),
    model: anyOf('up-1', 'up-2'),
    service_tier: anyOf('default', 'flex', null),
    usage: anyOf<unknown>(null, null, { prompt_tokens: 3, completion_tokens: 4, total_tokens: 7 }),
    eval_count: anyOf(0, 9),
    obfuscation: anyOf('', 'xyz'),
  },
  { requiredKeys: ['object', 'model'] },
);
const TEXT = anyOf('', 'a', 'a', 'ab', 'abc', 'é', '"', '\\', '\u0001', '漢', '\ud83d');
const DELTA = fc.record(
  {
    role: fc.constant('assistant'),
    content: TEXT,
    reasoning_content: TEXT,
    tool_calls: fc
      .record({ id: anyOf('call_1', 'call_2'), arguments: TEXT })
      .map(({ id, arguments: args }) => [{ index: 0, id, type: 'function', function: { name: 'f', arguments: args } }]),
  },
  { requiredKeys: [] },
);
const EVENT = fc
  .tuple(
    MEMBERS,
    DELTA,
    anyOf(null, null, null, 'stop'),
    anyOf(0, 0, 1),
    anyOf('', '', '', 'zero', 'long', 'twice', 'bad'),
  )
  .map(([members, delta, finish, index, fault]) => {
    const choices = [{ index, delta, logprobs: null, finish_reason: finish }];
    const json = JSON.stringify({ ...members, choices });
    switch (fault) {
      case 'zero':
        return json.replace(/"created":(\d)/, '"created":0$1');
      case 'long':
        return json.replace(/"created":(\d)/, '"created":$10000000000000000000');
      case 'twice':
        return json.replace('"model"', '"id":"again","model"');
      case 'bad':
        return json.replace(/"id":"/, '"id":"\\q');
      default:
        return json;
    }
  })
  .map((json) => `data: ${json}\n\n`);

/** Events of a stream in which little changes but the words, or nothing else. */
const WORDS = anyOf('a', 'b', ' words', '', 'é', '"', '漢', '\n');
const chunkOf = (content: string, created: number, obfuscation: string | undefined): string =>
  `data: ${JSON.stringify({
    ...{ id: 'é-1', object: 'chat.completion.chunk', created, model: 'up-1' },
    choices: [{ index: 0, delta: { content }, logprobs: null, finish_reason: null }],
    ...{ usage: null, obfuscation },
  })}\n\n`;
const ALIKE = WORDS.map((content) => chunkOf(content, 1, 'x'));
const CHANGING = fc
  .tuple(WORDS, anyOf(1, 1, 1, 2), anyOf('x', 'x', 'y', undefined))
  .map(([content, created, obfuscation]) => chunkOf(content, created, obfuscation));

describe('a form that streams of the kind have in common', () => {
  it('changes nothing of what a stream shows, counts and says, whatever was learnt from others', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(EVENT, { maxLength: 6 }), { minLength: 2, maxLength: 4 }),
        fc.boolean(),
        fc.boolean(),
        anyOf(undefined, 'shown', 'gezeigt-é'),
        anyOf(1, 2),
        (streams, hideUsage, awaitsUsage, showModel, n) => {
          const form = new ChunkForm();
          const options = { ...PLAIN, hideUsage, awaitsUsage, showModel, n };
          for (const events of streams) {
            assert.deepEqual(watched(events, { ...options, form }), watched(events, options));
          }
        },
      ),
      runs(300),
    );
  });

  it('shows, counts and says what parsing every event does, of bytes that are read over with the next ones', () => {
    fc.assert(
      fc.property(
        fc
          .tuple(
            // So many alike that the stream narrows its template, with pieces of others in between and behind.
            fc.array(fc.oneof({ weight: 40, arbitrary: ALIKE }, { weight: 1, arbitrary: EVENT }), {
              minLength: 15,
              maxLength: 30,
            }),
            fc.array(fc.oneof({ weight: 6, arbitrary: CHANGING }, { weight: 1, arbitrary: EVENT }), { maxLength: 12 }),
          )
          .map((parts) => parts.flat()),
        fc.array(fc.nat(400), { maxLength: 4 }),
        anyOf<WatchOptions['takes']>('text', 'chunks'),
        fc.boolean(),
        anyOf(undefined, 'shown', 'gezeigt-é'),
        (events, cuts, takes, hideUsage, showModel) => {
          const options = { ...PLAIN, takes, hideUsage, showModel };
          const parsed = watched(events, { ...options, form: new NeverLearning() });
          const read = watched(cutAt(events, cuts), options, { isReadOver: true });
          const { tokens: counted, shown: pieces, ...said } = read;
          const { tokens, shown, ...expected } = parsed;
          assert.deepEqual({ ...said, shown: pieces.join('') }, { ...expected, shown: shown.join('') });
          assert.equal(counted.at(-1), tokens.at(-1));
        },
      ),
      runs(300),
    );
  });

  it('spares the next stream the parsing of its text', () => {
    const chunk = (id: string, created: number, content: string): string =>
      `data: ${JSON.stringify({ id, created, model: 'm', choices: [{ index: 0, delta: { content }, finish_reason: null }] })}\n\n`;
    const form = new ChunkForm();
    watched([chunk('first', 1, 'Hello')], { ...PLAIN, form });
    assert.equal(form.templates.length, 1);
    const learnt = form.templates;
    const next = watched(
      ['the', ' words', ' of', ' another'].map((words) => chunk('second', 22, words)),
      { ...PLAIN, form },
    );
    assert.equal(form.templates, learnt);
    assert.deepEqual(next.tokens, [1, 3, 4, 7]);
  });

  it('keeps its templates few and short, those that serve among them, and forms of few models', () => {
    const form = new ChunkForm();
    const text = (words: string): string =>
      `data: {"choices":[{"index":0,"delta":{"content":"${words}"},"finish_reason":null}]}\n\n`;
    watched([text('first')], { ...PLAIN, form });
    const [serving] = form.templates;
    for (let call = 0; call < 50; call += 1) {
      const named = `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_${call}","function":{"name":"f","arguments":""}}]},"finish_reason":null}]}\n\n`;
      watched([named, text('and on')], { ...PLAIN, form });
    }
    assert.ok(form.templates.length <= 6);
    assert.ok(serving !== undefined && form.templates.includes(serving));
    const count = form.templates.length;
    watched([`data: {"x":"${'x'.repeat(5_000)}","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n`], {
      ...PLAIN,
      form,
    });
    assert.equal(form.templates.length, count);
    const forms = new ChunkForms();
    const first = forms.of('first');
    for (let model = 0; model < 64; model += 1) forms.of(`model ${model}`);
    assert.notEqual(forms.of('first'), first);
    assert.equal(forms.of('model 63'), forms.of('model 63'));
  });
});
