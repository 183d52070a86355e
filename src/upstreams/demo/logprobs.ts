/** A text that a model might have said, and how likely it was. */
export interface Likelihood {
  readonly text: string;
  readonly logprob: number;
}

const ALTERNATIVES =
  ' the| a| of| and| to| in| is| it| for| on| with| as| that| this| was| are| be| at| by| from'.split('|');

/** A piece of text and so many alternatives to it, at most 19, each less likely than the one before. */
export function likelihoods(piece: string, alternatives: number): readonly [Likelihood, ...Likelihood[]] {
  const others = ALTERNATIVES.filter((text) => text !== piece).slice(0, Math.max(0, alternatives));
  return [{ text: piece, logprob: -0.1 }, ...others.map((text, index) => ({ text, logprob: -2.5 - index / 2 }))];
}
