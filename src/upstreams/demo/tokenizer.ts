/** Tokenizers of OpenAI's models. */
export type Encoding = 'o200k_base' | 'cl100k_base';

/** Counts the tokens of all the texts together. */
export type TokenCounter = (texts: readonly string[]) => number;

/** The member of `gpt-tokenizer` that is used. */
interface Codec {
  encode(text: string, options: { disallowedSpecial: Set<string> }): number[];
}

/** Most characters that are counted exactly; anything beyond is estimated from them. */
const MAX_EXACT_CHARS = 200_000;
/** A run that is cut off: the time of one without a change between space and no space grows with its square (47 s for 200 kB). */
const LONG_RUN = /(\S{128}|\s{128})/u;
/** Special tokens in what a user writes are text like any other. */
const NO_SPECIAL = { disallowedSpecial: new Set<string>() };

/**
 * Loads tokenizers as they are needed: OpenAI's own where the optional package `gpt-tokenizer` is installed (64 MB,
 * half a second), else one that counts pieces.
 */
export function tokenCounters(): (encoding: Encoding) => Promise<TokenCounter> {
  const loaded = new Map<Encoding, Promise<TokenCounter>>();
  return (encoding) => {
    const counter = loaded.get(encoding) ?? load(encoding).then(exactCounter, () => countPieces);
    loaded.set(encoding, counter);
    return counter;
  };
}

/**
 * The pieces in which a text streams, which join to it: words every eight letters, numbers every three digits, an
 * empty object, other characters one by one. Each is about a token, for English a tenth more than OpenAI counts.
 */
export function piecesOf(text: string): readonly string[] {
  const pieces = /\{\}| \p{L}{1,8}|\p{L}{1,8}|\p{N}{1,3}| [^\s\p{L}\p{N}]|\s{1,16}|[^\s\p{L}\p{N}]/gu;
  return text.toWellFormed().match(pieces) ?? [];
}

export const countPieces: TokenCounter = (texts) => texts.reduce((sum, text) => sum + piecesOf(text).length, 0);

async function load(encoding: Encoding): Promise<Codec> {
  return encoding === 'cl100k_base'
    ? await import('gpt-tokenizer/encoding/cl100k_base')
    : await import('gpt-tokenizer/encoding/o200k_base');
}

function exactCounter(codec: Codec): TokenCounter {
  return (texts) => {
    let chars = 0;
    let exactChars = 0;
    let tokens = 0;
    for (const text of texts) {
      chars += text.length;
      const exact = text.slice(0, MAX_EXACT_CHARS - exactChars);
      exactChars += exact.length;
      for (const part of exact.split(LONG_RUN)) tokens += codec.encode(part, NO_SPECIAL).length;
    }
    return exactChars === 0 ? 0 : Math.ceil((tokens * chars) / exactChars);
  };
}
