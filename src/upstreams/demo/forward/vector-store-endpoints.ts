import type { JsonObject } from '../../../json.js';
import { missingParameter } from '../../../request-errors.js';
import { optionalChoice, optionalInteger, optionalObject, optionalString } from '../read-parameter.js';
import type { DemoStorage } from './demo-storage.js';
import type { Endpoints } from './endpoints.js';
import { refused } from './forward-errors.js';
import { listPage } from './list-page.js';
import { atMost, optionalMetadata, stringsOf } from './read-objects.js';
import { jsonReply } from './replies.js';
import { readJson } from './request-body.js';
import { readChunking } from './text-chunks.js';
import { vectorStoreFileEndpoints } from './vector-store-file-endpoints.js';
import { searchEntries } from './vector-store-search.js';
import { hasExpired, storeBody, type VectorStore, type VectorStores, vectorStores } from './vector-stores.js';

const MAX_JSON_BYTES = 1024 * 1024;

/** `/vector_stores`: everything is done by the time it is answered. */
export function vectorStoreEndpoints(storage: DemoStorage): Endpoints {
  const stores = vectorStores(storage);
  const show = (store: VectorStore): JsonObject => storeBody(store, stores.entriesOf(store), storage.nowSeconds());
  return {
    'POST /vector_stores': async ({ call }) => {
      const body = await readJson(call, MAX_JSON_BYTES);
      return jsonReply(show(create(body, { stores, storage, requestId: call.requestId })));
    },
    'GET /vector_stores': ({ query }) =>
      jsonReply(listPage(stores.shelf.all(), query, { defaultLimit: 20, maxLimit: 100, show })),
    'GET /vector_stores/{id}': ({ ids }) => jsonReply(show(stores.at(ids[0]))),
    'POST /vector_stores/{id}': async ({ call, ids }) => {
      const body = await readJson(call, MAX_JSON_BYTES);
      return jsonReply(show(stores.change(stores.at(ids[0]), changesIn(body))));
    },
    'DELETE /vector_stores/{id}': ({ ids }) => {
      const { id } = stores.at(ids[0]);
      stores.shelf.delete(id);
      return jsonReply({ id, object: 'vector_store.deleted', deleted: true });
    },
    'POST /vector_stores/{id}/search': async ({ call, ids }) => {
      const body = await readJson(call, MAX_JSON_BYTES);
      const store = stores.at(ids[0]);
      if (hasExpired(store, storage.nowSeconds())) throw refused(`Vector store ${store.id} has expired.`);
      return jsonReply(await searchEntries(stores.entriesOf(stores.change(store, {})), body, call.signal));
    },
    ...vectorStoreFileEndpoints(storage, stores),
  };
}

interface CreateTools {
  readonly stores: VectorStores;
  readonly storage: DemoStorage;
  readonly requestId: string;
}

function create(body: JsonObject, { stores, storage, requestId }: CreateTools): VectorStore {
  const fields = changesIn(body);
  const description = optionalString(body, 'description');
  if (description !== undefined) atMost('description', description, 1_000);
  const chunking = readChunking(body);
  const fileIds = stringsOf(body.file_ids ?? [], 'file_ids', 500);
  const now = storage.nowSeconds();
  const { id } = stores.shelf.add(requestId, (id) => ({
    name: null,
    metadata: {},
    expiresAfterDays: undefined,
    ...fields,
    id,
    description,
    createdAt: now,
    lastActiveAt: now,
    entries: new Map(),
  }));
  try {
    return stores.attach(
      id,
      fileIds.map((fileId) => ({ fileId, chunking, attributes: {} })),
    );
  } catch (error) {
    stores.shelf.delete(id);
    throw error;
  }
}

/** What a body says of a store: absent stays as it is, `null` takes it away. */
function changesIn(body: JsonObject): Partial<VectorStore> {
  const name = optionalString(body, 'name');
  if (name !== undefined) atMost('name', name, 256);
  const metadata = optionalMetadata(body);
  const after = optionalObject(body, 'expires_after');
  const days = after === undefined ? undefined : optionalInteger(after, 'days', [1, 365]);
  if (after !== undefined) {
    if (optionalChoice(after, 'anchor', ['last_active_at']) === undefined)
      throw missingParameter('expires_after.anchor');
    if (days === undefined) throw missingParameter('expires_after.days');
  }
  return {
    ...(body.name === undefined ? {} : { name: name ?? null }),
    ...(body.metadata === undefined ? {} : { metadata: metadata ?? {} }),
    ...(body.expires_after === undefined ? {} : { expiresAfterDays: days }),
  };
}
