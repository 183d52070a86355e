import type { JsonObject } from '../../../json.js';
import { optionalChoice, optionalInteger, optionalString } from '../read-parameter.js';
import { refused } from './forward-errors.js';
import { orderOf, type Shelved } from './shelf.js';

/** How a list may be asked for. */
export interface ListPageOptions<T> {
  readonly defaultLimit: number;
  readonly maxLimit: number;
  readonly show: (item: T) => JsonObject;
}

/**
 * A page of OpenAI's lists: `limit`, `order`, `after` and `before` as the query says.
 * @param items oldest first. @throws {GatewayError} 400 for a query that asks for no page.
 */
export function listPage<T extends Shelved>(
  items: readonly T[],
  query: JsonObject,
  { defaultLimit, maxLimit, show }: ListPageOptions<T>,
): JsonObject {
  const limit = optionalInteger(query, 'limit', [1, maxLimit]) ?? defaultLimit;
  const ascending = optionalChoice(query, 'order', ['asc', 'desc']) === 'asc';
  const after = optionalString(query, 'after');
  const before = optionalString(query, 'before');
  const ordered = ascending ? items : items.toReversed();
  const from = after === undefined ? 0 : cursor(ordered, 'after', after, ascending).end;
  const to = before === undefined ? ordered.length : cursor(ordered, 'before', before, ascending).begin;
  // The page before an object ends at it; every other page begins where it is asked to.
  const begin = after === undefined && before !== undefined ? Math.max(from, to - limit) : from;
  const page = ordered.slice(begin, Math.min(to, begin + limit));
  return {
    object: 'list',
    data: page.map(show),
    first_id: page[0]?.id ?? null,
    last_id: page.at(-1)?.id ?? null,
    has_more: before !== undefined && after === undefined ? begin > 0 : begin + page.length < to,
  };
}

/** Where the object lies in the list, or where it lay before it was deleted. */
function cursor(
  ordered: readonly Shelved[],
  param: string,
  id: string,
  ascending: boolean,
): { readonly begin: number; readonly end: number } {
  const index = ordered.findIndex((item) => item.id === id);
  if (index !== -1) return { begin: index, end: index + 1 };
  const order = orderOf(id);
  if (order === undefined) throw refused(`Invalid '${param}': there is no object '${id}'.`, param);
  const next = ordered.findIndex((item) => {
    const other = orderOf(item.id) ?? 0;
    return ascending ? other > order : other < order;
  });
  const gap = next === -1 ? ordered.length : next;
  return { begin: gap, end: gap };
}
