import { isJsonObject, type JsonObject } from '../json.js';
import { invalidType, invalidValue } from '../request-errors.js';

/** What a list is asked for. */
export interface PageOptions {
  /** The order of a list that names none. */
  readonly defaultOrder: 'asc' | 'desc';
  /** Most items of one page. */
  readonly maxLimit: number;
}

const DEFAULT_LIMIT = 20;

/**
 * One page of a list, as OpenAI's cursors have it: `limit`, `order`, and `after` an item of the page before.
 * @param items oldest first.
 * @throws {GatewayError} 400 for a limit or an order that is none.
 */
export function listPage(items: readonly JsonObject[], query: URLSearchParams, options: PageOptions): JsonObject {
  const limit = limitOf(query.get('limit'), options.maxLimit);
  const order = query.get('order') ?? options.defaultOrder;
  if (order !== 'asc' && order !== 'desc') throw invalidValue('order', order, ['asc', 'desc']);
  const ordered = order === 'asc' ? items : items.toReversed();
  const after = query.get('after');
  const start = after === null ? 0 : ordered.findIndex(({ id }) => id === after) + 1;
  const data = ordered.slice(start, start + limit);
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: start + limit < ordered.length,
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

function limitOf(text: string | null, max: number): number {
  if (text === null) return DEFAULT_LIMIT;
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > max)
    throw invalidType('limit', `an integer from 1 to ${max}`, text);
  return limit;
}
