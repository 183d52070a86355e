import type { Awaitable } from '../../base/awaitable.js';
import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import type { Config } from '../../config/config.js';
import type { StoredObject } from '../../stores/object-store.js';
import { findOwned, listedIds, own } from '../../stores/ownership.js';
import { previousResponseNotFound } from '../../wire/request-errors.js';
import { conversationTooLarge } from '../../wire/responses/errors.js';

const KIND = 'response';

/** A chain of responses longer than this is taken for a mistake. */
const MAX_CHAIN = 1_000;

/** A response that was made here, with its input. */
export interface KeptResponse {
  readonly response: JsonObject;
  /** The items of its own input, the oldest first. */
  readonly input: readonly JsonObject[];
  /** Its events as they were streamed in the background, to be taken up again. */
  readonly events?: string | undefined;
}

/** Knowledge of a response: all of it, or that an upstream has it. */
export type KnownResponse =
  | ({ readonly kind: 'kept' } & KeptResponse)
  | { readonly kind: 'passed'; readonly model: string; readonly items: readonly string[] };

/** Keeps a response for its owner, in place of an earlier state of it. */
export async function keepResponse(
  config: Config,
  owner: string,
  { response, input, events }: KeptResponse,
): Promise<void> {
  const kept = { response, input, ...(events === undefined ? {} : { events }) };
  await own(config, { owner, kind: KIND, id: String(response.id) }, kept);
}

/** Notes whose a response is that an upstream keeps, and which items it has. */
export async function claimResponse(config: Config, owner: string, response: JsonObject, model: string): Promise<void> {
  const items = (Array.isArray(response.output) ? response.output : [])
    .filter(isJsonObject)
    .map(({ id }) => id ?? null);
  await own(config, { owner, kind: KIND, id: String(response.id) }, { model, items });
}

/** @returns `undefined` when this owner has none of that id. */
export async function findResponse(config: Config, owner: string, id: string): Promise<KnownResponse | undefined> {
  const found = await findOwned(config, { owner, kind: KIND, id });
  return found === undefined ? undefined : readKnown(found);
}

/**
 * The conversation up to and with this response, the oldest item first.
 * @throws {GatewayError} 400 when this owner has no such response, or a part of what was said is gone; 413 when it is larger
 * than a body may be: no more of it is looked up then.
 * @param hold takes account of each turn's bytes.
 */
export async function conversationUpTo(
  config: Config,
  owner: string,
  id: string,
  hold: (bytes: number) => Awaitable<void> = () => {},
): Promise<readonly JsonObject[]> {
  const { maxBodyBytes } = config;
  const turns: (readonly JsonObject[])[] = [];
  let bytes = 0;
  for (let at: Json | undefined = id; typeof at === 'string'; ) {
    const known = await findResponse(config, owner, at);
    if (known?.kind !== 'kept' || turns.length === MAX_CHAIN) throw previousResponseNotFound(at);
    const { response, input } = known;
    const turn = [...input, ...itemsOf(response.output)];
    const turnBytes = jsonBytes(turn);
    bytes += turnBytes;
    if (bytes > maxBodyBytes) throw conversationTooLarge(maxBodyBytes, 'previous_response_id');
    await hold(turnBytes);
    turns.push(turn);
    at = response.previous_response_id;
  }
  return turns.reverse().flat();
}

/** Items of this owner's responses, by their ids. @throws {GatewayError} 413 when they are larger than a body may be. */
export async function itemsById(config: Config, owner: string, ids: readonly string[]): Promise<readonly JsonObject[]> {
  if (ids.length === 0) return [];
  const wanted = new Set<Json | undefined>(ids);
  const found: JsonObject[] = [];
  let bytes = 0;
  // One by one, the latest first: all together they may be more than fits into memory.
  const responseIds = await listedIds(config, { owner, kind: KIND });
  for (const id of responseIds.toReversed()) {
    if (wanted.size === 0) break;
    const known = await findResponse(config, owner, id);
    for (const item of known === undefined ? [] : itemsIn(known)) {
      if (!wanted.delete(item.id)) continue;
      found.push(item);
      bytes += jsonBytes(item);
    }
    if (bytes > config.maxBodyBytes) throw conversationTooLarge(config.maxBodyBytes, 'input');
  }
  return found;
}

function itemsIn(known: KnownResponse): readonly JsonObject[] {
  return known.kind === 'kept'
    ? [...known.input, ...itemsOf(known.response.output)]
    : known.items.map((id) => ({ id }));
}

/** About the bytes of a value as JSON, never more. */
function jsonBytes(value: Json): number {
  if (typeof value === 'string') return Buffer.byteLength(value) + 2;
  if (typeof value !== 'object' || value === null) return 1;
  let bytes = 1;
  if (Array.isArray(value)) for (const item of value) bytes += 1 + jsonBytes(item);
  else for (const [name, member] of Object.entries(value)) bytes += name.length + 4 + jsonBytes(member ?? null);
  return bytes;
}

function readKnown({ body }: StoredObject): KnownResponse {
  if (isJsonObject(body.response)) {
    const events = typeof body.events === 'string' ? body.events : undefined;
    return { kind: 'kept', response: body.response, input: itemsOf(body.input), events };
  }
  const items = Array.isArray(body.items) ? body.items.filter((id) => typeof id === 'string') : [];
  return { kind: 'passed', model: String(body.model), items };
}

function itemsOf(value: Json | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}
