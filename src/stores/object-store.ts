import type { Awaitable } from '../base/awaitable.js';
import type { JsonObject } from '../base/json.js';
import type { ObjectKind } from '../wire/operations.js';

/** Something that belongs to one owner, who alone may see it. */
export interface StoredObject {
  /** Keys of one owner share what they make. */
  readonly owner: string;
  readonly kind: ObjectKind;
  readonly id: string;
  /** Unix time in milliseconds. */
  readonly createdAt: number;
  /** What there is to know; `{}` for what an upstream keeps and of which only the owner is known here. */
  readonly body: JsonObject;
}

/**
 * Where it is kept whose objects are whose. An object that a bounded store has dropped is nobody's: better lost than seen
 * by a stranger. What a method throws becomes a 503.
 */
export interface ObjectStore {
  /** @returns The object, or `undefined` when this owner has none of that kind and id, whoever else may. */
  find(owner: string, kind: ObjectKind, id: string): Awaitable<StoredObject | undefined>;
  /** Everything of one kind, in the order in which it was first put. */
  list(owner: string, kind: ObjectKind): Awaitable<readonly StoredObject[]>;
  /** Adds the object, or replaces the one of that owner, kind and id. Resolves when it would be found. */
  put(object: StoredObject): Awaitable<void>;
  remove(owner: string, kind: ObjectKind, id: string): Awaitable<void>;
}
