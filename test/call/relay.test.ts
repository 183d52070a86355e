import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UsageRecord } from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { nextOf, stepsOf } from '../../src/base/steps.js';
import { type AnswerView, AS_IT_IS } from '../../src/call/answer-view.js';
import { Call } from '../../src/call/call.js';
import { Exchange } from '../../src/call/exchange.js';
import { gatewayState } from '../../src/call/state.js';
import { NOTHING_READ } from '../../src/call/terms.js';
import { resolveOptions } from '../../src/config/options.js';
import { relay } from '../../src/endpoints/model/relay.js';
import { StreamAnswer } from '../../src/upstreams/begin-stream.js';
import { MODEL_ENDPOINTS } from '../../src/wire/model-endpoint.js';
import { streamEvents } from '../helpers/chat-answers.js';

const READ = { ...NOTHING_READ, asks: { ...NOTHING_READ.asks, model: 'gpt-4o', stream: true }, inputTokens: 10 };

/** A stream of three events on its way to a client, shown by a view. */
async function relayed(view: Partial<AnswerView>) {
  const records: UsageRecord[] = [];
  const errors: unknown[] = [];
  const hooks = {
    onNotice: () => {},
    onFinish: (record: UsageRecord) => void records.push(record),
    onError: (error: unknown) => void errors.push(error),
  };
  const config = resolveOptions({ environment: { NODE_ENV: 'test' }, hooks });
  const state = gatewayState(config, { uncounted: () => Promise.resolve(undefined) });
  const client = createCancellation();
  const request = { method: 'POST', url: '', headers: {}, signal: client, body: { parsed: {} }, native: undefined };
  const exchange = new Exchange(request, '/chat/completions', state);
  exchange.key = { id: 'k' };
  const call = new Call(exchange, MODEL_ENDPOINTS['chat.completions']);
  call.take(READ);
  call.choose();
  await call.admit();
  call.ask();
  const { asks } = call;
  const stream = call.endpoint.watch({
    hideUsage: false,
    showModel: undefined,
    awaitsUsage: asks.includeUsage,
    n: asks.n,
    takes: 'text',
    maxEventBytes: 100_000,
  });
  call.begin(stream);
  call.view = { ...AS_IT_IS, ...view };
  const pieces = (async function* () {
    for (const event of streamEvents(['a'])) yield Buffer.from(event);
  })();
  const shown = relay(call, new StreamAnswer(stepsOf(pieces), stream, Number.POSITIVE_INFINITY));
  return { call, state, shown, records, errors };
}

/** All pieces of a stream as one text, and why it broke off, if it did. */
async function readAll(shown: AsyncIterable<string | Uint8Array>): Promise<{ text: string; failure: unknown }> {
  let text = '';
  try {
    for await (const piece of shown) text += Buffer.from(piece).toString();
    return { text, failure: undefined };
  } catch (failure) {
    return { text, failure };
  }
}

const away = new Error('the view is away');
const rejects = () => Promise.reject(away);
const throws = () => {
  throw away;
};

describe('a view of a stream', () => {
  for (const [how, piece] of [
    ['rejects', rejects],
    ['throws', throws],
  ] as const) {
    it(`that ${how} over a piece ends the stream with an error event, and the call`, { timeout: 10_000 }, async () => {
      const { shown, records, errors, state } = await relayed({ piece });
      const { text, failure } = await readAll(shown);
      assert.equal(failure, undefined);
      assert.match(text, /^data: \{"error":\{.*"code":"upstream_stream_interrupted"/);
      assert.doesNotMatch(text, /\[DONE\]|the view is away/);
      assert.deepEqual(
        records.map(({ outcome }) => outcome),
        ['error'],
      );
      assert.deepEqual(errors, [away]);
      assert.equal(state.running.size, 0);
    });
  }

  it('that rejects over the last piece does not end the stream well', { timeout: 10_000 }, async () => {
    const piece: AnswerView['piece'] = (chunk) =>
      String(chunk).includes('"finish_reason":"stop"') ? rejects() : AS_IT_IS.piece(chunk);
    const { shown, records, errors } = await relayed({ piece });
    const { text } = await readAll(shown);
    assert.match(text, /"content":"a".*"code":"upstream_stream_interrupted"/s);
    assert.doesNotMatch(text, /\[DONE\]/);
    assert.deepEqual(
      records.map(({ outcome }) => outcome),
      ['error'],
    );
    assert.deepEqual(errors, [away]);
  });

  it('that rejects at the end breaks the stream off', { timeout: 10_000 }, async () => {
    const { shown, records, errors } = await relayed({ end: rejects });
    const { text, failure } = await readAll(shown);
    assert.equal(failure, away);
    assert.doesNotMatch(text, /\[DONE\]/);
    assert.equal(records.length, 1);
    assert.deepEqual(errors, [away]);
  });

  it('that cannot even tell an error breaks the stream off, with both errors told', { timeout: 10_000 }, async () => {
    const worse = new Error('worse');
    const { shown, records, errors, call } = await relayed({ piece: rejects, error: () => Promise.reject(worse) });
    assert.deepEqual(await readAll(shown), { text: '', failure: worse });
    assert.deepEqual(errors, [away, worse]);
    assert.equal(call.aborted, true);
    assert.equal(records.length, 1);
  });

  it('that has no words for an error breaks the stream off', { timeout: 10_000 }, async () => {
    const { shown, errors } = await relayed({ piece: rejects, error: () => undefined });
    await assert.rejects(nextOf(shown), { code: 'upstream_stream_interrupted' });
    assert.deepEqual(errors, [away]);
  });
});
