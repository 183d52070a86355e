import { LRUCache } from 'lru-cache';
import { checkOptionNames, positiveInteger } from '../base/checks.js';
import { objectOf } from '../base/json.js';
import type { ObjectKind } from '../wire/operations.js';
import type { IdempotencyStore, KeptAnswer } from './answer-store.js';
import { OWNER_SHARE } from './byte-bounds.js';
import type { ObjectStore, StoredObject } from './object-store.js';

export interface MemoryObjectsOptions {
  /** Most objects of one owner; above it, the owner's object unused for longest goes. @default 1_000 */
  readonly maxObjectsPerOwner?: number | undefined;
  /**
   * Largest sum of all objects as JSON, with 512 bytes for each; above it, the objects of any owner unused for longest go. One owner's may have a
   * quarter of it; above that, the owner's unused for longest go. @default 100_663_296
   */
  readonly maxBytes?: number | undefined;
}

const OBJECTS_OPTIONS: Readonly<Record<keyof MemoryObjectsOptions, true>> = {
  maxObjectsPerOwner: true,
  maxBytes: true,
};

/** Bytes taken by an object besides its body and its name. */
const OBJECT_OVERHEAD_BYTES = 512;
/** Places in which the name stands: in the table, and in its owner's order of use. */
const NAMES = 2;

/** An object whose body is JSON: parsed, an empty list of two bytes takes sixteen or more. */
interface PackedObject extends Omit<StoredObject, 'body'> {
  readonly json: Uint8Array;
}

function unpacked({ json, ...object }: PackedObject): StoredObject {
  return { ...object, body: objectOf(json) };
}

/**
 * Objects in this process's memory, gone with it.
 * @throws {TypeError} when an option is not a positive integer.
 */
export function memoryObjects(options: MemoryObjectsOptions = {}): ObjectStore {
  checkOptionNames(options, OBJECTS_OPTIONS);
  const maxObjects = positiveInteger('maxObjectsPerOwner', options.maxObjectsPerOwner ?? 1_000);
  const maxBytes = positiveInteger('maxBytes', options.maxBytes ?? 100_663_296);
  /** Names of each owner's objects in the order in which they were first put. */
  const names = new Map<string, Set<string>>();
  /**
   * Names of each owner's objects in the order of use. Searching all objects for an owner's oldest would take ever
   * longer.
   */
  const uses = new Map<string, Set<string>>();
  /** Bytes of each object, and of all of each owner. */
  const sizes = new Map<string, number>();
  const held = new Map<string, number>();
  const maxOwnerBytes = Math.max(1, Math.floor(maxBytes / OWNER_SHARE));
  const weigh = (owner: string, name: string, size: number): void => {
    const bytes = (held.get(owner) ?? 0) + size - (sizes.get(name) ?? 0);
    if (bytes > 0) held.set(owner, bytes);
    else held.delete(owner);
    if (size > 0) sizes.set(name, size);
    else sizes.delete(name);
  };
  const objects = new LRUCache<string, PackedObject>({
    maxSize: maxBytes,
    dispose({ owner }, name) {
      weigh(owner, name, 0);
      for (const byOwner of [names, uses]) {
        const owned = byOwner.get(owner);
        owned?.delete(name);
        if (owned?.size === 0) byOwner.delete(owner);
      }
    },
    // An object that is put again keeps its place.
    noDisposeOnSet: true,
  });

  function use(owner: string, name: string): void {
    const used = uses.get(owner) ?? new Set<string>();
    uses.set(owner, used);
    used.delete(name);
    used.add(name);
    for (const oldest of used) {
      if (used.size <= maxObjects && (held.get(owner) ?? 0) <= maxOwnerBytes) break;
      objects.delete(oldest);
    }
  }

  return {
    find(owner, kind, id) {
      const name = nameOf(owner, kind, id);
      const object = objects.get(name);
      if (object === undefined) return undefined;
      use(owner, name);
      return unpacked(object);
    },
    list(owner, kind) {
      const owned = [...(names.get(owner) ?? [])];
      return owned.flatMap((name) => {
        const object = objects.peek(name);
        return object?.kind === kind ? [unpacked(object)] : [];
      });
    },
    listIds(owner, kind) {
      const owned = [...(names.get(owner) ?? [])];
      return owned.flatMap((name) => {
        const object = objects.peek(name);
        return object?.kind === kind ? [object.id] : [];
      });
    },
    put({ owner, kind, id, createdAt, body }) {
      const name = nameOf(owner, kind, id);
      const json = Buffer.from(JSON.stringify(body));
      const size = OBJECT_OVERHEAD_BYTES + json.byteLength + NAMES * name.length;
      // An object larger than its owner's share is not kept, and neither is the one that it replaces.
      if (size > maxOwnerBytes) {
        objects.delete(name);
        return;
      }
      objects.set(name, { owner, kind, id, createdAt, json }, { size });
      weigh(owner, name, size);
      const owned = names.get(owner) ?? new Set<string>();
      names.set(owner, owned.add(name));
      use(owner, name);
    },
    remove(owner, kind, id) {
      objects.delete(nameOf(owner, kind, id));
    },
  };
}

