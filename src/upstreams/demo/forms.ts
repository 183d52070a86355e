import { abortable } from '../../base/cancellation.js';
import { bodyTooLarge } from '../../base/errors.js';
import { isJsonObject, type Json, type JsonObject, objectOf } from '../../base/json.js';
import { boundaryOf, parametersOf } from '../../http/multipart.js';
import { optionalString } from '../../wire/members.js';
import { badRequest, invalidJson, missingParameter } from '../../wire/request-errors.js';
import type { ForwardCall } from '../upstream.js';

/** A form as the endpoints read it. */
export interface Form {
  /** The parts that are no files: `a[b]` is a member of `a`, `a[]` an item of it, and all else text, number or boolean. */
  readonly fields: JsonObject;
  /** The files of that name, `name[]` included. @throws {GatewayError} 400 when there is none */
  files(name: string): readonly [FormFile, ...FormFile[]];
}

/** A file in a form. */
export interface FormFile {
  readonly filename: string;
  /** A view into the form's bytes. */
  readonly bytes: Buffer;
}

interface Part {
  readonly name: string;
  /** `undefined`: it is a field. */
  readonly filename: string | undefined;
  readonly bytes: Buffer;
}

const MAX_JSON_BYTES = 1024 * 1024;
/** Room for the other fields of a form and for its boundaries. */
const FORM_OVERHEAD_BYTES = 256 * 1024;
const MAX_HEAD_BYTES = 4_096;
const MAX_PARTS = 1_000;
/** Fields that OpenAI describes as something other than text. */
const NOT_TEXT = new Set(['n', 'stream', 'partial_images', 'seconds']);

/** The JSON object of a body; `{}` for any other JSON, or none. @throws {GatewayError} 400 for no JSON, 413 for more bytes than that. */
export async function readJson(call: ForwardCall, maxBytes = MAX_JSON_BYTES): Promise<JsonObject> {
  const bytes = await readBytes(call, maxBytes);
  if (bytes.length === 0) return {};
  try {
    return objectOf(bytes);
  } catch {
    throw invalidJson();
  }
}

/** @throws {GatewayError} 400 when the body is no form, 413 when it or a file in it is larger than that. */
export async function readForm(call: ForwardCall, maxFileBytes: number): Promise<Form> {
  const boundary = boundaryOf(call.headers['content-type'] ?? '');
  if (boundary === undefined) throw malformed('its content type names no boundary');
  const parts = partsOf(await readBytes(call, maxFileBytes + FORM_OVERHEAD_BYTES), boundary);
  if (parts.some(({ bytes }) => bytes.length > maxFileBytes)) throw bodyTooLarge(maxFileBytes);
  return {
    fields: fieldsOf(parts),
    files(wanted) {
      const [first, ...more] = parts.flatMap(({ name, filename, bytes }) =>
        name === wanted || name === `${wanted}[]` ? [{ filename: filename ?? wanted, bytes }] : [],
      );
      if (first === undefined) throw missingParameter(wanted);
      return [first, ...more];
    },
  };
}

/** A text that must be there and not be empty. @throws {GatewayError} 400 */
export function filledString(body: JsonObject, param: string, maxLength = 1_000): string {
  const text = optionalString(param, body[param], maxLength) ?? '';
  if (text === '') throw missingParameter(param);
  return text;
}

/** Every part of a form, in the strict form that the gateway lets pass. Ours, since the platform's needs names in quotes. */
function partsOf(body: Buffer, boundary: string): readonly Part[] {
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1');
  const parts: Part[] = [];
  // The first delimiter stands at the very beginning, without the line break before it.
  let at = body.subarray(0, delimiter.length - 2).equals(delimiter.subarray(2)) ? -2 : body.indexOf(delimiter);
  while (at !== -1) {
    if (parts.length > MAX_PARTS) throw malformed(`it has more than ${MAX_PARTS} parts`);
    const begin = at + delimiter.length + 2;
    if (body.toString('latin1', begin - 2, begin) === '--') return parts;
    const [head = ''] = body.toString('latin1', begin, begin + MAX_HEAD_BYTES).split('\r\n\r\n', 1);
    const content = begin + head.length + 4;
    at = body.indexOf(delimiter, content - 2);
    parts.push({
      ...namesIn(Buffer.from(head, 'latin1').toString()),
      bytes: body.subarray(content, Math.max(at, content)),
    });
  }
  throw malformed('it does not end with its boundary');
}

function namesIn(head: string): Pick<Part, 'name' | 'filename'> {
  const line = head.split('\r\n').find((text) => /^content-disposition:/i.test(text)) ?? '';
  const { parameters } = parametersOf(line.slice(line.indexOf(':') + 1).trim()) ?? {};
  const name = parameters?.get('name');
  if (name === undefined) throw malformed('a part has no name');
  // Browsers escape quotes as in a URL.
  const filename = parameters?.get('filename')?.replaceAll('%22', '"');
  return { name, filename: filename?.slice(0, 255).toWellFormed() };
}

function fieldsOf(parts: readonly Part[]): JsonObject {
  const fields = new Map<string, Json>();
  for (const { name, filename, bytes } of parts) {
    // A file whose part bears no name of one, as some Java clients write it.
    if (filename !== undefined || bytes.length > FORM_OVERHEAD_BYTES) continue;
    const [outer = '', inner] = name.replace(/\]$/, '').split('[', 2);
    const text = bytes.toString('utf8');
    const known = fields.get(outer);
    const value = NOT_TEXT.has(inner || outer) ? scalarIn(text) : text;
    if (inner === undefined) fields.set(outer, value);
    else if (inner === '') fields.set(outer, [...(Array.isArray(known) ? known : []), value]);
    else fields.set(outer, { ...(isJsonObject(known) ? known : {}), [inner]: value });
  }
  return Object.fromEntries(fields);
}

function scalarIn(text: string): Json {
  if (text === 'true' || text === 'false') return text === 'true';
  return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}

async function readBytes(call: ForwardCall, maxBytes: number): Promise<Buffer> {
  if (Number(call.headers['content-length'] ?? 0) > maxBytes) throw bodyTooLarge(maxBytes);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of call.body === undefined ? [] : abortable(call.body, call.signal)) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw bodyTooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

function malformed(why: string): Error {
  return badRequest(`We could not parse the multipart form of your request: ${why}.`, 'invalid_multipart');
}
