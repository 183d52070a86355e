import { createHash } from 'node:crypto';
import type { Json } from '../../base/json.js';

/** What else a model might have said. */
const ALTERNATIVES =
  ' the| a| of| and| to| in| is| it| for| on| with| as| that| this| was| are| be| at| by| from| or| not'.split('|');

/** The entry of one piece of text in `logprobs.content`: plausible numbers, always the same for the same place. */
export function logprobOf(text: string, place: number, top: number): Json {
  const own = { token: text, logprob: -noise(`${place} ${text}`) / 10, bytes: bytesOf(text) };
  let logprob = own.logprob;
  const others = ALTERNATIVES.filter((token) => token !== text).map((token) => {
    logprob -= 0.5 + noise(`${place} ${token}`);
    return { token, logprob, bytes: bytesOf(token) };
  });
  return { ...own, top_logprobs: [own, ...others].slice(0, top) };
}

function bytesOf(text: string): number[] {
  return [...Buffer.from(text)];
}

/** A number from 0 to 1, always the same for the same seed. */
function noise(seed: string): number {
  return createHash('sha1').update(seed).digest().readUInt32BE(0) / 2 ** 32;
}
