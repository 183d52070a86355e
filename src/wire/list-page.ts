import { isJsonObject, type JsonObject } from '../base/json.js';
import { type NumberRange, optionalChoice, optionalInteger } from './members.js';
import { badRequest, invalidValue } from './request-errors.js';

/** Rules by which a list is paged. */
export interface PageOptions {
  /** The order of a list whose query names none. */
  readonly defaultOrder: 'asc' | 'desc';
  /** Items of a page whose query names no number. @default 20 */
  readonly defaultLimit?: number;
  /** Most items of one page. @default 100 */
  readonly maxLimit?: number;
  /**
   * The place of an object among its kind, as far as its id tells, so that a page may begin where an object was deleted.
   * @default ids tell nothing
   */
  readonly orderOf?: (id: string) => number | undefined;
}

/** Items of a page in most of OpenAI's lists. */
export const DEFAULT_LIMIT = 20;
/** The largest page in most of OpenAI's lists. */
export const MAX_LIMIT = 100;

/** The last second of the year 9999: nobody writes a later date. */
const MAX_UNIX_SECONDS = 253_402_300_799;

/**
 * One page of a list, cut by OpenAI's cursors: `limit`, `order`, and `after` or `before` an item of another page.
 * @param items oldest first.
 * @throws {GatewayError} 400 for a cursor that was never there or whose place is unknown: a client that pages on would get
 * the same items again, or miss some.
 */
export function listPage(items: readonly JsonObject[], query: URLSearchParams, options: PageOptions): JsonObject {
  const { defaultLimit = DEFAULT_LIMIT, maxLimit = MAX_LIMIT } = options;
  const limit = integerParameter(query, 'limit', { min: 1, max: maxLimit }) ?? defaultLimit;
  const isAscending = (optionalChoice('order', query.get('order'), ['asc', 'desc']) ?? options.defaultOrder) === 'asc';
  const ordered = isAscending ? items : items.toReversed();
  const placeOf = (param: string, id: string): Place => findPlace(ordered, param, id, { ...options, isAscending });
  const after = query.get('after');
  const before = query.get('before');
  const from = after === null ? 0 : placeOf('after', after).end;
  const to = before === null ? ordered.length : placeOf('before', before).begin;
  const isBackwards = pagesBackwards(query);
  const begin = isBackwards ? Math.max(from, to - limit) : from;
  const data = ordered.slice(begin, Math.min(to, begin + limit));
  return pageBody(data, isBackwards ? begin > 0 : begin + data.length < to);
}

/** Whether a page ends at its cursor, as the one before an object does; every other page begins there. */
export function pagesBackwards(query: URLSearchParams): boolean {
  return query.has('before') && !query.has('after');
}

/** The body of a page, in OpenAI's shape. */
export function pageBody(data: readonly JsonObject[], hasMore: boolean): JsonObject & { readonly data: JsonObject[] } {
  return {
    object: 'list',
    data: [...data],
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}

/** Makes a test for objects whose metadata has every pair that the query names as `metadata[name]=value`. */
export function metadataFilter(query: URLSearchParams): (object: JsonObject) => boolean {
  const wanted = [...query].flatMap(([name, value]) => {
    const key = /^metadata\[(.+)\]$/.exec(name)?.[1];
    return key === undefined ? [] : [{ key, value }];
  });
  return ({ metadata }) =>
    wanted.every(({ key, value }) => isJsonObject(metadata) && Object.hasOwn(metadata, key) && metadata[key] === value);
}

/** The whole number of a parameter that may be absent. @throws {GatewayError} 400 for anything else. */
export function integerParameter(query: URLSearchParams, name: string, range: NumberRange): number | undefined {
  const text = query.get(name);
  const isNumber = text !== null && /^-?\d{1,15}(?:\.\d{1,15})?$/.test(text);
  return optionalInteger(name, isNumber ? Number(text) : text, range);
}

/** Unix time in seconds, in a parameter that may be absent. @throws {GatewayError} 400 for anything else. */
export function secondsParameter(query: URLSearchParams, name: string): number | undefined {
  return integerParameter(query, name, { min: 0, max: MAX_UNIX_SECONDS });
}

/** All texts of a list that may be absent, however the client writes lists: `name`, `name[]` or `name[0]`, repeated. */
export function listParameter(query: URLSearchParams, name: string): readonly string[] {
  return [...query].filter(([given]) => given.replace(/\[\d*\]$/, '') === name).map(([, value]) => value);
}

/**
 * The texts of such a list, each once, which may also be separated by commas.
 * @throws {GatewayError} 400 for a text that is none of `choices`.
 */
export function choicesParameter<T extends string>(
  query: URLSearchParams,
  name: string,
  choices: readonly T[],
): readonly T[] {
  const given = listParameter(query, name).flatMap((text) => text.split(','));
  const chosen = given.map((text) => {
    const choice = choices.find((known) => known === text.trim());
    if (choice === undefined) throw invalidValue(name, text.slice(0, 64), choices);
    return choice;
  });
  return [...new Set(chosen)];
}

/** The place of an object in a list. Where it was deleted, the place is empty: `begin` equals `end`. */
interface Place {
  readonly begin: number;
  readonly end: number;
}

interface PlaceOptions extends Pick<PageOptions, 'orderOf'> {
  readonly isAscending: boolean;
}

function findPlace(
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
