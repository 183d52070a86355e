import { upstreamBadResponse } from './errors.js';
import type { ForwardRule } from './http/routes.js';
import { isJsonObject, type Json, type JsonObject } from './json.js';
import { ANSWER_BOUNDS, parseDocument } from './json-document.js';
import type { Config } from './options.js';
import { disown, findOwned, put } from './owned-objects.js';
import type { ForwardReply } from './upstreams/upstream.js';

/** An answer about objects, and whose they are. */
export interface ObjectAnswer {
  readonly reply: ForwardReply;
  readonly rule: ForwardRule;
  /** Of the path. */
  readonly id: string;
  readonly path: string;
  readonly owner: string;
  readonly config: Config;
  /** Asks the same upstream for another page. */
  again(path: string): Promise<ForwardReply>;
}

/** Objects are told of in less. */
const MAX_BYTES = 16_777_216;
/** The largest page that OpenAI gives of all lists. */
const PAGE_SIZE = 100;
/** So many pages of others' objects are skipped for one of the caller's own. */
const MAX_PAGES = 50;
const DEFAULT_LIMIT = 20;

/** The path under which a list is asked for: more at once, as others' objects will be left out. */
export function listPath(path: string): string {
  return withQuery(path, { limit: String(PAGE_SIZE) });
}

/**
 * What the client may see of the answer. What was made with it belongs to the caller before it is told of.
 * @throws {GatewayError} 502 for an answer that is no object, 503 when the store fails.
 */
export async function forwardedObject(answer: ObjectAnswer): Promise<Uint8Array | string> {
  const { reply, rule, id, owner, config } = answer;
  const { bytes, body } = await readObject(reply);
  if (rule.answer === 'list') return JSON.stringify(await ownedList(answer, body));
  if (rule.answer === 'delete') {
    if (body.deleted === true && rule.makes !== undefined) await disown(config, { owner, kind: rule.makes, id });
    return bytes;
  }
  if (rule.makes !== undefined && typeof body.id === 'string')
    await put(config, { owner, kind: rule.makes, id: body.id });
  for (const file of filesMadeIn(body)) await put(config, { owner, kind: 'file', id: file });
  return bytes;
}

/** The files that a batch or an upload became. */
function filesMadeIn({ output_file_id, error_file_id, file }: JsonObject): string[] {
  const made = [output_file_id, error_file_id, isJsonObject(file) ? file.id : undefined];
  return made.filter((id) => typeof id === 'string');
}

async function readObject({
  body: pieces,
}: ForwardReply): Promise<{ readonly bytes: Uint8Array; readonly body: JsonObject }> {
  const read: Uint8Array[] = [];
  let size = 0;
  for await (const piece of pieces) {
    size += piece.byteLength;
    if (size > MAX_BYTES) throw upstreamBadResponse('The upstream answered with too much.');
    read.push(piece);
  }
  const result = parseDocument(Buffer.concat(read), ANSWER_BOUNDS);
  if (result.kind === 'refused') throw upstreamBadResponse('The upstream answered with JSON that cannot be read.');
  const { bytes } = result.document;
  const body: unknown = JSON.parse(bytes.toString('utf8'));
  return { bytes, body: isJsonObject(body) ? body : {} };
}

/** A page of the caller's own, gathered from as many pages of everybody's as it takes. */
async function ownedList({ rule, path, owner, config, again }: ObjectAnswer, first: JsonObject): Promise<JsonObject> {
  const kind = rule.makes ?? 'file';
  const limit = limitOf(path);
  const own: JsonObject[] = [];
  let page = first;
  for (let pages = 1; ; pages += 1) {
    const items = itemsOf(page.data);
    for (const item of items) {
      if (await findOwned(config, { owner, kind, id: String(item.id) })) own.push(item);
    }
    const last = items.at(-1)?.id;
    if (own.length > limit || page.has_more !== true || typeof last !== 'string' || pages === MAX_PAGES) break;
    page = (await readObject(await again(withQuery(path, { limit: String(PAGE_SIZE), after: last })))).body;
  }
  const data = own.slice(0, limit);
  const hasMore = own.length > limit || (data.length > 0 && page.has_more === true);
  return { ...page, data, first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null, has_more: hasMore };
}

function itemsOf(data: Json | undefined): JsonObject[] {
  return Array.isArray(data) ? data.filter(isJsonObject) : [];
}

function limitOf(path: string): number {
  const limit = Number(queryOf(path).get('limit') ?? DEFAULT_LIMIT);
  return Number.isSafeInteger(limit) && limit > 0 ? Math.min(limit, PAGE_SIZE) : DEFAULT_LIMIT;
}

function queryOf(path: string): URLSearchParams {
  return new URLSearchParams(path.split('?', 2)[1] ?? '');
}

function withQuery(path: string, changes: Readonly<Record<string, string>>): string {
  const query = queryOf(path);
  for (const [name, value] of Object.entries(changes)) query.set(name, value);
  return `${path.split('?', 1)[0]}?${query}`;
}
