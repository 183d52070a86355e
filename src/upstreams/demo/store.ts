import { createHash } from 'node:crypto';
import type { Clock } from '../../base/clock.js';
import type { GatewayError } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import { listPage, type PageOptions } from '../../wire/list-page.js';
import { badRequest, objectNotFound } from '../../wire/request-errors.js';

/** Bounds of what the demo keeps, all of it in memory. */
export interface DemoBounds {
  /** Bytes in one file, one part of an upload, or one recording; more is a 413. @default 16 MiB */
  readonly maxFileBytes: number;
  /** Bytes of all objects. Anything that does not fit is refused: nothing that was stored goes unasked. @default 64 MiB */
  readonly maxStoredBytes: number;
  /** Objects of each kind. @default 2_000 */
  readonly maxObjects: number;
}

/** Kinds of objects, with the beginning of their ids. */
const PREFIXES = {
  file: 'file-',
  upload: 'upload_',
  part: 'part_',
  batch: 'batch_',
  vector_store: 'vs_',
  /** A file in a vector store, whose id is the file's. */
  entry: '',
  file_batch: 'vsfb_',
} as const;

export type Kind = keyof typeof PREFIXES;

/** An object that is kept. */
export interface StoredObject {
  readonly kind: Kind;
  readonly id: string;
  /** The object that this one is a part of; it is gone when that is. `undefined`: none. */
  readonly parent?: string | undefined;
  /** As OpenAI shows it. */
  readonly body: JsonObject;
  /** The content of a file or a part. @default none */
  readonly bytes?: Buffer;
  /** The file batch with which a file came into its vector store. @default none */
  readonly fileBatchId?: string | undefined;
  /** Unix time in seconds from which it is as good as deleted. `undefined`: never. */
  readonly expiresAt?: number | undefined;
}

/** Members of an object that whoever adds it has to say. */
export type NewObject = Omit<StoredObject, 'kind' | 'id'> & { readonly id?: string };

/** Objects of all kinds in memory, in the order in which they came. */
export interface DemoStore {
  readonly maxFileBytes: number;
  /** Unix time in whole seconds, as OpenAI gives all its times. */
  nowSeconds(): number;
  /** @param seed base of the id, such as the request id. @throws {GatewayError} 400 when there is no room. */
  add(kind: Kind, seed: string, make: (id: string) => NewObject): StoredObject;
  /** Changes members of an object's body, if it is still there. */
  change(object: StoredObject, body: JsonObject): StoredObject;
  /** @param parent of which it is a part. @throws {GatewayError} 404 */
  find(kind: Kind, id: string | undefined, parent?: string): StoredObject;
  delete(object: StoredObject): void;
  /** Oldest first. @param parent of which they are parts; `undefined`: any. */
  all(kind: Kind, parent?: string): readonly StoredObject[];
}

const MEBIBYTE = 1024 * 1024;
const DEFAULTS: DemoBounds = { maxFileBytes: 16 * MEBIBYTE, maxStoredBytes: 64 * MEBIBYTE, maxObjects: 2_000 };
/** Rough size in memory of an object beside its content. */
const OBJECT_BYTES = 1_024;

export function demoStore(clock: Clock, given: Partial<DemoBounds> = {}): DemoStore {
  const { maxFileBytes, maxStoredBytes, maxObjects } = { ...DEFAULTS, ...given };
  const objects = new Map<string, StoredObject>();
  let added = 0;
  let bytesLeft = maxStoredBytes;
  const nowSeconds = (): number => Math.floor(clock.wallMs() / 1000);
  const isGone = ({ expiresAt = Number.POSITIVE_INFINITY }: StoredObject): boolean => expiresAt <= nowSeconds();
  const drop = (object: StoredObject): void => {
    if (objects.delete(keyOf(object))) bytesLeft += weightOf(object);
    for (const part of objects.values()) if (isPartOf(part, object)) drop(part);
  };
  const all = (kind: Kind, parent?: string): readonly StoredObject[] => {
    for (const object of objects.values()) if (isGone(object)) drop(object);
    return [...objects.values()].filter(
      (object) => object.kind === kind && (parent === undefined || object.parent === parent),
    );
  };
  return {
    maxFileBytes,
    nowSeconds,
    all,
    delete: drop,
    add(kind, seed, make) {
      if (all(kind).length >= maxObjects) throw full(`${maxObjects} objects of this kind`);
      added += 1;
      const id = objectId(PREFIXES[kind], added, seed);
      const object: StoredObject = { id, ...make(id), kind };
      const before = objects.get(keyOf(object));
      const weight = weightOf(object) - (before === undefined ? 0 : weightOf(before));
      if (weight > bytesLeft) throw full(`${maxStoredBytes} bytes`);
      bytesLeft -= weight;
      objects.set(keyOf(object), object);
      return object;
    },
    change(object, body) {
      const current = objects.get(keyOf(object));
      if (current === undefined) return object;
      const changed = { ...current, body: { ...current.body, ...body } };
      objects.set(keyOf(changed), changed);
      return changed;
    },
    find(kind, id = '', parent = undefined) {
      const object = objects.get(keyOf({ kind, id, parent }));
      if (object === undefined || isGone(object)) throw notFound(kind, id);
      return object;
    },
  };
}

/** A page of objects, the newest first; it may begin after an object that was deleted meanwhile. */
export function pageOf(
  objects: readonly StoredObject[],
  query: URLSearchParams,
  limits: Pick<PageOptions, 'defaultLimit' | 'maxLimit'> = {},
): JsonObject {
  const bodies = objects.map(({ body }) => body);
  return listPage(bodies, query, { defaultOrder: 'desc', orderOf, ...limits });
}

/** The number of an object, which its id begins with. `undefined`: no id of ours. */
function orderOf(id: string): number | undefined {
  const digits = /[-_]([0-9a-f]{8})[0-9a-f]{16}$/.exec(id)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/** The seed keeps the ids of one process apart from those of the next, whose numbers begin anew. */
function objectId(prefix: string, order: number, seed: string): string {
  const digest = createHash('sha256').update(`${prefix}${order}/${seed}`).digest('hex');
  return `${prefix}${order.toString(16).padStart(8, '0')}${digest.slice(0, 16)}`;
}

function keyOf({ kind, id, parent }: Pick<StoredObject, 'kind' | 'id' | 'parent'>): string {
  return `${kind} ${parent ?? ''} ${id}`;
}

/** Parts go with the whole, and a file that is deleted leaves its vector stores. */
function isPartOf(part: StoredObject, whole: StoredObject): boolean {
  return part.parent === whole.id || (part.kind === 'entry' && whole.kind === 'file' && part.id === whole.id);
}

function weightOf({ bytes }: StoredObject): number {
  return OBJECT_BYTES + (bytes?.length ?? 0);
}

function notFound(kind: Kind, id: string): GatewayError {
  if (kind === 'entry') return objectNotFound('file', id);
  return objectNotFound(kind === 'file_batch' ? 'batch' : kind, id);
}

function full(what: string): GatewayError {
  return badRequest(`The demo keeps at most ${what} in memory. Delete some and try again.`, 'storage_limit_exceeded');
}
