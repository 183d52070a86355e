import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UsageRecord } from 'megallm-middleware';
import { createCancellation } from 'megallm-middleware/adapter';
import { Call } from '../../src/call/call.js';
import { Exchange } from '../../src/call/exchange.js';
import { type GatewayState, gatewayState } from '../../src/call/state.js';
import { NOTHING_READ } from '../../src/call/terms.js';
import { resolveOptions } from '../../src/config/options.js';
import { MODEL_ENDPOINTS } from '../../src/wire/model-endpoint.js';

const READ = { ...NOTHING_READ, asks: { ...NOTHING_READ.asks, model: 'gpt-4o' }, inputTokens: 10 };
const PROGRESS = { usage: undefined, deliveredTokens: () => 7 };

function world() {
  const records: UsageRecord[] = [];
  const hooks = { onNotice: () => {}, onFinish: (record: UsageRecord) => void records.push(record) };
  const config = resolveOptions({ environment: { NODE_ENV: 'test' }, hooks });
  const state = gatewayState(config, { uncounted: () => Promise.resolve(undefined) });
  return { records, state };
}

/** A call of nobody in particular, and the client that may leave it. */
function newCall(state: GatewayState) {
  const client = createCancellation();
  const request = { method: 'POST', url: '', headers: {}, signal: client, body: { parsed: {} }, native: undefined };
  const exchange = new Exchange(request, '/chat/completions', state);
  exchange.key = { id: 'k' };
  return { call: new Call(exchange, MODEL_ENDPOINTS['chat.completions']), client };
}

async function admitted(state: GatewayState) {
  const made = newCall(state);
  made.call.take(READ);
  made.call.choose();
  await made.call.admit();
  return made;
}

describe('the steps of a call', () => {
  it('come in their order, or not at all', async () => {
    const { state, records } = world();
    const { call } = newCall(state);
    assert.throws(() => call.choose(), /Expected a call that is new to become taken, not chosen/);
    assert.throws(() => call.ask(), /become taken, not asked/);
    call.take(READ);
    assert.throws(() => call.take(READ), /Expected a call that is taken to become chosen, not taken/);
    call.choose();
    await assert.rejects(async () => call.end('ok'), /to be admitted/);
    await call.admit();
    assert.throws(() => call.begin(PROGRESS), /Expected a call that is admitted to become asked, not begun/);
    call.ask();
    call.begin(PROGRESS);
    assert.equal(call.state, 'begun');
    await call.end('ok');
    assert.equal(call.state, 'settled');
    assert.deepEqual(
      records.map(({ outcome, outputTokens }) => [outcome, outputTokens]),
      [['ok', 7]],
    );
    assert.equal(state.running.size, 0);
  });

  it('may end with its client at any of them once it is admitted, and end once', async () => {
    const { state, records } = world();
    for (const steps of [0, 1, 2]) {
      const { call, client } = await admitted(state);
      if (steps > 0) call.ask();
      if (steps > 1) call.begin(PROGRESS);
      client.abort(new Error('gone'));
      // An answer that comes all the same changes nothing.
      if (steps === 0) call.ask();
      if (steps < 2) call.begin(PROGRESS);
      await call.end('ok');
      assert.deepEqual([call.state, call.aborted], ['settled', true]);
    }
    assert.deepEqual(
      records.map(({ outcome, outputTokens }) => [outcome, outputTokens]),
      [
        ['aborted', undefined],
        ['aborted', 0],
        ['aborted', 7],
      ],
    );
    assert.equal(state.running.size, 0);
  });

  it('hold bytes until the call is over: what is told of later neither counts nor is given back for others', async () => {
    const { state } = world();
    const { call } = await admitted(state);
    const { maxHeldBytesPerKey: most } = state.config;
    const holdsNow = (bytes: number): void => {
      state.held.check('k', most - bytes);
      assert.throws(() => state.held.check('k', most - bytes + 1), { status: 429 });
    };
    call.ask();
    call.begin(PROGRESS);
    call.exchange.answered();
    call.holdBytes(1_000);
    holdsNow(1_000);
    call.holdBytes(-300);
    holdsNow(700);
    await call.end('ok');
    holdsNow(0);
    call.holdBytes(1_000);
    holdsNow(0);
    state.held.add('k', 5_000);
    call.holdBytes(-1_000);
    holdsNow(5_000);
  });

  it('are all given up when the gateway says so, told to whoever waits', async () => {
    const { state, records } = world();
    const { call } = await admitted(state);
    call.ask();
    const told: unknown[] = [];
    call.onSettled((record) => told.push(record?.outcome));
    for (const running of state.running) running.giveUp(new Error('closing'));
    call.onSettled((record) => told.push(record?.requestId));
    assert.deepEqual(told, ['error', call.requestId]);
    assert.equal(records.length, 1);
  });
});
