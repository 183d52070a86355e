import type { Awaitable } from '../base/awaitable.js';
import type { JsonObject } from '../base/json.js';
import type { ObjectKind } from '../wire/operations.js';

/** An object that belongs to one owner and is shown to no other. */
export interface StoredObject {
  /** As `ownerOf` names it: keys of one owner share their objects. */
  readonly owner: string;
  readonly kind: ObjectKind;
  readonly id: string;
  /** Unix time in milliseconds. */
  readonly createdAt: number;
  /** The object itself; `{}` where an upstream keeps it and only its owner is known here. */
  readonly body: JsonObject;
}

/**
 * Records which owner each response, stored completion, file and so on belongs to. An object that a bounded store has
 * dropped is nobody's: better lost than seen by a stranger. An error thrown by a method becomes a 503.
 */
export interface ObjectStore {
  /** @returns The object, or `undefined` when this owner has none of that kind and id, even if another owner has. */
  find(owner: string, kind: ObjectKind, id: string): Awaitable<StoredObject | undefined>;
  /** All objects of one kind, in the order in which they were first put. */
  list(owner: string, kind: ObjectKind): Awaitable<readonly StoredObject[]>;
  /**
   * Ids of what `list` gives, in its order, without the objects: pages then read only what they show. Absent: `list` is asked.
   */
  listIds?(owner: string, kind: ObjectKind): Awaitable<readonly string[]>;
  /** Adds the object, or replaces the one of that owner, kind and id. Resolves when it would be found. */
  put(object: StoredObject): Awaitable<void>;
  remove(owner: string, kind: ObjectKind, id: string): Awaitable<void>;
}
