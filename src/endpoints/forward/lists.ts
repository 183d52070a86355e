import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import type { Config } from '../../config/options.js';
import { pathOf, queryOf } from '../../http/url.js';
import { ownedIds } from '../../stores/ownership.js';
import { DEFAULT_LIMIT, MAX_LIMIT, pageBody, pagesBackwards } from '../../wire/list-page.js';
import type { ForwardRule } from '../routes.js';

/** A list of which the caller is to see its own. */
export interface OwnList {
  /** Under which the first page is asked for. */
  readonly path: string;
  /** The ids of all that is the caller's. */
  readonly ids: ReadonlySet<string>;
  /** Most of them on the caller's page. */
  readonly limit: number;
}

/** So many pages of others' objects are skipped for one of the caller's own. */
const MAX_PAGES = 50;

/**
 * What is to be asked for: more at once, as others' objects will be left out. A cursor that is not the caller's is none, so
 * that nobody learns what there is; as is one that was deleted since, which leaves those after it at the beginning.
 * @throws {GatewayError} 503 when the store fails.
 */
export async function ownListOf(
  path: string,
  { rule, owner, config }: { readonly rule: ForwardRule; readonly owner: string; readonly config: Config },
): Promise<OwnList> {
  const ids = await ownedIds(config, { owner, kind: rule.makes ?? 'file' });
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
export async function ownPage(
  { path, ids, limit }: OwnList,
  first: JsonObject,
  ask: (path: string) => Promise<JsonObject>,
): Promise<OwnPage> {
  const query = queryOf(path);
  const isBackwards = pagesBackwards(query);
  const direction = isBackwards ? 'before' : 'after';
  const missing = new Set(ids);
  let own: JsonObject[] = [];
  let page = first;
  for (let pages = 1; ; pages += 1) {
    const items = itemsOf(page.data);
    const found = items.filter(({ id }) => typeof id === 'string' && missing.delete(id));
    own = isBackwards ? [...found, ...own] : [...own, ...found];
    const cursor = items.at(isBackwards ? 0 : -1)?.id;
    const isLast = page.has_more !== true || missing.size === 0 || typeof cursor !== 'string';
    // A server that does not know cursors gives the same page again and again.
    if (isLast || own.length > limit || pages === MAX_PAGES || cursor === query.get(direction)) break;
    query.set(direction, cursor);
    page = await ask(`${pathOf(path)}?${query}`);
  }
  const data = isBackwards ? own.slice(-limit) : own.slice(0, limit);
  const hasMore = own.length > limit || (data.length > 0 && missing.size > 0 && page.has_more === true);
  return { ...page, ...pageBody(data, hasMore) };
}

function itemsOf(data: Json | undefined): JsonObject[] {
  return Array.isArray(data) ? data.filter(isJsonObject) : [];
}
