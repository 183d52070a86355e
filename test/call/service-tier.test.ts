import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noticesOnce, reservedTier, settlementNotice } from '../../src/call/service-tier.js';
import { NO_MODEL } from '../../src/call/terms.js';
import { toPrice } from '../../src/models/pricing.js';
import { startOf, usageRecordOf } from '../contracts/usage-store.js';

const PRICE = toPrice({ inputUsdPerMillion: 1, outputUsdPerMillion: 1, serviceTiers: { flex: 0.5, fast: 2 } });

describe('what the host is told of a settlement', () => {
  const unnamed = /do not name their service tier/;
  const unpriced = /names a service tier without a price/;
  for (const [asked, answered, more, expected] of [
    [undefined, undefined, {}, undefined],
    [undefined, 'default', {}, undefined],
    [undefined, 'priority', {}, undefined],
    [undefined, 'ultrafast', {}, unpriced],
    ['flex', 'ultrafast', { counted: 'estimated' }, unpriced],
    [undefined, 'ultrafast', { price: undefined }, undefined],
    ['flex', undefined, {}, unnamed],
    ['flex', undefined, { counted: 'estimated' }, undefined],
    ['flex', undefined, { price: undefined }, undefined],
    ['flex', 'flex', {}, undefined],
    ['flex', 'default', {}, undefined],
    ['flex', 'auto', {}, undefined],
    ['default', undefined, {}, undefined],
    ['standard', undefined, {}, undefined],
    [undefined, undefined, { isOverReserved: true }, /cost more than was reserved/],
    ['flex', 'ultrafast', { isOverReserved: true, price: undefined }, /cost more than was reserved/],
    [undefined, undefined, { isOverReserved: false }, undefined],
  ] as const) {
    it(`asked for ${asked}, answered ${answered}, ${JSON.stringify(more)}`, () => {
      const record = usageRecordOf({ keyId: 'k', price: PRICE, serviceTier: asked, counted: 'exact', ...more });
      const notice = settlementNotice(startOf(record), record, answered);
      if (expected === undefined) assert.equal(notice, undefined);
      else assert.match(notice?.text ?? 'nothing', expected);
    });
  }

  it('is told once for each model and kind', () => {
    const told: string[] = [];
    const tell = noticesOnce((text) => void told.push(text));
    for (const about of ['a', 'b', 'a', 'a']) tell({ about, text: `of ${about}` });
    assert.deepEqual(told, ['of a', 'of b']);
    for (let model = 0; model < 2_000; model += 1) tell({ about: `model ${model}`, text: '' });
    assert.equal(told.length, 1_000);
  });
});

describe('the tier at which a call is reserved', () => {
  const model = { ...NO_MODEL, price: PRICE };
  const base = { asked: undefined, model, name: 'm', allowed: undefined, isBudgeted: true };
  for (const [given, expected] of [
    [{}, undefined],
    [{ asked: 'flex' }, 'flex'],
    [{ model: { ...model, defaultServiceTier: 'fast' } }, 'fast'],
    [{ asked: 'flex', model: { ...model, defaultServiceTier: 'fast' } }, 'flex'],
    [{ asked: 'ultrafast' }, 400],
    [{ asked: 'ultrafast', isBudgeted: false }, 400],
    [{ asked: 'ultrafast', model: NO_MODEL }, 'ultrafast'],
    [{ allowed: ['default'] }, undefined],
    [{ allowed: ['standard'] }, undefined],
    [{ allowed: ['flex'] }, 403],
    [{ allowed: [] }, 403],
    [{ allowed: ['flex'], asked: 'flex' }, 'flex'],
    [{ allowed: ['default', 'fast'], asked: 'priority' }, 'priority'],
    [{ allowed: ['default', 'flex'], asked: 'fast' }, 403],
    [{ allowed: ['default'], model: { ...model, defaultServiceTier: 'fast' } }, 403],
  ] as const) {
    it(`${JSON.stringify(given, ['asked', 'allowed', 'isBudgeted', 'model', 'defaultServiceTier'])}: ${expected}`, () => {
      const tier = () => reservedTier({ ...base, ...given });
      if (typeof expected === 'number') assert.throws(tier, { status: expected });
      else assert.equal(tier(), expected);
    });
  }
});
