import type { JsonObject } from '../../base/json.js';
import { hashText } from './hash-text.js';

/** What else a model might have said: one more than may be asked for, as one may be what it did say. */
const ALTERNATIVES = [' the', ' a', ' of', ' and', ' to', ' in'];

/** Log probabilities in the legacy shape, one entry of each list for each piece of text. */
export interface CompletionLogprobs {
  readonly tokens: readonly string[];
  readonly token_logprobs: readonly (number | null)[];
  readonly top_logprobs: readonly (JsonObject | null)[];
  readonly text_offset: readonly number[];
}

/**
 * Plausible numbers for the pieces of a text, always the same for the same place: of whole prompts, so cheap ones.
 * @param offset characters before the first piece, from the beginning of the prompt.
 * @param top how many alternatives, 0 to 5. @param begins nothing comes before, so that the first piece has no number.
 */
export function completionLogprobs(
  pieces: readonly string[],
  { offset, top, begins }: { readonly offset: number; readonly top: number; readonly begins: boolean },
): CompletionLogprobs {
  let at = offset;
  const offsets = pieces.map((piece) => {
    const own = at;
    at += codePoints(piece);
    return own;
  });
  const own = pieces.map((piece, index) => (begins && index === 0 ? null : -noise(piece, offset + index) / 10));
  return {
    tokens: pieces,
    token_logprobs: own,
    top_logprobs: pieces.map((piece, index) => topOf(piece, own[index] ?? null, offset + index, top)),
    text_offset: offsets,
  };
}

/** Length of a text as OpenAI counts it. */
export function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** One after the other: the prompt, and what was written. */
export function joinedLogprobs(first: CompletionLogprobs, second: CompletionLogprobs): CompletionLogprobs {
  return {
    tokens: [...first.tokens, ...second.tokens],
    token_logprobs: [...first.token_logprobs, ...second.token_logprobs],
    top_logprobs: [...first.top_logprobs, ...second.top_logprobs],
    text_offset: [...first.text_offset, ...second.text_offset],
  };
}

/** The entries from one piece to another. */
export function slicedLogprobs(of: CompletionLogprobs, from: number, to: number): CompletionLogprobs {
  return {
    tokens: of.tokens.slice(from, to),
    token_logprobs: of.token_logprobs.slice(from, to),
    top_logprobs: of.top_logprobs.slice(from, to),
    text_offset: of.text_offset.slice(from, to),
  };
}

/** What was said comes first, also where no alternative is asked for. */
function topOf(piece: string, own: number | null, place: number, top: number): JsonObject | null {
  if (own === null) return null;
  let logprob = own;
  const others = ALTERNATIVES.filter((text) => text !== piece)
    .slice(0, Math.max(0, top - 1))
    .map((text) => {
      logprob -= 0.5 + noise(text, place);
      return [text, logprob] as const;
    });
  return Object.fromEntries([[piece, own], ...others]);
}

/** A number from 0 to 1, always the same for the same text and place. */
function noise(text: string, place: number): number {
  return hashText(text, place) / 2 ** 32;
}
