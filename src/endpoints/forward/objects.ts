import { isPending } from '../../base/awaitable.js';
import { upstreamBadResponse } from '../../base/errors.js';
import { GatheredBytes } from '../../base/gathered-bytes.js';
import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { objectInTurns, parseInTurns } from '../../base/json-turns.js';
import type { Call } from '../../call/call.js';
import type { Exchange } from '../../call/exchange.js';
import type { BatchUsage } from '../../call/later-work.js';
import { pathOf, queryOf } from '../../http/url.js';
import { disown, own, ownedIds } from '../../stores/ownership.js';
import { redacted } from '../../upstreams/redact.js';
import type { ForwardReply } from '../../upstreams/upstream.js';
import { DEFAULT_LIMIT, MAX_LIMIT, pageBody, pagesBackwards } from '../../wire/list-page.js';
import type { ForwardRule } from '../route.js';

/** An answer about objects. */
interface ObjectAnswer {
  readonly reply: ForwardReply;
  readonly rule: ForwardRule;
  /** The list that was asked for. */
  readonly list: OwnList | undefined;
  /** Model that a new batch is paid for as; `undefined`: nobody knows. */
  readonly batchModel?: string | undefined;
  /** Asks the same upstream for another page. */
  again(path: string): Promise<ForwardReply>;
}

/** The part of an answer that the client may see. */
interface ShownAnswer {
  readonly body: Uint8Array | string;
  readonly used?: BatchUsage | undefined;
  /** Status and headers. @default the upstream's */
  readonly reply?: Pick<ForwardReply, 'status' | 'headers'>;
}

/**
 * The part of the answer that the client may see, and the usage that it tells. Objects made with it belong to the caller
 * before the caller is told of them.
 * @throws {GatewayError} 502 for an answer that is no object, 503 when the store fails.
 */
export async function shownObject(
  call: Call,
  { reply, rule, list, batchModel, again }: ObjectAnswer,
): Promise<ShownAnswer> {
  const { exchange, plan } = call;
  const { owner } = plan;
  const { config } = exchange.state;
  if (rule.answer === 'delete') return shownDeletion(call, reply, rule);
  const { bytes, body } = await readObject(call, reply);
  if (list !== undefined) {
    const own = await ownPage(list, body, (path) => readPage(call, path, again));
    const page = { ...own, data: own.data.map((item) => ({ ...item, ...redactedErrors(item) })) };
    return { body: JSON.stringify(page), used: await takeTold(call, rule, page.data) };
  }
  const { makes, owned } = rule;
  // Only a new one: an answer that comes after somebody deleted the object must not bring it back.
  const isNew = makes !== undefined && owned === undefined;
  if (isNew && typeof body.id === 'string') {
    await own(config, { owner, kind: makes, id: body.id }, batchModel === undefined ? {} : { model: batchModel });
  }
  const changes = redactedErrors(body);
  const shown = changes === undefined ? bytes : JSON.stringify({ ...body, ...changes });
  return { body: shown, used: await takeTold(call, rule, [body]) };
}

/** Members in which objects tell why something failed: batches, files, files of a vector store. */
const ERROR_MEMBERS = ['error', 'errors', 'last_error', 'status_details'];

/** Those of an object without what no client should read: why a batch failed is told with the organisation's id. */
function redactedErrors(object: JsonObject): JsonObject | undefined {
  const told = ERROR_MEMBERS.filter((name) => object[name] !== undefined && object[name] !== null);
  return told.length === 0 ? undefined : Object.fromEntries(told.map((name) => [name, redactedTexts(object[name])]));
}

/** Deepest text of an error that is shown, and most members of a list. */
const MAX_ERROR_DEPTH = 4;
const MAX_ERRORS = 1_000;

function redactedTexts(value: Json | undefined, depth = 0): Json {
  if (typeof value === 'string') return redacted(value);
  if (typeof value !== 'object' || value === null) return value ?? null;
  if (depth === MAX_ERROR_DEPTH) return null;
  if (Array.isArray(value)) return value.slice(0, MAX_ERRORS).map((one) => redactedTexts(one, depth + 1));
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, redactedTexts(inner, depth + 1)]));
}

/** Shows that an object is gone: a good status says so, whatever its words, unless these say that it is not. */
async function shownDeletion(call: Call, reply: ForwardReply, { makes }: ForwardRule): Promise<ShownAnswer> {
  const { exchange, plan } = call;
  const { id, state } = exchange;
  const bytes = await readBytes(call, reply);
  const said = bytes.byteLength === 0 ? undefined : await objectInTurns(bytes, call.answerBounds);
  if (makes !== undefined && said?.deleted !== false)
    await disown(state.config, { owner: plan.owner, kind: makes, id });
  if (said !== undefined) return { body: bytes };
  const object = makes === 'file' ? 'file' : `${makes}.deleted`;
  const body = JSON.stringify({ id, object, deleted: true });
  return { body, reply: { status: 200, headers: { 'content-type': 'application/json' } } };
}

