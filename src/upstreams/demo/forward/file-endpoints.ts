import type { JsonObject } from '../../../base/json.js';
import { listPage } from '../../../wire/list-page.js';
import { badRequest, missingParameter, objectNotFound } from '../../../wire/request-errors.js';
import { notOneOf } from '../text-errors.js';
import type { DemoStorage, StoredFile } from './demo-storage.js';
import type { Endpoints } from './endpoints.js';
import { expiryOf, filledString } from './read-objects.js';
import { bytesReply, jsonReply } from './replies.js';
import { coerced, readForm } from './request-body.js';
import { SHELF_PAGES } from './shelf.js';

const PURPOSES = ['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'];
/** What OpenAI gives a batch's file whose maker names no end. */
const BATCH_FILE_SECONDS = 30 * 24 * 3_600;

/** `/files`. */
export function fileEndpoints(storage: DemoStorage): Endpoints {
  const { bounds, files } = storage;
  return {
    'POST /files': async ({ call }) => {
      const form = await readForm(call, bounds.maxFileBytes);
      const [file] = form.files('file');
      if (file === undefined) throw missingParameter('file');
      const purpose = checkedPurpose(filledString(form.fields, 'purpose'));
      const { filename, bytes } = file;
      if (purpose === 'batch' && !/\.jsonl$/i.test(filename))
        throw badRequest('Invalid file format for Batch API. Must be .jsonl');
      const expiresAt = fileExpiry(form.fields, purpose, storage);
      return jsonReply(fileBody(storage.addFile(call.requestId, { purpose, filename, bytes, expiresAt })));
    },
    'GET /files': ({ query }) => {
      const purpose = query.get('purpose');
      const wanted = files.all().filter((file) => purpose === null || file.purpose === purpose);
      return jsonReply(
        listPage(wanted.map(fileBody), query, { ...SHELF_PAGES, defaultLimit: 10_000, maxLimit: 10_000 }),
      );
    },
    'GET /files/{id}': ({ ids }) => jsonReply(fileBody(fileAt(storage, ids))),
    'DELETE /files/{id}': ({ ids }) => {
      const { id } = fileAt(storage, ids);
      files.delete(id);
      return jsonReply({ object: 'file', deleted: true, id });
    },
    'GET /files/{id}/content': ({ ids }) => {
      const { bytes, filename } = fileAt(storage, ids);
      const name = filename.replace(/[^\w. -]/g, '_');
      return bytesReply('application/octet-stream', bytes, { 'content-disposition': `attachment; filename="${name}"` });
    },
  };
}

/** A file as OpenAI shows it. */
export function fileBody({ id, purpose, filename, bytes, createdAt, expiresAt }: StoredFile): JsonObject {
  return {
    object: 'file',
    id,
    purpose,
    filename,
    bytes: bytes.length,
    created_at: createdAt,
    expires_at: expiresAt ?? null,
    status: 'processed',
    status_details: null,
  };
}

/** The purpose, if a file may be uploaded for it. */
export function checkedPurpose(purpose: string): string {
  if (PURPOSES.includes(purpose)) return purpose;
  throw notOneOf('purpose', purpose, PURPOSES, 'purpose');
}

/** When a file with these fields expires, in Unix seconds. */
export function fileExpiry(fields: JsonObject, purpose: string, storage: DemoStorage): number | undefined {
  const after = fields.expires_after;
  const numbered = after !== null && typeof after === 'object' && !Array.isArray(after);
  return expiryOf(
    numbered ? { ...fields, expires_after: coerced(Object.fromEntries(Object.entries(after)), ['seconds']) } : fields,
    storage.nowSeconds(),
    purpose === 'batch' ? { fallbackSeconds: BATCH_FILE_SECONDS } : {},
  );
}

function fileAt({ files }: DemoStorage, [id = '']: readonly string[]): StoredFile {
  const file = files.find(id);
  if (file === undefined) throw objectNotFound('file', id);
  return file;
}
