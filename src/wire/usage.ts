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
}

/** Beyond any model there is: a larger number is garbage. */
const MAX_TOKENS = 1_000_000_000;

/** Enough bytes for a usage object and for what comes after it. */
const TAIL_BYTES = 4_096;

/** A `usage` object with at most one level of objects inside, as all usage has. */
const USAGE = /"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})/g;

/** Names under which vendors tell a number, the first one that is there. A point leads to a member of a member. */
const NAMES = {
  // `prompt_eval_count`: Ollama's own API. `promptTokenCount`: Gemini's own.
  input: ['prompt_tokens', 'input_tokens', 'prompt_eval_count', 'promptTokenCount'],
  output: ['completion_tokens', 'output_tokens', 'eval_count', 'candidatesTokenCount'],
  total: ['total_tokens', 'totalTokenCount'],
  cached: [
    'prompt_tokens_details.cached_tokens',
    'input_tokens_details.cached_tokens',
    'input_token_details.cached_tokens',
    'cache_read_input_tokens', // Anthropic
    'prompt_cache_hit_tokens', // DeepSeek
    'num_cached_tokens', // Mistral
    'cached_tokens', // Moonshot
    'cachedContentTokenCount',
  ],
  written: [
    'prompt_tokens_details.cache_write_tokens',
    'input_tokens_details.cache_write_tokens',
    'prompt_tokens_details.cache_creation_tokens', // LiteLLM
    'cache_creation_input_tokens', // Anthropic
  ],
  writtenLong: [
    'prompt_tokens_details.cache_write_tokens_details.ttl_12h_tokens',
    'input_tokens_details.cache_write_tokens_details.ttl_12h_tokens',
    'prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens',
    'cache_creation.ephemeral_1h_input_tokens',
  ],
  // Transcriptions say `input_token_details`.
  inputAudio: [
    'prompt_tokens_details.audio_tokens',
    'input_tokens_details.audio_tokens',
    'input_token_details.audio_tokens',
  ],
  inputImage: [
    'prompt_tokens_details.image_tokens',
    'input_tokens_details.image_tokens',
    'input_token_details.image_tokens',
  ],
  reasoning: [
    'completion_tokens_details.reasoning_tokens',
    'output_tokens_details.reasoning_tokens',
    'reasoning_tokens', // Perplexity, beside the completion
    'thoughtsTokenCount',
  ],
  outputAudio: ['completion_tokens_details.audio_tokens', 'output_tokens_details.audio_tokens'],
  /** Perplexity bills what it read of the pages that it found as input. */
  citations: ['citation_tokens'],
} as const;

type Paths = readonly (readonly string[])[];

function pathsOf(names: readonly string[]): Paths {
  return names.map((name) => name.split('.'));
}

const PATHS: Readonly<Record<keyof typeof NAMES, Paths>> = {
  input: pathsOf(NAMES.input),
  output: pathsOf(NAMES.output),
  total: pathsOf(NAMES.total),
  cached: pathsOf(NAMES.cached),
  written: pathsOf(NAMES.written),
  writtenLong: pathsOf(NAMES.writtenLong),
  inputAudio: pathsOf(NAMES.inputAudio),
  inputImage: pathsOf(NAMES.inputImage),
  reasoning: pathsOf(NAMES.reasoning),
  outputAudio: pathsOf(NAMES.outputAudio),
  citations: pathsOf(NAMES.citations),
};

/**
 * Reads a `usage` object in the names of any vendor. `undefined` when it is absent or not believable (negative, fractional, huge,
 * parts larger than their whole). An explicit 0 is a 0.
 */
export function readUsage(usage: Json | undefined): TokenUsage | undefined {
  const told = readToldUsage(usage);
  return told?.isDoubtful === true ? undefined : told;
}

/**
 * Reads a `usage` object, be it believable or not. Nothing that a provider may bill for is undercut: output is the largest number
 * that its parts and sums come to. `undefined` when it tells neither input nor output.
 */
