import { bufferOf } from '../base/bytes.js';
import { isJsonObject, type Json, type JsonObject } from '../base/json.js';

/** Tokens of one call as the upstream counted them; a part is `undefined` when the upstream did not tell it. */
export interface TokenUsage {
  /** All input tokens; cached, audio and image tokens are parts of them. */
  readonly inputTokens: number;
  readonly cachedInputTokens: number | undefined;
  /** All input tokens that were written to a cache. */
  readonly cacheWriteTokens?: number | undefined;
  /** The part of them that is kept long: OpenAI's 12 hours, Anthropic's one. */
  readonly cacheWriteLongTokens?: number | undefined;
  readonly inputAudioTokens: number | undefined;
  readonly inputImageTokens: number | undefined;
  /** All output tokens; reasoning and audio tokens are parts of them. */
  readonly outputTokens: number;
  readonly reasoningTokens: number | undefined;
  readonly outputAudioTokens: number | undefined;
}

/** Usage as an upstream told it, be it the whole truth or not. */
export interface ToldUsage extends TokenUsage {
  /** Set where it contradicts itself or the answer, or lacks a part: then it is the least that was used. */
  readonly isDoubtful?: boolean;
  /** Set where that is all that is doubtful: the other chunks of a stream may tell this part. */
  readonly lacks?: 'input' | 'output';
}

/** Beyond any model there is: a larger number is garbage. */
const MAX_TOKENS = 1_000_000_000;

/** Enough bytes for a usage object and for what comes after it. */
const TAIL_BYTES = 4_096;

/** A `usage` object with at most one level of objects inside, as all usage has. */
const USAGE = /"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})/g;

/**
 * Reads a `usage` object in the names of any vendor. `undefined` when it is absent or not believable (negative, fractional, huge,
 * parts larger than their whole). An explicit 0 is a 0.
 */
export function readUsage(usage: Json | undefined): TokenUsage | undefined {
  const told = readToldUsage(usage);
  return told?.isDoubtful === true ? undefined : told;
}

/** Numbers of a usage object, as they stand there. */
export interface SaidNumbers {
  readonly input: Json | undefined;
  readonly output: Json | undefined;
  readonly total: Json | undefined;
  readonly cached: Json | undefined;
  readonly written: Json | undefined;
  readonly longWritten: Json | undefined;
  readonly inputAudio: Json | undefined;
  readonly inputImage: Json | undefined;
  readonly reasoning: Json | undefined;
  readonly outputAudio: Json | undefined;
  /** Perplexity bills what it read of the pages that it found as input. */
  readonly citations: Json | undefined;
  /** Whether the input is told without what was read from a cache and written to one. */
  readonly isBesideCache: boolean;
  /** Whether the output is told without the reasoning. */
  readonly isBesideReasoning: boolean;
}

/**
 * Finds the numbers under the names of any vendor: one line each, OpenAI's names first. No list of names is walked, as a lookup
 * by a name that varies takes a kilobyte of garbage for each answer.
 */
function saidNumbers(usage: JsonObject): SaidNumbers {
  // Chat; Responses and images; transcriptions.
  const read = membersOf(usage.prompt_tokens_details ?? usage.input_tokens_details ?? usage.input_token_details);
  const made = membersOf(usage.completion_tokens_details ?? usage.output_tokens_details);
  return {
    // Chat; Responses and Anthropic; Ollama's own API; Gemini's own.
    input: usage.prompt_tokens ?? usage.input_tokens ?? usage.prompt_eval_count ?? usage.promptTokenCount,
    output: usage.completion_tokens ?? usage.output_tokens ?? usage.eval_count ?? usage.candidatesTokenCount,
    total: usage.total_tokens ?? usage.totalTokenCount,
    // OpenAI; Anthropic; DeepSeek; Mistral; Moonshot; Gemini's own.
    cached:
      read.cached_tokens ??
      usage.cache_read_input_tokens ??
      usage.prompt_cache_hit_tokens ??
      usage.num_cached_tokens ??
      usage.cached_tokens ??
      usage.cachedContentTokenCount,
    // OpenAI; LiteLLM; Anthropic.
    written: read.cache_write_tokens ?? read.cache_creation_tokens ?? usage.cache_creation_input_tokens,
    longWritten:
      membersOf(read.cache_write_tokens_details).ttl_12h_tokens ??
      membersOf(usage.cache_creation ?? read.cache_creation_token_details).ephemeral_1h_input_tokens,
    inputAudio: read.audio_tokens,
    inputImage: read.image_tokens,
    // OpenAI; Perplexity; Gemini's own.
    reasoning: made.reasoning_tokens ?? usage.reasoning_tokens ?? usage.thoughtsTokenCount,
    outputAudio: made.audio_tokens,
    citations: usage.citation_tokens,
    // Anthropic's.
    isBesideCache:
      usage.prompt_tokens === undefined &&
      (usage.cache_read_input_tokens !== undefined || usage.cache_creation_input_tokens !== undefined),
    // Gemini's own.
    isBesideReasoning: usage.thoughtsTokenCount !== undefined && usage.candidatesTokenCount !== undefined,
  };
}

