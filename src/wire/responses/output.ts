import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { base64Of, saidCalls as callsOf, saidPictures, saidWords } from '../chat/said-words.js';
import { readToolCall, type SaidCall } from '../chat/tool-calls.js';
import { itemId, toolCallId } from '../ids.js';
import { objectsAmong } from '../members.js';

/** Progress of an item of a response. */
export type ItemStatus = 'in_progress' | 'completed' | 'incomplete';

/** Words, a call or a picture of the model, as one item of a response. */
export type SaidItem =
  | { readonly kind: 'message'; readonly parts: readonly JsonObject[] }
  | { readonly kind: 'reasoning'; readonly parts: readonly JsonObject[]; readonly sealed?: string | undefined }
  | { readonly kind: 'call'; readonly call: SaidCall }
  | { readonly kind: 'picture'; readonly base64: string };

/** Position of an item; the item's id follows from it. */
export interface ItemPlace {
  readonly responseId: string;
  readonly outputIndex: number;
}

/** Form in which a client wants thoughts. */
export interface ThoughtsForm {
  /** Whether they stand in the summary, in place of the content. */
  readonly isSummary: boolean;
  /** Makes the `encrypted_content`; `undefined`: the client did not ask for it. */
  readonly seal: ((thoughts: string) => string) | undefined;
}

/** Thoughts as their maker's content. */
export const PLAIN_THOUGHTS: ThoughtsForm = { isSummary: false, seal: undefined };

/** One item of a response's output, its members in the order in which OpenAI sends them. */
export function outputItem({ responseId, outputIndex }: ItemPlace, said: SaidItem, status: ItemStatus): JsonObject {
  const type = saidType(said);
  const id = outputItemId({ responseId, outputIndex }, said);
  if (said.kind === 'picture') {
    // It comes whole, and responses know no half of one.
    const isWhole = status !== 'in_progress';
    return { id, type, status: isWhole ? 'completed' : status, result: isWhole ? said.base64 : null };
  }
  if (said.kind !== 'call') {
    const { kind, parts } = said;
    if (kind === 'message') return { id, type, status, content: parts, role: 'assistant' };
    return { id, type, status, ...reasoningMembers(parts, said.sealed) };
  }
  const { kind, id: callId, name, text } = said.call;
  if (kind === 'custom') return { id, type, status, call_id: callId, input: text, name };
  return { id, type, status, arguments: text, call_id: callId, name };
}

/** The id of an item, which does not change while the item grows. */
export function outputItemId({ responseId, outputIndex }: ItemPlace, said: SaidItem): string {
  return itemId(saidType(said), `${responseId}/${outputIndex}`);
}

/** A part of a message with text. */
export const textPart = (
  text: string,
  annotations: readonly JsonObject[],
  logprobs: readonly JsonObject[],
): JsonObject => ({ type: 'output_text', annotations, logprobs, text });

/** A part of a message that refuses. */
export const refusalPart = (refusal: string): JsonObject => ({ type: 'refusal', refusal });

/** A part of a reasoning item: the thoughts themselves. */
export const reasoningPart = (text: string): JsonObject => ({ type: 'reasoning_text', text });

/** The thoughts as the summary of a reasoning item. */
export const summaryPart = (text: string): JsonObject => ({ type: SUMMARY, text });

const SUMMARY = 'summary_text';

function reasoningMembers(parts: readonly JsonObject[], sealed: string | undefined): JsonObject {
  const isSummary = parts.some(({ type }) => type === SUMMARY);
  return {
    ...(isSummary ? { summary: parts } : { content: parts, summary: [] }),
    ...(sealed === undefined ? {} : { encrypted_content: sealed }),
  };
}

/** The items of a response in the message of a chat completion, in the order in which models say them. */
export function saidItems(
  responseId: string,
  message: JsonObject,
  logprobs: Json | undefined,
  form: ThoughtsForm = PLAIN_THOUGHTS,
): readonly SaidItem[] {
  const { text: words, thoughts, refusal } = saidWords(message);
  const pictures = saidPictures(message);
  const text = withAddresses(words, pictures);
  const parts: JsonObject[] = [];
  const probabilities = text === message.content ? logProbabilities(logprobs) : [];
  if (text !== '' || probabilities.length > 0) {
    parts.push(textPart(text, urlCitations(message.annotations), probabilities));
  }
  if (refusal !== '') parts.push(refusalPart(refusal));
  return [
    ...(thoughts === '' ? [] : [thoughtItem(thoughts, form)]),
    ...(parts.length === 0 ? [] : [{ kind: 'message', parts } as const]),
    ...drawn(pictures),
    ...saidCalls(responseId, callsOf(message)),
  ];
}

/** The pictures that are here, in base64. */
export function drawn(pictures: readonly string[]): readonly Extract<SaidItem, { kind: 'picture' }>[] {
  return pictures.flatMap((address) => {
    const base64 = base64Of(address);
    return base64 === undefined ? [] : [{ kind: 'picture', base64 }];
  });
}

/** A text with the addresses of the pictures that lie elsewhere: responses have no other place for them. */
export function withAddresses(text: string, pictures: readonly string[]): string {
  const elsewhere = pictures.filter((address) => base64Of(address) === undefined);
  return elsewhere.length === 0 ? text : [text, ...elsewhere].filter((one) => one !== '').join('\n\n');
}

function thoughtItem(thoughts: string, { isSummary, seal }: ThoughtsForm): SaidItem {
  const parts = [isSummary ? summaryPart(thoughts) : reasoningPart(thoughts)];
  return { kind: 'reasoning', parts, sealed: seal?.(thoughts) };
}

/** An id for a call that the upstream gave none. @param index of the call in its answer. */
export const ownCallId = (responseId: string, index: number): string => toolCallId(`${responseId}/${index}`);

/** Log probabilities of text, each with all members on which clients rely. */
export function logProbabilities(logprobs: Json | undefined): readonly JsonObject[] {
  return objectsAmong(isJsonObject(logprobs) ? logprobs.content : undefined).map((entry) => ({
    ...withBytes(entry),
    top_logprobs: objectsAmong(entry.top_logprobs).map(withBytes),
  }));
}

/** The annotations of a chat completion that responses have, too. */
export function urlCitations(annotations: Json | undefined): readonly JsonObject[] {
  return objectsAmong(annotations).flatMap(({ url_citation }) =>
    isJsonObject(url_citation) ? [{ type: 'url_citation', ...url_citation }] : [],
  );
}

function saidType(said: SaidItem): string {
  if (said.kind === 'picture') return 'image_generation_call';
  if (said.kind !== 'call') return said.kind;
  return said.call.kind === 'custom' ? 'custom_tool_call' : 'function_call';
}

function saidCalls(responseId: string, calls: readonly JsonObject[]): readonly SaidItem[] {
  return calls.map((call, index) => {
    const read = readToolCall(call);
    return { kind: 'call', call: { ...read, id: read.id === '' ? ownCallId(responseId, index) : read.id } };
  });
}

const withBytes = (entry: JsonObject): JsonObject => ({ ...entry, bytes: entry.bytes ?? [] });
