import { turn } from '../base/turns.js';

const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
const COMMA = 0x2c;
const NAME = Buffer.from('"embedding"');

/** Most bytes of numbers that are parsed at once, and worked off in one turn. */
const BYTES_PER_TURN = 524_288;

/** Whether an answer's embeddings are lists of numbers. */
export function hasFloatEmbeddings(bytes: Buffer): boolean {
  return listStart(bytes, 0) !== -1;
}

/**
 * The answer with its embeddings as base64 of 32-bit floats, little-endian, as a client that asked for them so reads them. Everything else
 * keeps its bytes. Large answers are worked off in turns.
 */
export async function withEncodedEmbeddings(bytes: Buffer): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let from = 0;
  let inTurn = 0;
  for (let start = listStart(bytes, 0); start !== -1; start = listStart(bytes, from)) {
    const end = bytes.indexOf(CLOSING_BRACKET, start);
    const list = end === -1 ? undefined : bytes.subarray(start, end + 1);
    const floats = list === undefined || list.length <= BYTES_PER_TURN ? floatsOf(list) : await longFloatsOf(list);
    if (floats === undefined) break;
    pieces.push(bytes.subarray(from, start), Buffer.from(`"${floats.toString('base64')}"`));
    from = end + 1;
    inTurn += end - start;
    if (inTurn <= BYTES_PER_TURN) continue;
    inTurn = 0;
    await turn();
  }
  return Buffer.concat([...pieces, bytes.subarray(from)]);
}

/** Where the next list of an `embedding` begins; -1 if there is none. */
function listStart(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(NAME, from); at !== -1; at = bytes.indexOf(NAME, at + NAME.length)) {
    let start = at + NAME.length;
    while (isBlankOrColon(bytes[start])) start += 1;
    if (bytes[start] === OPENING_BRACKET) return start;
  }
  return -1;
}

/** Blanks and the colon between a name and its value. */
const isBlankOrColon = (byte: number | undefined): boolean => byte === 0x3a || (byte !== undefined && byte <= 0x20);

/** The floats of a list that is longer than what is parsed at once. */
async function longFloatsOf(list: Buffer): Promise<Buffer | undefined> {
  const encoded: Buffer[] = [];
  for (let from = 1; from < list.length; ) {
    const cut = list.lastIndexOf(COMMA, from + BYTES_PER_TURN);
    const end = cut < from || from + BYTES_PER_TURN >= list.length ? list.length - 1 : cut;
    const floats = floatsOf(Buffer.concat([OPENING, list.subarray(from, end), CLOSING]));
    if (floats === undefined) return undefined;
    encoded.push(floats);
    from = end + 1;
    await turn();
  }
  return Buffer.concat(encoded);
}

const OPENING = Buffer.from('[');
const CLOSING = Buffer.from(']');

function floatsOf(list: Buffer | undefined): Buffer | undefined {
  if (list === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(list.toString('latin1'));
  } catch {
    return undefined;
  }
  if (!Array.isArray(parsed) || !parsed.every((value) => typeof value === 'number')) return undefined;
  const encoded = Buffer.allocUnsafe(parsed.length * 4);
  for (const [at, value] of parsed.entries()) encoded.writeFloatLE(value, at * 4);
  return encoded;
}
