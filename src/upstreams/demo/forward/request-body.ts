import { abortable } from '../../../base/cancellation.js';
import { bodyTooLarge } from '../../../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import { invalidJson, invalidType, unsupportedContentType } from '../../../wire/request-errors.js';
import type { ForwardCall } from '../../upstream.js';
import { notAForm } from './forward-errors.js';
import { type FormPart, parseMultipart } from './multipart.js';

/** A form as the endpoints read it. */
export interface Form {
  /** The parts that are no files: `a[b]` is a member of `a`, `a[]` an item of it, and all else text. */
  readonly fields: JsonObject;
  /** The files of that name, `name[]` included; none of them is empty of a name. */
  files(name: string): readonly FormFile[];
}

/** A file in a form. */
export interface FormFile extends FormPart {
  readonly filename: string;
}

/** Room for the other fields of a form and for its boundaries. */
const FORM_OVERHEAD_BYTES = 256 * 1024;

/** @throws {GatewayError} 400 when the body is no JSON object, 413 when it is larger than that. */
export async function readJson(call: ForwardCall, maxBytes: number): Promise<JsonObject> {
  const contentType = call.headers['content-type'];
  if (contentType !== undefined && !/^application\/(?:[\w.+-]+\+)?json\b/i.test(contentType))
    throw unsupportedContentType(contentType);
  const body = parsed(await readBytes(call, maxBytes));
  if (!isJsonObject(body)) throw invalidType('body', 'an object', body);
  return body;
}

/** @throws {GatewayError} 400 when the body is no form, 413 when it or a file in it is larger than that. */
export async function readForm(call: ForwardCall, maxFileBytes: number): Promise<Form> {
  const contentType = call.headers['content-type'] ?? '';
  if (!isForm(call)) throw notAForm(contentType);
  const parts = parseMultipart(await readBytes(call, maxFileBytes + FORM_OVERHEAD_BYTES), contentType);
  if (parts.some(({ bytes }) => bytes.length > maxFileBytes)) throw bodyTooLarge(maxFileBytes);
  const files = parts.flatMap((part) => (part.filename === undefined ? [] : [{ ...part, filename: part.filename }]));
  return {
    fields: fieldsOf(parts.filter(({ filename }) => filename === undefined)),
    files: (wanted) => files.filter(({ name }) => name === wanted || name === `${wanted}[]`),
  };
}

/** Whether the body says that it is a form. */
export function isForm({ headers }: ForwardCall): boolean {
  return /^multipart\/form-data\s*(?:;|$)/i.test(headers['content-type'] ?? '');
}

/** Text as it comes in forms, with those members as the numbers and booleans that they look like. */
export function coerced(fields: JsonObject, names: readonly string[]): JsonObject {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, names.includes(name) ? scalar(value) : value]),
  );
}

function scalar(value: Json | undefined): Json | undefined {
  if (typeof value !== 'string') return value;
  if (/^(?:true|false)$/i.test(value)) return value.toLowerCase() === 'true';
  return /^-?\d{1,15}(?:\.\d{1,15})?$/.test(value) ? Number(value) : value;
}

function fieldsOf(parts: readonly FormPart[]): JsonObject {
  const fields = new Map<string, Json>();
  for (const { name, bytes } of parts) {
    const [, outer = name, inner] = /^([^[\]]+)\[([^[\]]*)\]$/.exec(name) ?? [];
    const text = bytes.toString('utf8');
    const known = fields.get(outer);
    if (inner === undefined) fields.set(outer, text);
    else if (inner === '') fields.set(outer, [...(Array.isArray(known) ? known : []), text]);
    else fields.set(outer, Object.fromEntries([...Object.entries(isJsonObject(known) ? known : {}), [inner, text]]));
  }
  return Object.fromEntries(fields);
}

async function readBytes(call: ForwardCall, maxBytes: number): Promise<Buffer> {
  call.signal.throwIfAborted();
  if (Number(call.headers['content-length'] ?? 0) > maxBytes) throw bodyTooLarge(maxBytes);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (call.body !== undefined) {
    for await (const chunk of abortable(call.body, call.signal)) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw bodyTooLarge(maxBytes);
      chunks.push(chunk);
    }
  }
  return Buffer.concat(chunks, bytes);
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    throw invalidJson();
  }
}
