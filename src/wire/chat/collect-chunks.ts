import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { objectsAmong } from '../members.js';
import { type ChatAnswer, type ChatChoice, type ChatHead, type FinishReason, readFinishReason } from './answer.js';
import { completedUsage, defaultFinishReason, readHead } from './read-answer.js';
import { saidWords } from './said-words.js';
import { CallPlaces, readToolCall, type ToolKind } from './tool-calls.js';

/** One choice while its chunks come in. */
interface Gathered {
  readonly text: string[];
  readonly refusal: string[];
  readonly toolCalls: Map<number, GatheredCall>;
  readonly places: CallPlaces;
  readonly functionCall: GatheredCall;
  readonly logprobs: Json[];
  readonly extra: Map<string, Json>;
  finishReason: FinishReason | undefined;
}
interface GatheredCall {
  kind: ToolKind;
  id: string;
  name: string;
  readonly text: string[];
}

/**
 * Joins the chunks of a stream to one whole answer. Deltas of one tool call are joined.
 * @throws {RangeError} when the answer grows beyond `maxChars`. {Error} when a chunk is an error.
 */
export async function collectChunks(
  chunks: AsyncIterable<JsonObject> | Iterable<JsonObject>,
  head: ChatHead,
  maxChars: number,
): Promise<ChatAnswer> {
  const choices = new Map<number, Gathered>();
  let said: Partial<ChatHead> = {};
  let usage: JsonObject | undefined;
  let chars = 0;
  for await (const chunk of chunks) {
    if (isJsonObject(chunk.error)) throw new Error('The stream reported an error.', { cause: chunk.error });
    said = { ...readHead(chunk), ...said };
    usage = completedUsage(chunk.usage) ?? usage;
    for (const choice of objectsAmong(chunk.choices)) {
      const index = typeof choice.index === 'number' ? choice.index : 0;
      const gathered = choices.get(index) ?? emptyChoice();
      choices.set(index, gathered);
      chars += gatherChoice(gathered, choice);
      if (chars > maxChars) throw new RangeError(`Expected an answer of at most ${maxChars} characters.`);
    }
  }
  const inOrder = [...choices].sort(([a], [b]) => a - b).map(([, gathered]) => choiceOf(gathered));
  return { head: { ...head, ...said }, choices: inOrder, usage };
}

const emptyCall = (): GatheredCall => ({ kind: 'function', id: '', name: '', text: [] });

const emptyChoice = (): Gathered => ({
  text: [],
  refusal: [],
  toolCalls: new Map(),
  places: new CallPlaces(),
  functionCall: emptyCall(),
  logprobs: [],
  extra: new Map(),
  finishReason: undefined,
});

/** Adds a choice of a chunk to what was gathered. @returns about the number of its characters, never 0. */
function gatherChoice(into: Gathered, choice: JsonObject): number {
  into.finishReason = readFinishReason(choice.finish_reason) ?? into.finishReason;
  if (isJsonObject(choice.logprobs) && Array.isArray(choice.logprobs.content)) {
    into.logprobs.push(...choice.logprobs.content);
  }
  if (!isJsonObject(choice.delta)) return 1;
  const { role: _, content, refusal, tool_calls, function_call, ...extra } = choice.delta;
  const words = typeof content === 'string' ? undefined : saidWords({ content: content ?? null });
  let chars = 1 + appendText(into.text, words?.text ?? content) + appendText(into.refusal, refusal);
  if (words !== undefined) {
    chars += appendText(into.refusal, words.refusal);
    if (words.thoughts !== '') chars += gatherExtra(into.extra, 'reasoning_content', words.thoughts);
  }
  for (const call of objectsAmong(tool_calls)) {
    const index = into.places.placeOf(call);
    const gathered = into.toolCalls.get(index) ?? emptyCall();
    into.toolCalls.set(index, gathered);
    chars += gatherCall(gathered, call);
  }
  if (isJsonObject(function_call)) chars += gatherCall(into.functionCall, { function: function_call });
  for (const [name, value] of Object.entries(extra)) chars += gatherExtra(into.extra, name, value);
  return chars;
}

function gatherCall(into: GatheredCall, call: JsonObject): number {
  const { kind, id, name, text } = readToolCall(call);
  if (kind === 'custom') into.kind = kind;
  into.id ||= id;
  into.name ||= name;
  return 1 + appendText(into.text, text);
}

/** Adds an unknown member. Texts are joined, as a vendor's `reasoning_content`; of other values the last one counts. */
function gatherExtra(into: Map<string, Json>, name: string, value: Json | undefined): number {
  if (value === undefined || value === null) return 0;
  const before = into.get(name);
  into.set(name, typeof value === 'string' && typeof before === 'string' ? before + value : value);
  return typeof value === 'string' ? value.length : 1;
}

function appendText(into: string[], value: Json | undefined): number {
  if (typeof value !== 'string' || value === '') return 0;
  into.push(value);
  return value.length;
}

function choiceOf({ text, refusal, toolCalls, functionCall, logprobs, extra, finishReason }: Gathered): ChatChoice {
  const calls = [...toolCalls].sort(([a], [b]) => a - b).map(([, call]) => call);
  const calledFunction = functionCall.name !== '';
  const hasOther = calls.length > 0 || calledFunction || refusal.length > 0;
  return {
    text: text.length === 0 && hasOther ? null : text,
    toolCalls: calls,
    ...(calledFunction ? { functionCall: { name: functionCall.name, text: functionCall.text } } : {}),
    ...(refusal.length > 0 ? { refusal: refusal.join('') } : {}),
    finishReason: finishReason ?? defaultFinishReason(calls.length > 0, calledFunction),
    ...(logprobs.length > 0 ? { logprobs } : {}),
    extra: Object.fromEntries(extra),
  };
}
