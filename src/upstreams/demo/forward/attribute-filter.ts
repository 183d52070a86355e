import { isJsonObject, type Json, type JsonObject, shownValue } from '../../../base/json.js';
import { badRequest, invalidType, invalidValue } from '../../../wire/request-errors.js';

/** Whether attributes pass a filter. */
export type AttributeFilter = (attributes: JsonObject) => boolean;

const COMPARISONS: Readonly<Record<string, (is: Json, wanted: Json) => boolean>> = {
  eq: (is, wanted) => is === wanted,
  ne: (is, wanted) => is !== wanted,
  gt: (is, wanted) => typeof is === typeof wanted && Number(is) > Number(wanted),
  gte: (is, wanted) => typeof is === typeof wanted && Number(is) >= Number(wanted),
  lt: (is, wanted) => typeof is === typeof wanted && Number(is) < Number(wanted),
  lte: (is, wanted) => typeof is === typeof wanted && Number(is) <= Number(wanted),
  in: (is, wanted) => Array.isArray(wanted) && wanted.includes(is),
  nin: (is, wanted) => Array.isArray(wanted) && !wanted.includes(is),
};
const TYPES = [...Object.keys(COMPARISONS), 'and', 'or'];
const MAX_DEPTH = 8;

/** Reads the `filters` of a search. @throws {GatewayError} 400 for what is no filter. */
export function attributeFilter(filter: Json | undefined, depth = 0): AttributeFilter {
  if (!isJsonObject(filter)) throw invalidType('filters', 'an object', filter);
  if (depth > MAX_DEPTH)
    throw badRequest(`The filters are nested more than ${MAX_DEPTH} levels deep.`, null, 'filters');
  const { type, key, value, filters } = filter;
  if (typeof type !== 'string' || !TYPES.includes(type)) throw invalidValue('filters.type', shownValue(type), TYPES);
  if (type === 'and' || type === 'or') {
    if (!Array.isArray(filters)) throw invalidType('filters.filters', 'an array of objects', filters);
    const inner = filters.map((one: Json) => attributeFilter(one, depth + 1));
    return type === 'and'
      ? (attributes) => inner.every((passes) => passes(attributes))
      : (attributes) => inner.some((passes) => passes(attributes));
  }
  if (typeof key !== 'string') throw invalidType('filters.key', 'a string', key);
  if (value === undefined || value === null) throw invalidType('filters.value', 'a string, number or boolean', value);
  const compare = COMPARISONS[type];
  return (attributes) => compare?.(attributes[key] ?? null, value) ?? false;
}
