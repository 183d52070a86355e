import { isAscii, isUtf8 } from 'node:buffer';
import { bufferOf } from './bytes.js';
import { isJsonObject, type Json, type JsonObject, objectOf } from './json.js';
import { spelledUnit } from './json-letters.js';
import {
  type JsonBounds,
  type JsonRefusal,
  Members,
  refused,
  type Span,
  scanTopLevel,
  scanWhole,
} from './json-scan.js';
import { LARGE_BYTES } from './turns.js';

/** A JSON object in the bytes in which it arrived, so that a change of one member need not rebuild the rest. */
export interface JsonDocument {
  readonly bytes: Buffer;
  /** The place of each top-level member's value in `bytes`. */
  readonly members: Members;
  /** The object that the bytes were written from; `undefined` for bytes that came from elsewhere. */
  readonly object?: JsonObject;
  /** Whether no object in it has a name twice; absent: nobody knows. */
  readonly hasDistinctNames?: boolean;
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

/** Most values, and most bytes, of what is parsed in one piece: some 50 ms. */
export const DEFAULT_JSON_VALUES = 200_000;
export const DEFAULT_JSON_BYTES = 16_777_216;

/** The bounds of a gateway: for the bodies of requests, and for the answers of upstreams. */
export interface GatewayJson {
  readonly request: JsonBounds;
  readonly answer: JsonBounds;
}

/** Bounds of that many values and bytes. Names that differ from object to object cost several times as much as values. */
export function jsonBounds(maxValues: number, maxBytes: number): GatewayJson {
  return {
    request: { maxDepth: 64, maxKeys: Math.ceil(maxValues / 4), maxValues, maxBytes, strict: true },
    answer: { maxDepth: 128, maxKeys: Math.ceil((3 * maxValues) / 4), maxValues, maxBytes, strict: false },
  };
}

/** The bounds of a gateway without options. */
export const { request: REQUEST_BOUNDS, answer: ANSWER_BOUNDS } = jsonBounds(DEFAULT_JSON_VALUES, DEFAULT_JSON_BYTES);

/** Part of every name that leads to a prototype, unless it is spelt with escapes. */
export const PROTO = 'proto';
export const UNICODE_ESCAPE = '\\u';
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
  if (bytes.length > bounds.maxBytes) return refused('size');
  const text = bytes.toString('latin1');
  const members = scanTopLevel(text, bounds);
  if (!(members instanceof Members))
    return isTolerable(members, bounds) ? parseDocument(withLast(bytes), bounds, texts) : members;
  if (!isUtf8(bytes)) return refused('syntax');
  // Outside ASCII, JSON has nothing but text: the grammar of the bytes is that of the characters.
  const isOfAscii = isAscii(bytes);
  // To look for one of many backslashes takes longer than to decode.
  const isToDecode = !isOfAscii && (texts === 'decoded' || (bytes.length > LARGE_BYTES && bytes.includes(BACKSLASH)));
  // Not `includes`, which takes four times as long where there are many backslashes.
  const hasEscapes = (bounds.strict || !(isOfAscii || isToDecode)) && ESCAPE.test(text);
  const isDecoded = hasEscapes || isToDecode || isOfAscii;
  let parsed: unknown;
  try {
    parsed = JSON.parse(isDecoded && !isOfAscii ? bytes.toString('utf8') : text);
  } catch {
    return refused('syntax');
  }
  if (!isJsonObject(parsed)) return refused('not-an-object');
  if (bounds.strict) {
    if ((hasEscapes || text.includes(PROTO)) && isPoisoned(parsed)) return refused('poisoned');
    if (hasEscapes && !isWellFormed(parsed)) return parseDocument(wellFormed(bytes), bounds, texts);
  }
  return { kind: 'document', document: { bytes, members }, outline: { body: parsed, isDecoded } };
}

