import { orAborted } from '../../base/cancellation.js';
import type { GatewayError } from '../../base/errors.js';
import type { Json, JsonObject } from '../../base/json.js';
import { optionalChoice, optionalInteger } from '../../wire/members.js';
import { readEmbeddingRequest } from '../../wire/model-request.js';
import { badRequest, invalidType } from '../../wire/request-errors.js';
import { type DemoContext, type DemoReply, fairTurns } from './context.js';
import { findDemoModel } from './models.js';

/** A text, or the tokens of one. */
export type TextInput = string | readonly number[];

/** OpenAI's own bounds: tokens of one input, and of all. */
const MAX_TOKENS_PER_INPUT = 8_192;
const MAX_TOKENS_PER_REQUEST = 300_000;
/** Cost of the numbers of a vector beside its text, in characters. */
const WORK_PER_VECTOR = 2_000;
/** Places that a feature has in a vector. */
const PLACES_PER_FEATURE = 8;
/** Digits after the point: as many as a float32 can tell apart. */
const SCALE = 1e8;

/**
 * Embeddings. The same input always gets the same vector, and texts with words in common are near each other; what they
 * mean, the demo does not know.
 * @throws {GatewayError} 400 or 404
 */
export async function composeEmbeddings(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const { model } = readEmbeddingRequest({ body, isDecoded: true });
  findDemoModel(model, 'embeddings');
  const max = model.endsWith('text-embedding-3-large') ? 3_072 : 1_536;
  const dimensions = optionalInteger('dimensions', body.dimensions, { min: 1, max }) ?? max;
  const isBase64 = optionalChoice('encoding_format', body.encoding_format, ['float', 'base64']) === 'base64';
  const countTokens = await orAborted(context.counterOf('cl100k_base'), context.signal);
  const turn = fairTurns(context.signal);
  const data: JsonObject[] = [];
  let total = 0;
  for (const input of readTextInputs('input', body.input)) {
    const tokens = typeof input === 'string' ? countTokens([input]) : input.length;
    total += tokens;
    if (tokens > MAX_TOKENS_PER_INPUT) throw tooLong(MAX_TOKENS_PER_INPUT);
    if (total > MAX_TOKENS_PER_REQUEST) throw tooLong(MAX_TOKENS_PER_REQUEST);
    const vector = vectorOf(typeof input === 'string' ? input : input.join(' '), hashText(model), dimensions);
    data.push({ object: 'embedding', index: data.length, embedding: isBase64 ? base64Of(vector) : vector });
    await turn(input.length + WORK_PER_VECTOR);
  }
  const usage = { prompt_tokens: total, total_tokens: total };
  return { kind: 'whole', body: { object: 'list', data, model, usage } };
}

const tooLong = (maxTokens: number): GatewayError =>
  badRequest(`Invalid 'input': maximum ${maxTokens} tokens, but got more.`, null, 'input');

/** Reads a text, tokens, or an array of texts or of tokens. @throws {GatewayError} 400 */
export function readTextInputs(param: string, value: Json | undefined): readonly TextInput[] {
  const list = Array.isArray(value) && typeof value[0] !== 'number' ? value : [value];
  return list.map((input: Json | undefined) => {
    if (typeof input === 'string') return input;
    const tokens = Array.isArray(input) ? input.filter((token) => typeof token === 'number') : [];
    if (Array.isArray(input) && tokens.length === input.length && tokens.length > 0) return tokens;
    throw invalidType(param, 'texts or tokens', input);
  });
}

/** Adds up hashed words, and parts of words at a lower weight. @param seed keeps models apart. */
function vectorOf(text: string, seed: number, dimensions: number): readonly number[] {
  const places = new Float64Array(dimensions);
  const add = (feature: string, weight: number): void => {
    for (let place = 0; place < PLACES_PER_FEATURE; place += 1) {
      const hash = hashText(feature, seed + place);
      const at = hash % dimensions;
      places[at] = (places[at] ?? 0) + (hash >>> 31 === 0 ? weight : -weight);
    }
  };
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [text]) {
    // Short words are mostly those that every text has.
    add(word, Math.min(1, word.length / 5));
    for (let at = 0; at + 3 <= word.length; at += 1) add(word.slice(at, at + 3), 0.2);
  }
  const length = Math.hypot(...places);
  // Features may cancel each other where dimensions are few.
  if (length < 1e-9) return Array.from(places, (_, index) => (index === 0 ? 1 : 0));
  return Array.from(places, (value) => Math.round((value / length) * SCALE) / SCALE);
}

/** Little-endian float32, in standard base64. */
function base64Of(vector: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}

/** A number of 32 bits, always the same for the same text (FNV-1a, then mixed). Not for secrets. */
function hashText(text: string, seed = 0): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  // FNV leaves the high bits of short texts alike.
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
