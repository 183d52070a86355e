import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { type ChatHead, type FinishReason, readFinishReason } from './answer.js';
import { type ChunkOptions, chatChunk, openingCallDelta, openingDelta, usageChunk } from './chunks.js';
import { toolCallId } from './ids.js';
import { completedUsage, defaultFinishReason, isComplete } from './read-answer.js';
import { laterToolCallBody, readToolCall, type ToolKind, toolCallBody } from './tool-calls.js';

/** Turns what somebody says piece by piece into the chunks OpenAI would send. */
export interface DeltaCompleter {
  /**
   * Takes a piece: text, a full chunk or error (passed on as it is), or an object with any of `content`, `tool_calls`,
   * `function_call`, `refusal`, `finish_reason`, `usage`, `logprobs` and other members of a delta.
   */
  take(piece: string | JsonObject): readonly JsonObject[];
  /** Takes the end of the pieces: what is still missing, such as the finish reason and the usage. */
  takeEnd(): readonly JsonObject[];
}

export function deltaCompleter(head: ChatHead, options: ChunkOptions): DeltaCompleter {
  const calls = toolCallCompleter(head.id);
  let opened = false;
  let passedChunks = false;
  let calledFunction = false;
  let finishReason: FinishReason | undefined;
  let usage: JsonObject | undefined;

  function takeDelta(given: JsonObject): readonly JsonObject[] {
    const { finish_reason, usage: givenUsage, logprobs, role: _, ...delta } = given;
    finishReason = readFinishReason(finish_reason) ?? finishReason;
    usage = completedUsage(givenUsage) ?? usage;
    const completed = completedDelta(delta);
    if (Object.keys(completed).length === 0) return [];
    const probabilities = isJsonObject(logprobs) ? { logprobs } : {};
    return opening(completed).map((step) => chatChunk(head, { delta: step, ...probabilities }, options));
  }

  /** A chunk of choices alone is one or more deltas. */
  function takeBareChunk({ usage: given }: JsonObject, choices: readonly Json[]): readonly JsonObject[] {
    const deltas = choices.map((choice) => {
      const { delta, finish_reason, logprobs } = isJsonObject(choice) ? choice : {};
      return {
        ...(isJsonObject(delta) ? delta : {}),
        finish_reason: finish_reason ?? null,
        logprobs: logprobs ?? null,
      };
    });
    return [...deltas, { usage: given ?? null }].flatMap(takeDelta);
  }

  function completedDelta({ tool_calls, function_call, content, ...rest }: JsonObject): JsonObject {
    const toolCalls = (Array.isArray(tool_calls) ? tool_calls : []).map(calls.complete);
    return {
      ...(typeof content === 'string' && content !== '' ? { content } : {}),
      ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value != null)),
      ...(toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
      ...(isJsonObject(function_call) ? { function_call: completedFunctionCall(function_call) } : {}),
    };
  }

  function completedFunctionCall(given: JsonObject): JsonObject {
    const first = !calledFunction;
    calledFunction = true;
    const { name, text } = readToolCall({ function: given });
    return { ...(first && name !== '' ? { name } : {}), arguments: text };
  }

  /** The role comes once, and with it the first call of an answer that begins with one. */
  function opening(delta: JsonObject): readonly JsonObject[] {
    if (opened) return [delta];
    opened = true;
    const { tool_calls, function_call, ...rest } = delta;
    if (Object.keys(rest).length > 0) return [openingDelta(), delta];
    return [openingCallDelta({ ...(tool_calls ? { tool_calls } : {}), ...(function_call ? { function_call } : {}) })];
  }

  function* remaining(): Generator<JsonObject> {
    if (opened || !passedChunks) {
      if (!opened) yield chatChunk(head, { delta: openingDelta() }, options);
      const reason = finishReason ?? defaultFinishReason(calls.count() > 0, calledFunction);
      yield chatChunk(head, { delta: {}, finishReason: reason }, options);
    }
    if (options.includeUsage && usage !== undefined) yield usageChunk(head, usage);
  }

  return {
    take(piece) {
      if (typeof piece === 'string') return takeDelta({ content: piece });
      if (!isComplete(piece)) return takeDelta(piece);
      if (typeof piece.object !== 'string' && Array.isArray(piece.choices)) return takeBareChunk(piece, piece.choices);
      passedChunks = true;
      return [piece];
    },
    takeEnd: () => [...remaining()],
  };
}

/** Gives each call an index, and an id, type and name in its first delta only. */
function toolCallCompleter(seed: string): { complete(call: Json): JsonObject; count(): number } {
  const kinds = new Map<number, ToolKind>();
  let last = -1;

  function indexOf(call: JsonObject, named: boolean): number {
    if (typeof call.index === 'number' && Number.isSafeInteger(call.index) && call.index >= 0) return call.index;
    return named || last === -1 ? last + 1 : last;
  }

  return {
    complete(call) {
      const given = isJsonObject(call) ? call : {};
      const said = readToolCall(given);
      const index = indexOf(given, said.name !== '');
      last = index;
      const kind = kinds.get(index);
      if (kind !== undefined) return { index, ...laterToolCallBody(kind, said.text) };
      if (said.name === '') {
        throw new TypeError(
          'Expected the first delta of each tool call to have a `function` or a `custom` with a `name`.',
        );
      }
      kinds.set(index, said.kind);
      return { index, ...toolCallBody({ ...said, id: said.id === '' ? toolCallId(`${seed}/0/${index}`) : said.id }) };
    },
    count: () => kinds.size,
  };
}
