import { bufferOf } from '../base/bytes.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACKET = 0x5d;
const CLOSING_BRACE = 0x7d;
const SPACE = 0x20;
const LIST = 'data';

/** Counts the items of the list `data` of a JSON object on its way: pictures, whose bytes are not worth a tree. */
export class DataCounter {
  /** Items; `undefined` until the list has ended. */
  count: number | undefined = undefined;
  private depth = 0;
  private isInText = false;
  /** Whether the next byte belongs to an escape. */
  private isEscaped = false;
  /** The name at hand, where names stand: as much of it as tells `data` from others. */
  private name = '';
  private isName = false;
  private isInList = false;
  private commas = 0;
  private hasItem = false;

  addPiece(piece: Uint8Array): void {
    const bytes = bufferOf(piece);
    let backslash = -1;
    for (let at = 0; at < bytes.length && this.count === undefined; ) {
      if (!this.isInText) {
        this.takeMark(bytes[at] ?? SPACE);
        at += 1;
        continue;
      }
      if (this.isEscaped) {
        this.isEscaped = false;
        at += 1;
        continue;
      }
      if (backslash < at && backslash !== bytes.length) backslash = foundIn(bytes, BACKSLASH, at);
      const quote = foundIn(bytes, QUOTE, at);
      const end = Math.min(quote, backslash);
      if (this.isName)
        this.name += bytes.toString('latin1', at, Math.min(end, at + LIST.length + 1 - this.name.length));
      this.isInText = quote > backslash || quote === bytes.length;
      this.isEscaped = backslash < quote;
      at = end + 1;
    }
  }

  /** Takes a byte outside of texts. */
  private takeMark(byte: number): void {
    if (byte <= SPACE) return;
    if (this.isInList && this.depth === 2 && byte !== CLOSING_BRACKET) this.hasItem = true;
    if (byte === QUOTE) this.isInText = true;
    else if (byte === COMMA) this.takeComma();
    else if (byte === COLON && this.depth === 1) this.isName = false;
    else if (byte === OPENING_BRACE || byte === OPENING_BRACKET) this.open(byte);
    else if (byte === CLOSING_BRACE || byte === CLOSING_BRACKET) this.close();
  }

  private takeComma(): void {
    if (this.isInList && this.depth === 2) this.commas += 1;
    if (this.depth !== 1) return;
    this.isName = true;
    this.name = '';
  }

  private open(byte: number): void {
    this.depth += 1;
    this.isName = this.depth === 1 && byte === OPENING_BRACE;
    if (this.depth === 2) this.isInList = byte === OPENING_BRACKET && this.name === LIST;
  }

  private close(): void {
    this.depth -= 1;
    if (this.depth === 1 && this.isInList) this.count = this.hasItem ? this.commas + 1 : 0;
  }
}

/** Offset of the next such byte; the length where there is none. */
function foundIn(bytes: Buffer, byte: number, from: number): number {
  const at = bytes.indexOf(byte, from);
  return at === -1 ? bytes.length : at;
}

/** Bytes at the beginning and at the end of a transcription in which its length may stand. */
const LOOKED_AT = 4_096;
/** Longest transcription that is believed: a month. */
const MAX_SECONDS = 2_678_400;

/** OpenAI's and Mistral's usage, and the `duration` of a detailed transcription: no text in JSON can look like these. */
const SECONDS = /"(?:duration|seconds|prompt_audio_seconds)" ?: ?"?(\d{1,9}(?:\.\d{1,9})?)/g;
/** The end of a subtitle: `00:01:02,500` or `01:02.500`. */
const SUBTITLE_END = /--> ?(?:(\d{1,4}):)?(\d\d):(\d\d)[.,](\d{3})/g;

/** Finds out how long the sound was that a transcription on its way is of. */
export class SoundLength {
  private readonly pattern: RegExp;
  private head = '';
  private tail = '';

  constructor(contentType: string) {
    this.pattern = /json|event-stream/i.test(contentType) ? SECONDS : SUBTITLE_END;
  }

  addPiece(piece: Uint8Array): void {
    const bytes = bufferOf(piece);
    if (this.head.length < LOOKED_AT) this.head += bytes.toString('latin1', 0, LOOKED_AT - this.head.length);
    this.tail = (this.tail + bytes.subarray(-LOOKED_AT).toString('latin1')).slice(-LOOKED_AT);
  }

  /** The longest that it tells, in milliseconds; `undefined`: it tells nothing. */
  findMs(): number | undefined {
    let most: number | undefined;
    for (const [, ...parts] of [...this.head.matchAll(this.pattern), ...this.tail.matchAll(this.pattern)]) {
      const seconds = this.pattern === SECONDS ? Number(parts[0]) : secondsOf(parts);
      if (seconds <= MAX_SECONDS && seconds * 1_000 > (most ?? -1)) most = Math.ceil(seconds * 1_000);
    }
    return most;
  }
}

function secondsOf([hours = '0', minutes, seconds, milliseconds]: readonly (string | undefined)[]): number {
  return Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds) + Number(milliseconds) / 1_000;
}
