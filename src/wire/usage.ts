import { isJsonObject, type Json, type JsonObject } from '../base/json.js';

/** Tokens of one call as the upstream counted them; a part is `undefined` when the upstream did not tell it. */
export interface TokenUsage {
  /** All input tokens; cached, audio and image tokens are parts of them. */
  readonly inputTokens: number;
  readonly cachedInputTokens: number | undefined;
  readonly inputAudioTokens: number | undefined;
  readonly inputImageTokens: number | undefined;
  /** All output tokens; reasoning and audio tokens are parts of them. */
  readonly outputTokens: number;
  readonly reasoningTokens: number | undefined;
  readonly outputAudioTokens: number | undefined;
}

/** Beyond any model there is: a larger number is garbage. */
const MAX_TOKENS = 1_000_000_000;

/** Enough bytes for a usage object and for what comes after it. */
const TAIL_BYTES = 4_096;

/** A `usage` object with at most one level of objects inside, as all usage has. */
const USAGE = /"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})/g;

/**
 * Reads OpenAI's `usage` object, in the names of chat completions or of Responses, images and audio. `undefined` when it
 * is absent or not believable (negative, fractional, huge, parts larger than their whole): doubtful usage is estimated
 * instead, and never credits the caller. An explicit 0 is a 0.
 */
export function readUsage(usage: Json | undefined): TokenUsage | undefined {
  if (!isJsonObject(usage)) return undefined;
  const inputTokens = tokenCount(usage.prompt_tokens ?? usage.input_tokens);
  const outputTokens = tokenCount(usage.completion_tokens ?? usage.output_tokens ?? 0);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  // Transcriptions say `input_token_details`.
  const input = membersOf(usage.prompt_tokens_details ?? usage.input_tokens_details ?? usage.input_token_details);
  const output = membersOf(usage.completion_tokens_details ?? usage.output_tokens_details);
  const tokens = {
    inputTokens,
    cachedInputTokens: partOf(input.cached_tokens),
    inputAudioTokens: partOf(input.audio_tokens),
    inputImageTokens: partOf(input.image_tokens),
    outputTokens,
    reasoningTokens: partOf(output.reasoning_tokens),
    outputAudioTokens: partOf(output.audio_tokens),
  };
  return isBelievable(tokens) ? tokens : undefined;
}

/** Reads the `usage` of a response; `undefined` when it is absent or not believable. */
export function readResponsesUsage(usage: Json | undefined): TokenUsage | undefined {
  if (!isJsonObject(usage) || usage.input_tokens === undefined) return undefined;
  return readUsage({
    prompt_tokens: usage.input_tokens,
    prompt_tokens_details: usage.input_tokens_details,
    completion_tokens: usage.output_tokens,
    completion_tokens_details: usage.output_tokens_details,
  });
}

/** Translates the usage of a chat completion for a response; `null` when it is not believable. */
export function responsesUsage(usage: Json | undefined): JsonObject | null {
  const counts = readUsage(usage);
  if (counts === undefined || !isJsonObject(usage)) return null;
  const { inputTokens, cachedInputTokens, outputTokens, reasoningTokens } = counts;
  const details = usage.prompt_tokens_details;
  const written =
    isJsonObject(details) && typeof details.cache_write_tokens === 'number' ? details.cache_write_tokens : 0;
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cachedInputTokens ?? 0, cache_write_tokens: written },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens ?? 0 },
    total_tokens: inputTokens + outputTokens,
  };
}

/** Finds the usage at the end of an answer that passes unread. */
export class UsageTail {
  /** False for pictures and sounds, which have no usage. */
  private readonly mayHaveUsage: boolean;
  private tail = '';

  constructor(contentType: string) {
    this.mayHaveUsage = /json|event-stream/i.test(contentType);
  }

  /** Takes the next bytes of the answer. */
  addPiece(piece: Uint8Array): void {
    if (!this.mayHaveUsage) return;
    const end = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).subarray(-TAIL_BYTES).toString('latin1');
    this.tail = (this.tail + end).slice(-TAIL_BYTES);
  }

  /** The usage told by the end of the answer so far; `undefined` when it tells none. */
  findUsage(): TokenUsage | undefined {
    const last = [...this.tail.matchAll(USAGE)].at(-1)?.[1];
    if (last === undefined) return undefined;
    try {
      return readUsage(JSON.parse(last));
    } catch {
      return undefined;
    }
  }
}

/** Cached tokens may be of any kind; audio is no image, and reasoning no audio. */
function isBelievable(tokens: TokenUsage): boolean {
  const {
    inputTokens,
    cachedInputTokens: cached = 0,
    inputAudioTokens: audio = 0,
    inputImageTokens: images = 0,
  } = tokens;
  const { outputTokens, reasoningTokens: reasoning = 0, outputAudioTokens: spoken = 0 } = tokens;
  return cached <= inputTokens && audio + images <= inputTokens && reasoning + spoken <= outputTokens;
}

function membersOf(details: Json | undefined): JsonObject {
  return isJsonObject(details) ? details : {};
}

/** The tokens of a part. Garbage is infinite: larger than any whole, so that the usage is not believed. */
function partOf(value: Json | undefined): number | undefined {
  return value === undefined || value === null ? undefined : (tokenCount(value) ?? Number.POSITIVE_INFINITY);
}

function tokenCount(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS
    ? value
    : undefined;
}