/** Makes the files of batches and uploads their owner's, and counts on the owner's account what batches used. */
async function takeTold(
  { exchange, plan }: Call,
  { operation }: ForwardRule,
  told: readonly JsonObject[],
): Promise<BatchUsage | undefined> {
  const { config, batches } = exchange.state;
  const handOut = async (object: JsonObject): Promise<void> => {
    for (const id of filesMadeIn(object)) await own(config, { owner: plan.owner, kind: 'file', id });
  };
  if (operation === 'batches') return batches.uncounted(plan.owner, told, handOut);
  for (const object of told) await handOut(object);
  return undefined;
}

/** The files that a batch or an upload became. */
function filesMadeIn({ output_file_id, error_file_id, file }: JsonObject): string[] {
  const made = [output_file_id, error_file_id, isJsonObject(file) ? file.id : undefined];
  return made.filter((id) => typeof id === 'string');
}

async function readBytes(call: Call, { body: pieces }: ForwardReply): Promise<Uint8Array> {
  const read = new GatheredBytes();
  for await (const piece of pieces) {
    read.add(piece);
    if (read.size > call.answerBounds.maxBytes) throw upstreamBadResponse('The upstream answered with too much.');
    const held = call.holdInTime(piece.byteLength);
    if (isPending(held)) await held;
  }
  return read.take();
}

/** A further page, of which little is kept. */
async function readPage(call: Call, path: string, again: (path: string) => Promise<ForwardReply>): Promise<JsonObject> {
  const { exchange } = call;
  const before = exchange.held;
  const { body } = await readObject(call, await again(path));
  exchange.holdMore(before - exchange.held);
  return body;
}

async function readObject(
  call: Call,
  reply: ForwardReply,
): Promise<{ readonly bytes: Uint8Array; readonly body: JsonObject }> {
  const result = await parseInTurns(await readBytes(call, reply), call.answerBounds, 'decoded');
  if (result.kind === 'refused') throw upstreamBadResponse('The upstream answered with JSON that cannot be read.');
  return { bytes: result.document.bytes, body: result.outline.body };
}

/** A list that shows the caller only its own objects. */
export interface OwnList {
  /** Path of the first page. */
  readonly path: string;
  /** The ids of all that is the caller's. */
  readonly ids: ReadonlySet<string>;
  /** Most of them on the caller's page. */
  readonly limit: number;
}

/** Most pages of others' objects that are skipped for one of the caller's own. */
const MAX_PAGES = 50;

/**
 * The list to ask for: more at once, as others' objects will be left out. A cursor that the caller does not own, or deleted, is
 * dropped: the list begins anew.
 * @throws {GatewayError} 503 when the store fails.
 */
export async function ownListOf({ path, plan, state }: Exchange, { makes = 'file' }: ForwardRule): Promise<OwnList> {
  const ids = await ownedIds(state.config, { owner: plan.owner, kind: makes });
  const query = queryOf(path);
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT);
  for (const name of ['after', 'before']) {
    if (query.getAll(name).some((id) => !ids.has(id))) query.delete(name);
  }
  query.set('limit', String(MAX_LIMIT));
  return {
    path: `${pathOf(path)}?${query}`,
    ids,
    limit: Number.isSafeInteger(limit) && limit > 0 ? Math.min(limit, MAX_LIMIT) : DEFAULT_LIMIT,
  };
}

interface OwnPage extends JsonObject {
  readonly data: JsonObject[];
}

/** A page of the caller's own, gathered from as many pages of everybody's as it takes. */
async function ownPage(
  { path, ids, limit }: OwnList,
  first: JsonObject,
  ask: (path: string) => Promise<JsonObject>,
): Promise<OwnPage> {
  const query = queryOf(path);
  const isBackwards = pagesBackwards(query);
  const direction = isBackwards ? 'before' : 'after';
  const missing = new Set(ids);
  let kept: JsonObject[] = [];
  let page = first;
  for (let pages = 1; ; pages += 1) {
    const items = itemsOf(page.data);
    const found = items.filter(({ id }) => typeof id === 'string' && missing.delete(id));
    kept = isBackwards ? [...found, ...kept] : [...kept, ...found];
    const cursor = items.at(isBackwards ? 0 : -1)?.id;
    const isLast = page.has_more !== true || missing.size === 0 || typeof cursor !== 'string';
    // A server that does not know cursors gives the same page again and again.
    if (isLast || kept.length > limit || pages === MAX_PAGES || cursor === query.get(direction)) break;
    query.set(direction, cursor);
    page = await ask(`${pathOf(path)}?${query}`);
  }
  const data = isBackwards ? kept.slice(-limit) : kept.slice(0, limit);
  const hasMore = kept.length > limit || (data.length > 0 && missing.size > 0 && page.has_more === true);
  return { ...page, ...pageBody(data, hasMore) };
}

function itemsOf(data: Json | undefined): JsonObject[] {
  return Array.isArray(data) ? data.filter(isJsonObject) : [];
}
