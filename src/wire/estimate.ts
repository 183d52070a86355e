import type { Json, JsonObject } from '../base/json.js';

/**
 * UTF-8 bytes to a token, as a rule: English prose has 4 to 5, code and digits about 3, Chinese 3 bytes to a character of
 * about one token. Exact tokenizers cost 10 ms for 33 KB and have no place on the request path.
 */
const BYTES_PER_TOKEN = 3;

/** Tokens of the dearest picture: `high` at 1024 × 1536 (OpenAI's guide to image generation, table of output tokens). */
const TOKENS_PER_PICTURE = 6_240;
/** Tokens of each picture shown on the way to the last one (the same guide). */
const TOKENS_PER_PARTIAL_PICTURE = 100;
/** Tokens of the dearest picture that a request gives, at high fidelity (the same guide). */
const TOKENS_PER_GIVEN_PICTURE = 6_240;
/** Most pictures that one request may give. */
const MAX_GIVEN_PICTURES = 16;
/** Most pictures that OpenAI makes at once. */
export const MAX_PICTURES = 10;
const MAX_PARTIAL_PICTURES = 3;
/** 1,250 tokens are a minute of speech (OpenAI's price list, by the minute and by the token), some 900 characters. */
const SPEECH_TOKENS_PER_BYTE = 2;
/** A minute of sound is 1,000 tokens (the same list), and no less than 45,000 bytes even at 6 kbit/s. */
const BYTES_PER_SOUND_TOKEN = 45;
/** Nobody speaks more words in a token's time. */
const TEXT_TOKENS_PER_SOUND_TOKEN = 0.5;

/** Tokens in that many bytes of text, rounded up. */
export function estimateTokens(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

/** The most that a request may use: the amounts reserved for it. */
export interface ForwardEstimate {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Facts about a request that are known before its body has passed. */
export interface ForwardRequest {
  /** Path below `/v1`, such as `/images/edits`. */
  readonly path: string;
  /** A JSON body; `undefined` for forms. */
  readonly body: JsonObject | undefined;
  /** Length of the body. */
  readonly byteLength: number;
  /** Whether money is at stake: then the most is assumed of texts, and of forms, which are read only as they pass. */
  readonly assumesMost: boolean;
}

/** Tokens that a request for pictures or sound may use at most, as far as anybody can tell from the outside. */
export function estimateForward({ path, body, byteLength, assumesMost }: ForwardRequest): ForwardEstimate {
  const textTokens = body === undefined ? 0 : assumesMost ? byteLength : estimateTokens(byteLength);
  if (path.startsWith('/images/')) {
    const count = (value: Json | undefined, usual: number, max: number): number =>
      body === undefined && assumesMost ? max : countOf(value, usual, max);
    const pictures = count(body?.n, 1, MAX_PICTURES);
    const partial = count(body?.partial_images, 0, MAX_PARTIAL_PICTURES);
    const mostGiven = path === '/images/edits' ? MAX_GIVEN_PICTURES : 1;
    const given = path === '/images/generations' ? 0 : count(lengthOf(body?.images), 1, mostGiven);
    return {
      inputTokens: textTokens + given * TOKENS_PER_GIVEN_PICTURE,
      outputTokens: pictures * (TOKENS_PER_PICTURE + partial * TOKENS_PER_PARTIAL_PICTURE),
    };
  }
  if (path === '/audio/speech') return { inputTokens: textTokens, outputTokens: SPEECH_TOKENS_PER_BYTE * byteLength };
  const soundTokens = Math.ceil(byteLength / BYTES_PER_SOUND_TOKEN);
  return { inputTokens: soundTokens, outputTokens: Math.ceil(soundTokens * TEXT_TOKENS_PER_SOUND_TOKEN) };
}

/** A sound token is 60 ms (see above). */
const MS_PER_SOUND_TOKEN = 60;

/**
 * Longest sound in a form of so many bytes, in milliseconds, as encoders of speech write it: 6 kbit/s. Silence that is packed
 * without loss may be longer.
 */
export function mostSoundMs(byteLength: number): number {
  return Math.ceil(byteLength / BYTES_PER_SOUND_TOKEN) * MS_PER_SOUND_TOKEN;
}

/** Length of a list; `undefined` for anything else. */
function lengthOf(value: Json | undefined): number | undefined {
  return Array.isArray(value) ? value.length : undefined;
}

function countOf(value: Json | undefined, usual: number, max: number): number {
  return typeof value === 'number' && value >= 0 ? Math.min(max, Math.ceil(value)) : usual;
}
