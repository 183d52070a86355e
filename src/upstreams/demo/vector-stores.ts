import type { JsonObject } from '../../base/json.js';
import {
  objectsAmong,
  objectsIn,
  optionalInteger,
  optionalObject,
  optionalString,
  readAttributes,
  readMetadata,
  stringsIn,
} from '../../wire/members.js';
import { missingParameter, unsupportedParameter } from '../../wire/request-errors.js';
import { nextTurn } from './context.js';
import { filledString, readJson } from './forms.js';
import type { Endpoints } from './replies.js';
import { type DemoStore, pageOf, type StoredObject } from './store.js';

const MAX_FILES = 500;
const DAY_SECONDS = 24 * 3_600;
/** Characters of a file that are searched, and those of them that are shown. */
const MAX_SEARCHED_CHARS = 100_000;
const MAX_SHOWN_CHARS = 3_200;
/** OpenAI's `auto`. The demo cuts all files so. */
const CHUNKING = { type: 'static', static: { max_chunk_size_tokens: 800, chunk_overlap_tokens: 400 } };

/** `/vector_stores`: everything is done by the time it is answered, and searched by words. */
export function vectorStoreEndpoints(store: DemoStore): Endpoints {
  const find = (id: string | undefined): StoredObject => store.find('vector_store', id);
  const show = ({ id, body }: StoredObject): JsonObject => {
    const entries = store.all('entry', id);
    const bytes = entries.reduce((sum, entry) => sum + Number(entry.body.usage_bytes), 0);
    return { ...body, usage_bytes: bytes, file_counts: fileCounts(entries) };
  };
  return {
    'POST /vector_stores': async ({ call }) => {
      const body = await readJson(call);
      const fileIds = stringsIn('file_ids', body.file_ids, MAX_FILES);
      for (const id of fileIds) store.find('file', id);
      const now = store.nowSeconds();
      const unset = { name: '', expires_after: null, expires_at: null, metadata: {} };
      const state = { created_at: now, status: 'completed', ...unset, ...changesIn(body, now) };
      const made = store.add('vector_store', call.requestId, (id) => ({
        body: { id, object: 'vector_store', ...state },
      }));
      for (const file_id of fileIds) attach(store, made, { file_id });
      return show(made);
    },
    'GET /vector_stores': ({ query }) => {
      const page = pageOf(store.all('vector_store'), query);
      return { ...page, data: objectsAmong(page.data).map(({ id }) => show(find(String(id)))) };
    },
    'GET /vector_stores/{id}': ({ ids: [id] }) => show(find(id)),
    'POST /vector_stores/{id}': async ({ call, ids: [id] }) => {
      const changes = changesIn(await readJson(call), store.nowSeconds());
      return show(store.change(find(id), changes));
    },
    'DELETE /vector_stores/{id}': ({ ids: [id] }) => {
      store.delete(find(id));
      return { id, object: 'vector_store.deleted', deleted: true };
    },
    'POST /vector_stores/{id}/search': async ({ call, ids: [id] }) => {
      const body = await readJson(call);
      return search(store, find(id).id, body, call.signal);
    },
    ...entryEndpoints(store),
    ...fileBatchEndpoints(store),
  };
}

/** The files of a vector store. */
function entryEndpoints(store: DemoStore): Endpoints {
  const findEntry = ([storeId, fileId]: readonly string[]): StoredObject =>
    store.find('entry', fileId, store.find('vector_store', storeId).id);
  return {
    'POST /vector_stores/{id}/files': async ({ call, ids: [id] }) => {
      const body = await readJson(call);
      return attach(store, store.find('vector_store', id), body).body;
    },
    'GET /vector_stores/{id}/files': ({ ids: [id], query }) =>
      entryPage(store.all('entry', store.find('vector_store', id).id), query),
    'GET /vector_stores/{id}/files/{id}': ({ ids }) => findEntry(ids).body,
    'POST /vector_stores/{id}/files/{id}': async ({ call, ids }) => {
      const attributes = readAttributes((await readJson(call)).attributes);
      return store.change(findEntry(ids), { attributes }).body;
    },
    'DELETE /vector_stores/{id}/files/{id}': ({ ids }) => {
      const entry = findEntry(ids);
      store.delete(entry);
      return { id: entry.id, object: 'vector_store.file.deleted', deleted: true };
    },
    'GET /vector_stores/{id}/files/{id}/content': ({ ids }) => {
      const text = textOf(store.find('file', findEntry(ids).id)) ?? '';
      const data = text === '' ? [] : [{ type: 'text', text }];
      return { object: 'vector_store.file_content.page', data, has_more: false, next_page: null };
    },
  };
}

