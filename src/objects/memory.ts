import { LRUCache } from 'lru-cache';
import { positiveInteger } from '../checks.js';
import type { ObjectKind, ObjectStore, StoredObject } from './object-store.js';

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
  const objects = new LRUCache<string, StoredObject>({
    maxSize: maxBytes,
    sizeCalculation: ({ body }) => OVERHEAD_BYTES + JSON.stringify(body).length,
    dispose(object, name, reason) {
      if (reason === 'set') return;
      const owned = names.get(object.owner);
      owned?.delete(name);
      if (owned?.size === 0) names.delete(object.owner);
    },
  });

  function dropUnused(owned: ReadonlySet<string>): void {
    // From the one unused for longest on.
    for (const name of objects.rkeys()) {
      if (owned.size <= maxObjects) return;
      if (owned.has(name)) objects.delete(name);
    }
  }

  return {
    find: (owner, kind, id) => objects.get(nameOf(owner, kind, id)),
    list(owner, kind) {
      const owned = [...(names.get(owner) ?? [])];
      return owned.flatMap((name) => {
        const object = objects.peek(name);
        return object?.kind === kind ? [object] : [];
      });
    },
    put(object) {
      const name = nameOf(object.owner, object.kind, object.id);
      objects.set(name, object);
      // What is larger than the whole store is not kept at all.
      if (!objects.has(name)) return;
      const owned = names.get(object.owner) ?? new Set<string>();
      names.set(object.owner, owned.add(name));
      dropUnused(owned);
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
