/** Tokenizers of OpenAI's models. */
export type Encoding = 'o200k_base' | 'cl100k_base';

/** Text that streams as one, and how many tokens it is: more than one where a character is. */
export interface TextPiece {
  readonly text: string;
  readonly tokens: number;
}

export interface Tokenizer {
  /** Tokens of all the texts together. */
  count(texts: readonly string[]): number;
  /** The pieces of a text, which join to it. */
  pieces(text: string): readonly TextPiece[];
}

/** Members of `gpt-tokenizer` that are used. */
interface Codec {
  encode(text: string, options: { disallowedSpecial: Set<string> }): number[];
  decodeGenerator(tokens: Iterable<number>): Iterable<string>;
}

/** Longest text that is taken apart exactly; anything beyond is estimated. */
const MAX_EXACT_CHARS = 200_000;
/** Longest run without a change between space and no space: the time of one run grows with its square (47 s for 200 kB). */
const MAX_RUN = 128;
/** Special tokens in what a user writes are text like any other. */
const NO_SPECIAL = { disallowedSpecial: new Set<string>() };

/**
 * Loads tokenizers as they are needed: OpenAI's own where the optional package `gpt-tokenizer` is installed (64 MB,
 * half a second), else one that estimates.
 */
export function tokenizers(): (encoding: Encoding) => Promise<Tokenizer> {
  const loaded = new Map<Encoding, Promise<Tokenizer>>();
  return (encoding) => {
    const tokenizer = loaded.get(encoding) ?? load(encoding).then(exactTokenizer, () => estimatingTokenizer());
    loaded.set(encoding, tokenizer);
    return tokenizer;
  };
}

/** As many of the pieces as the ceiling allows. */
export function upTo(all: readonly TextPiece[], ceiling: number): { pieces: string[]; tokens: number; cut: boolean } {
  const pieces: string[] = [];
  let tokens = 0;
  for (const piece of all) {
    if (tokens + piece.tokens > ceiling) return { pieces, tokens, cut: true };
    tokens += piece.tokens;
    pieces.push(piece.text);
  }
  return { pieces, tokens, cut: false };
}

/**
 * Takes words apart every eight letters, numbers every three digits, other characters one by one, each piece a token:
 * for English a tenth above what OpenAI counts.
 */
export function estimatingTokenizer(): Tokenizer {
  const pieces = (text: string): readonly TextPiece[] =>
    (
      text.toWellFormed().match(/ \p{L}{1,8}|\p{L}{1,8}|\p{N}{1,3}| [^\s\p{L}\p{N}]|\s{1,16}|[^\s\p{L}\p{N}]/gu) ?? []
    ).map((piece) => ({ text: piece, tokens: 1 }));
  return { pieces, count: (texts) => texts.reduce((sum, text) => sum + pieces(text).length, 0) };
}

async function load(encoding: Encoding): Promise<Codec> {
  return encoding === 'cl100k_base'
    ? await import('gpt-tokenizer/encoding/cl100k_base')
    : await import('gpt-tokenizer/encoding/o200k_base');
}

function exactTokenizer(codec: Codec): Tokenizer {
  const estimate = estimatingTokenizer();

  /** A generator that counts what the decoder takes: it gives text only where a character is complete. */
  function piecesOf(part: string): readonly TextPiece[] {
    let taken = 0;
    const counted = function* (): Generator<number> {
      for (const token of codec.encode(part, NO_SPECIAL)) {
        taken += 1;
        yield token;
      }
    };
    const pieces: TextPiece[] = [];
    for (const text of codec.decodeGenerator(counted())) {
      pieces.push({ text, tokens: taken });
      taken = 0;
    }
    return pieces.map(({ text }) => text).join('') === part ? pieces : estimate.pieces(part);
  }

  return {
    count(texts) {
      let exactChars = 0;
      let tokens = 0;
      for (const text of texts) {
        const exact = text.slice(0, MAX_EXACT_CHARS - exactChars);
        exactChars += exact.length;
        for (const part of shortRuns(exact)) tokens += codec.encode(part, NO_SPECIAL).length;
      }
      const chars = texts.reduce((sum, text) => sum + text.length, 0);
      return exactChars === 0 ? 0 : Math.ceil((tokens * chars) / exactChars);
    },
    pieces(text) {
      const wellFormed = text.toWellFormed();
      // Not in the middle of a surrogate pair.
      const exact = wellFormed.slice(0, MAX_EXACT_CHARS).replace(/[\ud800-\udbff]$/, '');
      return [...shortRuns(exact).flatMap(piecesOf), ...estimate.pieces(wellFormed.slice(exact.length))];
    },
  };
}

/** The parts of a text, cut where a run has lasted too long. */
function shortRuns(text: string): readonly string[] {
  const parts: string[] = [];
  let from = 0;
  let run = 0;
  let wasSpace = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    const isSpace = code <= 0x20 || code === 0xa0 || (code >= 0x2000 && code <= 0x200b) || code === 0x3000;
    run = isSpace === wasSpace ? run + 1 : 1;
    wasSpace = isSpace;
    // Not in the middle of a surrogate pair.
    if (run < MAX_RUN || (code >= 0xd800 && code <= 0xdbff)) continue;
    parts.push(text.slice(from, at + 1));
    from = at + 1;
    run = 0;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}
