import type { Json, JsonObject } from '../../base/json.js';
import {
  objectsIn,
  optionalChoice,
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
  const at = (id: string | undefined): StoredObject => store.at('vector_store', id);
  const show = ({ id, body }: StoredObject): JsonObject => {
    const entries = store.all('entry', id);
    const bytes = entries.reduce((sum, entry) => sum + Number(entry.body.usage_bytes), 0);
    return { ...body, usage_bytes: bytes, file_counts: fileCounts(entries) };
  };
  return {
    'POST /vector_stores': async ({ call }) => {
      const body = await readJson(call);
      const fileIds = stringsIn('file_ids', body.file_ids, MAX_FILES);
      for (const id of fileIds) store.at('file', id);
      const now = store.nowSeconds();
      const none = { name: '', expires_after: null, expires_at: null, metadata: {} };
      const state = { created_at: now, last_active_at: now, status: 'completed' };
      const made = store.add('vector_store', call.requestId, (id) => ({
        body: { id, object: 'vector_store', ...state, ...none, ...changesIn(body, now) },
      }));
      for (const file_id of fileIds) attach(store, made, { file_id });
      return show(made);
    },
    'GET /vector_stores': ({ query }) =>
      pageOf(
        store.all('vector_store').map((one) => ({ body: show(one) })),
        query,
      ),
    'GET /vector_stores/{id}': ({ ids: [id] }) => show(at(id)),
    'POST /vector_stores/{id}': async ({ call, ids: [id] }) => {
      const changes = changesIn(await readJson(call), store.nowSeconds());
      return show(store.change(at(id), changes));
    },
    'DELETE /vector_stores/{id}': ({ ids: [id] }) => {
      store.delete(at(id));
      return { id, object: 'vector_store.deleted', deleted: true };
    },
    'POST /vector_stores/{id}/search': async ({ call, ids: [id] }) => {
      const body = await readJson(call);
      return search(store, at(id).id, body, call.signal);
    },
    ...entryEndpoints(store),
    ...fileBatchEndpoints(store),
  };
}

/** The files of a vector store. */
function entryEndpoints(store: DemoStore): Endpoints {
  const at = (id: string | undefined): StoredObject => store.at('vector_store', id);
  return {
    'POST /vector_stores/{id}/files': async ({ call, ids: [id] }) => attach(store, at(id), await readJson(call)).body,
    'GET /vector_stores/{id}/files': ({ ids: [id], query }) => entryPage(store.all('entry', at(id).id), query),
    'GET /vector_stores/{id}/files/{id}': ({ ids: [id, fileId] }) => store.at('entry', fileId, at(id).id).body,
    'POST /vector_stores/{id}/files/{id}': async ({ call, ids: [id, fileId] }) => {
      const attributes = readAttributes((await readJson(call)).attributes);
      return store.change(store.at('entry', fileId, at(id).id), { attributes }).body;
    },
    'DELETE /vector_stores/{id}/files/{id}': ({ ids: [id, fileId] }) => {
      store.delete(store.at('entry', fileId, at(id).id));
      return { id: fileId, object: 'vector_store.file.deleted', deleted: true };
    },
    'GET /vector_stores/{id}/files/{id}/content': ({ ids: [id, fileId] }) => {
      const text = textOf(store.at('file', store.at('entry', fileId, at(id).id).id)) ?? '';
      const data = text === '' ? [] : [{ type: 'text', text }];
      return { object: 'vector_store.file_content.page', data, has_more: false, next_page: null };
    },
  };
}

/** Several files that are added to a vector store at once. */
function fileBatchEndpoints(store: DemoStore): Endpoints {
  const entriesOf = ({ parent, note }: StoredObject): readonly StoredObject[] => {
    const fileIds = new Set(stringsIn('file_ids', note?.fileIds));
    return store.all('entry', parent).filter(({ id }) => fileIds.has(id));
  };
  const show = ([storeId, id]: readonly string[]): JsonObject => {
    const batch = store.at('file_batch', id, storeId);
    return { ...batch.body, file_counts: fileCounts(entriesOf(batch)) };
  };
  return {
    'POST /vector_stores/{id}/file_batches': async ({ call, ids: [storeId] }) => {
      const body = await readJson(call);
      const { id: parent, ...vectorStore } = store.at('vector_store', storeId);
      const shared = { attributes: body.attributes ?? null };
      const given = stringsIn('file_ids', body.file_ids, MAX_FILES).map((file_id) => ({ ...shared, file_id }));
      const files = [...given, ...objectsIn('files', body.files, MAX_FILES)];
      if (files.length === 0) throw missingParameter('file_ids');
      for (const file of files) store.at('file', filledString(file, 'file_id'));
      const fileIds = files.map((file) => attach(store, { id: parent, ...vectorStore }, file).id);
      const state = { created_at: store.nowSeconds(), vector_store_id: parent, status: 'completed' };
      const batch = store.add('file_batch', call.requestId, (id) => ({
        body: { id, object: 'vector_store.files_batch', ...state },
        note: { fileIds },
        parent,
      }));
      return show([parent, batch.id]);
    },
    'GET /vector_stores/{id}/file_batches/{id}': ({ ids }) => show(ids),
    // It has ended by now, and OpenAI answers with the batch then too.
    'POST /vector_stores/{id}/file_batches/{id}/cancel': ({ ids }) => show(ids),
    'GET /vector_stores/{id}/file_batches/{id}/files': ({ ids: [storeId, id], query }) =>
      entryPage(entriesOf(store.at('file_batch', id, storeId)), query),
  };
}