/** Several files that are added to a vector store at once. */
function fileBatchEndpoints(store: DemoStore): Endpoints {
  const entriesOf = ({ id, parent }: StoredObject): readonly StoredObject[] =>
    store.all('entry', parent).filter(({ fileBatchId }) => fileBatchId === id);
  const show = ([storeId, id]: readonly string[]): JsonObject => {
    const batch = store.find('file_batch', id, storeId);
    return { ...batch.body, file_counts: fileCounts(entriesOf(batch)) };
  };
  return {
    'POST /vector_stores/{id}/file_batches': async ({ call, ids: [storeId] }) => {
      const { attributes = null, ...body } = await readJson(call);
      const vectorStore = store.find('vector_store', storeId);
      const given = stringsIn('file_ids', body.file_ids, MAX_FILES).map((file_id) => ({ attributes, file_id }));
      const files = [...given, ...objectsIn('files', body.files, MAX_FILES)];
      if (files.length === 0) throw missingParameter('file_ids');
      for (const file of files) store.find('file', filledString(file, 'file_id'));
      const state = { created_at: store.nowSeconds(), vector_store_id: vectorStore.id, status: 'completed' };
      const batch = store.add('file_batch', call.requestId, (id) => ({
        body: { id, object: 'vector_store.files_batch', ...state },
        parent: vectorStore.id,
      }));
      for (const file of files) attach(store, vectorStore, file, batch.id);
      return show([vectorStore.id, batch.id]);
    },
    'GET /vector_stores/{id}/file_batches/{id}': ({ ids }) => show(ids),
    // It has ended by now, and OpenAI answers with the batch then too.
    'POST /vector_stores/{id}/file_batches/{id}/cancel': ({ ids }) => show(ids),
    'GET /vector_stores/{id}/file_batches/{id}/files': ({ ids: [storeId, id], query }) =>
      entryPage(entriesOf(store.find('file_batch', id, storeId)), query),
  };
}

/** The changes that a body asks for: absent stays as it is, `null` takes it away. */
function changesIn({ name, metadata, expires_after }: JsonObject, now: number): JsonObject {
  const after = optionalObject('expires_after', expires_after) ?? null;
  const days = optionalInteger('expires_after.days', after?.days, { min: 1, max: 365 });
  const expiry = { expires_after: after, expires_at: days === undefined ? null : now + days * DAY_SECONDS };
  return {
    last_active_at: now,
    ...(name === undefined ? {} : { name: optionalString('name', name, 256) ?? '' }),
    ...(metadata === undefined ? {} : { metadata: readMetadata(metadata) }),
    ...(expires_after === undefined ? {} : expiry),
  };
}

/** Adds a file to a vector store, or puts it there anew. @throws {GatewayError} 404 for a file that is not there */
function attach(store: DemoStore, { id: parent }: StoredObject, body: JsonObject, fileBatchId?: string): StoredObject {
  const file = store.find('file', filledString(body, 'file_id'));
  const isText = textOf(file) !== undefined;
  const entry = {
    id: file.id,
    object: 'vector_store.file',
    usage_bytes: isText ? (file.bytes?.length ?? 0) : 0,
    created_at: store.nowSeconds(),
    vector_store_id: parent,
    status: isText ? 'completed' : 'failed',
    last_error: isText ? null : { code: 'unsupported_file', message: 'The demo reads files of UTF-8 text only.' },
    chunking_strategy: CHUNKING,
    attributes: readAttributes(body.attributes),
  };
  return store.add('entry', file.id, () => ({ id: file.id, parent, body: entry, fileBatchId }));
}

function fileCounts(entries: readonly StoredObject[]): JsonObject {
  const completed = entries.filter(({ body }) => body.status === 'completed').length;
  return { in_progress: 0, completed, failed: entries.length - completed, cancelled: 0, total: entries.length };
}

function entryPage(entries: readonly StoredObject[], query: URLSearchParams): JsonObject {
  const filter = query.get('filter');
  const wanted = entries.filter(({ body }) => filter === null || body.status === filter);
  return pageOf(wanted, query);
}

/** A page of results: the beginnings of the files that have most words of the query. */
async function search(store: DemoStore, id: string, body: JsonObject, signal: AbortSignal): Promise<JsonObject> {
  const queries = typeof body.query === 'string' ? [body.query] : stringsIn('query', body.query, 32);
  if (queries.length === 0) throw missingParameter('query');
  if ((body.filters ?? null) !== null) throw unsupportedParameter('The demo does not filter by attributes.', 'filters');
  const max = optionalInteger('max_num_results', body.max_num_results, { min: 1, max: 50 }) ?? 10;
  const wanted = wordsOf(queries.join(' '));
  const found: { readonly score: number; readonly result: JsonObject }[] = [];
  for (const { id: fileId, body: entry } of store.all('entry', id)) {
    await nextTurn(signal);
    const file = store.find('file', fileId);
    const text = (textOf(file) ?? '').slice(0, MAX_SEARCHED_CHARS);
    const words = wordsOf(text);
    const score = [...wanted].filter((word) => words.has(word)).length / Math.max(1, wanted.size);
    const content = [{ type: 'text', text: text.slice(0, MAX_SHOWN_CHARS).toWellFormed() }];
    const { filename } = file.body;
    found.push({ score, result: { file_id: fileId, filename, score, attributes: entry.attributes, content } });
  }
  const best = found.sort((one, other) => other.score - one.score).slice(0, max);
  const data = best.map(({ result }) => result);
  return { object: 'vector_store.search_results.page', search_query: queries, data, has_more: false, next_page: null };
}

function wordsOf(text: string): ReadonlySet<string> {
  return new Set(text.toLowerCase().split(/[^\p{L}\p{N}]+/u));
}

/** The content of a file as text; `undefined`: it is none. */
function textOf({ bytes }: StoredObject): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
