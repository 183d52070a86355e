import type { JsonObject } from '../../../base/json.js';
import { badRequest, objectNotFound } from '../../../wire/request-errors.js';
import type { DemoStorage, StoredFile } from './demo-storage.js';
import { notFound } from './forward-errors.js';
import { type Shelf, shelf } from './shelf.js';
import { type Chunking, chunkingBody, textOf } from './text-chunks.js';

/** A vector store. Its vectors are made when it is searched. */
export interface VectorStore {
  readonly id: string;
  readonly name: string | null;
  readonly description: string | undefined;
  readonly metadata: JsonObject;
  readonly expiresAfterDays: number | undefined;
  /** Unix time in seconds. */
  readonly createdAt: number;
  readonly lastActiveAt: number;
  /** By the ids of the files, in the order in which they came. */
  readonly entries: ReadonlyMap<string, StoreEntry>;
}

/** A file in a vector store. Its `id` is the file's. */
export interface StoreEntry {
  readonly id: string;
  readonly createdAt: number;
  readonly chunking: Chunking;
  readonly attributes: JsonObject;
  /** What it weighs in memory. */
  readonly weightBytes: number;
  /** Failed: it is no text. */
  readonly status: 'completed' | 'failed';
}

/** An entry with the file it is for. */
export interface StoredEntry extends StoreEntry {
  readonly file: StoredFile;
}

/** What is attached to a store. */
export interface NewEntry {
  readonly fileId: string;
  readonly chunking: Chunking;
  readonly attributes: JsonObject;
}

/** Vector stores and what can be done to them. */
export interface VectorStores {
  readonly shelf: Shelf<VectorStore>;
  /** @throws {GatewayError} 404. */
  at(id: string | undefined): VectorStore;
  /** The entries whose files are still there: deleting a file takes it out of every store. */
  entriesOf(store: VectorStore): readonly StoredEntry[];
  /** @throws {GatewayError} 404. */
  entryAt(store: VectorStore, fileId: string | undefined): StoredEntry;
  /** The store with these files too. @throws {GatewayError} 404 for an unknown file, 400 when there is no room. */
  attach(storeId: string, entries: readonly NewEntry[]): VectorStore;
  /** The changed store, which has been active now. */
  change(store: VectorStore, changes: Partial<VectorStore>): VectorStore;
}

/** What an entry weighs in memory beside its attributes. */
const ENTRY_BYTES = 256;

export function vectorStores(storage: DemoStorage): VectorStores {
  const { bounds, files, nowSeconds } = storage;
  const stores = shelf<VectorStore>({ prefix: 'vs_', max: bounds.maxVectorStores, what: 'vector stores' });
  storage.alsoKeeps(() => stores.all().reduce((sum, { entries }) => sum + weightOf([...entries.values()]), 0));
  const at = (id = ''): VectorStore => {
    const store = stores.find(id);
    if (store === undefined) throw objectNotFound('vector_store', id);
    return store;
  };
  const entriesOf = ({ entries }: VectorStore): readonly StoredEntry[] =>
    [...entries.values()].flatMap((entry) => {
      const file = files.find(entry.id);
      return file === undefined ? [] : [{ ...entry, file }];
    });
  const change = (store: VectorStore, changes: Partial<VectorStore>): VectorStore => {
    const changed = { ...store, ...changes, lastActiveAt: nowSeconds() };
    stores.replace(changed);
    return changed;
  };
  return {
    shelf: stores,
    at,
    entriesOf,
    entryAt(store, fileId = '') {
      const entry = entriesOf(store).find(({ id }) => id === fileId);
      if (entry === undefined) throw notFound(`No file found with id '${fileId}' in vector store '${store.id}'.`);
      return entry;
    },
    attach(storeId, added) {
      const store = at(storeId);
      // One that is named twice is read once.
      const distinct = new Map(added.map((entry) => [entry.fileId, entry])).values();
      const entries = [...distinct].map((entry) => newEntry(entry, store, storage));
      storage.requireRoom(weightOf(entries));
      const kept = entriesOf(store).map(({ file, ...entry }) => [file.id, entry] as const);
      return change(store, { entries: new Map([...kept, ...entries.map((entry) => [entry.id, entry] as const)]) });
    },
    change,
  };
}

/** Whether a store has not been used for as many days as it was given. */
export function hasExpired({ expiresAfterDays, lastActiveAt }: VectorStore, nowSeconds: number): boolean {
  return expiresAfterDays !== undefined && lastActiveAt + expiresAfterDays * 86_400 <= nowSeconds;
}

/** A store as OpenAI shows it. */
export function storeBody(store: VectorStore, entries: readonly StoredEntry[], nowSeconds: number): JsonObject {
  const { id, name, description, metadata, expiresAfterDays: days, createdAt, lastActiveAt } = store;
  return {
    id,
    object: 'vector_store',
    created_at: createdAt,
    name,
    ...(description === undefined ? {} : { description }),
    usage_bytes: entries.reduce((sum, entry) => sum + usageBytes(entry), 0),
    file_counts: fileCounts(entries),
    status: hasExpired(store, nowSeconds) ? 'expired' : 'completed',
    expires_after: days === undefined ? null : { anchor: 'last_active_at', days },
    expires_at: days === undefined ? null : lastActiveAt + days * 86_400,
    last_active_at: lastActiveAt,
    metadata,
  };
}

/** How many of the entries are in which state. */
export function fileCounts(entries: readonly StoreEntry[]): JsonObject {
  const completed = entries.filter(({ status }) => status === 'completed').length;
  return { in_progress: 0, completed, failed: entries.length - completed, cancelled: 0, total: entries.length };
}

/** A file in a store as OpenAI shows it. */
export function entryBody(storeId: string, entry: StoredEntry): JsonObject {
  const { id, createdAt, status, chunking, attributes } = entry;
  return {
    id,
    object: 'vector_store.file',
    usage_bytes: usageBytes(entry),
    created_at: createdAt,
    vector_store_id: storeId,
    status,
    last_error:
      status === 'failed' ? { code: 'unsupported_file', message: 'The demo reads files of UTF-8 text only.' } : null,
    chunking_strategy: chunkingBody(chunking),
    attributes,
  };
}

function newEntry(
  { fileId, chunking, attributes }: NewEntry,
  { entries }: VectorStore,
  { files, nowSeconds }: DemoStorage,
): StoreEntry {
  const file = files.find(fileId);
  if (file === undefined) throw notFound(`File with id '${fileId}' not found.`, 'file_id');
  if (file.purpose === 'batch') throw badRequest(`Files with purpose 'batch' cannot be searched.`, null, 'file_id');
  const status = textOf(file.bytes) === undefined ? 'failed' : 'completed';
  const weightBytes = ENTRY_BYTES + JSON.stringify(attributes).length;
  const createdAt = entries.get(fileId)?.createdAt ?? nowSeconds();
  return { id: fileId, createdAt, chunking, attributes, weightBytes, status };
}

function usageBytes({ status, file }: StoredEntry): number {
  return status === 'completed' ? file.bytes.length : 0;
}

function weightOf(entries: readonly StoreEntry[]): number {
  return entries.reduce((sum, { weightBytes }) => sum + weightBytes, 0);
}
