import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { JsonObject } from '../../src/base/json.js';
import { failureEvents } from '../../src/wire/responses/events.js';
import { inProgressResponse, responseHead } from '../../src/wire/responses/object.js';
import { PassedStream, type PassedStreamOptions } from '../../src/wire/responses/passed-stream.js';
import { readResponsesRequest } from '../../src/wire/responses/request.js';
import { TranslatedStream } from '../../src/wire/responses/translated-stream.js';
import { readEvents } from './read-events.js';

const HEAD = responseHead('req_1', readResponsesRequest({ model: 'up-1', input: 'Hi' }), 0);
const USAGE = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7, prompt_tokens_details: { cached_tokens: 1 } };
const PLAIN: PassedStreamOptions = { showModel: undefined, maxEventBytes: 100_000 };
const TEXT = 'Grüße, "response" 🎉\n\ndata: {';

function good(): string {
  const encoder = new TranslatedStream(HEAD);
  const delta = { content: TEXT };
  const written =
    encoder.encodeStart() + encoder.encodeChunk({ choices: [{ index: 0, delta, finish_reason: 'stop' }] });
  // Some upstreams write numbers and names as no `JSON.stringify` does: they must stay so.
  return (written + encoder.encodeEnd(USAGE, 0).text).replaceAll('"temperature":1,', '"temperature":1.0, ');
}

const GOOD = good();
const error = (fields: object, name = 'error'): string =>
  `event: ${name}\ndata: ${JSON.stringify({ type: 'error', sequence_number: 2, ...fields })}\n\n`;
const began = (): string => GOOD.slice(0, GOOD.indexOf('event: response.output_item.added'));

/** Feeds the bytes cut at the given places; gives what came out, joined. */
function watch(text: string | Buffer, cuts: readonly number[] = [], options: Partial<PassedStreamOptions> = {}) {
  const bytes = Buffer.from(text);
  const stream = new PassedStream({ ...PLAIN, ...options });
  const places = [0, ...cuts.map((cut) => cut % bytes.length).sort((a, b) => a - b), bytes.length];
  const shown = places.slice(1).flatMap((end, at) => stream.watchPiece(bytes.subarray(places[at], end)) ?? []);
  const last = stream.watchEnd();
  return {
    stream,
    shown: [...shown, ...(last === undefined ? [] : [last])].map((piece) => Buffer.from(piece).toString()).join(''),
  };
}