/**
 * Reads a `usage` object, be it believable or not. Nothing that a provider may bill for is undercut: output is the largest number
 * that its parts and sums come to. `undefined` when it tells neither input nor output.
 */
export function readToldUsage(usage: Json | undefined): ToldUsage | undefined {
  return isJsonObject(usage) ? toldBy(saidNumbers(usage)) : undefined;
}

/** The usage that these numbers tell, as `readToldUsage` does. */
export function toldBy(said: SaidNumbers): ToldUsage | undefined {
  const cached = countOf(said.cached);
  const longWritten = countOf(said.longWritten);
  const written = countOf(said.written) ?? longWritten;
  const audio = countOf(said.inputAudio);
  const images = countOf(said.inputImage);
  const reasoning = countOf(said.reasoning);
  const spoken = countOf(said.outputAudio);
  const total = countOf(said.total);
  const completion = countOf(said.output);
  const citations = countOf(said.citations);
  const prompt = countOf(said.input) ?? (total === undefined ? undefined : Math.max(0, total - (completion ?? 0)));
  if (prompt === undefined && completion === undefined) return undefined;
  const beside = said.isBesideCache ? (cached ?? 0) + (written ?? 0) : 0;
  const input = (prompt ?? 0) + beside + (citations ?? 0);
  const output = Math.max(
    completion ?? 0,
    total === undefined || prompt === undefined ? 0 : total - input,
    isBeside(said, reasoning) ? (completion ?? 0) + (reasoning ?? 0) : 0,
  );
  // More than the whole: either it does not count them, or one of the numbers is wrong.
  const leastInput = Math.max(input, (cached ?? 0) + (written ?? 0), (audio ?? 0) + (images ?? 0));
  const leastOutput = Math.max(output, (reasoning ?? 0) + (spoken ?? 0));
  // A total alone tells nothing of its parts.
  const tellsOutput = completion !== undefined || (total !== undefined && countOf(said.input) !== undefined);
  const lacks = prompt === undefined ? 'input' : tellsOutput ? undefined : 'output';
  const isBounded = Math.max(leastInput, leastOutput) <= MAX_TOKENS;
  const isBelievable =
    isClean(said) &&
    isBounded &&
    leastInput === input &&
    leastOutput === output &&
    (longWritten ?? 0) <= (written ?? 0);
  const tokens: TokenUsage = {
    inputTokens: Math.min(MAX_TOKENS, Math.max(leastInput, (cached ?? 0) > input ? input + (cached ?? 0) : 0)),
    cachedInputTokens: cached,
    cacheWriteTokens: written,
    cacheWriteLongTokens: longWritten,
    inputAudioTokens: audio,
    inputImageTokens: images,
    outputTokens: Math.min(MAX_TOKENS, leastOutput),
    reasoningTokens: reasoning,
    outputAudioTokens: spoken,
  };
  if (isBelievable && lacks === undefined) return tokens;
  return isBelievable && lacks !== undefined ? { ...tokens, isDoubtful: true, lacks } : { ...tokens, isDoubtful: true };
}

/**
 * Joins what a stream told earlier and what it tells now. Some tell input and output in a chunk each, as Anthropic does, and leave
 * the other out or at 0. Else the later word counts.
 */
