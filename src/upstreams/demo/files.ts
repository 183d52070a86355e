import { createHash } from 'node:crypto';
import { bodyTooLarge } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import { optionalChoice, optionalInteger, optionalObject, optionalString, stringsIn } from '../../wire/members.js';
import { badRequest, missingParameter } from '../../wire/request-errors.js';
import { filledString, readForm, readJson } from './forms.js';
import { bytesReply, type Endpoints } from './replies.js';
import { type DemoStore, pageOf, type StoredObject } from './store.js';

const PURPOSES = ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'] as const;
/** Lives of a batch's file whose maker names no end, and of an upload. */
const BATCH_FILE_SECONDS = 30 * 24 * 3_600;
const UPLOAD_SECONDS = 3_600;
const MAX_PARTS = 1_000;

/** A file that is to be kept. */
export interface NewFile {
  readonly filename: string;
  readonly purpose: string;
  readonly bytes: Buffer;
  /** Unix time in seconds. `undefined`: never. */
  readonly expiresAt: number | undefined;
}

/** Keeps a copy of a file. @throws {GatewayError} 400 when there is no room. */
export function addFile(
  store: DemoStore,
  seed: string,
  { filename, purpose, bytes, expiresAt }: NewFile,
): StoredObject {
  const times = { created_at: store.nowSeconds(), expires_at: expiresAt ?? null };
  const state = { status: 'processed', status_details: null };
  return store.add('file', seed, (id) => ({
    body: { object: 'file', id, purpose, filename, bytes: bytes.length, ...times, ...state },
    // A view would keep the whole body alive that the file came in.
    bytes: Buffer.from(bytes),
    expiresAt,
  }));
}

/** The end of a file that is created now, in Unix seconds; `undefined`: none. @param param such as `expires_after`. */
export function expiryOf(fields: JsonObject, param: string, { nowSeconds }: DemoStore): number | undefined {
  const after = optionalObject(param, fields[param]);
  if (after === undefined) return undefined;
  const seconds = optionalInteger(`${param}.seconds`, after.seconds, { min: 3_600, max: 2_592_000 });
  if (seconds === undefined) throw missingParameter(`${param}.seconds`);
  return nowSeconds() + seconds;
}

/** `/files` and `/uploads`: files that come whole or in parts. */
export function fileEndpoints(store: DemoStore): Endpoints {
  return {
    'POST /files': async ({ call }) => {
      const { fields, files } = await readForm(call, store.maxFileBytes);
      const [{ filename, bytes }] = files('file');
      const { purpose, expiresAt } = readPurpose(fields, store);
      if (purpose === 'batch' && !/\.jsonl$/i.test(filename)) {
        throw badRequest('Invalid file format for Batch API. Must be .jsonl');
      }
      return addFile(store, call.requestId, { purpose, filename, bytes, expiresAt }).body;
    },
    'GET /files': ({ query }) => {
      const purpose = query.get('purpose');
      const wanted = store.all('file').filter(({ body }) => purpose === null || body.purpose === purpose);
      return pageOf(wanted, query, { defaultLimit: 10_000, maxLimit: 10_000 });
    },
    'GET /files/{id}': ({ ids: [id] }) => store.at('file', id).body,
    'DELETE /files/{id}': ({ ids: [id] }) => {
      const file = store.at('file', id);
      store.delete(file);
      return { object: 'file', deleted: true, id: file.id };
    },
    'GET /files/{id}/content': ({ ids: [id] }) => {
      const { body, bytes = Buffer.alloc(0) } = store.at('file', id);
      const name = String(body.filename).replace(/[^\w. -]/g, '_');
      return bytesReply('application/octet-stream', bytes, { 'content-disposition': `attachment; filename="${name}"` });
    },
    ...uploadEndpoints(store),
  };
}

function uploadEndpoints(store: DemoStore): Endpoints {
  const pending = (id: string | undefined): StoredObject => {
    const upload = store.at('upload', id);
    const { status } = upload.body;
    if (status === 'pending') return upload;
    throw badRequest(`Upload ${upload.id} is ${String(status)}: only a pending one can be changed.`);
  };
  const ended = (upload: StoredObject, changes: JsonObject): JsonObject => {
    for (const part of store.all('part', upload.id)) store.delete(part);
    return store.change(upload, changes, { expiresAt: undefined }).body;
  };
  return {
    'POST /uploads': async ({ call }) => {
      const body = await readJson(call);
      const { purpose } = readPurpose(body, store);
      const bytes = optionalInteger('bytes', body.bytes, { min: 0, max: Number.MAX_SAFE_INTEGER });
      if (bytes === undefined) throw missingParameter('bytes');
      if (bytes > store.maxFileBytes) throw bodyTooLarge(store.maxFileBytes);
      const now = store.nowSeconds();
      const times = { created_at: now, expires_at: now + UPLOAD_SECONDS };
      const names = { filename: filledString(body, 'filename', 255), purpose };
      return store.add('upload', call.requestId, (id) => ({
        body: { id, object: 'upload', bytes, ...times, ...names, status: 'pending', file: null },
        note: { purpose, expires_after: body.expires_after ?? null },
        expiresAt: times.expires_at,
      })).body;
    },
    'POST /uploads/{id}/parts': async ({ call, ids: [id] }) => {
      const [data] = (await readForm(call, store.maxFileBytes)).files('data');
      const upload = pending(id);
      const bytes = Buffer.from(data.bytes);
      if (store.all('part', upload.id).length >= MAX_PARTS)
        throw badRequest(`An upload has at most ${MAX_PARTS} parts.`);
      const body = { object: 'upload.part', created_at: store.nowSeconds(), upload_id: upload.id };
      return store.add('part', call.requestId, (part) => ({ body: { id: part, ...body }, bytes, parent: upload.id }))
        .body;
    },
    'POST /uploads/{id}/complete': async ({ call, ids: [id] }) => {
      const body = await readJson(call);
      const upload = pending(id);
      const { purpose, expiresAt } = readPurpose(upload.note ?? {}, store);
      const bytes = joinedParts(store, upload, body);
      const file = { filename: String(upload.body.filename), purpose, bytes, expiresAt };
      return ended(upload, { status: 'completed', file: addFile(store, call.requestId, file).body });
    },
    'POST /uploads/{id}/cancel': ({ ids: [id] }) => ended(pending(id), { status: 'cancelled' }),
  };
}

function readPurpose(fields: JsonObject, store: DemoStore): Pick<NewFile, 'purpose' | 'expiresAt'> {
  const purpose = optionalChoice('purpose', filledString(fields, 'purpose'), PURPOSES) ?? 'user_data';
  const lasting = purpose === 'batch' ? store.nowSeconds() + BATCH_FILE_SECONDS : undefined;
  return { purpose, expiresAt: expiryOf(fields, 'expires_after', store) ?? lasting };
}

function joinedParts(store: DemoStore, upload: StoredObject, body: JsonObject): Buffer {
  const wanted = stringsIn('part_ids', body.part_ids, MAX_PARTS).map((id) => store.at('part', id, upload.id).bytes);
  const file = Buffer.concat(wanted.map((bytes) => bytes ?? Buffer.alloc(0)));
  if (file.length !== upload.body.bytes) {
    throw badRequest(
      `The upload is to have ${upload.body.bytes} bytes, but its parts have ${file.length}.`,
      null,
      'part_ids',
    );
  }
  const md5 = optionalString('md5', body.md5);
  if (md5 === undefined || createHash('md5').update(file).digest('hex') === md5.toLowerCase()) return file;
  throw badRequest('The md5 checksum of the file is not the one that was given.', null, 'md5');
}
