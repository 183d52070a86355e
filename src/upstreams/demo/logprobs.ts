import { hashText } from './context.js';

/** A text that a model might have said, and how likely it was. */
export interface Likelihood {
  readonly text: string;
  readonly logprob: number;
}

const ALTERNATIVES =
  ' the| a| of| and| to| in| is| it| for| on| with| as| that| this| was| are| be| at| by| from| or| not'.split('|');

/**
 * A piece of text and so many alternatives to it, the likeliest first: plausible numbers, always the same for the same place.
 */
export function likelihoods(
  piece: string,
  place: number,
  alternatives: number,
): readonly [Likelihood, ...Likelihood[]] {
  const said: Likelihood = { text: piece, logprob: -noise(piece, place) / 10 };
  let { logprob } = said;
  const others = ALTERNATIVES.filter((text) => text !== piece)
    .slice(0, Math.max(0, alternatives))
    .map((text) => {
      logprob -= 0.5 + noise(text, place);
      return { text, logprob };
    });
  return [said, ...others];
}

/** A number from 0 to 1, always the same for the same text and place. */
function noise(text: string, place: number): number {
  return hashText(text, place) / 2 ** 32;
}
