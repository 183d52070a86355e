import { isJsonObject, type Json } from './json.js';

/** Whether a name stands anywhere through which a careless copy reaches a prototype. */
export function isPoisoned(root: Json): boolean {
  return !everyValue(root, (value) => {
    if (!isJsonObject(value)) return true;
    if (Object.hasOwn(value, '__proto__')) return false;
    const made = Object.hasOwn(value, 'constructor') ? value.constructor : undefined;
    return !(isJsonObject(made) && Object.hasOwn(made, 'prototype'));
  });
}

/** Whether no string or name holds half a surrogate pair. */
export function isWellFormed(root: Json): boolean {
  return everyValue(root, (value) => {
    if (typeof value === 'string') return value.isWellFormed();
    return !isJsonObject(value) || Object.keys(value).every((name) => name.isWellFormed());
  });
}

/** A `JSON.stringify` replacer that puts U+FFFD in place of lone surrogates, in names too. */
export function toWellFormed(_name: string, value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name.toWellFormed(), inner]));
}

/** Whether `holds` is true of each value in the tree; a stack of our own, so that depth cannot overflow the real one. */
function everyValue(root: Json, holds: (value: Json) => boolean): boolean {
  const pending: Json[] = [root];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (!holds(value)) return false;
    if (typeof value !== 'object' || value === null) continue;
    for (const inner of Object.values(value)) if (inner !== undefined) pending.push(inner);
  }
  return true;
}
