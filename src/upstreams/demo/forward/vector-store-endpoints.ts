import type { JsonObject } from '../../../base/json.js';
import { listPage } from '../../../wire/list-page.js';
import {
  optionalChoice,
  optionalInteger,
  optionalObject,
  optionalString,
  readMetadata,
  stringsIn,
} from '../../../wire/members.js';
import { badRequest, missingParameter } from '../../../wire/request-errors.js';
import type { DemoStorage } from './demo-storage.js';
import type { Endpoints } from './endpoints.js';
import { jsonReply } from './replies.js';
import { readJson } from './request-body.js';
import { SHELF_PAGES } from './shelf.js';
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
    'GET /vector_stores': ({ query }) => jsonReply(listPage(stores.shelf.all().map(show), query, SHELF_PAGES)),
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
      if (hasExpired(store, storage.nowSeconds())) throw badRequest(`Vector store ${store.id} has expired.`);
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
  const description = optionalString('description', body.description, 1_000);
  const chunking = readChunking(body);
  const fileIds = stringsIn('file_ids', body.file_ids, 500);
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
  const name = optionalString('name', body.name, 256);
  const metadata = readMetadata(body.metadata);
  const after = optionalObject('expires_after', body.expires_after);
  const days = after === undefined ? undefined : optionalInteger('days', after.days, { min: 1, max: 365 });
  if (after !== undefined) {
    if (optionalChoice('anchor', after.anchor, ['last_active_at']) === undefined)
      throw missingParameter('expires_after.anchor');
    if (days === undefined) throw missingParameter('expires_after.days');
  }
  return {
    ...(body.name === undefined ? {} : { name: name ?? null }),
    ...(body.metadata === undefined ? {} : { metadata }),
    ...(body.expires_after === undefined ? {} : { expiresAfterDays: days }),
  };
}
