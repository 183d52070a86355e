import { isJsonObject, type JsonObject } from '../../base/json.js';
import type { ChatAnswer, ChatChoice, ChatHead, FinishReason } from './answer.js';
import { laterToolCallBody, toolCallBody } from './tool-calls.js';

/** Settings for writing the chunks of a stream. */
export interface ChunkOptions {
  /** `stream_options.include_usage`: a last chunk bears the usage, and every other chunk `usage: null`. */
  readonly includeUsage: boolean;
}

/** One step of one choice: the content of a single chunk. */
export interface ChunkStep {
  /** Index of the choice. @default 0 */
  readonly index?: number;
  readonly delta: JsonObject;
  /** @default null */
  readonly logprobs?: JsonObject | null;
  /** @default null */
  readonly finishReason?: FinishReason;
}

/** Whether the body of a call asks for usage at the end of its stream. */
export function asksForUsage(body: JsonObject): boolean {
  return isJsonObject(body.stream_options) && body.stream_options.include_usage === true;
}

/** One chunk, its members in the order in which OpenAI sends them. */
export function chatChunk(head: ChatHead, step: ChunkStep, { includeUsage }: ChunkOptions): JsonObject {
  const choice = {
    index: step.index ?? 0,
    delta: step.delta,
    logprobs: step.logprobs ?? null,
    finish_reason: step.finishReason ?? null,
  };
  return { ...chunkHead(head), choices: [choice], ...(includeUsage ? { usage: null } : {}) };
}

/** The chunk that bears the usage and nothing else. */
export function usageChunk(head: ChatHead, usage: JsonObject): JsonObject {
  return { ...chunkHead(head), choices: [], usage };
}

/** The chunks that OpenAI would stream for an answer: choices take turns, usage comes last. Adds no framing and no `[DONE]`. */
export function* chatChunks(answer: ChatAnswer, options: ChunkOptions): Generator<JsonObject, void, undefined> {
  let running = answer.choices.map((choice, index) => stepsOf(choice, index));
  while (running.length > 0) {
    const unfinished: typeof running = [];
    for (const steps of running) {
      const { value, done } = steps.next();
      if (done === true) continue;
      yield chatChunk(answer.head, value, options);
      unfinished.push(steps);
    }
    running = unfinished;
  }
  if (options.includeUsage && answer.usage !== undefined) yield usageChunk(answer.head, answer.usage);
}

/** The first delta of a stream that begins with text, or that ends without having said anything. */
export const openingDelta = (): JsonObject => ({ role: 'assistant', content: '', refusal: null });

/** The first delta of a stream that begins with a call. @param call its `tool_calls` or `function_call`. */
export const openingCallDelta = (call: JsonObject): JsonObject => ({
  role: 'assistant',
  content: null,
  ...call,
  refusal: null,
});

function* stepsOf(choice: ChatChoice, index: number): Generator<ChunkStep, void, undefined> {
  yield* openingSteps(choice, index);
  for (const [at, content] of (choice.text ?? []).entries()) {
    const logprob = choice.logprobs?.[at];
    yield {
      index,
      delta: { content },
      ...(logprob === undefined ? {} : { logprobs: { content: [logprob], refusal: null } }),
    };
  }
  if (choice.refusal !== undefined) yield { index, delta: { refusal: choice.refusal } };
  for (const delta of callDeltas(choice).slice(beginsWithCall(choice) ? 1 : 0)) yield { index, delta };
  yield { index, delta: {}, finishReason: choice.finishReason };
}

function* openingSteps(choice: ChatChoice, index: number): Generator<ChunkStep, void, undefined> {
  const [firstCall] = callDeltas(choice);
  if (firstCall !== undefined && beginsWithCall(choice)) {
    yield { index, delta: openingCallDelta(firstCall) };
  } else {
    const logprobs = choice.logprobs === undefined ? {} : { logprobs: { content: [], refusal: null } };
    yield { index, delta: openingDelta(), ...logprobs };
  }
  if (choice.extra !== undefined && Object.keys(choice.extra).length > 0) yield { index, delta: choice.extra };
}

const beginsWithCall = (choice: ChatChoice): boolean => choice.text === null && choice.refusal === undefined;

function callDeltas({ toolCalls, functionCall }: ChatChoice): readonly JsonObject[] {
  const tools = toolCalls.flatMap((call, index): JsonObject[] => [
    { tool_calls: [{ index, ...toolCallBody({ ...call, text: '' }) }] },
    ...call.text.map((piece) => ({ tool_calls: [{ index, ...laterToolCallBody(call.kind, piece) }] })),
  ]);
  if (functionCall === undefined) return tools;
  return [
    ...tools,
    { function_call: { name: functionCall.name, arguments: '' } },
    ...functionCall.text.map((piece) => ({ function_call: { arguments: piece } })),
  ];
}

function chunkHead({ id, created, model, serviceTier, systemFingerprint }: ChatHead): JsonObject {
  return {
    id,
    object: 'chat.completion.chunk',
    created,
    model,
    ...(serviceTier === undefined ? {} : { service_tier: serviceTier }),
    ...(systemFingerprint === undefined ? {} : { system_fingerprint: systemFingerprint }),
  };
}
