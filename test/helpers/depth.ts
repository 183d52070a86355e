/**
 * How far those tests go that could go on for as long as one likes: 1 in `npm test`, 10 in CI, 100 at night. At 10 there
 * are up to ten times as many runs of a property, kills and races as at 1, and stores lose the servers that they need.
 */
export const DEPTH = depthOf(process.env.MEGALLM_DEPTH ?? '1');

/** Why a test that begins at a depth of ten does not run, for `skip`; `false` where it does. */
export const TOO_SHALLOW: string | false =
  DEPTH < 10 ? 'outages and kills of database servers begin at MEGALLM_DEPTH=10' : false;

function depthOf(text: string): number {
  const depth = Number(text);
  if (!Number.isInteger(depth) || depth < 1) {
    throw new TypeError(`Expected MEGALLM_DEPTH to be a positive integer, got ${JSON.stringify(text)}`);
  }
  return depth;
}

/** How often a property is tried that is tried so often at depth 1. */
export function runs(atDepthOne: number): { readonly numRuns: number } {
  return { numRuns: atDepthOne * DEPTH };
}

/** Where something of that length is cut or split: everywhere from a depth of ten on, else at each seventh byte and at the end. */
export function offsets(length: number): number[] {
  const all = Array.from({ length: length + 1 }, (_, offset) => offset);
  return DEPTH < 10 ? all.filter((offset) => offset % 7 === 0 || offset >= length - 1) : all;
}

/** How long a test may take that may take so long at depth 1. */
export function patience(atDepthOneMs: number): number {
  return atDepthOneMs * DEPTH;
}
