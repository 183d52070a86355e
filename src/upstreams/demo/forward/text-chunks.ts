import { isJsonObject, type JsonObject } from '../../../json.js';
import { missingParameter } from '../../../request-errors.js';
import { optionalChoice, optionalInteger, optionalObject } from '../read-parameter.js';
import { refused } from './forward-errors.js';

/** How a text is cut before it is searched, in tokens. */
export interface Chunking {
  readonly chunkTokens: number;
  readonly overlapTokens: number;
}

/** What OpenAI does when it is asked for `auto`. */
const AUTO: Chunking = { chunkTokens: 800, overlapTokens: 400 };
/** Of English; exact tokens would cost more than the search. */
const CHARACTERS_PER_TOKEN = 4;

/** The `chunking_strategy` of a request. */
export function readChunking(body: JsonObject): Chunking {
  const strategy = optionalObject(body, 'chunking_strategy');
  if (strategy === undefined || optionalChoice(strategy, 'type', ['auto', 'static']) !== 'static') return AUTO;
  const given = strategy.static;
  if (!isJsonObject(given)) throw missingParameter('chunking_strategy.static');
  const chunkTokens = optionalInteger(given, 'max_chunk_size_tokens', [100, 4_096]) ?? AUTO.chunkTokens;
  const overlapTokens = optionalInteger(given, 'chunk_overlap_tokens', [0, 2_048]) ?? AUTO.overlapTokens;
  if (overlapTokens * 2 <= chunkTokens) return { chunkTokens, overlapTokens };
  throw refused(
    "Invalid 'chunk_overlap_tokens': it must not be more than half of 'max_chunk_size_tokens'.",
    'chunking_strategy.static.chunk_overlap_tokens',
  );
}

/** The chunking as OpenAI shows it. */
export function chunkingBody({ chunkTokens, overlapTokens }: Chunking): JsonObject {
  return { type: 'static', static: { max_chunk_size_tokens: chunkTokens, chunk_overlap_tokens: overlapTokens } };
}

/** The chunks of a text; each begins within the one before. */
export function* chunksOf(text: string, { chunkTokens, overlapTokens }: Chunking): Generator<string, void, undefined> {
  const length = chunkTokens * CHARACTERS_PER_TOKEN;
  const step = length - overlapTokens * CHARACTERS_PER_TOKEN;
  for (let at = 0; at < text.length; at += step) {
    // Half of a character that was cut in two would not survive as UTF-8.
    yield text.slice(at, at + length).toWellFormed();
    if (at + length >= text.length) return;
  }
}

/** The bytes as text; `undefined`: they are none. */
export function textOf(bytes: Buffer): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}
