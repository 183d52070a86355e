import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { KnownModel } from '../../src/models/known-model.js';

interface Made {
  readonly models: readonly KnownModel[];
  readonly unpriced: readonly string[];
  readonly notes: readonly string[];
}

const SOURCE = { source: 'https://vendor.test/prices', date: '2026-11-28' };

async function make(models: readonly object[], facts: readonly object[] = [], id = 'mistral'): Promise<Made> {
  const { makeModels } = await import(pathToFileURL(resolve('scripts/make-models.mjs')).href);
  return makeModels([{ id, models }], facts);
}

const steps = (base: number, ...tiers: readonly (readonly [start: number, price: number])[]) => ({
  base,
  tiers: tiers.map(([start, price]) => ({ start, price })),
});

describe('the table that is made of the package and of facts written by hand', () => {
  it('says steps by context as factors, and never less than any rate beyond any of them', async () => {
    const even = {
      input_mtok: steps(5, [272_000, 10]),
      cache_read_mtok: steps(0.5, [272_000, 1]),
      output_mtok: steps(30, [272_000, 45]),
    };
    const uneven = {
      input_mtok: steps(1, [100, 2], [500, 3]),
      cache_read_mtok: steps(0.1, [200, 0.5]),
      output_mtok: 4,
    };
    const { models, notes } = await make([
      { id: 'even', match: { equals: 'even' }, prices: even },
      { id: 'uneven', match: { equals: 'uneven' }, prices: uneven },
    ]);
    assert.deepEqual(
      models.map(({ prices }) => prices[0]?.pricing.longContext),
      [
        { aboveInputTokens: 272_000, inputFactor: 2, outputFactor: 1.5 },
        { aboveInputTokens: 100, inputFactor: 5, outputFactor: 1 },
      ],
    );
    assert.ok(notes.some((note) => note.startsWith('uneven:')) && !notes.some((note) => note.startsWith('even:')));
  });

  it('takes the dearest rates of a day, at each date', async () => {
    const prices = [
      { prices: { input_mtok: 1, output_mtok: 9 } },
      { constraint: { type: 'start_date', start_date: '2026-08-17' }, prices: { input_mtok: 4, output_mtok: 2 } },
      {
        constraint: { type: 'time_of_date', start_time: '01:00:00Z', end_time: '04:00:00Z' },
        prices: { input_mtok: 3, output_mtok: 3 },
      },
    ];
    const { models, notes } = await make([{ id: 'hourly', match: { equals: 'hourly' }, prices }]);
    assert.deepEqual(models[0]?.prices, [
      { pricing: { inputUsdPerMillion: 3, outputUsdPerMillion: 9 } },
      { effectiveFrom: '2026-08-17', pricing: { inputUsdPerMillion: 4, outputUsdPerMillion: 3 } },
    ]);
    assert.ok(notes.some((note) => note.startsWith('hourly:')));
  });

  it('leaves out what has no price by the token, and what only other sellers price, and says so', async () => {
    const { models, unpriced } = await make([
      { id: 'hours', match: { equals: 'hours' }, prices: { audio_hours: 0.36 } },
      { id: 'free', match: { equals: 'free' }, prices: {} },
      { id: 'a:free', match: { equals: 'a:free' }, prices: { input_mtok: 1 } },
      {
        id: 'resold',
        match: { equals: 'resold' },
        prices: { input_mtok: 1 },
        price_comments: 'Imported from OpenRouter pricing; verify',
      },
      {
        id: 'kept',
        match: { or: [{ starts_with: 'kept-' }, { contains: 'x' }, { equals: 'other/kept' }, { equals: 'ke' }] },
        prices: { input_mtok: 1, output_mtok: 2 },
      },
    ]);
    assert.deepEqual(
      models.map(({ id, aliases }) => [id, aliases]),
      [['kept', ['ke']]],
    );
    assert.deepEqual(
      unpriced.map((line) => line.replace(/:[^:]*$/, '')),
      ['a:free', 'free', 'hours', 'resold'],
    );
  });

  it('puts facts over the package, moves names, and adds what it lacks', async () => {
    const prices = { input_mtok: 1, output_mtok: 2, web_searches_kcount: 5 };
    const { models } = await make(
      [{ id: 'old', match: { or: [{ equals: 'old' }, { equals: 'newest' }] }, context_window: 9, prices }],
      [
        { models: ['old'], contextLength: 10, serviceTiers: { flex: 0.5 }, ...SOURCE },
        {
          models: ['new'],
          aliases: ['newest'],
          ownedBy: 'acme',
          prices: [{ input: 3, output: 4 }],
          cacheWriteLongFactor: 2,
          released: '2026-11-17',
          ...SOURCE,
        },
      ],
    );
    const [old, added] = models;
    assert.deepEqual(old, {
      id: 'old',
      ownedBy: 'mistralai',
      operation: 'chat.completions',
      contextLength: 10,
      prices: [
        {
          pricing: {
            inputUsdPerMillion: 1,
            outputUsdPerMillion: 2,
            serviceTiers: { flex: 0.5 },
            toolCallUsd: { web_search: 0.005 },
          },
        },
      ],
    });
    assert.deepEqual(added, {
      id: 'new',
      aliases: ['newest'],
      ownedBy: 'acme',
      operation: 'chat.completions',
      created: Date.parse('2026-11-17') / 1_000,
      prices: [{ pricing: { inputUsdPerMillion: 3, cacheWriteLongUsdPerMillion: 6, outputUsdPerMillion: 4 } }],
    });
  });

  it('takes no fact without a source and a date, nor one of a model that nobody prices, nor a name twice', async () => {
    const model = { id: 'm', match: { equals: 'm' }, prices: { input_mtok: 1, output_mtok: 2 } };
    await assert.rejects(make([model], [{ models: ['m'], vision: true, date: '2026-11-28', source: '' }]), /no source/);
    await assert.rejects(make([model], [{ models: ['m'], vision: true, ...SOURCE, date: 'today' }]), /no source/);
    await assert.rejects(make([model], [{ models: ['nobody'], vision: true, ...SOURCE }]), /Nobody prices nobody/);
    const twice = { ...model, id: 'n', match: { equals: 'm' } };
    await assert.rejects(make([model, twice]), /both called m/);
  });
});
