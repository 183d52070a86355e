import { isJsonObject, type JsonObject } from '../../../base/json.js';
import { optionalChoice, optionalInteger, optionalObject } from '../../../wire/members.js';
import { badRequest, missingParameter } from '../../../wire/request-errors.js';

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
  const strategy = optionalObject('chunking_strategy', body.chunking_strategy);
  if (strategy === undefined || optionalChoice('type', strategy.type, ['auto', 'static']) !== 'static') return AUTO;
  const given = strategy.static;
  if (!isJsonObject(given)) throw missingParameter('chunking_strategy.static');
  const chunkTokens =
    optionalInteger('max_chunk_size_tokens', given.max_chunk_size_tokens, { min: 100, max: 4_096 }) ?? AUTO.chunkTokens;
  const overlapTokens =
    optionalInteger('chunk_overlap_tokens', given.chunk_overlap_tokens, { min: 0, max: 2_048 }) ?? AUTO.overlapTokens;
  if (overlapTokens * 2 <= chunkTokens) return { chunkTokens, overlapTokens };
  throw badRequest(
    "Invalid 'chunk_overlap_tokens': it must not be more than half of 'max_chunk_size_tokens'.",
    null,
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
