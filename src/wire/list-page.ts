import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { optionalChoice, optionalInteger } from './members.js';
import { badRequest } from './request-errors.js';

/** How a list is paged. */
export interface PageOptions {
  /** The order of a list that names none. */
  readonly defaultOrder: 'asc' | 'desc';
  /** Items of a page whose size nobody names. @default 20 */
  readonly defaultLimit?: number;
  /** Most items of one page. @default 100 */
  readonly maxLimit?: number;
  /**
   * The place of an object among its kind, as far as its id tells, so that a page may begin where an object was deleted.
   * @default ids tell nothing
   */
  readonly orderOf?: (id: string) => number | undefined;
}

/** Of most of OpenAI's lists. */
export const DEFAULT_LIMIT = 20;
/** The largest page that OpenAI gives of all lists. */
export const MAX_LIMIT = 100;

/**
 * One page of a list, as OpenAI's cursors have it: `limit`, `order`, and `after` or `before` an item of another page.
 * @param items oldest first.
 * @throws {GatewayError} 400 for a query that asks for no page, such as a cursor that was never there, or whose place
 * nobody knows any more: a client that pages on would get the same items again, or miss some.
 */
export function listPage(items: readonly JsonObject[], query: URLSearchParams, options: PageOptions): JsonObject {
  const { defaultLimit = DEFAULT_LIMIT, maxLimit = MAX_LIMIT } = options;
  const limit = optionalInteger('limit', numberIn(query.get('limit')), { min: 1, max: maxLimit }) ?? defaultLimit;
  const isAscending = (optionalChoice('order', query.get('order'), ['asc', 'desc']) ?? options.defaultOrder) === 'asc';
  const ordered = isAscending ? items : items.toReversed();
  const placeOf = (param: string, id: string): Place => place(ordered, param, id, { ...options, isAscending });
  const after = query.get('after');
  const before = query.get('before');
  const from = after === null ? 0 : placeOf('after', after).end;
  const to = before === null ? ordered.length : placeOf('before', before).begin;
  const isBackwards = pagesBackwards(query);
  const begin = isBackwards ? Math.max(from, to - limit) : from;
  const data = ordered.slice(begin, Math.min(to, begin + limit));
  return pageBody(data, isBackwards ? begin > 0 : begin + data.length < to);
}

/** Whether a page ends at its cursor: the page before an object does, every other begins where it is asked to. */
export function pagesBackwards(query: URLSearchParams): boolean {
  return query.has('before') && !query.has('after');
}

/** A page as OpenAI shows it. */
export function pageBody(data: readonly JsonObject[], hasMore: boolean): JsonObject & { readonly data: JsonObject[] } {
  return {
    object: 'list',
    data: [...data],
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

/** What `metadata[name]=value` asks for: whether an object's metadata has all of it. */
export function metadataFilter(query: URLSearchParams): (object: JsonObject) => boolean {
  const wanted = [...query].flatMap(([name, value]) => {
    const key = /^metadata\[(.+)\]$/.exec(name)?.[1];
    return key === undefined ? [] : [{ key, value }];
  });
  return ({ metadata }) =>
    wanted.every(({ key, value }) => isJsonObject(metadata) && Object.hasOwn(metadata, key) && metadata[key] === value);
}

/** Where an object lies in a list; where it lay, nothing lies between the two. */
interface Place {
  readonly begin: number;
  readonly end: number;
}

interface PlaceOptions extends Pick<PageOptions, 'orderOf'> {
  readonly isAscending: boolean;
}

function place(
  ordered: readonly JsonObject[],
  param: string,
  id: string,
  { orderOf = () => undefined, isAscending }: PlaceOptions,
): Place {
  const index = ordered.findIndex((item) => item.id === id);
  if (index !== -1) return { begin: index, end: index + 1 };
  const order = orderOf(id);
  if (order === undefined)
    throw badRequest(`Invalid '${param}': there is no object '${id.slice(0, 256)}'.`, null, param);
  const next = ordered.findIndex((item) => {
    const other = orderOf(String(item.id)) ?? 0;
    return isAscending ? other > order : other < order;
  });
  const gap = next === -1 ? ordered.length : next;
  return { begin: gap, end: gap };
}

/** The number that a text of a query looks like; else the text. */
function numberIn(text: string | null): Json {
  return text !== null && /^-?\d{1,15}(?:\.\d{1,15})?$/.test(text) ? Number(text) : text;
}
