import type { JsonObject } from '../../../base/json.js';
import { listPage } from '../../../wire/list-page.js';
import { optionalChoice, readAttributes } from '../../../wire/members.js';
import type { DemoStorage } from './demo-storage.js';
import type { Endpoints } from './endpoints.js';
import { notFound } from './forward-errors.js';
import { filledString, requiredObjects, requiredStrings } from './read-objects.js';
import { jsonReply } from './replies.js';
import { readJson } from './request-body.js';
import { SHELF_PAGES, type Shelf, shelf } from './shelf.js';
import { chunksOf, readChunking, textOf } from './text-chunks.js';
import {
  entryBody,
  fileCounts,
  type NewEntry,
  type StoredEntry,
  type VectorStore,
  type VectorStores,
} from './vector-stores.js';

interface FileBatch {
  readonly id: string;
  readonly storeId: string;
  readonly createdAt: number;
  readonly fileIds: readonly string[];
}

const MAX_JSON_BYTES = 1024 * 1024;
const MAX_FILE_BATCHES = 100;
const MAX_FILES_IN_BATCH = 2_000;
const STATUSES = ['in_progress', 'completed', 'failed', 'cancelled'];

/** `/vector_stores/{id}/files` and `/file_batches`. */
export function vectorStoreFileEndpoints(storage: DemoStorage, stores: VectorStores): Endpoints {
  return { ...fileEndpoints(stores), ...fileBatchEndpoints(storage, stores) };
}

function fileEndpoints(stores: VectorStores): Endpoints {
  return {
    'POST /vector_stores/{id}/files': async ({ call, ids }) => {
      const entry = readEntry(await readJson(call, MAX_JSON_BYTES));
      const store = stores.attach(stores.at(ids[0]).id, [entry]);
      return jsonReply(entryBody(store.id, stores.entryAt(store, entry.fileId)));
    },
    'GET /vector_stores/{id}/files': ({ ids, query }) => {
      const store = stores.at(ids[0]);
      return jsonReply(entryPage(store, stores.entriesOf(store), query));
    },
    'GET /vector_stores/{id}/files/{id}': ({ ids: [storeId, fileId] }) => {
      const store = stores.at(storeId);
      return jsonReply(entryBody(store.id, stores.entryAt(store, fileId)));
    },
    'POST /vector_stores/{id}/files/{id}': async ({ call, ids: [storeId, fileId] }) => {
      const attributes = readAttributes((await readJson(call, MAX_JSON_BYTES)).attributes);
      const { chunking } = stores.entryAt(stores.at(storeId), fileId);
      const store = stores.attach(stores.at(storeId).id, [{ fileId: fileId ?? '', chunking, attributes }]);
      return jsonReply(entryBody(store.id, stores.entryAt(store, fileId)));
    },
    'DELETE /vector_stores/{id}/files/{id}': ({ ids: [storeId, fileId] }) => {
      const store = stores.at(storeId);
      const { id } = stores.entryAt(store, fileId);
      stores.change(store, { entries: new Map([...store.entries].filter(([key]) => key !== id)) });
      return jsonReply({ id, object: 'vector_store.file.deleted', deleted: true });
    },
    'GET /vector_stores/{id}/files/{id}/content': ({ ids: [storeId, fileId] }) => {
      const { file, chunking } = stores.entryAt(stores.at(storeId), fileId);
      const whole = { ...chunking, overlapTokens: 0 };
      const data = [...chunksOf(textOf(file.bytes) ?? '', whole)].map((text) => ({ type: 'text', text }));
      return jsonReply({ object: 'vector_store.file_content.page', data, has_more: false, next_page: null });
    },
  };
}

function fileBatchEndpoints(storage: DemoStorage, stores: VectorStores): Endpoints {
  const batches = shelf<FileBatch>({ prefix: 'vsfb_', max: MAX_FILE_BATCHES, what: 'file batches', mayGo: () => true });
  const filesOf = (batch: FileBatch, store: VectorStore): readonly StoredEntry[] =>
    stores.entriesOf(store).filter(({ id }) => batch.fileIds.includes(id));
  const show = (batch: FileBatch): JsonObject => ({
    id: batch.id,
    object: 'vector_store.files_batch',
    created_at: batch.createdAt,
    vector_store_id: batch.storeId,
    status: 'completed',
    file_counts: fileCounts(filesOf(batch, stores.at(batch.storeId))),
  });
  return {
    'POST /vector_stores/{id}/file_batches': async ({ call, ids }) => {
      const entries = readEntries(await readJson(call, MAX_JSON_BYTES));
      const { id: storeId } = stores.attach(stores.at(ids[0]).id, entries);
      const fileIds = entries.map(({ fileId }) => fileId);
      const createdAt = storage.nowSeconds();
      return jsonReply(show(batches.add(call.requestId, (id) => ({ id, storeId, createdAt, fileIds }))));
    },
    'GET /vector_stores/{id}/file_batches/{id}': ({ ids }) => jsonReply(show(batchAt(batches, ids))),
    // It has ended by now, and OpenAI answers with the batch then too.
    'POST /vector_stores/{id}/file_batches/{id}/cancel': ({ ids }) => jsonReply(show(batchAt(batches, ids))),
    'GET /vector_stores/{id}/file_batches/{id}/files': ({ ids, query }) => {
      const batch = batchAt(batches, ids);
      const store = stores.at(batch.storeId);
      return jsonReply(entryPage(store, filesOf(batch, store), query));
    },
  };
}

function batchAt(batches: Shelf<FileBatch>, [storeId = '', id = '']: readonly string[]): FileBatch {
  const batch = batches.find(id);
  if (batch?.storeId === storeId) return batch;
  throw notFound(`No file batch found with id '${id}' in vector store '${storeId}'.`);
}

function entryPage({ id }: VectorStore, entries: readonly StoredEntry[], query: URLSearchParams): JsonObject {
  const filter = optionalChoice('filter', query.get('filter'), STATUSES);
  const wanted = entries.filter(({ status }) => filter === undefined || status === filter);
  const bodies = wanted.map((entry) => entryBody(id, entry));
  return listPage(bodies, query, SHELF_PAGES);
}

function readEntry(body: JsonObject): NewEntry {
  const fileId = filledString(body, 'file_id');
  return { fileId, chunking: readChunking(body), attributes: readAttributes(body.attributes) };
}

function readEntries(body: JsonObject): readonly NewEntry[] {
  if ((body.files ?? null) !== null) return requiredObjects(body, 'files', MAX_FILES_IN_BATCH).map(readEntry);
  const fileIds = requiredStrings(body, 'file_ids', MAX_FILES_IN_BATCH);
  const rest = { chunking: readChunking(body), attributes: readAttributes(body.attributes) };
  return fileIds.map((fileId) => ({ fileId, ...rest }));
}
