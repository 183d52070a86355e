import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { objectsAmong } from '../members.js';
import { joinedUsage, readAnswerUsage, type ToldUsage } from '../usage.js';
import {
  type ChatAnswer,
  type ChatChoice,
  type ChatHead,
  type FinishReason,
  readFinishReason,
  usageBody,
} from './answer.js';

import { completedUsage, defaultFinishReason, readHead } from './read-answer.js';
import { picturesMember, saidPictures, saidWords } from './said-words.js';
import { CallPlaces, readToolCall, type ToolKind } from './tool-calls.js';

/** One choice while its chunks come in. */
interface Gathered {
  readonly text: string[];
  readonly refusal: string[];
  readonly toolCalls: Map<number, GatheredCall>;
  readonly places: CallPlaces;
  readonly functionCall: GatheredCall;
  readonly logprobs: Json[];
  readonly pictures: string[];
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
  const usage = new GatheredUsage();
  let chars = 0;
  for await (const chunk of chunks) {
    if (isJsonObject(chunk.error)) throw new Error('The stream reported an error.', { cause: chunk.error });
    said = { ...readHead(chunk), ...said };
    usage.add(chunk);
    for (const choice of objectsAmong(chunk.choices)) {
      const index = typeof choice.index === 'number' ? choice.index : 0;
      const gathered = choices.get(index) ?? emptyChoice();
      choices.set(index, gathered);
      chars += gatherChoice(gathered, choice);
      if (chars > maxChars) throw tooLong(maxChars);
    }
  }
  const inOrder = [...choices].sort(([a], [b]) => a - b).map(([, gathered]) => choiceOf(gathered));
  return { head: { ...head, ...said }, choices: inOrder, usage: usage.body() };
}

/** The usage of a stream: as one chunk told it, or joined of what several did. */
class GatheredUsage {
  private told: ToldUsage | undefined = undefined;
  private asSaid: JsonObject | undefined = undefined;

  add(chunk: JsonObject): void {
    const more = readAnswerUsage(chunk);
    if (more === undefined) return;
    this.told = joinedUsage(this.told, more);
    this.asSaid = this.told === more ? completedUsage(chunk.usage) : undefined;
  }

  /** `undefined` where it was not told, or cannot be believed. */
  body(): JsonObject | undefined {
    if (this.told === undefined || this.told.isDoubtful === true) return undefined;
    return this.asSaid ?? usageBody(this.told);
  }
}

/** One choice of a legacy completion while its chunks come in. */
interface GatheredText {
  readonly text: string[];
  readonly logprobs: JsonObject[];
  readonly extra: Map<string, Json>;
}

/**
 * Joins the chunks of a streamed legacy completion to a whole one.
 * @throws {RangeError} when the answer grows beyond `maxChars`.
 */
export function collectCompletion(chunks: Iterable<JsonObject>, head: ChatHead, maxChars: number): JsonObject {
  const choices = new Map<number, GatheredText>();
  const usage = new GatheredUsage();
  let said: Partial<ChatHead> = {};
  let chars = 0;
  for (const chunk of chunks) {
    said = { ...readHead(chunk), ...said };
    usage.add(chunk);
    for (const { index, text: told, logprobs, delta, message, ...extra } of objectsAmong(chunk.choices)) {
      const text = told ?? saidText(delta ?? message);
      const place = typeof index === 'number' ? index : 0;
      const gathered = choices.get(place) ?? { text: [], logprobs: [], extra: new Map<string, Json>() };
      choices.set(place, gathered);
      chars += 1 + appendText(gathered.text, text);
      if (isJsonObject(logprobs)) gathered.logprobs.push(logprobs);
      for (const [name, value] of Object.entries(extra)) if (value !== null) gathered.extra.set(name, value ?? null);
      if (chars > maxChars) throw tooLong(maxChars);
    }
  }
  const { id, created, model, systemFingerprint } = { ...head, ...said };
  const told = usage.body();
  return {
    id,
    object: 'text_completion',
    created,
    model,
    ...(systemFingerprint === undefined ? {} : { system_fingerprint: systemFingerprint }),
    choices: [...choices].sort(([a], [b]) => a - b).map(([index, gathered]) => completionChoice(index, gathered)),
    ...(told === undefined ? {} : { usage: told }),
  };
}

/** Text of a chat's delta or message, where a server answers a legacy completion with one. */
export function saidText(said: Json | undefined): string {
  return isJsonObject(said) ? saidWords(said).text : '';
}

function completionChoice(index: number, { text, logprobs, extra }: GatheredText): JsonObject {
  const { finish_reason: reason = null, ...more } = Object.fromEntries(extra);
  return {
    index,
    text: text.join(''),
    logprobs: logprobs.length === 0 ? null : joinedLists(logprobs),
    finish_reason: readFinishReason(reason) ?? 'stop',
    ...more,
  };
}

/** Log probabilities of the old form: a list for each of their members, joined. */
function joinedLists(parts: readonly JsonObject[]): JsonObject {
  const joined = new Map<string, Json[]>();
  for (const part of parts) {
    for (const [name, list] of Object.entries(part)) {
      if (!Array.isArray(list)) continue;
      const all = joined.get(name) ?? [];
      joined.set(name, all);
      for (const one of list) all.push(one);
    }
  }
  return Object.fromEntries(joined);
}

function tooLong(maxChars: number): RangeError {
  return new RangeError(`Expected an answer of at most ${maxChars} characters.`);
}

const emptyCall = (): GatheredCall => ({ kind: 'function', id: '', name: '', text: [] });

const emptyChoice = (): Gathered => ({
  text: [],
  refusal: [],
  toolCalls: new Map(),
  places: new CallPlaces(),
  functionCall: emptyCall(),
  logprobs: [],
  pictures: [],
  extra: new Map(),
  finishReason: undefined,
});

/** Adds a choice of a chunk to what was gathered. @returns about the number of its characters, never 0. */
function gatherChoice(into: Gathered, choice: JsonObject): number {
  into.finishReason = readFinishReason(choice.finish_reason) ?? into.finishReason;
  if (isJsonObject(choice.logprobs) && Array.isArray(choice.logprobs.content)) {
    into.logprobs.push(...choice.logprobs.content);
  }
  const said = saidOf(choice);
  if (said === undefined) return 1;
  const { role: _, content, refusal, tool_calls, function_call, images, ...extra } = said;
  const words = typeof content === 'string' ? undefined : saidWords({ content: content ?? null });
  let chars = 1 + appendText(into.text, words?.text ?? content) + appendText(into.refusal, refusal);
  if (words !== undefined) {
    chars += appendText(into.refusal, words.refusal);
    if (words.thoughts !== '') chars += gatherExtra(into.extra, 'reasoning_content', words.thoughts);
  }
  for (const address of saidPictures({ images: images ?? null, content: content ?? null })) {
    into.pictures.push(address);
    chars += address.length;
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

/** The delta of a choice; where it has none, what stands in its place. */
function saidOf({ delta, message, text }: JsonObject): JsonObject | undefined {
  const said = delta ?? message;
  if (isJsonObject(said)) return said;
  return typeof text === 'string' ? { content: text } : undefined;
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

function choiceOf({
  text,
  refusal,
  toolCalls,
  functionCall,
  logprobs,
  pictures,
  extra,
  finishReason,
}: Gathered): ChatChoice {
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
    extra: { ...Object.fromEntries(extra), ...picturesMember(pictures) },
  };
}
