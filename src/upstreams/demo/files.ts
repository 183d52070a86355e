import { bodyTooLarge } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import { optionalChoice, optionalInteger, optionalObject, stringsIn } from '../../wire/members.js';
import { badRequest, missingParameter } from '../../wire/request-errors.js';
import { filledString, readForm, readJson } from './forms.js';
import { bytesReply, type Endpoints } from './replies.js';
import { type DemoStore, pageOf, type StoredObject } from './store.js';

const PURPOSES = ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] as const;
const MAX_LIFE_SECONDS = 30 * 24 * 3_600;
const UPLOAD_SECONDS = 3_600;
const MAX_PARTS = 1_000;

/** A file that is to be kept. */
export interface NewFile {
  readonly filename: string;
  readonly purpose: string;
  readonly bytes: Buffer;
  /** Unix time in seconds. @default never */
  readonly expiresAt?: number | undefined;
}

/** Keeps a copy of a file. @throws {GatewayError} 400 when there is no room. */
export function addFile(
  store: DemoStore,
  seed: string,
  { filename, purpose, bytes, expiresAt }: NewFile,
): StoredObject {
  return store.add('file', seed, (id) => ({
    body: {
      object: 'file',
      id,
      purpose,
      filename,
      bytes: bytes.length,
      created_at: store.nowSeconds(),
      expires_at: expiresAt ?? null,
      status: 'processed',
      status_details: null,
    },
    // A view would keep the whole body alive that the file came in.
    bytes: Buffer.from(bytes),
    expiresAt,
  }));
}

/** `/files` and `/uploads`: files that come whole or in parts. */
export function fileEndpoints(store: DemoStore): Endpoints {
  return {
    'POST /files': async ({ call }) => {
      const { fields, files } = await readForm(call, store.maxFileBytes);
      const [{ filename, bytes }] = files('file');
      const purpose = readPurpose(fields);
      if (purpose === 'batch' && !/\.jsonl$/i.test(filename)) {
        throw badRequest('Invalid file format for Batch API. Must be .jsonl');
      }
      const after = optionalObject('expires_after', fields.expires_after);
      const range = { min: 3_600, max: MAX_LIFE_SECONDS };
      const seconds = optionalInteger('expires_after.seconds', after?.seconds, range);
      const expiresAt = seconds === undefined ? undefined : store.nowSeconds() + seconds;
      return addFile(store, call.requestId, { purpose, filename, bytes, expiresAt }).body;
    },
    'GET /files': ({ query }) => {
      const purpose = query.get('purpose');
      const wanted = store.all('file').filter(({ body }) => purpose === null || body.purpose === purpose);
      return pageOf(wanted, query, { defaultLimit: 10_000, maxLimit: 10_000 });
    },
    'GET /files/{id}': ({ ids: [id] }) => store.find('file', id).body,
    'DELETE /files/{id}': ({ ids: [id] }) => {
      store.delete(store.find('file', id));
      return { object: 'file', deleted: true, id };
    },
    'GET /files/{id}/content': ({ ids: [id] }) => {
      const { body, bytes = Buffer.alloc(0) } = store.find('file', id);
      const name = String(body.filename).replace(/[^\w. -]/g, '_');
      return bytesReply('application/octet-stream', bytes, { 'content-disposition': `attachment; filename="${name}"` });
    },
    ...uploadEndpoints(store),
  };
}

function uploadEndpoints(store: DemoStore): Endpoints {
  const pending = (id: string | undefined): StoredObject => {
    const upload = store.find('upload', id);
    const { status } = upload.body;
    if (status === 'pending') return upload;
    throw badRequest(`Upload ${upload.id} is ${String(status)}: only a pending one can be changed.`);
  };
  const ended = (upload: StoredObject, changes: JsonObject): JsonObject => {
    for (const part of store.all('part', upload.id)) store.delete(part);
    return store.change(upload, changes).body;
  };
  return {
    'POST /uploads': async ({ call }) => {
      const body = await readJson(call);
      const purpose = readPurpose(body);
      const filename = filledString(body, 'filename', 255);
      const bytes = optionalInteger('bytes', body.bytes, { min: 0, max: Number.MAX_SAFE_INTEGER });
      if (bytes === undefined) throw missingParameter('bytes');
      if (bytes > store.maxFileBytes) throw bodyTooLarge(store.maxFileBytes);
      const created_at = store.nowSeconds();
      const expiresAt = created_at + UPLOAD_SECONDS;
      const members = { bytes, created_at, expires_at: expiresAt, filename, purpose, status: 'pending', file: null };
      const upload = store.add('upload', call.requestId, (id) => ({
        body: { id, object: 'upload', ...members },
        expiresAt,
      }));
      return upload.body;
    },
    'POST /uploads/{id}/parts': async ({ call, ids: [id] }) => {
      const [data] = (await readForm(call, store.maxFileBytes)).files('data');
      const { id: parent } = pending(id);
      const created_at = store.nowSeconds();
      const part = store.add('part', call.requestId, (partId) => ({
        body: { id: partId, object: 'upload.part', created_at, upload_id: parent },
        bytes: Buffer.from(data.bytes),
        parent,
      }));
      return part.body;
    },
    'POST /uploads/{id}/complete': async ({ call, ids: [id] }) => {
      const partIds = stringsIn('part_ids', (await readJson(call)).part_ids, MAX_PARTS);
      const upload = pending(id);
      const { filename, purpose, bytes: length } = upload.body;
      const parts = partIds.map((partId) => store.find('part', partId, upload.id).bytes ?? Buffer.alloc(0));
      const given = parts.reduce((sum, part) => sum + part.length, 0);
      if (given !== length) {
        const message = `The upload is to have ${length} bytes, but its parts have ${given}.`;
        throw badRequest(message, null, 'part_ids');
      }
      const file = { filename: String(filename), purpose: String(purpose), bytes: Buffer.concat(parts) };
      return ended(upload, { status: 'completed', file: addFile(store, call.requestId, file).body });
    },
    'POST /uploads/{id}/cancel': ({ ids: [id] }) => ended(pending(id), { status: 'cancelled' }),
  };
}

function readPurpose(fields: JsonObject): string {
  return optionalChoice('purpose', filledString(fields, 'purpose'), PURPOSES) ?? 'user_data';
}
