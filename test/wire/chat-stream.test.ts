import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import { ChatStream } from '../../src/wire/chat/stream.js';
import { answerTextBytes } from '../../src/wire/said-text.js';
import type { StreamChunk, WatchOptions } from '../../src/wire/watched-stream.js';
import { runs } from '../helpers/depth.js';

const PLAIN: WatchOptions = {
  hideUsage: false,
  awaitsUsage: false,
  showModel: undefined,
  n: 1,
  takes: 'text',
  maxEventBytes: 1_000_000,
};

/** Text or bytes of a stream that gives no objects. */
function bytesOf(shown: StreamChunk): Buffer {
  assert.ok(typeof shown === 'string' || shown instanceof Uint8Array);
  return Buffer.from(shown);
}
const USAGE = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };

function chunk(delta: object, finish: string | null = null, more: object = {}): object {
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    model: 'up-1',
    choices: [{ index: 0, delta, finish_reason: finish }],
    ...more,
  };
}

const GOOD = [
  chunk({ role: 'assistant', content: '' }, null, { usage: null }),
  chunk({ content: 'Grüße, ' }, null, { usage: null }),
  chunk({ content: '"error" [DONE] 🎉\n\ndata: {' }, null, { usage: null }),
  chunk({}, 'stop', { usage: null }),
  { id: 'chatcmpl-1', object: 'chat.completion.chunk', model: 'up-1', choices: [], usage: USAGE },
];

/** Feeds the bytes cut at the given places; gives what came out, joined. */
function watch(bytes: Buffer, cuts: readonly number[], options: Partial<WatchOptions> = {}) {
  const stream = new ChatStream({ ...PLAIN, ...options });
  const pieces: Buffer[] = [];
  const places = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
  places.slice(1).forEach((end, at) => {
    const shown = stream.watchPiece(bytes.subarray(places[at], end));
    if (shown !== undefined) pieces.push(bytesOf(shown));
  });
  const last = stream.watchEnd();
  if (last !== undefined) pieces.push(bytesOf(last));
  return { stream, shown: Buffer.concat(pieces).toString() };
}

function dataOf(text: string): unknown[] {
  const events: unknown[] = [];
  const parser = createParser({ onEvent: ({ data }) => events.push(JSON.parse(data)) });
  // A line feed after a last carriage return belongs to it: only then is the event over.
  parser.feed(`${text}\n`);
  return events;
}

/** Characters of text a delta bears. */
function textIn(delta: object): number {
  return [...JSON.stringify(delta).matchAll(/"(?:content|reasoning_content|arguments)":"((?:[^"\\]|\\.)*)"/g)].reduce(
    (sum, [, text = '']) => sum + text.length,
    0,
  );
}

function framed(events: readonly object[], ending = '\n'): Buffer {
  const text = events.map((event) => `data: ${JSON.stringify(event)}${ending}${ending}`).join('');
  return Buffer.from(`${text}data: [DONE]${ending}${ending}`);
}