/** The document that an object was written to: held to the same bounds as bytes that arrive. */
export function checkedText(text: string, object: JsonObject, bounds: JsonBounds): JsonDocument | JsonRefusal {
  const bytes = Buffer.from(text);
  if (bytes.length > bounds.maxBytes) return refused('size');
  const members = scanTopLevel(bytes.toString('latin1'), bounds);
  if (!(members instanceof Members)) return members;
  if (text.includes(PROTO) && isPoisoned(object)) return refused('poisoned');
  if (ESCAPE.test(text) && !isWellFormed(object)) {
    const mended = wellFormed(bytes);
    return checkedText(mended.toString('utf8'), objectOf(mended), bounds);
  }
  return { bytes, members, object };
}

/**
 * Finds the top-level members of one JSON object without parsing it, for a reader of only a few of them. Of the bounds only
 * the depth counts: what is not parsed may have any number of values.
 */
export function scanDocument(input: Uint8Array, bounds: JsonBounds): JsonDocument | JsonRefusal {
  const bytes = withoutByteOrderMark(input);
  const members = scanWhole(bytes.toString('latin1'), bounds);
  if (!(members instanceof Members)) {
    const isMended = isTolerable(members, bounds) && bytes.length <= bounds.maxBytes;
    return isMended ? scanDocument(withLast(bytes), bounds) : members;
  }
  return isUtf8(bytes) ? { bytes, members } : refused('syntax');
}

export function isTolerable({ reason }: JsonRefusal, { strict }: JsonBounds): boolean {
  return reason === 'duplicate' && !strict;
}

