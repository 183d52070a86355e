import { isAscii, isUtf8 } from 'node:buffer';
import { isJsonObject, type JsonObject } from './json.js';
import { type JsonBounds, type JsonRefusal, refused, type Span, scanTopLevel } from './json-scan.js';
import { isPoisoned, isWellFormed, toWellFormed } from './json-walk.js';

/** A JSON object together with the bytes it came from, so that a change of one member need not rebuild the rest. */
export interface JsonDocument {
  /** Made at the first use: a call that is passed on as bytes never needs it. */
  readonly value: JsonObject;
  /**
   * The same object to look at: names, numbers and shapes are true, but text beyond ASCII may stand there a character
   * for each of its UTF-8 bytes. Decoding 100 KB of such text costs twice what parsing it does.
   */
  readonly outline: JsonObject;
  /** A text of the outline as it truly is. */
  textOf(outlined: string): string;
  /** UTF-8 bytes of a text of the outline. */
  byteLengthOf(outlined: string): number;
  readonly bytes: Buffer;
  /** Where each top-level member's value stands in `bytes`. */
  readonly members: ReadonlyMap<string, Span>;
}

export type JsonResult = { readonly kind: 'document'; readonly document: JsonDocument } | JsonRefusal;

/** Bounds for what strangers send. The number of items allows embeddings' token arrays. */
export const REQUEST_BOUNDS: JsonBounds = { maxDepth: 64, maxKeys: 50_000, maxItems: 1_000_000, strict: true };

/** Bounds for what upstreams answer. */
export const ANSWER_BOUNDS: JsonBounds = { maxDepth: 128, maxKeys: 5_000_000, maxItems: 20_000_000, strict: false };

/** Part of every name that reaches a prototype, unless it is spelt with escapes. */
const PROTO = Buffer.from('proto');
const UNICODE_ESCAPE = Buffer.from('\\u');

/**
 * Parses one JSON object: UTF-8 strictly, a byte order mark skipped, within bounds, no member twice at the top level, no
 * `__proto__` or `constructor.prototype` anywhere, lone surrogates replaced by U+FFFD.
 */
export function parseDocument(input: Uint8Array, bounds: JsonBounds): JsonResult {
  const bytes = withoutByteOrderMark(Buffer.from(input.buffer, input.byteOffset, input.byteLength));
  const members = scanTopLevel(bytes, bounds);
  if (!(members instanceof Map)) return members;
  if (!isUtf8(bytes)) return refused('syntax');
  const hasEscapes = bytes.includes(UNICODE_ESCAPE);
  // Outside ASCII, JSON has nothing but text: the grammar of the bytes is that of the characters.
  const isExact = hasEscapes || isAscii(bytes);
  let parsed: unknown;
  try {
    parsed = JSON.parse(hasEscapes ? bytes.toString('utf8') : bytes.toString('latin1'));
  } catch {
    return refused('syntax');
  }
  if (!isJsonObject(parsed)) return refused('not-an-object');
  if (bounds.strict) {
    if ((hasEscapes || bytes.includes(PROTO)) && isPoisoned(parsed)) return refused('poisoned');
    if (hasEscapes && !isWellFormed(parsed)) {
      return parseDocument(Buffer.from(JSON.stringify(parsed, toWellFormed)), bounds);
    }
  }
  return { kind: 'document', document: isExact ? exact(parsed, bytes, members) : outlined(parsed, bytes, members) };
}

function exact(value: JsonObject, bytes: Buffer, members: JsonDocument['members']): JsonDocument {
  return {
    value,
    outline: value,
    textOf: (text) => text,
    byteLengthOf: (text) => Buffer.byteLength(text),
    bytes,
    members,
  };
}

function outlined(outline: JsonObject, bytes: Buffer, members: JsonDocument['members']): JsonDocument {
  let value: JsonObject | undefined;
  return {
    get value() {
      value ??= JSON.parse(bytes.toString('utf8')) as JsonObject;
      return value;
    },
    outline,
    textOf: (text) => Buffer.from(text, 'latin1').toString('utf8'),
    byteLengthOf: (text) => text.length,
    bytes,
    members,
  };
}

/** The document's text with these members set. Everything else keeps its bytes; new members come first. */
export function replaceMembers(document: JsonDocument, changes: JsonObject): Buffer {
  const edits: { readonly span: Span; readonly text: string }[] = [];
  let added = '';
  for (const [name, value] of Object.entries(changes)) {
    const span = document.members.get(name);
    if (span !== undefined) edits.push({ span, text: JSON.stringify(value) });
    else added += `${JSON.stringify(name)}:${JSON.stringify(value)},`;
  }
  edits.sort((a, b) => a.span.start - b.span.start);
  const pieces: Buffer[] = [];
  let from = 0;
  if (added !== '') {
    from = document.bytes.indexOf(0x7b) + 1;
    const inside = document.members.size === 0 ? added.slice(0, -1) : added;
    pieces.push(document.bytes.subarray(0, from), Buffer.from(inside));
  }
  for (const { span, text } of edits) {
    pieces.push(document.bytes.subarray(from, span.start), Buffer.from(text));
    from = span.end;
  }
  pieces.push(document.bytes.subarray(from));
  return Buffer.concat(pieces);
}

/** Kept out of sight, so that a copy of the body (`{ ...body }`) loses it and is serialised anew. */
const BYTES = Symbol('bytes');

/** The document's object with `changes`, frozen, remembering its bytes for `jsonBytes`. */
export function editedBody(document: JsonDocument, changes: JsonObject): JsonObject {
  const body = { ...document.value, ...changes };
  const bytes = Object.keys(changes).length === 0 ? document.bytes : replaceMembers(document, changes);
  return Object.freeze(Object.defineProperty(body, BYTES, { value: bytes }));
}

/** A body as JSON text: the bytes it came from where they are known. */
export function jsonBytes(body: JsonObject): Buffer {
  const bytes: unknown = Reflect.get(body, BYTES);
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(JSON.stringify(body));
}

function withoutByteOrderMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}