describe('watchChatStream', () => {
  it('shows the same events, sees the same usage, however the bytes are cut and whatever ends the lines', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(1_000)),
        fc.constantFrom('\n', '\r\n', '\r'),
        fc.boolean(),
        (cuts, ending, hideUsage) => {
          const bytes = framed(GOOD, ending);
          const { stream, shown } = watch(
            bytes,
            cuts.map((cut) => cut % bytes.length),
            { hideUsage },
          );
          const unasked = GOOD.slice(0, -1).map((event) => ({ ...event, usage: undefined }));
          assert.deepEqual(dataOf(shown), hideUsage ? JSON.parse(JSON.stringify(unasked)) : GOOD);
          assert.equal(stream.done, true);
          assert.equal(stream.finished, true);
          assert.equal(stream.failure, undefined);
          assert.deepEqual(stream.usage, {
            inputTokens: 5,
            cachedInputTokens: undefined,
            cacheWriteTokens: undefined,
            cacheWriteLongTokens: undefined,
            inputAudioTokens: undefined,
            inputImageTokens: undefined,
            outputTokens: 2,
            reasoningTokens: undefined,
            outputAudioTokens: undefined,
          });
          assert.ok(!shown.includes('data: [DONE]'), 'the end is held back until the call is settled');
        },
      ),
      runs(200),
    );
  });

  it('passes bytes on as they are', () => {
    const bytes = framed(GOOD);
    const { shown } = watch(bytes, []);
    assert.equal(shown, bytes.toString().replace('data: [DONE]\n\n', ''));
  });

  it('gives a view that asks for objects each chunk parsed, wherever the bytes are cut, and counts its text', () => {
    const bytes = framed(GOOD);
    const whole = watch(bytes, [], { showModel: 'mine' }).stream;
    for (let cut = 0; cut <= bytes.length; cut += 7) {
      const stream = new ChatStream({ ...PLAIN, takes: 'objects', showModel: 'mine' });
      const given: object[] = [];
      for (const piece of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        const shown = stream.watchPiece(piece) ?? [];
        assert.ok(Array.isArray(shown));
        given.push(...shown);
      }
      assert.deepEqual(
        given,
        GOOD.map((one) => ({ ...one, model: 'mine' })),
        `cut at ${cut}`,
      );
      assert.ok(stream.done && stream.finished);
      assert.deepEqual(stream.usage, whole.usage);
      assert.equal(stream.deliveredTokens(), whole.deliveredTokens());
    }
    const [first] = GOOD;
    assert.ok(first !== undefined);
    for (const takes of ['chunks', 'objects'] as const)
      assert.deepEqual(new ChatStream({ ...PLAIN, takes }).watchPiece(JSON.parse(JSON.stringify(first))), [first]);
  });

  it('never shows half an event', () => {
    const bytes = framed(GOOD);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      const stream = new ChatStream(PLAIN);
      const shown = stream.watchPiece(bytes.subarray(0, cut));
      if (shown !== undefined) assert.ok(bytesOf(shown).toString().endsWith('}\n\n'), `cut at ${cut}`);
    }
  });

  it('writes the public model id into every chunk and touches nothing else', () => {
    const { shown } = watch(framed(GOOD), [50, 300], { showModel: 'house-model' });
    assert.deepEqual(
      dataOf(shown),
      GOOD.map((event) => ({ ...event, model: 'house-model' })),
    );
  });

  it('tells chunks that are like earlier ones from those that only look it: as if each were parsed', () => {
    const text = fc.string({
      unit: fc.constantFrom(...'aé🎉"\\\n\t {}[]:,', '"content":"', '"model":"up-1"', '\ud83c'),
    });
    const delta = fc.oneof(
      fc.record({ content: text }),
      fc.record({ reasoning_content: text }),
      text.map((piece) => ({ tool_calls: [{ index: 0, function: { arguments: piece } }] })),
    );
    const event = fc.record({
      index: fc.nat(2),
      delta,
      padding: fc.option(text, { nil: undefined }),
      usage: fc.constantFrom(undefined, null, USAGE),
      finish: fc.constantFrom(null, null, null, 'stop'),
    });
    fc.assert(
      fc.property(
        fc.array(event, { minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(5_000)),
        fc.constantFrom(undefined, 'house-model'),
        (events, cuts, showModel) => {
          const chunks = events.map(({ index, delta: said, padding, usage, finish }) => ({
            ...{ model: 'up-1', choices: [{ index, delta: said, finish_reason: finish }] },
            ...(usage === undefined ? {} : { usage }),
            ...(padding === undefined ? {} : { obfuscation: padding }),
          }));
          const bytes = framed(chunks);
          const places = cuts.map((cut) => cut % bytes.length);
          const { stream, shown } = watch(bytes, places, { showModel, n: 3 });
          assert.deepEqual(
            dataOf(shown),
            JSON.parse(JSON.stringify(chunks.map((one) => (showModel ? { ...one, model: showModel } : one)))),
          );
          if (showModel === undefined) assert.equal(shown, bytes.toString().replace(/data: \[DONE\]\n\n$/, ''));
          const hasUsage = events.some(({ usage }) => usage === USAGE);
          assert.equal(stream.usage !== undefined, hasUsage);
          const ended = new Set(events.filter(({ finish }) => finish !== null).map(({ index }) => index));
          assert.equal(stream.finished, ended.size === 3);
          assert.ok(stream.deliveredTokens() >= events.filter(({ delta: said }) => textIn(said) > 0).length);
        },
      ),
      runs(300),
    );
  });

  it('refuses what JSON.parse refuses, also where the chunk before was good and all but the text is the same', () => {
    const event = (quoted: string): string => `data: {"model":"up-1","choices":[{"delta":{"content":${quoted}}}]}\n\n`;
    const piece = fc.constantFrom('a', '\\', '\\n', '\\u00e9', '\\u00', '\\x', '"', '\\"', '\t', '}');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 5 }), (pieces) => {
        const quoted = `"${pieces.join('')}"`;
        const { stream } = watch(Buffer.from(event('"good"') + event(quoted)), []);
        let parses = true;
        try {
          JSON.parse(event(quoted).slice('data: '.length));
        } catch {
          parses = false;
        }
        assert.equal(stream.failure === undefined, parses, quoted);
      }),
      runs(500),
    );
  });

  it('takes the last of several usages, and usage that comes after the end', () => {
    const twice = [
      chunk({ content: 'a' }, null, { usage: { prompt_tokens: 1, completion_tokens: 1 } }),
      ...GOOD.slice(3),
    ];
    assert.equal(watch(framed(twice), []).stream.usage?.outputTokens, 2);
    const late = Buffer.concat([framed(GOOD.slice(0, 4)), Buffer.from(`data: ${JSON.stringify(GOOD[4])}\n\n`)]);
    assert.equal(watch(late, []).stream.usage?.outputTokens, 2);
  });

  it('does not believe impossible usage, and does believe an explicit zero', () => {
    for (const prompt_tokens of [-1, 0.5, 1e300, '5']) {
      const { stream } = watch(framed([{ choices: [], usage: { prompt_tokens, completion_tokens: 1 } }]), []);
      assert.equal(stream.usage?.isDoubtful, true, String(prompt_tokens));
    }
    const { stream } = watch(framed([{ choices: [], usage: { prompt_tokens: 0, completion_tokens: 0 } }]), []);
    assert.equal(stream.usage?.inputTokens, 0);
  });

  it('stops at an error event and tells it, keeping what came before', () => {
    const error = { message: 'boom', type: 'server_error', param: null, code: null };
    const { stream, shown } = watch(framed([GOOD[0] ?? {}, { error }, GOOD[1] ?? {}]), []);
    assert.deepEqual(dataOf(shown), [GOOD[0]]);
    assert.equal(stream.failure?.kind, 'reported');
    assert.equal(stream.finished, false);
  });

  it('is finished when each answer has its reason: one that repeats its own does not speak for another', () => {
    const finish = (index: number): object => ({ id: 'c', choices: [{ index, delta: {}, finish_reason: 'stop' }] });
    const seen = (...indexes: number[]): boolean => {
      const bytes = indexes.map((index) => `data: ${JSON.stringify(finish(index))}\n\n`).join('');
      return watch(Buffer.from(bytes), [], { n: 2 }).stream.finished;
    };
    assert.equal(seen(0, 0), false);
    assert.equal(seen(1), false);
    assert.equal(seen(0, 1), true);
  });

  it('stops at what is not JSON', () => {
    const { stream, shown } = watch(Buffer.from(`data: ${JSON.stringify(GOOD[0])}\n\ndata: {"choices":[\n\n`), []);
    assert.deepEqual(dataOf(shown), [GOOD[0]]);
    assert.equal(stream.failure?.kind, 'malformed');
  });

  it('refuses an event without end', () => {
    const { stream } = watch(Buffer.alloc(2_000, 0x61), [500, 1_000], { maxEventBytes: 1_000 });
    assert.equal(stream.failure?.kind, 'malformed');
  });

  it('watches the whole events that come before one without end', () => {
    const usage = `data: ${JSON.stringify(GOOD[4])}\n\n`;
    const { stream, shown } = watch(
      Buffer.from(`data: ${JSON.stringify(GOOD[1])}\n\n${usage}${'a'.repeat(2_000)}`),
      [],
      {
        maxEventBytes: 1_000,
        hideUsage: true,
        showModel: 'house',
      },
    );
    assert.deepEqual(dataOf(shown), [{ ...chunk({ content: 'Grüße, ' }), model: 'house' }]);
    assert.equal(stream.usage?.outputTokens, 2);
    assert.equal(stream.failure?.kind, 'malformed');
  });

  it('drops comments and the lines that break SDKs', () => {
    const { shown } = watch(Buffer.from(`: ping\n\nid: 7\nevent: x\ndata: ${JSON.stringify(GOOD[1])}\n\n`), []);
    assert.equal(shown, `data: ${JSON.stringify(GOOD[1])}\n\n`);
  });

  it('shows an event of several data lines in one', () => {
    const text =
      'event: chunk\ndata: {"id":"c","model":"up-1",\ndata: "choices":[{"index":0,"delta":{"content":"a"}}]}\n\n';
    const said = { id: 'c', model: 'up-1', choices: [{ index: 0, delta: { content: 'a' } }] };
    for (const [showModel, model] of [
      [undefined, 'up-1'],
      ['house', 'house'],
    ] as const) {
      const { shown } = watch(Buffer.from(text), [], { showModel });
      assert.match(shown, /^data: [^\n]+\n\n$/);
      assert.deepEqual(dataOf(shown), [{ ...said, model }]);
    }
  });

  it('keeps comments to itself where the model has another name', () => {
    const text = `: upstream up-1\n\ndata: ${JSON.stringify(GOOD[1])}\n\n`;
    assert.ok(!watch(Buffer.from(text), [], { showModel: 'house' }).shown.includes('up-1'));
  });

  it('reads a last event that lacks its blank line', () => {
    const { stream, shown } = watch(Buffer.from(`data: ${JSON.stringify(GOOD[3])}`), [10]);
    assert.deepEqual(dataOf(shown), [GOOD[3]]);
    assert.equal(stream.finished, true);
  });

  it('refuses bytes that are no UTF-8 in a chunk like those before it, wherever it is cut', () => {
    const bytesOfOne = (content: string): Buffer =>
      Buffer.from(`data: ${JSON.stringify(chunk({ content }))}\n\n`, 'latin1');
    const words = Buffer.concat(['One', ' two', ' three', ' four'].map(bytesOfOne));
    const bad = bytesOfOne(' \xff\xfe');
    for (const cuts of [[], [words.length], [words.length + 20], [words.length - 20, words.length + 60]]) {
      const { stream, shown } = watch(Buffer.concat([words, bad]), cuts);
      assert.deepEqual(stream.failure, { kind: 'malformed' }, String(cuts));
      assert.equal(dataOf(shown).length, 4);
    }
  });

  it('takes an error that is null for none, and hides it, in bytes and in objects', () => {
    const chunks = GOOD.map((one) => ({ ...one, error: null }));
    const { stream, shown } = watch(framed(chunks), [10, 200]);
    assert.deepEqual(dataOf(shown), GOOD);
    assert.deepEqual([stream.failure, stream.finished], [undefined, true]);
    for (const takes of ['text', 'objects'] as const) {
      const objects = new ChatStream({ ...PLAIN, takes });
      const seen = chunks.flatMap((one): readonly unknown[] => {
        const piece = objects.watchPiece(JSON.parse(JSON.stringify(one)));
        if (typeof piece === 'string') return dataOf(piece);
        return piece === undefined || piece instanceof Uint8Array ? [] : piece;
      });
      assert.deepEqual(seen, GOOD);
      assert.deepEqual([objects.failure, objects.finished], [undefined, true]);
    }
  });

  it('counts no less than was delivered: a token an event, and a token for three bytes', () => {
    const words = Array.from({ length: 40 }, () => chunk({ content: 'a' }));
    assert.equal(watch(framed(words), []).stream.deliveredTokens(), 40);
    const text = 'Съешь ещё этих мягких французских булок, да выпей чаю.';
    const { stream } = watch(framed([chunk({ content: text })]), []);
    assert.equal(stream.deliveredTokens(), Math.ceil(Buffer.byteLength(text) / 3));
    const tool = chunk({ tool_calls: [{ index: 0, function: { arguments: '{"city":"Paris"}' } }] });
    assert.ok(watch(framed([tool]), []).stream.deliveredTokens() >= 5);
  });

  it('K15 counts what the JSON says, whatever its blanks and under whatever name, once, and no padding', () => {
    const deltas: readonly object[] = [
      { content: 'wordwords ' },
      { reasoning: 'wordwords ' },
      { thinking: 'wordwords ' },
      { a_name_that_nobody_knows: 'wordwords ' },
      { content: [{ type: 'text', text: 'wordwords ' }] },
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'wordwords ' }] }] },
      { tool_calls: [{ index: 0, function: { arguments: 'wordwords ' } }] },
      { reasoning: 'wordwords ', reasoning_details: [{ type: 'reasoning.text', text: 'wordwords ' }] },
    ];
    for (const delta of deltas) {
      for (const blanks of [undefined, 1]) {
        for (const takes of ['text', 'objects'] as const) {
          const events = Array.from({ length: 300 }, () => chunk(delta, null, { obfuscation: 'x'.repeat(90) }));
          const text = events
            .map((event) => `data: ${JSON.stringify(event, null, blanks).replaceAll('\n', ' ')}\n\n`)
            .join('');
          const stream = new ChatStream({ ...PLAIN, takes });
          stream.watchPiece(Buffer.from(text));
          assert.equal(stream.deliveredTokens(), 1_000, JSON.stringify({ delta, blanks, takes }));
        }
      }
    }
    const legacy = Array.from({ length: 300 }, () => ({
      object: 'text_completion',
      choices: [{ index: 0, text: 'wordwords ' }],
    }));
    assert.equal(watch(framed(legacy), []).stream.deliveredTokens(), 1_000);
    const marks = chunk({
      role: 'assistant',
      content: '',
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'f' } }],
    });
    assert.equal(watch(framed([marks]), []).stream.deliveredTokens(), 0);
  });

  it('counts a text once whose chunks each repeat it so far', () => {
    const said = 'Words of an answer that is told anew with each of its chunks. ';
    const events = Array.from({ length: 100 }, (_, at) => chunk({ content: said.repeat(at + 1) }));
    assert.equal(watch(framed(events), []).stream.deliveredTokens(), Math.ceil((said.length * 100) / 3));
    const twice = events.flatMap((event, at) => (at % 10 === 9 ? [event, event] : [event]));
    assert.equal(watch(framed(twice), []).stream.deliveredTokens(), Math.ceil((said.length * 100) / 3));
    const russian = Array.from({ length: 10 }, (_, at) => chunk({ content: 'Слова '.repeat(at + 1) }));
    assert.equal(watch(framed(russian), []).stream.deliveredTokens(), Math.ceil((11 * 10) / 3));
  });

  it('counts no less than was delivered after each of many pieces that are alike, whatever their length', () => {
    const sizes: readonly (readonly number[])[] = [
      [1],
      [8],
      [12],
      [60],
      [4_000],
      // An upstream that writes more at once when it lags behind.
      [16, 32, 64, ...Array.from({ length: 50 }, () => 64)],
    ];
    for (const given of sizes) {
      for (const takes of ['text', 'objects'] as const) {
        const stream = new ChatStream({ ...PLAIN, takes });
        let bytes = 0;
        for (let at = 0; at < 60; at += 1) {
          const content = ' abc'.repeat(given[Math.min(at, given.length - 1)] ?? 0);
          stream.watchPiece(Buffer.from(`data: ${JSON.stringify(chunk({ content }))}\n\n`));
          bytes += content.length;
          const isDoubtful = given.length > 1 && at < 5;
          if (!isDoubtful) assert.ok(stream.deliveredTokens() >= bytes / 3, `${given[0]} ${takes}, ${at} pieces`);
        }
        assert.equal(stream.deliveredTokens(), Math.max(60, Math.ceil(bytes / 3)));
      }
    }
  });

  it('counts answers, calls and parts that say the same each for itself', () => {
    const text = 'the same words';
    const call = (index: number): object => ({ index, function: { arguments: text } });
    const part = { type: 'text', text };
    const choices = [0, 1, 2].map((index) => ({ index, delta: { content: text } }));
    for (const event of [
      { object: 'chat.completion.chunk', choices },
      chunk({ tool_calls: [call(0), call(1), call(2)] }),
      chunk({ content: [part, part, part] }),
    ]) {
      const { stream } = watch(framed([event]), []);
      assert.equal(stream.deliveredTokens(), text.length, JSON.stringify(event));
    }
    const whole = [0, 1, 2].map((index) => ({ index, message: { role: 'assistant', content: text } }));
    assert.equal(answerTextBytes(whole), 3 * text.length);
  });

  it('K16 takes a number that was told before the text for the least, and an explicit last 0 for a 0', () => {
    const text = chunk({ content: 'x'.repeat(300) });
    const told = (usage: object): object => ({ choices: [], usage });
    const first = watch(framed([told({ prompt_tokens: 9, completion_tokens: 0 }), text]), []).stream.usage;
    assert.deepEqual([first?.inputTokens, first?.outputTokens, first?.isDoubtful], [9, 100, true]);
    const last = watch(framed([text, told({ prompt_tokens: 9, completion_tokens: 0 })]), []).stream.usage;
    assert.deepEqual([last?.inputTokens, last?.outputTokens, last?.isDoubtful], [9, 0, undefined]);
    const growing = [1, 2, 3].map((count) =>
      chunk({ content: 'y' }, null, { usage: { prompt_tokens: 9, completion_tokens: count } }),
    );
    assert.deepEqual(watch(framed(growing), []).stream.usage?.outputTokens, 3);
    assert.equal(watch(framed(growing), []).stream.usage?.isDoubtful, undefined);
    const cut = growing.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
    const whileMade = watch(Buffer.from(cut), []).stream.usage;
    assert.deepEqual([whileMade?.outputTokens, whileMade?.isDoubtful], [3, true], 'cut before its end');
    const inside = {
      choices: [{ index: 0, delta: {}, finish_reason: 'stop', usage: { prompt_tokens: 9, completion_tokens: 4 } }],
    };
    assert.equal(watch(framed([text, inside]), []).stream.usage?.outputTokens, 4);
  });

  it('shows the roles of all choices where usage stands beside them', () => {
    const role = (index: number): object => ({
      choices: [{ index, delta: { role: 'assistant', content: '' }, finish_reason: null }],
      usage: { prompt_tokens: 9, completion_tokens: 0 },
    });
    const { shown } = watch(framed([role(0), role(1)]), [], { n: 2, hideUsage: true });
    const withoutUsage = [role(0), role(1)].map((event) => ({ ...event, usage: undefined }));
    assert.deepEqual(dataOf(shown), JSON.parse(JSON.stringify(withoutUsage)));
  });

  it('K8 skips events that hold no chunk, and takes [DONE] with blanks for the end', () => {
    const one = `data: ${JSON.stringify(GOOD[1])}\n\n`;
    for (const nothing of [
      'data:\n\n',
      'data: \n\n',
      'data: null\n\n',
      'data: {}\n\n',
      'data: {"type":"ping"}\n\n',
      'data:  null \n\n',
      'event: ping\ndata: {}\n\n',
      'event: keepalive\ndata: {"type":"ping"}\n\n',
      'event: heartbeat\ndata: 7\n\n',
    ]) {
      for (const end of ['data: [DONE] \n\n', 'data:[DONE]\n\n', 'data: [DONE]   \r\n\r\n']) {
        const { stream, shown } = watch(Buffer.from(nothing + one + nothing + one + nothing + end), []);
        assert.deepEqual([stream.failure, stream.done, shown], [undefined, true, one + one], nothing + end);
      }
    }
  });

  it('shows nothing after [DONE]', () => {
    const one = `data: ${JSON.stringify(GOOD[1])}\n\n`;
    for (const before of [one, one + one + one]) {
      const { shown, stream } = watch(Buffer.from(`${before}data: [DONE]\n\n${one}`), []);
      assert.equal(shown, before);
      assert.ok(stream.done);
    }
  });

  it('K9 is finished by a clean end once each answer has its reason, told usage or not', () => {
    const events = [GOOD[1], GOOD[3]].map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
    const stream = new ChatStream({ ...PLAIN, awaitsUsage: true });
    stream.watchPiece(Buffer.from(events));
    assert.equal(stream.finished, false);
    stream.watchEnd();
    assert.equal(stream.finished, true);
    assert.equal(stream.lastChunk?.id, 'chatcmpl-1');
    const cut = new ChatStream({ ...PLAIN, awaitsUsage: true });
    cut.watchPiece(Buffer.from(events.slice(0, 200)));
    cut.watchEnd();
    assert.equal(cut.finished, false);
  });

  it('K12 takes for an error whatever says that it is one', () => {
    const errors = [
      'event: error\ndata: {"code":400,"details":"too long"}\n\n',
      'event: error\ndata: out of memory\n\n',
      'data: {"object":"error","message":"too long","type":"invalid_request_error"}\n\n',
      'data: {"message":"too long","code":400}\n\n',
      'data: {"detail":"too long"}\n\n',
      'data: {"error":{"message":"too long"},"choices":[]}\n\n',
      'error: {"code":400,"message":"too long"}\n\n',
    ];
    for (const error of errors) {
      for (const before of ['', `data: ${JSON.stringify(GOOD[1])}\n\n`]) {
        const { stream, shown } = watch(Buffer.from(`${before}${error}data: [DONE]\n\n`), []);
        assert.equal(stream.failure?.kind, 'reported', error);
        assert.equal(shown, before);
        assert.ok(!stream.finished);
      }
    }
    // A chunk of a vendor that merely has such members is a chunk.
    assert.equal(
      watch(framed([chunk({ content: 'a' }, null, { code: 0, message: 'ok' })]), []).stream.failure,
      undefined,
    );
  });

  it('hides usage that nobody asked for, also on a chunk with choices', () => {
    const usage = { ...USAGE, cost: 0.1 };
    const events = [
      chunk({ content: 'b' }),
      chunk({}, 'stop'),
      { ...chunk({}), usage },
      { ...chunk({ content: '' }, 'stop'), usage },
    ];
    const { shown, stream } = watch(framed(events), [], { hideUsage: true });
    assert.deepEqual(dataOf(shown), events.slice(0, 2));
    assert.equal(stream.usage?.outputTokens, 2);
    const merged = watch(framed([{ ...chunk({ content: 'a' }, 'stop'), usage }]), [], { hideUsage: true });
    assert.deepEqual(dataOf(merged.shown), [chunk({ content: 'a' }, 'stop')]);
    const object = new ChatStream({ ...PLAIN, takes: 'objects', hideUsage: true });
    assert.deepEqual(object.watchPiece(JSON.parse(JSON.stringify({ ...chunk({ content: 'a' }), usage }))), [
      chunk({ content: 'a' }),
    ]);
    assert.equal(object.watchPiece(JSON.parse(JSON.stringify({ ...chunk({}), usage }))), undefined);
  });

  it('shows the finish reasons of other vendors as what they mean', () => {
    for (const [said, meant] of [
      ['MAX_TOKENS', 'length'],
      ['end_turn', 'stop'],
      ['tool_use', 'tool_calls'],
      ['stop', 'stop'],
      ['unheard_of', 'unheard_of'],
    ] as const) {
      const { shown, stream } = watch(framed([chunk({ content: 'ü' }, said)]), []);
      assert.deepEqual(dataOf(shown), [chunk({ content: 'ü' }, meant)]);
      assert.ok(stream.finished);
    }
  });
});
