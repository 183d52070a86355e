import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { toolCallId } from '../ids.js';
import { type ChatHead, type FinishReason, failureIn, readFinishReason } from './answer.js';
import { type ChunkOptions, chatChunk, openingCallDelta, openingDelta, usageChunk } from './chunks.js';
import { completedUsage, defaultFinishReason, isCompletionOrError } from './read-answer.js';
import { picturesMember, saidPictures, saidWords } from './said-words.js';
import { CallPlaces, laterToolCallBody, readToolCall, type ToolKind, toolCallBody } from './tool-calls.js';

/** Turns the pieces of an answer, such as a function yields, into the chunks that OpenAI would send. */
export class DeltaCompleter {
  private readonly head: ChatHead;
  private readonly options: ChunkOptions;
  private readonly calls: ToolCallCompleter;
  private opened = false;
  private passedChunks = false;
  private calledFunction = false;
  private finishReason: FinishReason | undefined = undefined;
  private usage: JsonObject | undefined = undefined;

  constructor(head: ChatHead, options: ChunkOptions) {
    this.head = head;
    this.options = options;
    this.calls = new ToolCallCompleter(head.id);
  }

  /**
   * Takes a piece: text, a full chunk or error (passed on as it is), or an object with any of `content`, `tool_calls`,
   * `function_call`, `refusal`, `finish_reason`, `usage`, `logprobs` and other members of a delta.
   */
  completePiece(piece: string | JsonObject): readonly JsonObject[] {
    if (typeof piece === 'string') return this.completeDelta({ content: piece });
    if (!isCompletionOrError(piece)) return this.completeDelta(piece);
    if (typeof piece.object !== 'string' && Array.isArray(piece.choices)) {
      return this.completeBareChunk(piece, piece.choices);
    }
    this.passedChunks = true;
    return [piece];
  }

  /** Takes the end of the pieces. Returns the chunks that are still missing, such as the finish reason and the usage. */
  completeEnd(): readonly JsonObject[] {
    const { head, options, usage } = this;
    const chunks: JsonObject[] = [];
    if (this.opened || !this.passedChunks) {
      if (!this.opened) chunks.push(chatChunk(head, { delta: openingDelta() }, options));
      const reason = this.finishReason ?? defaultFinishReason(this.calls.count() > 0, this.calledFunction);
      chunks.push(chatChunk(head, { delta: {}, finishReason: reason }, options));
    }
    if (options.includeUsage && usage !== undefined) chunks.push(usageChunk(head, usage));
    return chunks;
  }

  private completeDelta(given: JsonObject): readonly JsonObject[] {
    const { finish_reason, usage: givenUsage, logprobs, role: _, ...delta } = given;
    const failed = failureIn([{ finish_reason: finish_reason ?? null }]);
    if (failed !== undefined) return [{ error: failed }];
    this.finishReason = readFinishReason(finish_reason) ?? this.finishReason;
    this.usage = completedUsage(givenUsage) ?? this.usage;
    const completed = this.completedMembers(delta);
    if (Object.keys(completed).length === 0) return [];
    const probabilities = isJsonObject(logprobs) ? { logprobs } : {};
    return this.openedDeltas(completed).map((step) =>
      chatChunk(this.head, { delta: step, ...probabilities }, this.options),
    );
  }

  /** A chunk of choices alone is one or more deltas. */
  private completeBareChunk({ usage: given }: JsonObject, choices: readonly Json[]): readonly JsonObject[] {
    const deltas = choices.map((choice) => {
      const { delta, finish_reason, logprobs } = isJsonObject(choice) ? choice : {};
      return {
        ...(isJsonObject(delta) ? delta : {}),
        finish_reason: finish_reason ?? null,
        logprobs: logprobs ?? null,
      };
    });
    return [...deltas, { usage: given ?? null }].flatMap((delta) => this.completeDelta(delta));
  }

  private completedMembers({ tool_calls, function_call, content, ...rest }: JsonObject): JsonObject {
    const toolCalls = (Array.isArray(tool_calls) ? tool_calls : []).map((call) => this.calls.completeCall(call));
    return {
      ...contentMembers(content),
      ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value != null)),
      ...(toolCalls.length > 0 ? { tool_calls: toolCalls } : {}),
      ...(isJsonObject(function_call) ? { function_call: this.completedFunctionCall(function_call) } : {}),
    };
  }

  private completedFunctionCall(given: JsonObject): JsonObject {
    const first = !this.calledFunction;
    this.calledFunction = true;
    const { name, text } = readToolCall({ function: given });
    return { ...(first && name !== '' ? { name } : {}), arguments: text };
  }

  /** The role comes once, and with it the first call of an answer that begins with one. */
  private openedDeltas(delta: JsonObject): readonly JsonObject[] {
    if (this.opened) return [delta];
    this.opened = true;
    const { tool_calls, function_call, ...rest } = delta;
    if (Object.keys(rest).length > 0) return [openingDelta(), delta];
    return [openingCallDelta({ ...(tool_calls ? { tool_calls } : {}), ...(function_call ? { function_call } : {}) })];
  }
}

/** Content in the words of chat completions: a vendor's list of parts is a text, and thoughts beside it. */
function contentMembers(content: Json | undefined): JsonObject {
  if (typeof content === 'string') return content === '' ? {} : { content };
  const { text, thoughts, refusal } = saidWords({ content: content ?? null });
  return {
    ...(text === '' ? {} : { content: text }),
    ...(thoughts === '' ? {} : { reasoning_content: thoughts }),
    ...(refusal === '' ? {} : { refusal }),
    ...picturesMember(saidPictures({ content: content ?? null })),
  };
}

/** Gives each tool call an index, and an id, type and name in its first delta only. */
class ToolCallCompleter {
  private readonly seed: string;
  /** Kinds of the calls so far, by index. */
  private readonly kinds = new Map<number, ToolKind>();
  private readonly places = new CallPlaces();

  constructor(seed: string) {
    this.seed = seed;
  }

  count(): number {
    return this.kinds.size;
  }

  completeCall(call: Json): JsonObject {
    const given = isJsonObject(call) ? call : {};
    const said = readToolCall(given);
    const index = this.places.placeOf(given);
    const kind = this.kinds.get(index);
    if (kind !== undefined) return { index, ...laterToolCallBody(kind, said.text) };
    if (said.name === '') {
      throw new TypeError(
        'Expected the first delta of each tool call to have a `function` or a `custom` with a `name`.',
      );
    }
    this.kinds.set(index, said.kind);
    const id = said.id === '' ? toolCallId(`${this.seed}/0/${index}`) : said.id;
    return { index, ...toolCallBody({ ...said, id }) };
  }
}
