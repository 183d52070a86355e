import { hashText } from './hash-text.js';

/** Turns texts and tokens into vectors of one model. */
export interface Embedder {
  /** Of length 1; of texts that share words or parts of words, near each other. */
  embedText(text: string): readonly number[];
  /** For tokens whose text cannot be told. */
  embedTokens(tokens: readonly number[]): readonly number[];
}

/** Features go to places by hash. A power of two above the dimensions of any model. */
const PLACES = 4_096;
/** Scripts that put no spaces between words. */
const UNSPACED =
  '\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}';
const WORD = new RegExp(`[${UNSPACED}]+|(?:(?![${UNSPACED}])[\\p{L}\\p{N}])+`, 'gu');
const IS_UNSPACED = new RegExp(`^[${UNSPACED}]`, 'u');
/** Lengths of the parts of words that are looked at. */
const PART_LENGTHS = [3, 4];
const PAIR_WEIGHT = 0.3;
const GLYPH_WEIGHT = 0.5;
/** Digits after the point: what a float32 can tell apart, and a third of the text of a double. */
const SCALE = 1e8;

/**
 * Feature hashing with signs: words, their parts and their neighbours, then a Walsh-Hadamard transform, which keeps
 * angles and spreads each feature over all dimensions, so that the first dimensions alone say as much as they can.
 * @param model vectors of different models have nothing in common.
 */
export function embedder(model: string, dimensions: number): Embedder {
  const seed = hashText(model);
  const places = new Float64Array(PLACES);
  const add = (feature: string, weight: number, from?: number, to?: number): void => {
    const hash = hashText(feature, seed, from, to);
    const place = hash % PLACES;
    places[place] = (places[place] ?? 0) + (hash >>> 31 === 0 ? weight : -weight);
  };
  const vectorOf = (addFeatures: () => void): readonly number[] => {
    places.fill(0);
    addFeatures();
    transform(places);
    return unitVector(places.subarray(0, dimensions));
  };
  return {
    embedText: (text) => vectorOf(() => addText(text, add)),
    embedTokens: (tokens) =>
      vectorOf(() => addCounted([...tokens.map(String), ...pairsOf(tokens.map(String))], 1, add)),
  };
}

type Add = (feature: string, weight: number, from?: number, to?: number) => void;

function addText(text: string, add: Add): void {
  // Case, accents and width make no other word.
  const plain = text
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}+/gu, '');
  const words = plain.match(WORD) ?? [];
  if (words.length === 0) add(text, 1);
  const spaced = words.filter((word) => !IS_UNSPACED.test(word));
  for (const [word, count] of counted(spaced)) addWord(word, Math.sqrt(count), add);
  addCounted(pairsOf(spaced), PAIR_WEIGHT, add);
  const runs = words.filter((word) => IS_UNSPACED.test(word)).map((run) => [...run]);
  addCounted(runs.flat(), GLYPH_WEIGHT, add);
  addCounted(runs.flatMap(pairsOf), 1, add);
}

/** The word, and all its parts together as much as the word itself. */
function addWord(word: string, weight: number, add: Add): void {
  // Short words are mostly those that every text has.
  const own = weight * Math.min(1, word.length / 5);
  add(word, own);
  const framed = ` ${word} `;
  const parts = PART_LENGTHS.reduce((sum, length) => sum + Math.max(0, framed.length - length + 1), 0);
  const each = own / Math.sqrt(parts);
  for (const length of PART_LENGTHS) {
    for (let from = 0; from + length <= framed.length; from += 1) add(framed, each, from, from + length);
  }
}

function addCounted(features: readonly string[], weight: number, add: Add): void {
  for (const [feature, count] of counted(features)) add(feature, weight * Math.sqrt(count));
}

function counted(features: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const feature of features) counts.set(feature, (counts.get(feature) ?? 0) + 1);
  return counts;
}

function pairsOf(items: readonly string[]): string[] {
  return items.slice(1).map((item, index) => `${items[index]} ${item}`);
}

/** Walsh-Hadamard, in place. */
function transform(values: Float64Array): void {
  for (let half = 1; half < values.length; half *= 2) {
    for (let block = 0; block < values.length; block += half * 2) {
      for (let at = block; at < block + half; at += 1) {
        const one = values[at] ?? 0;
        const other = values[at + half] ?? 0;
        values[at] = one + other;
        values[at + half] = one - other;
      }
    }
  }
}

function unitVector(values: Float64Array): readonly number[] {
  const length = Math.hypot(...values);
  // Features may cancel each other where dimensions are few.
  if (length < 1e-9) return Array.from(values, (_, index) => (index === 0 ? 1 : 0));
  return Array.from(values, (value) => Math.round((value / length) * SCALE) / SCALE);
}
