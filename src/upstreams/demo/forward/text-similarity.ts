const DIMENSIONS = 1_024;
const WORD_WEIGHT = 3;
const TRIGRAM_WEIGHT = 1;

/**
 * How alike texts are to this one, from 0 to 1: the cosine between vectors of hashed words and their trigrams. Words
 * that differ in their endings still count for something. Always the same for the same texts.
 */
export function similarityTo(query: string): (text: string) => number {
  const wanted = vectorOf(query);
  const norm = Math.sqrt(dot(wanted, wanted));
  return (text) => {
    const vector = vectorOf(text);
    const scale = norm * Math.sqrt(dot(vector, vector));
    return scale === 0 ? 0 : Math.min(1, dot(wanted, vector) / scale);
  };
}

function vectorOf(text: string): Float64Array {
  const vector = new Float64Array(DIMENSIONS);
  for (const [word] of text
    .normalize('NFKC')
    .toLowerCase()
    .matchAll(/[\p{L}\p{N}]+/gu)) {
    count(vector, word, WORD_WEIGHT);
    const framed = `^${word}$`;
    for (let at = 0; at + 3 <= framed.length; at += 1) count(vector, framed.slice(at, at + 3), TRIGRAM_WEIGHT);
  }
  // A word that comes ten times is not ten times as telling.
  return vector.map(Math.sqrt);
}

/** FNV-1a, which spreads short texts well. */
function count(vector: Float64Array, feature: string, weight: number): void {
  let hash = 0x811c9dc5;
  for (let at = 0; at < feature.length; at += 1) hash = Math.imul(hash ^ feature.charCodeAt(at), 0x01000193);
  const index = (hash >>> 0) % DIMENSIONS;
  vector[index] = (vector[index] ?? 0) + weight;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (const [index, value] of a.entries()) sum += value * (b[index] ?? 0);
  return sum;
}