export function joinedUsage(earlier: ToldUsage | undefined, later: ToldUsage): ToldUsage {
  if (earlier === undefined) return later;
  const hasInput = later.lacks !== 'input' && (later.inputTokens > 0 || earlier.inputTokens === 0);
  const isOutputOnly = earlier.lacks === 'input' || earlier.inputTokens === 0;
  const hasOutput = later.lacks !== 'output' && (later.outputTokens > 0 || !isOutputOnly);
  if (hasInput && hasOutput) return later;
  const read = hasInput ? later : earlier;
  const made = hasOutput ? later : earlier;
  const lacks = read.lacks === 'input' ? 'input' : made.lacks === 'output' ? 'output' : undefined;
  const isDoubtful = [read, made].some((one) => one.isDoubtful === true && one.lacks === undefined);
  const joined: TokenUsage = {
    inputTokens: read.inputTokens,
    cachedInputTokens: read.cachedInputTokens,
    cacheWriteTokens: read.cacheWriteTokens,
    cacheWriteLongTokens: read.cacheWriteLongTokens,
    inputAudioTokens: read.inputAudioTokens,
    inputImageTokens: read.inputImageTokens,
    outputTokens: made.outputTokens,
    reasoningTokens: made.reasoningTokens,
    outputAudioTokens: made.outputAudioTokens,
  };
  if (isDoubtful || lacks !== undefined)
    return { ...joined, isDoubtful: true, ...(isDoubtful || !lacks ? {} : { lacks }) };
  return joined;
}

/** Reads the usage of a whole answer or a chunk, wherever it stands: beside the choices, in the first of them, or spread out. */
export function readAnswerUsage(answer: JsonObject): ToldUsage | undefined {
  const told = readToldUsage(answer.usage);
  if (told !== undefined) return told;
  const [first] = Array.isArray(answer.choices) ? answer.choices : [];
  const inside = isJsonObject(first) ? readToldUsage(first.usage) : undefined;
  // Groq's first streams; Gemini's own name; Ollama's own API has the numbers beside the message.
  const groq = isJsonObject(answer.x_groq) ? readToldUsage(answer.x_groq.usage) : undefined;
  const spread = answer.prompt_eval_count === undefined && answer.eval_count === undefined ? undefined : answer;
  return inside ?? groq ?? readToldUsage(answer.usageMetadata) ?? readToldUsage(spread);
}

/** The usage of an operation that makes no output: what tells none is the whole of it. */
export function withoutOutput(told: ToldUsage | undefined): ToldUsage | undefined {
  if (told?.lacks !== 'output') return told;
  const { isDoubtful: _, lacks: __, ...tokens } = told;
  return tokens;
}

/** Reads the `usage` of a response; `undefined` when it is absent. */
export function readResponsesUsage(usage: Json | undefined): ToldUsage | undefined {
  return isJsonObject(usage) && usage.input_tokens !== undefined ? readToldUsage(usage) : undefined;
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

/** Reads the service tier that an answer names; `undefined` when it names none. */
export function readServiceTier(answer: JsonObject): string | undefined {
  const usage = membersOf(answer.usage);
  if (usage.speed === 'fast') return 'fast';
  const tier = answer.service_tier ?? usage.service_tier;
  return typeof tier === 'string' && tier !== '' ? tier : undefined;
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
    const end = bufferOf(piece).subarray(-TAIL_BYTES).toString('latin1');
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

/** Whether reasoning is no part of the completion: with xAI it may be larger, Perplexity counts it beside the citations, Gemini's own API always. */
function isBeside({ output, citations, isBesideReasoning }: SaidNumbers, reasoning: number | undefined): boolean {
  if (reasoning === undefined) return false;
  return isBesideReasoning || countOf(citations) !== undefined || reasoning > (countOf(output) ?? 0);
}

/** The number that was said; of one that is no whole number the least that it may mean. */
function countOf(said: Json | undefined): number | undefined {
  if (said === undefined || said === null) return undefined;
  const count = tokenCount(said);
  if (count !== undefined) return count;
  const told = typeof said === 'string' && said.length < 16 ? Number(said) : said;
  return typeof told === 'number' && told > 0 && told <= MAX_TOKENS ? Math.ceil(told) : undefined;
}

/** Whether whatever was said is a whole number of tokens. */
function isClean(said: SaidNumbers): boolean {
  return (
    isCount(said.input) &&
    isCount(said.output) &&
    isCount(said.total) &&
    isCount(said.cached) &&
    isCount(said.written) &&
    isCount(said.longWritten) &&
    isCount(said.inputAudio) &&
    isCount(said.inputImage) &&
    isCount(said.reasoning) &&
    isCount(said.outputAudio) &&
    isCount(said.citations)
  );
}

function isCount(said: Json | undefined): boolean {
  return said === undefined || said === null || tokenCount(said) !== undefined;
}

const NONE: JsonObject = Object.freeze({});

function membersOf(details: Json | undefined): JsonObject {
  return isJsonObject(details) ? details : NONE;
}

function tokenCount(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS
    ? value
    : undefined;
}
