import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { turn } from '../../base/turns.js';
import { itemId } from '../ids.js';
import { requiredString, withoutNulls } from '../members.js';
import { itemNotFound } from './errors.js';
import type { ResponsesRequest } from './request.js';

/** One item of a conversation, and the name by which errors refer to it. */
export interface PlacedItem {
  readonly item: JsonObject;
  readonly param: string;
  /** Whether it was kept here: its summary of thoughts, then, is all of them. */
  readonly isKept?: boolean;
}

/** Stored items to which the input of a call may refer. */
export interface KnownItems {
  /** The conversation so far, which the input continues. */
  readonly priorItems: readonly JsonObject[];
  /** Stored items outside the conversation that an `item_reference` may mean. @default [] */
  readonly referredItems?: readonly JsonObject[];
  /** Reads thoughts that were sealed for the caller; `undefined`: they are none of ours. @default none are */
  readonly openThoughts?: (sealed: string) => string | undefined;
}

/** Ids of the items that the input only refers to, to be looked up where items are stored. */
export function itemReferences(request: ResponsesRequest): readonly string[] {
  return inputOf(request).flatMap(({ item, param }) =>
    isReference(item) ? [requiredString(`${param}.id`, item.id)] : [],
  );
}

/**
 * The whole conversation: the earlier items, then the input.
 * @throws {GatewayError} 404 for a reference to an unknown item.
 */
export function conversationOf(request: ResponsesRequest, known: KnownItems): readonly PlacedItem[] {
  const prior = known.priorItems.map((item) => ({ item, param: 'input', isKept: true }));
  return [...prior, ...resolvedInput(request, known)];
}

/**
 * The items of the input as `GET /v1/responses/{id}/input_items` shows them, the oldest first: each with an id, its
 * status, and its content in parts. Used as prior items, they mean the same.
 * @throws {GatewayError} 404 for a reference to an unknown item.
 */
export async function inputItemsOf(
  request: ResponsesRequest,
  responseId: string,
  known: KnownItems = { priorItems: [] },
): Promise<readonly JsonObject[]> {
  const items: JsonObject[] = [];
  for (const { item } of resolvedInput(request, known)) {
    items.push(normalisedItem(item, `${responseId}/input/${items.length}`));
    if (items.length % ITEMS_PER_TURN === 0) await turn();
  }
  return items;
}

const ITEMS_PER_TURN = 1_000;

/** The input with its references resolved. An item that the conversation already holds is not repeated. */
function resolvedInput(
  request: ResponsesRequest,
  { priorItems, referredItems = [] }: KnownItems,
): readonly PlacedItem[] {
  const said = new Set<Json | undefined>(priorItems.map(({ id }) => id));
  const referred = new Map(referredItems.map((item) => [item.id, item]));
  return inputOf(request).flatMap(({ item, param }) => {
    if (!isReference(item)) return [{ item, param }];
    const id = requiredString(`${param}.id`, item.id);
    if (said.has(id)) return [];
    const found = referred.get(id);
    if (found === undefined) throw itemNotFound(id);
    said.add(id);
    return [{ item: found, param, isKept: true }];
  });
}

/** The input as items; a text is a message of the user. */
function inputOf({ body: { input } }: ResponsesRequest): readonly PlacedItem[] {
  if (typeof input === 'string') return [{ item: { role: 'user', content: input }, param: 'input' }];
  if (!Array.isArray(input)) return [];
  return input.filter((item: Json) => isJsonObject(item)).map((item, index) => ({ item, param: `input[${index}]` }));
}

/** Whether the item is a reference. A message, which has a role, may lack its type; so may a reference, which has only an id. */
function isReference({ type, role, id }: JsonObject): boolean {
  if (type === undefined || type === null) return role === undefined && id !== undefined;
  return type === 'item_reference';
}

function normalisedItem(item: JsonObject, seed: string): JsonObject {
  const { id, type = 'message', status, content, role, ...rest } = withoutNulls(item);
  const kind = typeof type === 'string' ? type : 'message';
  const identified = { id: typeof id === 'string' ? id : itemId(kind, seed), type: kind };
  const ended = { status: status ?? 'completed' };
  if (kind === 'message') {
    return { ...identified, ...ended, content: contentParts(content, role), role: role ?? 'user', ...rest };
  }
  if (kind === 'reasoning') {
    return { ...identified, summary: [], ...rest, ...(content === undefined ? {} : { content }) };
  }
  return { ...identified, ...ended, ...rest, ...(content === undefined ? {} : { content }) };
}

/** Content in parts. A text is one part: an output where the assistant said it, an input otherwise. */
function contentParts(content: Json | undefined, role: Json | undefined): Json {
  if (typeof content === 'string') {
    return role === 'assistant'
      ? [{ type: 'output_text', annotations: [], logprobs: [], text: content }]
      : [{ type: 'input_text', text: content }];
  }
  return Array.isArray(content) ? content.map(completedPart) : [];
}

/** A part with the members on which clients rely when they read it back. */
function completedPart(part: Json): Json {
  if (!isJsonObject(part)) return part;
  if (part.type === 'input_image') return { detail: 'auto', ...withoutNulls(part) };
  if (part.type === 'output_text') return { annotations: [], logprobs: [], ...withoutNulls(part) };
  return part;
}
