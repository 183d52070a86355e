import { isAscii, isUtf8 } from 'node:buffer';
import { isJsonObject, type Json, type JsonObject } from './json.js';
import {
  checkedText,
  isPoisoned,
  isTolerable,
  isWellFormed,
  type JsonDocument,
  type JsonResult,
  PROTO,
  parseDocument,
  UNICODE_ESCAPE,
  wellFormed,
  withLast,
  withoutByteOrderMark,
} from './json-document.js';
import { type JsonBounds, type JsonRefusal, Members, refused, type Span, TopLevelScan } from './json-scan.js';
import { LARGE_BYTES, turn } from './turns.js';

/** Characters that are walked over in one turn: some milliseconds at the slowest. */
const SCANNED_PER_TURN = 262_144;
/** Bytes that are decoded or searched in one turn. */
const READ_PER_TURN = 1_048_576;

/** `parseDocument`, of many bytes in turns: all but `JSON.parse` itself. */
export async function parseInTurns(
  input: Uint8Array,
  bounds: JsonBounds,
  texts: 'as-bytes' | 'decoded' = 'as-bytes',
): Promise<JsonResult> {
  if (input.byteLength <= LARGE_BYTES) return parseDocument(input, bounds, texts);
  const bytes = withoutByteOrderMark(input);
  if (bytes.length > bounds.maxBytes) return refused('size');
  const text = bytes.toString('latin1');
  const members = await walked(new TopLevelScan(text, bounds, false), text.length);
  if (!(members instanceof Members)) {
    return isTolerable(members, bounds) ? parseInTurns(withLast(bytes), bounds, texts) : members;
  }
  if (!isUtf8(bytes)) return refused('syntax');
  const hasEscapes = await includesInTurns(text, UNICODE_ESCAPE);
  const isOfAscii = isAscii(bytes);
  const isDecoded = hasEscapes || texts === 'decoded' || isOfAscii;
  const parsed = await parsedInTurn(isDecoded && !isOfAscii ? await decodedInTurns(bytes) : text);
  if (parsed === undefined) return refused('syntax');
  if (!isJsonObject(parsed)) return refused('not-an-object');
  if (bounds.strict) {
    if ((hasEscapes || (await includesInTurns(text, PROTO))) && isPoisoned(parsed)) return refused('poisoned');
    await turn();
    if (hasEscapes && !isWellFormed(parsed)) {
      await turn();
      return parseInTurns(wellFormed(bytes), bounds, texts);
    }
    await turn();
  }
  return { kind: 'document', document: { bytes, members }, outline: { body: parsed, isDecoded } };
}

/** `scanDocument` for many bytes, in turns, and without a copy of them. */
export async function scanInTurns(input: Uint8Array, bounds: JsonBounds): Promise<JsonDocument | JsonRefusal> {
  await turn();
  const bytes = withoutByteOrderMark(input);
  const members = await walked(TopLevelScan.ofBytes(bytes, bounds), bytes.length);
  if (members instanceof Members) return isUtf8(bytes) ? { bytes, members } : refused('syntax');
  if (!isTolerable(members, bounds) || bytes.length > bounds.maxBytes) return members;
  return scanInTurns(withLast(bytes), bounds);
}

/** Writes an object that was read, or made of what was read, once; in turns where much was written. */
export async function writeInTurns(object: JsonObject, bounds: JsonBounds): Promise<JsonDocument | JsonRefusal> {
  const text = JSON.stringify(object);
  if (text.length <= LARGE_BYTES) return checkedText(text, object, bounds);
  await turn();
  const result = await parseInTurns(Buffer.from(text), bounds, 'decoded');
  return result.kind === 'document' ? { ...result.document, object: result.outline.body } : result;
}

/** `boundedValue` of many bytes. */
export async function valueInTurns(
  { bytes, members }: JsonDocument,
  span: Span | undefined,
  bounds: JsonBounds,
): Promise<Json | undefined> {
  if (span === undefined || span.end - span.start > bounds.maxBytes) return undefined;
  const part = bytes.subarray(span.start, span.end);
  if (members.valuesWithin > bounds.maxValues || members.keysWithin > bounds.maxKeys) {
    const text = part.toString('latin1');
    const found = await walked(new TopLevelScan(text, bounds, false), text.length);
    if ('kind' in found && found.reason === 'keys') return undefined;
  }
  return parsedInTurn(await decodedInTurns(part));
}

/** A whole object within the bounds; `undefined` for anything else. */
export async function objectInTurns(input: Uint8Array, bounds: JsonBounds): Promise<JsonObject | undefined> {
  const result = await parseInTurns(input, bounds, 'decoded');
  return result.kind === 'document' ? result.outline.body : undefined;
}

/** JSON of a list, such as a report: a long one is written in turns. */
export async function listInTurns(object: JsonObject): Promise<string> {
  const { data } = object;
  if (!Array.isArray(data) || data.length < FEW_ITEMS) return JSON.stringify(object);
  const text = JSON.stringify({ ...object, data: [] });
  // Inside a text the quotes have backslashes.
  const start = text.indexOf(EMPTY_LIST) + EMPTY_LIST.length - 1;
  const items: string[] = [];
  let inTurn = 0;
  for (const item of data) {
    const written = JSON.stringify(item);
    items.push(written);
    inTurn += written.length;
    if (inTurn < SCANNED_PER_TURN) continue;
    inTurn = 0;
    await turn();
  }
  return text.slice(0, start) + items.join() + text.slice(start);
}

const EMPTY_LIST = '"data":[]';
/** Lists shorter than that are written at once. */
const FEW_ITEMS = 8;

async function walked(scan: TopLevelScan, length: number): Promise<Members | JsonRefusal> {
  let until = SCANNED_PER_TURN;
  while (!scan.walk(until)) {
    until += SCANNED_PER_TURN;
    await turn();
  }
  if (length > SCANNED_PER_TURN) await turn();
  return scan.result();
}

async function includesInTurns(text: string, part: string): Promise<boolean> {
  for (let from = 0; from < text.length; from += READ_PER_TURN) {
    if (text.slice(from, from + READ_PER_TURN + part.length - 1).includes(part)) return true;
    await turn();
  }
  return false;
}

async function decodedInTurns(bytes: Buffer): Promise<string> {
  if (isAscii(bytes)) return bytes.toString('latin1');
  let text = '';
  for (let from = 0; from < bytes.length; ) {
    let end = Math.min(bytes.length, from + READ_PER_TURN);
    // A character is not cut in the middle.
    while (end < bytes.length && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
    text += bytes.toString('utf8', from, end);
    from = end;
    await turn();
  }
  return text;
}

/** Parses in a turn of its own; `undefined` for what is no JSON. */
async function parsedInTurn(text: string): Promise<Json | undefined> {
  await turn();
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  await turn();
  return parsed as Json;
}