describe('PassedStream', () => {
  it('passes the bytes on as they came, however they are cut and whatever ends the lines', () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), fc.constantFrom('\n', '\r\n', '\r'), (cuts, ending) => {
        const text = GOOD.replaceAll('\n', ending);
        const { stream, shown } = watch(text, cuts);
        assert.equal(shown.trimEnd(), text.trimEnd());
        assert.deepEqual([stream.begun, stream.finished, stream.done, stream.failure], [true, true, true, undefined]);
        assert.deepEqual(stream.usage, {
          inputTokens: 5,
          cachedInputTokens: 1,
          cacheWriteTokens: 0,
          cacheWriteLongTokens: undefined,
          inputAudioTokens: undefined,
          inputImageTokens: undefined,
          outputTokens: 2,
          reasoningTokens: 0,
          outputAudioTokens: undefined,
        });
        assert.equal(stream.lastSequenceNumber, readEvents(GOOD).length - 1);
        assert.equal(stream.responseId, HEAD.id);
        assert.equal(stream.response?.status, 'completed');
      }),
    );
  });

  it('shows the name of the model that the client knows, and changes nothing else', () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), (cuts) => {
        const { stream, shown } = watch(GOOD, cuts, { showModel: 'mine "ü"' });
        assert.equal(shown, GOOD.replaceAll('"model":"up-1"', '"model":"mine \\"ü\\""'));
        assert.equal(stream.response?.model, 'mine "ü"');
        assert.match(JSON.stringify(stream.response), /Grüße/);
      }),
    );
  });

  it('knows the response as soon as it was created', () => {
    const stream = new PassedStream(PLAIN);
    const [created = ''] = GOOD.split(/(?<=\n\n)/);
    assert.equal(stream.watchPiece(Buffer.from(created.slice(0, -1))), undefined);
    assert.deepEqual([stream.begun, stream.responseId], [false, undefined]);
    assert.equal(String(stream.watchPiece(Buffer.from('\n'))), created);
    assert.deepEqual([stream.begun, stream.responseId, stream.finished], [true, HEAD.id, false]);
    assert.equal(stream.response?.status, 'in_progress');
  });

  it('counts what was delivered', () => {
    const bytes = Buffer.byteLength(TEXT);
    assert.equal(watch(GOOD).stream.deliveredTokens(), Math.ceil(bytes / 3));
    assert.equal(watch(began()).stream.deliveredTokens(), 0);
  });

  for (const status of ['completed', 'incomplete', 'failed', 'cancelled']) {
    it(`is over with response.${status}, whatever follows`, () => {
      const response = { ...inProgressResponse(HEAD), status };
      const last = `event: response.${status}\ndata: ${JSON.stringify({ type: `response.${status}`, sequence_number: 2, response })}\n\n`;
      const { stream, shown } = watch(`${began()}${last}data: {"type":"more"}\n\n`);
      assert.equal(shown, began() + last);
      assert.deepEqual([stream.finished, stream.done, stream.failure], [true, true, undefined]);
    });
  }

  it('skips events that hold nothing, and keeps the kinds of delta apart from their words', () => {
    const nothing = 'data: \n\ndata: null\n\ndata: {}\n\nevent: ping\ndata: {}\n\n';
    assert.equal(watch(nothing + began() + nothing).shown, began());
    const told = (delta: unknown): string => `data: ${JSON.stringify({ type: 'response.x.delta', delta })}\n\n`;
    assert.equal(watch(began() + told('x'.repeat(300))).stream.deliveredTokens(), 100);
    assert.equal(watch(began() + told({ type: 'text', text: 'x'.repeat(300) })).stream.deliveredTokens(), 100);
    assert.equal(watch(`${began()}event: error\ndata: out of memory\n\n`).stream.failure?.kind, 'reported');
    assert.equal(watch(`${began()}error: {"message":"x"}\n\n`).stream.failure?.kind, 'reported');
  });

  it('is broken by a [DONE] before its last event', () => {
    const { stream, shown } = watch(`${began()}data: [DONE]\n\n`);
    assert.equal(shown, began());
    assert.deepEqual([stream.finished, stream.failure?.kind], [false, 'malformed']);
  });

  const reports: readonly (readonly [string, string, unknown])[] = [
    ['flat', error({ code: 'c', message: 'ü', param: null }), { code: 'c', message: 'ü', param: null }],
    ['nested', error({ error: { code: 'c', message: 'ü' } }), { code: 'c', message: 'ü' }],
    ['as chat completions do', 'data: {"error":{"message":"ü"}}\n\n', { message: 'ü' }],
    ['named on no line', error({ message: 'ü' }).replace('event: error\n', ''), { message: 'ü' }],
  ];
  for (const [name, event, expected] of reports) {
    it(`keeps back an error that is reported ${name}`, () => {
      const { stream, shown } = watch(began() + event + GOOD);
      assert.equal(shown, began());
      assert.deepEqual(stream.failure, { kind: 'reported', error: expected });
      assert.deepEqual([stream.finished, stream.lastSequenceNumber], [false, 1]);
    });
  }

  it('lets an error of our own go on where it broke off', () => {
    const { stream, shown } = watch(began());
    assert.ok(stream.response !== undefined);
    const failure = { message: 'It broke.', type: 'server_error', code: null, param: null };
    const { text } = failureEvents(stream.lastSequenceNumber + 1, stream.response, failure);
    const events = readEvents(shown + text);
    assert.deepEqual(
      events.map(({ data }) => data.sequence_number),
      [0, 1, 2, 3],
    );
    assert.equal(Object(events.at(-1)?.data.response).id, HEAD.id);
  });

  for (const [name, event] of [
    ['broken JSON', 'event: x\ndata: {"type":\n\n'],
    ['what is no object', 'data: 5\n\n'],
    ['what is no UTF-8', Buffer.from('data: {"type":"\xff"}\n\n', 'latin1')],
  ] as const) {
    it(`is malformed: ${name}`, () => {
      const { stream, shown } = watch(Buffer.concat([Buffer.from(began()), Buffer.from(event)]));
      assert.equal(shown, began());
      assert.deepEqual(stream.failure, { kind: 'malformed' });
    });
  }

  it('is malformed where an event has no end', () => {
    const stream = new PassedStream({ ...PLAIN, maxEventBytes: 100 });
    for (let at = 0; at < 11; at += 1) assert.equal(stream.watchPiece(Buffer.from('data: 1234')), undefined);
    assert.deepEqual(stream.failure, { kind: 'malformed' });
    const whole = watch(GOOD, [], { maxEventBytes: 100 });
    assert.deepEqual([whole.shown, whole.stream.failure], ['', { kind: 'malformed' }]);
  });

  it('shows the whole events that come before one without end', () => {
    const { stream, shown } = watch(`${began()}data: ${'a'.repeat(200_000)}`);
    assert.deepEqual([shown, stream.failure], [began(), { kind: 'malformed' }]);
  });

  it('takes the last event without its blank line', () => {
    const { stream, shown } = watch(GOOD.trimEnd());
    assert.deepEqual([shown, stream.finished], [GOOD, true]);
  });

  it('drops comments, which may tell the model, and the lines that break SDKs', () => {
    const text = `: up-1\n\n${began().replace('event:', 'id: 7\nevent:')}`;
    assert.equal(watch(text).shown, began());
    assert.equal(watch(text, [], { showModel: 'mine' }).shown, began().replaceAll('"model":"up-1"', '"model":"mine"'));
  });

  it('does not take a comment for a beginning', () => {
    assert.equal(watch(': hello\n\n').stream.begun, false);
  });

  it('takes usage that is told before the last event for the least', () => {
    const usage = { input_tokens: 9, output_tokens: 0, total_tokens: 9 };
    const text = { type: 'response.output_text.delta', delta: 'x'.repeat(300) };
    const snapshot = (type: string, told: object | null): object => ({ type, response: { id: 'resp_1', usage: told } });
    const told = (...events: object[]): unknown[] => {
      const { stream } = watch(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(''));
      return [stream.usage?.inputTokens, stream.usage?.outputTokens, stream.usage?.isDoubtful];
    };
    const begun = snapshot('response.created', usage);
    assert.deepEqual(told(begun), [9, 0, true]);
    assert.deepEqual(told(begun, text), [9, 100, true]);
    assert.deepEqual(told(begun, text, snapshot('response.completed', null)), [9, 100, true]);
    assert.deepEqual(told(begun, text, snapshot('response.completed', { ...usage, output_tokens: 40 })), [
      9,
      40,
      undefined,
    ]);
  });

  it('takes events as objects', () => {
    const stream = new PassedStream({ ...PLAIN, showModel: 'mine' });
    const events: readonly JsonObject[] = readEvents(GOOD).map(({ data }) => data);
    const shown = events.map((event) => String(stream.watchPiece(event))).join('');
    const plain = good().replaceAll('"temperature":1.0, ', '"temperature":1,');
    assert.equal(shown, plain.replaceAll('"model":"up-1"', '"model":"mine"'));
    assert.deepEqual(
      [stream.finished, stream.usage?.outputTokens, stream.lastChunk?.type],
      [true, 2, 'response.completed'],
    );
    assert.deepEqual([stream.deliveredTokens(), stream.responseId], [Math.ceil(Buffer.byteLength(TEXT) / 3), HEAD.id]);
    const other = new PassedStream(PLAIN);
    assert.equal(other.watchPiece({ type: 'error', message: 'no', sequence_number: 0 }), undefined);
    assert.deepEqual(other.failure, { kind: 'reported', error: { message: 'no' } });
  });
});
