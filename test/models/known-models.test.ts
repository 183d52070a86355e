import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findKnownModel, KNOWN_MODELS } from '../../src/models/known-models.js';
import { toPrice } from '../../src/models/pricing.js';

describe('known models', () => {
  it('names each model once', () => {
    const ids = KNOWN_MODELS.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
  });

  it('what writes has a ceiling and a price, what embeds or judges has no output', () => {
    for (const { id, operation, maxOutputTokens, contextLength, pricing } of KNOWN_MODELS) {
      if (operation === 'images' || operation === 'audio') continue;
      const writes = operation === 'chat.completions' || operation === 'completions';
      assert.ok(contextLength !== undefined && maxOutputTokens !== undefined && contextLength >= maxOutputTokens, id);
      assert.equal(maxOutputTokens > 0, writes, id);
      assert.equal(pricing.outputUsdPerMillion > 0, writes, id);
    }
  });

  it('each has a price that is one, and none is cheaper cached than for nothing or dearer than uncached', () => {
    for (const { id, pricing } of KNOWN_MODELS) {
      const price = toPrice(pricing, id);
      assert.ok(price.cachedInputNanoUsdPerMillion <= price.inputNanoUsdPerMillion, id);
    }
  });

  it('sound costs more than text, to hear and to speak, as do pictures to look at', () => {
    const priceOf = (id: string) => toPrice(findKnownModel(id)?.pricing ?? assert.fail(id));
    for (const id of ['gpt-4o-audio-preview', 'gpt-4o-mini-audio-preview', 'gpt-audio']) {
      const price = priceOf(id);
      assert.ok(price.inputAudioNanoUsdPerMillion > price.inputNanoUsdPerMillion, id);
      assert.ok(price.outputAudioNanoUsdPerMillion > price.outputNanoUsdPerMillion, id);
    }
    for (const id of ['gpt-image-1', 'gpt-image-1-mini']) {
      const price = priceOf(id);
      assert.ok(price.inputImageNanoUsdPerMillion > price.inputNanoUsdPerMillion, id);
    }
  });

  for (const [id, family, operation] of [
    ['gpt-4o-2024-08-06', 'gpt-4o', 'chat.completions'],
    ['gpt-3.5-turbo-instruct-0914', 'gpt-3.5-turbo-instruct', 'completions'],
    ['gpt-3.5-turbo-0125', 'gpt-3.5-turbo', 'chat.completions'],
    ['davinci-002', 'davinci-002', 'completions'],
    // Dearer than its family.
    ['gpt-4o-2024-05-13', 'gpt-4o-2024-05-13', 'chat.completions'],
    ['gpt-4o-audio-preview-2025-06-03', 'gpt-4o-audio-preview', 'chat.completions'],
    ['gpt-4o-mini-tts-2025-12-15', 'gpt-4o-mini-tts', 'audio'],
    ['gpt-image-1', 'gpt-image-1', 'images'],
    ['text-embedding-ada-002', 'text-embedding-ada-002', 'embeddings'],
    ['omni-moderation-2024-09-26', 'omni-moderation-2024-09-26', 'moderations'],
  ] as const) {
    it(`${id} is ${family}, for ${operation}`, () => {
      const known = findKnownModel(id);
      assert.deepEqual([known?.id, known?.operation], [family, operation]);
    });
  }

  for (const id of ['constructor', 'whisper-1', 'dall-e-3', 'text-embedding-3', 'omni-moderation', '']) {
    it(`does not know ${JSON.stringify(id)}`, () => assert.equal(findKnownModel(id), undefined));
  }
});
