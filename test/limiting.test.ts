import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../src/base/errors.js';
import { Call } from '../src/call/call.js';
import { Exchange } from '../src/call/exchange.js';
import { gatewayState } from '../src/call/state.js';
import { type ChosenTerms, NOTHING_READ } from '../src/call/terms.js';
import type { Config, GatewayOptions } from '../src/config/config.js';
import { resolveOptions } from '../src/config/options.js';
import type { ApiKey } from '../src/keys/key-store.js';
import type { Demand } from '../src/limits/limiter-store.js';
import { toPrice } from '../src/models/pricing.js';
import { MODEL_ENDPOINTS } from '../src/wire/model-endpoint.js';

const PRICED = {
  id: 'm',
  price: toPrice({ inputUsdPerMillion: 1, outputUsdPerMillion: 10 }),
  maxOutputTokens: undefined,
  contextLength: undefined,
  upstreamModel: 'm',
  responses: undefined,
};
const KEY: ApiKey = { id: 'k', tier: 'open' };

function configOf(options: GatewayOptions = {}): Config {
  return resolveOptions({
    environment: { NODE_ENV: 'test' },
    tiers: { open: {} },
    hooks: { onNotice: () => {} },
    ...options,
  });
}

/** A call that is ready to be admitted. */
function demand(config: Config, terms: Partial<ChosenTerms> = {}, key = KEY): Demand {
  const request = { method: 'POST', url: '', headers: {}, signal: new AbortController().signal, body: { parsed: {} } };
  const batches = { uncounted: () => Promise.resolve(undefined) };
  const exchange = new Exchange({ ...request, native: undefined }, '', gatewayState(config, batches));
  exchange.key = key;
  const call = new Call(exchange, MODEL_ENDPOINTS['chat.completions']);
  call.take({ ...NOTHING_READ, asks: { ...NOTHING_READ.asks, model: 'm' }, inputTokens: 10, mostInputTokens: 30 });
  call.chooseAs({ model: PRICED, upstream: config.upstream, asksModel: true, ...terms });
  call.weigh();
  return call;
}

function teach(config: Config, outputTokens: number): void {
  for (let answer = 0; answer < 20; answer += 1) config.learned.observe('key:k', 'm', outputTokens, undefined);
}

describe('what a call without a ceiling is taken for', () => {
  it('is the default, but no more than the model makes', () => {
    const config = configOf({ defaultMaxOutputTokens: 3_000 });
    assert.equal(demand(config).defaultOutputTokens, 3_000);
    assert.equal(demand(config, { model: { ...PRICED, maxOutputTokens: 500 } }).defaultOutputTokens, 500);
  });

  it('is what was learned, at least 1,024, and no more than the model makes', () => {
    const config = configOf();
    teach(config, 10);
    assert.equal(demand(config).defaultOutputTokens, 1_024);
    const longer = configOf();
    teach(longer, 9_000);
    assert.equal(demand(longer).defaultOutputTokens, 9_000);
    assert.equal(demand(longer, { model: { ...PRICED, maxOutputTokens: 8_000 } }).defaultOutputTokens, 8_000);
    assert.equal(demand(longer, {}, { ...KEY, owner: 'other' }).defaultOutputTokens, 4_096);
  });

  it('is what is usual where nothing can be learned, and then nothing is', () => {
    const config = configOf();
    teach(config, 9_000);
    const given = demand(config, { usualOutputTokens: 6_240 });
    assert.deepEqual([given.defaultOutputTokens, given.learnsLength], [6_240, false]);
    assert.equal(demand(config).learnsLength, true);
  });
});

describe('what money a call may take', () => {
  const budgeted: ApiKey = { ...KEY, limits: { usdPerDay: 1 } };

  it('is that of as many tokens of input as it has bytes', () => {
    assert.equal(demand(configOf(), {}, budgeted).worstNanoUsd(5), 3 * 10 * 1_000 + 5 * 10_000);
    assert.equal(demand(configOf(), { worstInputTokens: 7 }, budgeted).worstNanoUsd(0), 7 * 1_000);
  });

  it('E13 is refused where nobody knows it, to whoever has a budget on any level', () => {
    const unpriced = { model: { ...PRICED, price: undefined } };
    const levels: readonly (readonly [GatewayOptions, ApiKey])[] = [
      [{}, budgeted],
      [{}, { ...KEY, ownLimits: { usdPerMonth: 1 } }],
      [{ tiers: { open: { shared: { usdPerDay: 1 } } } }, KEY],
      [{ globalLimits: { usdPerDay: 1 } }, KEY],
    ];
    for (const [options, key] of levels) {
      assert.throws(
        () => demand(configOf(options), unpriced, key),
        (error) => error instanceof GatewayError && error.status === 403 && error.code === 'model_not_allowed',
      );
      assert.equal(demand(configOf(options), { ...unpriced, asksModel: false }, key).worstNanoUsd(1), undefined);
    }
    assert.equal(demand(configOf({ globalLimits: { shadow: { usdPerDay: 1 } } }), unpriced).worstNanoUsd(1), undefined);
  });
});
