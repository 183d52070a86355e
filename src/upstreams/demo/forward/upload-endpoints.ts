import { createHash } from 'node:crypto';
import { bodyTooLarge } from '../../../base/errors.js';
import type { JsonObject } from '../../../base/json.js';
import { optionalInteger, optionalString } from '../../../wire/members.js';
import { badRequest, missingParameter, objectNotFound } from '../../../wire/request-errors.js';
import type { DemoStorage } from './demo-storage.js';
import type { Endpoints } from './endpoints.js';
import { checkedPurpose, fileBody, fileExpiry } from './file-endpoints.js';
import { filledString, requiredStrings } from './read-objects.js';
import { jsonReply } from './replies.js';
import { readForm, readJson } from './request-body.js';
import { type Shelf, shelf } from './shelf.js';

interface Upload {
  readonly id: string;
  readonly filename: string;
  readonly purpose: string;
  readonly bytes: number;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly fileExpiresAt: number | undefined;
  readonly status: 'pending' | 'completed' | 'cancelled' | 'expired';
  /** By their ids, as long as it is pending. */
  readonly parts: ReadonlyMap<string, Buffer>;
  /** As OpenAI shows it; the file itself may be deleted meanwhile. */
  readonly file: JsonObject | null;
}

const UPLOAD_SECONDS = 3_600;
const MAX_PARTS = 1_000;
const MAX_JSON_BYTES = 1024 * 1024;
const NO_PARTS: ReadonlyMap<string, Buffer> = new Map();

/** `/uploads`: files that come in parts. */
export function uploadEndpoints(storage: DemoStorage): Endpoints {
  const uploads = uploadShelf(storage);
  const pending = ([id = '']: readonly string[]): Upload => {
    const upload = uploads.find(id);
    if (upload === undefined) throw objectNotFound('upload', id);
    const current = expired(upload, storage) ? 'expired' : upload.status;
    if (current !== 'pending') throw badRequest(`Upload ${id} is ${current}: only a pending one can be changed.`);
    return upload;
  };
  return {
    'POST /uploads': async ({ call }) => {
      const fields = readUpload(await readJson(call, MAX_JSON_BYTES), storage);
      return jsonReply(uploadBody(uploads.add(call.requestId, (id) => ({ ...fields, id }))));
    },
    'POST /uploads/{id}/parts': async ({ call, ids }) => {
      pending(ids);
      const form = await readForm(call, storage.bounds.maxFileBytes);
      const [data] = form.files('data');
      if (data === undefined) throw missingParameter('data');
      storage.requireRoom(data.bytes.length);
      const upload = pending(ids);
      const [id, parts] = withPart(upload, data.bytes);
      uploads.replace({ ...upload, parts });
      return jsonReply({ id, object: 'upload.part', created_at: storage.nowSeconds(), upload_id: upload.id });
    },
    'POST /uploads/{id}/complete': async ({ call, ids }) => {
      const body = await readJson(call, MAX_JSON_BYTES);
      return jsonReply(uploadBody(complete(pending(ids), body, { uploads, storage, seed: call.requestId })));
    },
    'POST /uploads/{id}/cancel': ({ ids }) => {
      const cancelled: Upload = { ...pending(ids), status: 'cancelled', parts: NO_PARTS };
      uploads.replace(cancelled);
      return jsonReply(uploadBody(cancelled));
    },
  };
}

function uploadShelf(storage: DemoStorage): Shelf<Upload> {
  const uploads = shelf<Upload>({
    prefix: 'upload_',
    max: storage.bounds.maxUploads,
    what: 'uploads',
    mayGo: (upload) => upload.status !== 'pending' || expired(upload, storage),
  });
  storage.alsoKeeps(() => {
    let bytes = 0;
    for (const upload of uploads.all()) {
      if (expired(upload, storage)) uploads.replace({ ...upload, status: 'expired', parts: NO_PARTS });
      else for (const part of upload.parts.values()) bytes += part.length;
    }
    return bytes;
  });
  return uploads;
}

interface CompleteTools {
  readonly uploads: Shelf<Upload>;
  readonly storage: DemoStorage;
  readonly seed: string;
}

function complete(upload: Upload, body: JsonObject, { uploads, storage, seed }: CompleteTools): Upload {
  const { filename, purpose, fileExpiresAt: expiresAt } = upload;
  const bytes = joined(upload, body);
  // Its parts make room for it, and have it back when something else is in the way.
  uploads.replace({ ...upload, parts: NO_PARTS });
  try {
    const file = storage.addFile(seed, { filename, purpose, bytes, expiresAt });
    const completed: Upload = { ...upload, status: 'completed', parts: NO_PARTS, file: fileBody(file) };
    uploads.replace(completed);
    return completed;
  } catch (error) {
    uploads.replace(upload);
    throw error;
  }
}

function expired({ status, expiresAt }: Upload, storage: DemoStorage): boolean {
  return status === 'pending' && expiresAt <= storage.nowSeconds();
}

function readUpload(body: JsonObject, storage: DemoStorage): Omit<Upload, 'id'> {
  const filename = filledString(body, 'filename', 255);
  const purpose = checkedPurpose(filledString(body, 'purpose'));
  const bytes = optionalInteger('bytes', body.bytes, { min: 0, max: Number.MAX_SAFE_INTEGER });
  if (bytes === undefined) throw missingParameter('bytes');
  if (bytes > storage.bounds.maxFileBytes) throw bodyTooLarge(storage.bounds.maxFileBytes);
  filledString(body, 'mime_type');
  const createdAt = storage.nowSeconds();
  return {
    filename,
    purpose,
    bytes,
    createdAt,
    expiresAt: createdAt + UPLOAD_SECONDS,
    fileExpiresAt: fileExpiry(body, purpose, storage),
    status: 'pending',
    parts: NO_PARTS,
    file: null,
  };
}

/** The id of the new part, and all parts with it. */
function withPart({ id, bytes, parts }: Upload, part: Buffer): [string, ReadonlyMap<string, Buffer>] {
  if (parts.size === MAX_PARTS) throw badRequest(`An upload has at most ${MAX_PARTS} parts.`);
  if (part.length > bytes)
    throw badRequest(`The upload is to have ${bytes} bytes; this part alone has ${part.length}.`);
  const digest = createHash('sha256').update(`${id}/${parts.size}`).digest('hex').slice(0, 24);
  return [`part_${digest}`, new Map([...parts, [`part_${digest}`, Buffer.from(part)]])];
}

function joined({ parts, bytes }: Upload, body: JsonObject): Buffer {
  const ids = requiredStrings(body, 'part_ids', MAX_PARTS);
  const wanted = ids.map((id) => {
    const part = parts.get(id);
    if (part === undefined) throw objectNotFound('part', id);
    return part;
  });
  const sum = wanted.reduce((total, part) => total + part.length, 0);
  if (sum !== bytes)
    throw badRequest(`The upload is to have ${bytes} bytes, but its parts have ${sum}.`, null, 'part_ids');
  const file = Buffer.concat(wanted);
  const md5 = optionalString('md5', body.md5);
  if (md5 === undefined || createHash('md5').update(file).digest('hex') === md5.toLowerCase()) return file;
  throw badRequest('The md5 checksum of the file is not the one that was given.', null, 'md5');
}

function uploadBody(upload: Upload): JsonObject {
  const { id, bytes, createdAt, filename, purpose, status, expiresAt, file } = upload;
  return {
    id,
    object: 'upload',
    bytes,
    created_at: createdAt,
    filename,
    purpose,
    status,
    expires_at: expiresAt,
    file,
  };
}