/** Key of an object: JSON, so that no owner's name can run into an id. */
function nameOf(owner: string, kind: ObjectKind, id: string): string {
  return JSON.stringify([owner, kind, id]);
}

export interface MemoryIdempotencyOptions {
  /** Most answers; above it, the answer asked for least recently goes. @default 10_000 */
  readonly maxAnswers?: number | undefined;
  /**
   * Largest sum of all answers in bytes; above it, the answers asked for least recently go. One owner's may have a quarter of
   * it; above that, the owner's oldest go. @default 67_108_864
   */
  readonly maxBytes?: number | undefined;
}

const IDEMPOTENCY_OPTIONS: Readonly<Record<keyof MemoryIdempotencyOptions, true>> = {
  maxAnswers: true,
  maxBytes: true,
};

interface Entry {
  readonly fingerprint: string;
  readonly owner?: string | undefined;
  readonly expiresAt: number;
  /** `undefined`: the answer is being made. */
  readonly answer?: KeptAnswer;
}

/** Bytes taken by an answer besides its body. */
const ANSWER_OVERHEAD_BYTES = 1_024;

/** Bytes of an answer's texts: headers may be long, too, and letters beyond latin1 take two. */
function bytesOf(answer: KeptAnswer | undefined): number {
  if (answer === undefined) return 0;
  let size = Buffer.byteLength(answer.body);
  for (const [name, value] of Object.entries(answer.headers)) size += name.length + value.length;
  return size;
}

/**
 * Answers in this process's memory, gone with it.
 * @throws {TypeError} when an option is not a positive integer.
 */
export function memoryIdempotency(options: MemoryIdempotencyOptions = {}): IdempotencyStore {
  checkOptionNames(options, IDEMPOTENCY_OPTIONS);
  /** As many as there are running requests; none may go while its answer is being made. */
  const claims = new Map<string, Entry>();
  const maxBytes = positiveInteger('maxBytes', options.maxBytes ?? 67_108_864);
  const sizeOf = ({ answer }: Entry): number => ANSWER_OVERHEAD_BYTES + bytesOf(answer);
  /** Ids of each owner's answers in the order in which they were kept, and their bytes. */
  const owned = new Map<string, { readonly ids: Set<string>; bytes: number }>();
  const answers = new LRUCache<string, Entry>({
    max: positiveInteger('maxAnswers', options.maxAnswers ?? 10_000),
    maxSize: maxBytes,
    sizeCalculation: sizeOf,
    dispose(entry, id) {
      const { owner = '' } = entry;
      const of = owned.get(owner);
      if (of?.ids.delete(id) !== true) return;
      of.bytes -= sizeOf(entry);
      if (of.ids.size === 0) owned.delete(owner);
    },
  });

  function keep(id: string, entry: Entry): void {
    answers.set(id, entry);
    const { owner } = entry;
    if (owner === undefined || !answers.has(id)) return;
    const of = owned.get(owner) ?? { ids: new Set<string>(), bytes: 0 };
    owned.set(owner, of);
    of.ids.add(id);
    of.bytes += sizeOf(entry);
    for (const oldest of of.ids) {
      if (of.bytes <= maxBytes / OWNER_SHARE) break;
      answers.delete(oldest);
    }
  }

  return {
    claim({ id, fingerprint }, now, claimMs) {
      const entry = [claims.get(id), answers.get(id)].find((one) => one !== undefined && one.expiresAt > now);
      if (entry === undefined) {
        answers.delete(id);
        claims.set(id, { fingerprint, expiresAt: now + claimMs });
        return { kind: 'claimed' };
      }
      if (entry.fingerprint !== fingerprint) return { kind: 'other-request' };
      return entry.answer === undefined ? { kind: 'in-flight' } : { kind: 'answered', answer: entry.answer };
    },
    finish({ id, fingerprint, owner }, answer, expiresAt) {
      if (claims.get(id)?.fingerprint !== fingerprint) return;
      claims.delete(id);
      if (answer !== undefined) keep(id, { fingerprint, owner, expiresAt, answer });
    },
  };
}
