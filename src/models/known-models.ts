import type { ModelOperation } from '../wire/operations.js';
import type { Pricing } from './pricing.js';

/** Purpose of a model. */
export type ListedOperation = ModelOperation | 'images' | 'audio';

/** Publicly known facts about one model. */
export interface KnownModel {
  readonly id: string;
  readonly operation: ListedOperation;
  /** Tokens of input and output together; of one input, where there is no output. `undefined`: not published. */
  readonly contextLength: number | undefined;
  /** 0: its output is not counted in tokens. `undefined`: not published. */
  readonly maxOutputTokens: number | undefined;
  readonly pricing: Pricing;
  readonly vision: boolean;
  readonly structuredOutput: boolean;
  /** Unix time in seconds. */
  readonly created: number;
}

/**
 * The models of the default table: the four that the service documents (reference: its OpenAI overview), OpenAI's later
 * families, and its models for other purposes. Only models paid for by the token: not by the picture (`dall-e-3`), the
 * minute (`whisper-1`) or the character (`tts-1`). Prices are OpenAI's standard ones, from
 * https://developers.openai.com/api/docs/pricing and the models' own pages there, as of 2026-11-25. A host's `models`
 * option decides which models it serves, under which names and at which prices.
 */
export const KNOWN_MODELS: readonly KnownModel[] = [
  known('gpt-4', [8_192, 8_192], [30, undefined, 60], 1_687_882_411, []),
  known('gpt-4-32k', [32_768, 32_768], [60, undefined, 120], 1_687_979_321, []),
  known('gpt-4-turbo', [128_000, 4_096], [10, undefined, 30], 1_712_361_441, ['vision']),
  known('gpt-3.5-turbo', [16_385, 4_096], [0.5, undefined, 1.5], 1_677_610_602, []),
  known('gpt-3.5-turbo-1106', [16_385, 4_096], [1, undefined, 2], 1_698_959_748, []),
  known('gpt-4o', [128_000, 16_384], [2.5, 1.25, 10], 1_715_367_049, ['vision', 'structuredOutput']),
  known('gpt-4o-2024-05-13', [128_000, 4_096], [5, undefined, 15], 1_715_368_132, ['vision']),
  known('gpt-4o-mini', [128_000, 16_384], [0.15, 0.075, 0.6], 1_721_172_741, ['vision', 'structuredOutput']),
  known('gpt-4.1', [1_047_576, 32_768], [2, 0.5, 8], 1_744_316_542, ['vision', 'structuredOutput']),
  known('gpt-4.1-mini', [1_047_576, 32_768], [0.4, 0.1, 1.6], 1_744_318_173, ['vision', 'structuredOutput']),
  known('gpt-4.1-nano', [1_047_576, 32_768], [0.1, 0.025, 0.4], 1_744_321_707, ['vision', 'structuredOutput']),
  known('o3', [200_000, 100_000], [2, 0.5, 8], 1_744_225_308, ['vision', 'structuredOutput']),
  known('o4-mini', [200_000, 100_000], [1.1, 0.275, 4.4], 1_744_225_351, ['vision', 'structuredOutput']),
  known('gpt-5', [400_000, 128_000], [1.25, 0.125, 10], 1_754_425_777, ['vision', 'structuredOutput']),
  known('gpt-5-mini', [400_000, 128_000], [0.25, 0.025, 2], 1_754_425_928, ['vision', 'structuredOutput']),
  known('gpt-5-nano', [400_000, 128_000], [0.05, 0.005, 0.4], 1_754_426_384, ['vision', 'structuredOutput']),
  known('gpt-4o-audio-preview', [128_000, 16_384], [2.5, undefined, 10, sound(40, 80)], 1_727_460_443, []),
  known('gpt-4o-mini-audio-preview', [128_000, 16_384], [0.15, undefined, 0.6, sound(10, 20)], 1_734_387_424, []),
  known('gpt-audio', [128_000, 16_384], [2.5, undefined, 10, sound(32, 64)], 1_756_339_249, []),
  known('gpt-4o-mini-tts', [2_000, undefined], [0.6, undefined, 12], 1_742_403_959, [], 'audio'),
  known('gpt-4o-transcribe', [16_000, 2_000], [2.5, undefined, 10], 1_742_068_463, [], 'audio'),
  known('gpt-4o-mini-transcribe', [16_000, 2_000], [1.25, undefined, 5], 1_742_068_596, [], 'audio'),
  // Cached pictures and cached text differ in price: as long as no usage tells them apart, neither is cheaper.
  known('gpt-image-1', [undefined, undefined], [5, undefined, 40, images(10)], 1_745_517_030, ['vision'], 'images'),
  known(
    'gpt-image-1-mini',
    [undefined, undefined],
    [2, undefined, 8, images(2.5)],
    1_758_845_821,
    ['vision'],
    'images',
  ),
  known('text-embedding-3-small', [8_192, 0], [0.02, undefined, 0], 1_705_948_997, [], 'embeddings'),
  known('text-embedding-3-large', [8_192, 0], [0.13, undefined, 0], 1_705_953_180, [], 'embeddings'),
  known('text-embedding-ada-002', [8_192, 0], [0.1, undefined, 0], 1_671_217_299, [], 'embeddings'),
  known('omni-moderation-latest', [32_768, 0], [0, undefined, 0], 1_731_689_265, ['vision'], 'moderations'),
  known('omni-moderation-2024-09-26', [32_768, 0], [0, undefined, 0], 1_732_734_466, ['vision'], 'moderations'),
  known('gpt-3.5-turbo-instruct', [4_096, 4_096], [1.5, undefined, 2], 1_692_901_427, [], 'completions'),
  known('davinci-002', [16_384, 16_384], [2, undefined, 2], 1_692_634_301, [], 'completions'),
  known('babbage-002', [16_384, 16_384], [0.4, undefined, 0.4], 1_692_634_615, [], 'completions'),
];

/**
 * The known model of that id, or else of the family of a dated snapshot: `gpt-4o-2024-08-06` is `gpt-4o`, `gpt-4-0613`
 * is `gpt-4`.
 */
export function findKnownModel(id: string): KnownModel | undefined {
  const family = id.replace(/-(?:\d{4}-\d{2}-\d{2}|\d{4})$/, '');
  return KNOWN_MODELS.find((model) => model.id === id) ?? KNOWN_MODELS.find((model) => model.id === family);
}

function known(
  id: string,
  [contextLength, maxOutputTokens]: readonly [number | undefined, number | undefined],
  [input, cachedInput, output, parts]: readonly [number, number | undefined, number, Partial<Pricing>?],
  created: number,
  abilities: readonly ('vision' | 'structuredOutput')[],
  operation: ListedOperation = 'chat.completions',
): KnownModel {
  return {
    id,
    operation,
    contextLength,
    maxOutputTokens,
    pricing: {
      inputUsdPerMillion: input,
      ...(cachedInput === undefined ? {} : { cachedInputUsdPerMillion: cachedInput }),
      outputUsdPerMillion: output,
      ...parts,
    },
    vision: abilities.includes('vision'),
    structuredOutput: abilities.includes('structuredOutput'),
    created,
  };
}

function sound(input: number, output: number): Partial<Pricing> {
  return { inputAudioUsdPerMillion: input, outputAudioUsdPerMillion: output };
}

function images(input: number): Partial<Pricing> {
  return { inputImageUsdPerMillion: input };
}
