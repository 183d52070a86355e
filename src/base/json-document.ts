import { isAscii, isUtf8 } from 'node:buffer';
import { isJsonObject, type Json, type JsonObject } from './json.js';
import { hasGoodStrings, type JsonBounds, type JsonRefusal, refused, type Span, scanTopLevel } from './json-scan.js';
import { isPoisoned, isWellFormed, toWellFormed } from './json-walk.js';

/** A JSON object as the bytes it came as, so that a change of one member need not rebuild the rest. */
export interface JsonDocument {
  readonly bytes: Buffer;
  /** Where each top-level member's value stands in `bytes`. */
  readonly members: ReadonlyMap<string, Span>;
}

/**
 * The object to look at, and to let go again before the call goes on: whoever keeps it for the length of a call has the
 * garbage collector copy it about.
 */
export interface JsonOutline {
  /** Names, numbers and shapes are true; texts may be written a character for each of their UTF-8 bytes. */
  readonly body: JsonObject;
  /** Whether texts stand there as they are. Decoding 100 KB of text beyond ASCII costs twice what parsing it does. */
  readonly isDecoded: boolean;
}

export type JsonResult =
  | { readonly kind: 'document'; readonly document: JsonDocument; readonly outline: JsonOutline }
  | JsonRefusal;

/** Bounds for what strangers send. The number of items allows embeddings' token arrays. */
export const REQUEST_BOUNDS: JsonBounds = { maxDepth: 64, maxKeys: 50_000, maxItems: 1_000_000, strict: true };

/** Bounds for what upstreams answer. */
export const ANSWER_BOUNDS: JsonBounds = { maxDepth: 128, maxKeys: 5_000_000, maxItems: 20_000_000, strict: false };

/** Part of every name that reaches a prototype, unless it is spelt with escapes. */
const PROTO = 'proto';

/**
 * Parses one JSON object: UTF-8 strictly, a byte order mark skipped, within bounds, no member twice at the top level, no
 * `__proto__` or `constructor.prototype` anywhere, lone surrogates replaced by U+FFFD.
 */
export function parseDocument(input: Uint8Array, bounds: JsonBounds): JsonResult {
  const bytes = withoutByteOrderMark(input);
  const text = bytes.toString('latin1');
  const members = scanTopLevel(text, bounds);
  if (!(members instanceof Map)) return isTolerable(members, bounds) ? parseDocument(withLast(bytes), bounds) : members;
  if (!isUtf8(bytes)) return refused('syntax');
  // Not `includes`, which takes four times as long where there are many backslashes.
  const hasEscapes = /\\u/.test(text);
  // Outside ASCII, JSON has nothing but text: the grammar of the bytes is that of the characters.
  const isDecoded = hasEscapes || isAscii(bytes);
  let parsed: unknown;
  try {
    parsed = JSON.parse(hasEscapes ? bytes.toString('utf8') : text);
  } catch {
    return refused('syntax');
  }
  if (!isJsonObject(parsed)) return refused('not-an-object');
  if (bounds.strict) {
    if ((hasEscapes || text.includes(PROTO)) && isPoisoned(parsed)) return refused('poisoned');
    if (hasEscapes && !isWellFormed(parsed)) {
      return parseDocument(Buffer.from(JSON.stringify(parsed, toWellFormed)), bounds);
    }
  }
  return { kind: 'document', document: { bytes, members }, outline: { body: parsed, isDecoded } };
}

/**
 * The same without an object, for who needs only a few members.
 */
export function scanDocument(input: Uint8Array, bounds: JsonBounds): JsonDocument | JsonRefusal {
  const bytes = withoutByteOrderMark(input);
  const text = bytes.toString('latin1');
  const members = scanTopLevel(text, bounds);
  if (!(members instanceof Map)) return isTolerable(members, bounds) ? scanDocument(withLast(bytes), bounds) : members;
  return isUtf8(bytes) && hasGoodStrings(text) ? { bytes, members } : refused('syntax');
}

function isTolerable({ reason }: JsonRefusal, { strict }: JsonBounds): boolean {
  return reason === 'duplicate' && !strict;
}

/** The object with each member once, the last of its name, as parsers take it; nothing when it is no JSON. */
function withLast(bytes: Buffer): Buffer {
  if (!isUtf8(bytes)) return bytes.subarray(bytes.length);
  try {
    return Buffer.from(JSON.stringify(JSON.parse(bytes.toString('utf8'))));
  } catch {
    return bytes.subarray(bytes.length);
  }
}

/** The value of one top-level member; `undefined` when there is none, or it cannot be read. */
export function memberValue({ bytes, members }: JsonDocument, name: string): Json | undefined {
  const span = members.get(name);
  if (span === undefined) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8', span.start, span.end)) as Json;
  } catch {
    return undefined;
  }
}

/** A text of the outline as it truly is. */
export function outlinedText({ isDecoded }: JsonOutline, text: string): string {
  return isDecoded ? text : Buffer.from(text, 'latin1').toString('utf8');
}

/** UTF-8 bytes of a text of the outline. */
export function outlinedByteLength({ isDecoded }: JsonOutline, text: string): number {
  return isDecoded ? Buffer.byteLength(text) : text.length;
}

/** The document's text with these members set, and one left out. Everything else keeps its bytes; new members come first. */
export function replaceMembers(document: JsonDocument, changes: JsonObject, leftOut?: string): Buffer {
  const edits: { readonly span: Span; readonly text: string }[] = [];
  let added = '';
  for (const [name, value] of Object.entries(changes)) {
    const span = document.members.get(name);
    if (span !== undefined) edits.push({ span, text: JSON.stringify(value) });
    else added += `${JSON.stringify(name)}:${JSON.stringify(value)},`;
  }
  const gone = leftOut === undefined ? undefined : document.members.get(leftOut);
  if (gone !== undefined) edits.push({ span: wholeMember(document.bytes, gone), text: '' });
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

/** From the comma before a member's name, or from its name, to the end of its value, or to the comma after it. */
function wholeMember(bytes: Buffer, value: Span): Span {
  const before = bytes.toString('latin1', 0, value.start);
  const name = /"(?:[^"\\]|\\.)*"\s*:\s*$/.exec(before)?.index ?? value.start;
  const comma = /,\s*$/.exec(before.slice(0, name))?.index;
  if (comma !== undefined) return { start: comma, end: value.end };
  const after = /^\s*,/.exec(bytes.toString('latin1', value.end, value.end + 64))?.[0].length ?? 0;
  return { start: name, end: value.end + after };
}

/** Kept out of sight, so that a copy of the body (`{ ...body }`) loses it and is serialised anew. */
const BYTES = Symbol('bytes');

/** The document's object with `changes`, frozen, remembering its bytes for `jsonBytes`. */
export function editedBody(document: JsonDocument, changes: JsonObject): JsonObject {
  const parsed = JSON.parse(document.bytes.toString('utf8')) as JsonObject;
  const body = { ...parsed, ...changes };
  const bytes = Object.keys(changes).length === 0 ? document.bytes : replaceMembers(document, changes);
  return Object.freeze(Object.defineProperty(body, BYTES, { value: bytes }));
}

/** A body as JSON text: the bytes it came from where they are known. */
export function jsonBytes(body: JsonObject): Buffer {
  const bytes: unknown = Reflect.get(body, BYTES);
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(JSON.stringify(body));
}

/** The same bytes, as a `Buffer`, less the mark that some put before UTF-8. */
export function withoutByteOrderMark(input: Uint8Array): Buffer {
  const bytes = Buffer.isBuffer(input) ? input : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}
