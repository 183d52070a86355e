import { LRUCache } from 'lru-cache';
import { positiveInteger } from '../base/checks.js';
import type { ObjectKind } from '../wire/operations.js';
import type { ObjectStore, StoredObject } from './object-store.js';

export interface MemoryObjectsOptions {
  /** Most objects of one owner; above it, that owner's unused for longest goes. @default 1_000 */
  readonly maxObjectsPerOwner?: number;
  /** Largest sum of all objects, as JSON; above it, those unused for longest go, whoever's they are. @default 134_217_728 */
  readonly maxBytes?: number;
}

/** What an object weighs besides its body. */
const OVERHEAD_BYTES = 256;

/**
 * Objects in this process's memory, gone with it.
 * @throws {TypeError} when an option is not a positive integer.
 */
export function memoryObjects(options: MemoryObjectsOptions = {}): ObjectStore {
  const maxObjects = positiveInteger('maxObjectsPerOwner', options.maxObjectsPerOwner ?? 1_000);
  const maxBytes = positiveInteger('maxBytes', options.maxBytes ?? 134_217_728);
  /** By owner, the names of its objects in the order in which they were first put. */
  const names = new Map<string, Set<string>>();
  /** The same in the order of their use: to look for an owner's oldest among everybody's would take ever longer. */
  const uses = new Map<string, Set<string>>();
  const objects = new LRUCache<string, StoredObject>({
    maxSize: maxBytes,
    sizeCalculation: ({ body }) => OVERHEAD_BYTES + JSON.stringify(body).length,
    dispose({ owner }, name) {
      for (const byOwner of [names, uses]) {
        const owned = byOwner.get(owner);
        owned?.delete(name);
        if (owned?.size === 0) byOwner.delete(owner);
      }
    },
    // What is put again is where it was; only what is gone leaves its place.
    noDisposeOnSet: true,
  });

  function use(owner: string, name: string): void {
    const used = uses.get(owner) ?? new Set<string>();
    uses.set(owner, used);
    used.delete(name);
    used.add(name);
    const [oldest] = used;
    if (used.size > maxObjects && oldest !== undefined) objects.delete(oldest);
  }

  return {
    find(owner, kind, id) {
      const name = nameOf(owner, kind, id);
      const object = objects.get(name);
      if (object !== undefined) use(owner, name);
      return object;
    },
    list(owner, kind) {
      const owned = [...(names.get(owner) ?? [])];
      return owned.flatMap((name) => {
        const object = objects.peek(name);
        return object?.kind === kind ? [object] : [];
      });
    },
    put(object) {
      const { owner, kind, id } = object;
      const name = nameOf(owner, kind, id);
      objects.set(name, object);
      // What is larger than the whole store is not kept at all, nor what it was to replace.
      if (!objects.has(name)) return;
      const owned = names.get(owner) ?? new Set<string>();
      names.set(owner, owned.add(name));
      use(owner, name);
    },
    remove(owner, kind, id) {
      objects.delete(nameOf(owner, kind, id));
    },
  };
}

/** JSON, so that no owner's name can run into an id. */
function nameOf(owner: string, kind: ObjectKind, id: string): string {
  return JSON.stringify([owner, kind, id]);
}