export function readToldUsage(usage: Json | undefined): ToldUsage | undefined {
  if (!isJsonObject(usage)) return undefined;
  const reader = new UsageReader(usage);
  const cached = reader.count(PATHS.cached);
  const writtenLong = reader.count(PATHS.writtenLong);
  const written = reader.count(PATHS.written) ?? writtenLong;
  const audio = reader.count(PATHS.inputAudio);
  const images = reader.count(PATHS.inputImage);
  const reasoning = reader.count(PATHS.reasoning);
  const spoken = reader.count(PATHS.outputAudio);
  const total = reader.count(PATHS.total);
  const completion = reader.count(PATHS.output);
  const prompt =
    reader.count(PATHS.input) ?? (total === undefined ? undefined : Math.max(0, total - (completion ?? 0)));
  if (prompt === undefined && completion === undefined) return undefined;
  const citations = reader.count(PATHS.citations);
  const input = wholeInput(usage, prompt ?? 0, (cached ?? 0) + (written ?? 0)) + (citations ?? 0);
  const output = Math.max(
    completion ?? 0,
    total === undefined || prompt === undefined ? 0 : total - input,
    isBeside(reasoning, completion, citations) ? (completion ?? 0) + (reasoning ?? 0) : 0,
  );
  // More than the whole: either it does not count them, or one of the numbers is wrong.
  const leastInput = Math.max(input, (cached ?? 0) + (written ?? 0), (audio ?? 0) + (images ?? 0));
  const leastOutput = Math.max(output, (reasoning ?? 0) + (spoken ?? 0));
  const isWhole = prompt !== undefined && (completion !== undefined || total !== undefined);
  const isBelievable =
    reader.isClean && isWhole && leastInput === input && leastOutput === output && (writtenLong ?? 0) <= (written ?? 0);
  const tokens: TokenUsage = {
    inputTokens: Math.min(MAX_TOKENS, Math.max(leastInput, (cached ?? 0) > input ? input + (cached ?? 0) : 0)),
    cachedInputTokens: cached,
    cacheWriteTokens: written,
    cacheWriteLongTokens: writtenLong,
    inputAudioTokens: audio,
    inputImageTokens: images,
    outputTokens: Math.min(MAX_TOKENS, leastOutput),
    reasoningTokens: reasoning,
    outputAudioTokens: spoken,
  };
  return isBelievable ? tokens : { ...tokens, isDoubtful: true };
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

/** Counts the calls of hosted tools in an answer, by type; `undefined` when there are none. */
export function readToolCalls(answer: JsonObject): Readonly<Record<string, number>> | undefined {
  const counts = new Map<string, number>();
  for (const item of Array.isArray(answer.output) ? answer.output : []) {
    const type = isJsonObject(item) && typeof item.type === 'string' ? item.type : '';
    if (!type.endsWith('_call') || OWN_CALLS.has(type)) continue;
    const tool = type.slice(0, -'_call'.length);
    counts.set(tool, (counts.get(tool) ?? 0) + 1);
  }
  // Anthropic: `server_tool_use: { web_search_requests: 2 }`.
  const { server_tool_use: used, num_search_queries: searches } = membersOf(answer.usage);
  for (const [name, value] of Object.entries({
    ...membersOf(used),
    web_search_requests: membersOf(used).web_search_requests ?? searches,
  })) {
    const count = tokenCount(value);
    if (count !== undefined && count > 0)
      counts.set(name.endsWith('_requests') ? name.slice(0, -'_requests'.length) : name, count);
  }
  return counts.size === 0 ? undefined : Object.fromEntries(counts);
}

/** Calls of tools that the client runs itself. */
const OWN_CALLS = new Set(
  'function_call custom_tool_call computer_call local_shell_call shell_call apply_patch_call'.split(' '),
);

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

/** Anthropic's input has neither what was read from a cache nor what was written to one: the whole is the sum. */
function wholeInput(usage: JsonObject, input: number, cachedAndWritten: number): number {
  const isAnthropic =
    usage.prompt_tokens === undefined &&
    (usage.cache_read_input_tokens !== undefined || usage.cache_creation_input_tokens !== undefined);
  return isAnthropic ? input + cachedAndWritten : input;
}

/** Whether reasoning is no part of the completion: with xAI it may be larger, and Perplexity counts it beside the citations. */
function isBeside(
  reasoning: number | undefined,
  completion: number | undefined,
  citations: number | undefined,
): boolean {
  return reasoning !== undefined && (citations !== undefined || reasoning > (completion ?? 0));
}

/** Reads the numbers of one usage object, and notes whether all of them are numbers of tokens. */
class UsageReader {
  isClean = true;
  private readonly usage: JsonObject;

  constructor(usage: JsonObject) {
    this.usage = usage;
  }

  /** The first number at one of those places. Of one that is no whole number the least that it may mean. */
  count(paths: Paths): number | undefined {
    // By index: iterators for all these places would be a sixth of a call's garbage.
    for (let at = 0; at < paths.length; at += 1) {
      const path = paths[at];
      let value: Json | undefined = this.usage;
      for (let step = 0; path !== undefined && step < path.length; step += 1) {
        value = isJsonObject(value) ? value[path[step] ?? ''] : undefined;
      }
      if (value === undefined || value === null) continue;
      const count = tokenCount(value);
      if (count !== undefined) return count;
      this.isClean = false;
      const told = typeof value === 'string' && value.length < 16 ? Number(value) : value;
      if (typeof told === 'number' && told > 0 && told <= MAX_TOKENS) return Math.ceil(told);
    }
    return undefined;
  }
}

function membersOf(details: Json | undefined): JsonObject {
  return isJsonObject(details) ? details : {};
}

function tokenCount(value: Json | undefined): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS
    ? value
    : undefined;
}