/** The object with each member once, the last of its name, as parsers read it; empty when it is no JSON. */
export function withLast(bytes: Buffer): Buffer {
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

/** The value of one top-level member of a text that nobody parsed; `undefined` for one beyond the bounds, too. */
export function boundedValue(document: JsonDocument, name: string, bounds: JsonBounds): Json | undefined {
  return isWithin(document, document.members.get(name), bounds) ? memberValue(document, name) : undefined;
}

/** The whole of such a text; `undefined` when it is beyond the bounds, or cannot be read. */
export function boundedObject(document: JsonDocument, bounds: JsonBounds): JsonObject | undefined {
  const { bytes } = document;
  if (!isWithin(document, { start: 0, end: bytes.length }, bounds)) return undefined;
  try {
    return objectOf(bytes);
  } catch {
    return undefined;
  }
}

function isWithin({ bytes, members }: JsonDocument, span: Span | undefined, bounds: JsonBounds): boolean {
  if (span === undefined || span.end - span.start > bounds.maxBytes) return false;
  if (members.valuesWithin <= bounds.maxValues && members.keysWithin <= bounds.maxKeys) return true;
  const part = scanTopLevel(bytes.toString('latin1', span.start, span.end), bounds);
  return part instanceof Members || part.reason !== 'keys';
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
  document: JsonDocument,
  changes: JsonObject,
  leftOut?: string,
  ...others: readonly string[]
): Buffer {
  const { bytes, members } = document;
  let added = '';
  let edits: Edit[] | undefined;
  for (const name in changes) {
    const text = JSON.stringify(changes[name]);
    const span = members.get(name);
    if (span !== undefined) {
      edits ??= [];
      edits.push({ start: span.start, end: span.end, text });
    } else added += `${JSON.stringify(name)}:${text},`;
  }
  const gone = leftOut === undefined ? undefined : members.get(leftOut);
  if (gone !== undefined) {
    edits ??= [];
    edits.push({ ...wholeMember(bytes, gone), text: '' });
  }
  // A comma stands only where another member follows.
  const isLast = members.size === (gone === undefined ? 0 : 1);
  const edited = editedBytes(bytes, isLast ? added.slice(0, -1) : added, edits);
  if (others.length === 0) return edited;
  // Rare, and neighbours share a comma: each of the others is found anew.
  const left = scanDocument(edited, ANSWER_BOUNDS);
  return 'members' in left ? replaceMembers(left, {}, ...others) : edited;
}

/** A copy of the right size from the beginning. @param added written behind the brace that opens the object */
function editedBytes(bytes: Buffer, added: string, edits: Edit[] = NO_EDITS): Buffer {
  if (edits.length > 1) edits.sort((one, other) => one.start - other.start);
  let growth = Buffer.byteLength(added);
  for (const { start, end, text } of edits) growth += Buffer.byteLength(text) - (end - start);
  const edited = Buffer.allocUnsafe(bytes.length + growth);
  // All that is behind the last edit is in its place by this: a view of a part would cost as much as the copy.
  if (growth >= 0) edited.set(bytes, growth);
  else edited.set(bytes.subarray(-growth));
  let from = 0;
  let at = 0;
  if (added !== '') {
    while (bytes[from] !== OPENING_BRACE) from += 1;
    from += 1;
    at = writeText(edited, copyPart(edited, 0, bytes, { start: 0, end: from }), added);
  }
  for (const { start, end, text } of edits) {
    at = writeText(edited, copyPart(edited, at, bytes, { start: from, end: start }), text);
    from = end;
  }
  return edited;
}

const NO_EDITS: Edit[] = [];

/** Most bytes that are copied one by one: a call into the engine takes as long. */
const FEW_BYTES = 64;

/** @returns The offset behind what was copied. */
function copyPart(target: Buffer, at: number, bytes: Buffer, { start, end }: Span): number {
  if (end - start > FEW_BYTES) return at + bytes.copy(target, at, start, end);
  for (let from = start; from < end; from += 1) target[at + from - start] = bytes[from] ?? 0;
  return at + end - start;
}

/** @returns The offset behind what was written. */
function writeText(target: Buffer, at: number, text: string): number {
  if (text.length > FEW_BYTES) return at + target.write(text, at);
  for (let place = 0; place < text.length; place += 1) {
    const code = text.charCodeAt(place);
    if (code > 0x7f) return at + target.write(text, at);
    target[at + place] = code;
  }
  return at + text.length;
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
  const bytes = bufferOf(input);
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/** Whether any name in the tree would lead a careless copy to a prototype. */
export function isPoisoned(root: Json): boolean {
  return !everyValue(root, (value) => {
    if (!isJsonObject(value)) return true;
    if (Object.hasOwn(value, '__proto__')) return false;
    const made = Object.hasOwn(value, 'constructor') ? value.constructor : undefined;
    return !(isJsonObject(made) && Object.hasOwn(made, 'prototype'));
  });
}

/** Whether every string and name is free of lone surrogates. */
export function isWellFormed(root: Json): boolean {
  return everyValue(root, (value) => {
    if (typeof value === 'string') return value.isWellFormed();
    return !isJsonObject(value) || Object.keys(value).every((name) => name.isWellFormed());
  });
}

/** JSON with U+FFFD in place of each escaped half of a surrogate pair that stands alone, in names too. */
export function wellFormed(bytes: Buffer): Buffer {
  const mended = Buffer.from(bytes);
  for (let at = 0; at < mended.length; at += 1) {
    if (mended[at] !== BACKSLASH) continue;
    const unit = unitAt(mended, at);
    if (unit === undefined) at += 1;
    else if (unit >= 0xd800 && unit < 0xdc00 && isLowHalf(unitAt(mended, at + UNIT_BYTES))) at += 2 * UNIT_BYTES - 1;
    else {
      if (unit >= 0xd800 && unit < 0xe000) mended.set(REPLACEMENT, at + 2);
      at += UNIT_BYTES - 1;
    }
  }
  return mended;
}

/** Bytes of an escaped unit of UTF-16. */
const UNIT_BYTES = 6;
const LETTER_U = 0x75;
const REPLACEMENT = Buffer.from('fffd');

/** The unit of UTF-16 whose escape begins there; `undefined` when none does. */
function unitAt(bytes: Buffer, at: number): number | undefined {
  if (bytes[at] !== BACKSLASH || bytes[at + 1] !== LETTER_U) return undefined;
  return spelledUnit(bytes, at + 2);
}

const isLowHalf = (unit: number | undefined): boolean => unit !== undefined && unit >= 0xdc00 && unit < 0xe000;

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
