import { isAscii, isUtf8 } from 'node:buffer';
import { isJsonObject, type Json, type JsonObject, objectOf } from './json.js';
import {
  hasGoodStrings,
  type JsonBounds,
  type JsonRefusal,
  Members,
  refused,
  type Span,
  scanTopLevel,
} from './json-scan.js';

/** A JSON object in the bytes in which it arrived, so that a change of one member need not rebuild the rest. */
export interface JsonDocument {
  readonly bytes: Buffer;
  /** The place of each top-level member's value in `bytes`. */
  readonly members: Members;
  /** The object that the bytes were written from; `undefined` for bytes that came from elsewhere. */
  readonly object?: JsonObject;
}

/**
 * The parsed object, to be read and let go before the call goes on: the garbage collector copies about whatever is kept
 * for the length of a call.
 */
export interface JsonOutline {
  /** Names, numbers and shapes are true; a text may have one character for each of its UTF-8 bytes. */
  readonly body: JsonObject;
  /** Whether texts are decoded. Decoding 100 KB of text beyond ASCII costs twice as much as parsing it. */
  readonly isDecoded: boolean;
}

export type JsonResult =
  | { readonly kind: 'document'; readonly document: JsonDocument; readonly outline: JsonOutline }
  | JsonRefusal;

/** Bounds for the bodies of requests: what is parsed in one piece blocks the loop for some 50 ms at most. */
export const REQUEST_BOUNDS: JsonBounds = { maxDepth: 64, maxKeys: 50_000, maxItems: 200_000, strict: true };

/** Bounds for the answers of upstreams. */
export const ANSWER_BOUNDS: JsonBounds = { maxDepth: 128, maxKeys: 5_000_000, maxItems: 20_000_000, strict: false };

/** Part of every name that leads to a prototype, unless it is spelt with escapes. */
const PROTO = 'proto';
const ESCAPE = /\\u/;
const OPENING_BRACE = 0x7b;
const COMMA = 0x2c;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Parses one JSON object: UTF-8 strictly, a byte order mark skipped, within bounds, no member twice at the top level,
 * no `__proto__` or `constructor.prototype` anywhere, lone surrogates replaced by U+FFFD.
 * @param texts `decoded`: the outline's texts are true, for a reader of more than a few of them.
 */
