import type { Span } from '../base/json-scan.js';
import { turn } from '../base/turns.js';

/** A text that was given as the numbers of its tokens, or some such texts. */
export interface TokenNumbers {
  readonly count: number;
  /** JSON of the same shape, with one number for each text. */
  readonly outline: string;
}

/** More than any server takes in one request: OpenAI takes 300,000, https://platform.openai.com/docs/api-reference/embeddings. */
const MAX_NUMBERS = 1_000_000;
/** Texts beyond which nobody counts on: OpenAI takes 2,048. */
const MAX_TEXTS = 10_000;
const BYTES_PER_TURN = 1_048_576;

/**
 * Counts token numbers in valid JSON without parsing it; `undefined` for anything but a list of whole numbers or a list of such
 * lists, and for more numbers than anybody takes.
 */
export async function countTokenNumbers(bytes: Buffer, { start, end }: Span): Promise<TokenNumbers | undefined> {
  let depth = 0;
  let count = 0;
  let texts = 0;
  let isInNumber = false;
  for (let at = start; at < end; at += 1) {
    if ((at - start) % BYTES_PER_TURN === BYTES_PER_TURN - 1) await turn();
    const byte = bytes[at] ?? 0;
    const isDigit = byte >= 0x30 && byte <= 0x39;
    if (isDigit && !isInNumber) count += 1;
    isInNumber = isDigit;
    if (byte === 0x5b) {
      depth += 1;
      if (depth === 2) texts += 1;
    } else if (byte === 0x5d) depth -= 1;
    else if (!isDigit && byte !== 0x2c && byte > 0x20) return undefined;
    if (depth > 2 || count > MAX_NUMBERS || texts > MAX_TEXTS || (texts > 0 && depth === 1 && isDigit))
      return undefined;
  }
  return { count, outline: texts === 0 ? '[0]' : `[${Array(texts).fill('[0]').join()}]` };
}