/** The changes that a body asks for: absent stays as it is, `null` takes it away. */
function changesIn(body: JsonObject, now: number): JsonObject {
  const name = optionalString('name', body.name, 256) ?? '';
  const description = optionalString('description', body.description, 1_000);
  const metadata = readMetadata(body.metadata);
  const after = optionalObject('expires_after', body.expires_after);
  const days = optionalInteger('expires_after.days', after?.days, { min: 1, max: 365 });
  if (after !== undefined && days === undefined) throw missingParameter('expires_after.days');
  return {
    last_active_at: now,
    ...(body.name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    ...(body.metadata === undefined ? {} : { metadata }),
    ...(days === undefined
      ? {}
      : { expires_after: { anchor: 'last_active_at', days }, expires_at: now + days * DAY_SECONDS }),
    ...(body.expires_after === null ? { expires_after: null, expires_at: null } : {}),
  };
}

/** Adds a file to a vector store, or puts it there anew. @throws {GatewayError} 404 for a file that is not there */
function attach(store: DemoStore, { id: parent }: StoredObject, body: JsonObject): StoredObject {
  const file = store.at('file', filledString(body, 'file_id'));
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
  return store.add('entry', file.id, () => ({ id: file.id, parent, body: entry }));
}

function fileCounts(entries: readonly StoredObject[]): JsonObject {
  const completed = entries.filter(({ body }) => body.status === 'completed').length;
  return { in_progress: 0, completed, failed: entries.length - completed, cancelled: 0, total: entries.length };
}

function entryPage(entries: readonly StoredObject[], query: URLSearchParams): JsonObject {
  const filter = optionalChoice('filter', query.get('filter'), ['in_progress', 'completed', 'failed', 'cancelled']);
  return pageOf(
    entries.filter(({ body }) => filter === undefined || body.status === filter),
    query,
  );
}

/** A page of results: the beginnings of the files that have most words of the query. */
async function search(store: DemoStore, id: string, body: JsonObject, signal: AbortSignal): Promise<JsonObject> {
  const queries = typeof body.query === 'string' ? [body.query] : stringsIn('query', body.query, 32);
  if (queries.length === 0) throw missingParameter('query');
  if ((body.filters ?? null) !== null) throw unsupportedParameter('The demo does not filter by attributes.', 'filters');
  const max = optionalInteger('max_num_results', body.max_num_results, { min: 1, max: 50 }) ?? 10;
  const wanted = [...new Set(wordsOf(queries.join(' ')))];
  const found: { readonly score: number; readonly [name: string]: Json }[] = [];
  for (const { id: fileId, body: entry } of store.all('entry', id)) {
    await nextTurn(signal);
    const file = store.at('file', fileId);
    const text = (textOf(file) ?? '').slice(0, MAX_SEARCHED_CHARS).toWellFormed();
    const words = new Set(wordsOf(text));
    const score = wanted.filter((word) => words.has(word)).length / Math.max(1, wanted.length);
    const content = [{ type: 'text', text: text.slice(0, MAX_SHOWN_CHARS).toWellFormed() }];
    found.push({
      file_id: fileId,
      filename: file.body.filename ?? '',
      score,
      attributes: entry.attributes ?? {},
      content,
    });
  }
  const data = found.sort((one, other) => other.score - one.score).slice(0, max);
  return { object: 'vector_store.search_results.page', search_query: queries, data, has_more: false, next_page: null };
}

function wordsOf(text: string): readonly string[] {
  const plain = text.normalize('NFKC').toLowerCase();
  return plain.split(/[^\p{L}\p{N}]/u).filter((word) => word !== '');
}

/** The content of a file as text; `undefined`: it is none. */
function textOf({ bytes }: StoredObject): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}