export function parseDocument(
  input: Uint8Array,
  bounds: JsonBounds,
  texts: 'as-bytes' | 'decoded' = 'as-bytes',
): JsonResult {
  const bytes = withoutByteOrderMark(input);
  const text = bytes.toString('latin1');
  const members = scanTopLevel(text, bounds);
  if (!(members instanceof Members))
    return isTolerable(members, bounds) ? parseDocument(withLast(bytes), bounds, texts) : members;
  if (!isUtf8(bytes)) return refused('syntax');
  // Not `includes`, which takes four times as long where there are many backslashes.
  const hasEscapes = ESCAPE.test(text);
  // Outside ASCII, JSON has nothing but text: the grammar of the bytes is that of the characters.
  const isDecoded = hasEscapes || texts === 'decoded' || isAscii(bytes);
  let parsed: unknown;
  try {
    parsed = JSON.parse(hasEscapes || texts === 'decoded' ? bytes.toString('utf8') : text);
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

/** Writes an object that was read, or made of what was read, once: held to the same bounds as bytes that arrive. */
export function writeDocument(object: JsonObject, bounds: JsonBounds): JsonDocument | JsonRefusal {
  const text = JSON.stringify(object);
  const bytes = Buffer.from(text);
  const members = scanTopLevel(bytes.toString('latin1'), bounds);
  if (!(members instanceof Members)) return members;
  if (text.includes(PROTO) && isPoisoned(object)) return refused('poisoned');
  if (ESCAPE.test(text) && !isWellFormed(object)) {
    return writeDocument(objectOf(JSON.stringify(object, toWellFormed)), bounds);
  }
  return { bytes, members, object };
}

/** Finds the top-level members of one JSON object without parsing it, for a reader of only a few of them. */
export function scanDocument(input: Uint8Array, bounds: JsonBounds): JsonDocument | JsonRefusal {
  const bytes = withoutByteOrderMark(input);
  const text = bytes.toString('latin1');
  const members = scanTopLevel(text, bounds);
  if (!(members instanceof Members))
    return isTolerable(members, bounds) ? scanDocument(withLast(bytes), bounds) : members;
  return isUtf8(bytes) && hasGoodStrings(text) ? { bytes, members } : refused('syntax');
}

function isTolerable({ reason }: JsonRefusal, { strict }: JsonBounds): boolean {
  return reason === 'duplicate' && !strict;
}

/** The object with each member once, the last of its name, as parsers read it; empty when it is no JSON. */
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

/** A text of the outline, decoded. */
export function outlinedText({ isDecoded }: JsonOutline, text: string): string {
  return isDecoded ? text : Buffer.from(text, 'latin1').toString('utf8');
}

/** Length of a text of the outline in UTF-8 bytes. */
export function outlinedByteLength({ isDecoded }: JsonOutline, text: string): number {
  return isDecoded ? Buffer.byteLength(text) : text.length;
}

/** A text in place of some bytes. */
interface Edit extends Span {
  readonly text: string;
}

/** The document with `changes` set and the members `leftOut` removed. All else keeps its bytes; new members come first. */
export function replaceMembers(
  { bytes, members }: JsonDocument,
  changes: JsonObject,
  ...[leftOut, ...others]: readonly string[]
): Buffer {
  const edits: Edit[] = [];
  let added = '';
  for (const name of Object.keys(changes)) {
    const span = members.get(name);
    const text = JSON.stringify(changes[name]);
    if (span === undefined) added += `${JSON.stringify(name)}:${text},`;
    else edits.push({ start: span.start, end: span.end, text });
  }
  if (added !== '') {
    const start = bytes.indexOf(OPENING_BRACE) + 1;
    edits.push({ start, end: start, text: members.size === 0 ? added.slice(0, -1) : added });
  }
  const gone = leftOut === undefined ? undefined : members.get(leftOut);
  if (gone !== undefined) edits.push({ ...wholeMember(bytes, gone), text: '' });
  const edited = editedBytes(bytes, edits);
  if (others.length === 0) return edited;
  // Rare, and neighbours share a comma: each of the others is found anew.
  const left = scanDocument(edited, ANSWER_BOUNDS);
  return 'members' in left ? replaceMembers(left, {}, ...others) : edited;
}

/** One copy, of the right size from the beginning. */
function editedBytes(bytes: Buffer, edits: Edit[]): Buffer {
  if (edits.length > 1) edits.sort((one, other) => one.start - other.start);
  let size = bytes.length;
  for (const { start, end, text } of edits) size += Buffer.byteLength(text) - (end - start);
  const edited = Buffer.allocUnsafe(size);
  let from = 0;
  let at = 0;
  for (const { start, end, text } of edits) {
    at += bytes.copy(edited, at, from, start);
    at += edited.write(text, at);
    from = end;
  }
  bytes.copy(edited, at, from);
  return edited;
}

/** The span of a whole member with one comma: from the comma before its name, or else to the comma after its value. */
function wholeMember(bytes: Buffer, value: Span): Span {
  const colon = spaceBefore(bytes, value.start) - 1;
  const name = openingQuote(bytes, spaceBefore(bytes, colon) - 1);
  const before = spaceBefore(bytes, name) - 1;
  if (bytes[before] === COMMA) return { start: before, end: value.end };
  let after = value.end;
  while (isSpace(bytes[after])) after += 1;
  return { start: name, end: bytes[after] === COMMA ? after + 1 : value.end };
}

/** Offset of the first of the space that ends before `end`. */
function spaceBefore(bytes: Buffer, end: number): number {
  let at = end;
  while (isSpace(bytes[at - 1])) at -= 1;
  return at;
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

/** Offset of the quote that begins the text whose last quote stands at `closing`: the next one without a backslash. */
function openingQuote(bytes: Buffer, closing: number): number {
  let at = closing - 1;
  while (at > 0 && !(bytes[at] === QUOTE && bytes[at - 1] !== BACKSLASH)) at -= 1;
  return at;
}

/** The bytes as a `Buffer`, without the byte order mark that some put before UTF-8. */
export function withoutByteOrderMark(input: Uint8Array): Buffer {
  const bytes = Buffer.isBuffer(input) ? input : Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/** Whether any name in the tree would lead a careless copy to a prototype. */
function isPoisoned(root: Json): boolean {
  return !everyValue(root, (value) => {
    if (!isJsonObject(value)) return true;
    if (Object.hasOwn(value, '__proto__')) return false;
    const made = Object.hasOwn(value, 'constructor') ? value.constructor : undefined;
    return !(isJsonObject(made) && Object.hasOwn(made, 'prototype'));
  });
}

/** Whether every string and name is free of lone surrogates. */
function isWellFormed(root: Json): boolean {
  return everyValue(root, (value) => {
    if (typeof value === 'string') return value.isWellFormed();
    return !isJsonObject(value) || Object.keys(value).every((name) => name.isWellFormed());
  });
}

/** Replacer for `JSON.stringify` that puts U+FFFD in place of lone surrogates, in names too. */
function toWellFormed(_name: string, value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed();
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name.toWellFormed(), inner]));
}

/** Whether `holds` is true of each value in the tree. Its own stack, as depth could overflow the real one. */
function everyValue(root: Json, holds: (value: Json) => boolean): boolean {
  const pending: Json[] = [root];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (!holds(value)) return false;
    if (typeof value !== 'object' || value === null) continue;
    for (const inner of Object.values(value)) if (inner !== undefined) pending.push(inner);
  }
  return true;
}
