/**
 * How far those tests go that could go on for as long as one likes: 1 in `npm test`, 10 in CI, 100 at night. So many
 * times as many runs of properties, kills, races and outages.
 */
export const DEPTH = depthOf(process.env.MEGALLM_DEPTH ?? '1');

function depthOf(text: string): number {
  const depth = Number(text);
  if (!Number.isInteger(depth) || depth < 1) {
    throw new TypeError(`Expected MEGALLM_DEPTH to be a positive integer, got ${JSON.stringify(text)}`);
  }
  return depth;
}
