import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findKnownModel, KNOWN_MODELS } from '../../src/models/known-models.js';

describe('known models', () => {
  it('names each model once', () => {
    const ids = KNOWN_MODELS.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('what writes has a ceiling and a price, what embeds or judges has no output', () => {
    for (const { id, operation, maxOutputTokens, contextLength, outputUsdPerMillion } of KNOWN_MODELS) {
      const writes = operation === 'chat.completions' || operation === 'completions';
      assert.equal(maxOutputTokens > 0, writes, id);
      assert.equal(outputUsdPerMillion > 0, writes, id);
      assert.ok(contextLength >= maxOutputTokens, id);
    }
  });

  for (const [id, family, operation] of [
    ['gpt-4o-2024-08-06', 'gpt-4o', 'chat.completions'],
    ['gpt-3.5-turbo-instruct-0914', 'gpt-3.5-turbo-instruct', 'completions'],
    ['gpt-3.5-turbo-0125', 'gpt-3.5-turbo', 'chat.completions'],
    ['davinci-002', 'davinci-002', 'completions'],
    ['text-embedding-ada-002', 'text-embedding-ada-002', 'embeddings'],
    ['omni-moderation-2024-09-26', 'omni-moderation-2024-09-26', 'moderations'],
  ] as const) {
    it(`${id} is ${family}, for ${operation}`, () => {
      const known = findKnownModel(id);
      assert.deepEqual([known?.id, known?.operation], [family, operation]);
    });
  }

  for (const id of ['constructor', 'text-embedding-3', 'omni-moderation', '']) {
    it(`does not know ${JSON.stringify(id)}`, () => assert.equal(findKnownModel(id), undefined));
  }
});
