/** As much of WebAssembly as is used here: its types come with those of browsers. Absent where a process may make no code. */
declare const WebAssembly:
  | {
      readonly Module: new (code: Uint8Array) => object;
      readonly Instance: new (module: object) => { readonly exports: Searched };
    }
  | undefined;

/** One page of bytes, and the search in it. */
interface Searched {
  readonly memory: { readonly buffer: ArrayBuffer };
  /** Offset of the first quote, backslash or control character at or after `at`, without end if there is none. */
  plainEnd(at: number): number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

/** Bytes that are looked at one by one, before it is worth it to have all of them searched. */
const SHORT_RUN = 24;
/** Bytes that the processor compares at once. */
const STRIDE = 16;
/** Bytes that are searched in one piece: one page of WebAssembly, but for the end mark. */
const WINDOW_BYTES = 65_536 - STRIDE;
const END_MARK = Buffer.alloc(STRIDE, QUOTE);

/**
 * The search, 16 bytes at a time: what JavaScript does in 140 µs for 100 KB of prose with its escapes takes 40, and a third of
 * the time from 100 bytes on. Instructions by https://webassembly.github.io/spec/core/binary/.
 */
const CODE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic number, version
  ...[0x01, 0x06, 0x01, 0x60, 0x01, 0x7f, 0x01, 0x7f], // one type: (i32) -> i32
  ...[0x03, 0x02, 0x01, 0x00], // one function of it
  ...[0x05, 0x03, 0x01, 0x00, 0x01], // a memory of one page
  ...[0x07, 0x15, 0x02], // two exports
  ...[0x06, ...Buffer.from('memory'), 0x02, 0x00],
  ...[0x08, ...Buffer.from('plainEnd'), 0x00, 0x00],
  ...[0x0a, 0x46, 0x01, 0x44], // code of 68 bytes
  ...[0x02, 0x01, 0x7b, 0x01, 0x7f], // locals 1: v128 bytes, 2: i32 marks
  ...[0x03, 0x40], // loop
  ...[0x20, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x22, 0x01], // bytes = load(at)
  ...[0x41, QUOTE, 0xfd, 0x0f, 0xfd, 0x23], // bytes == quote
  ...[0x20, 0x01, 0x41, 0xdc, 0x00, 0xfd, 0x0f, 0xfd, 0x23, 0xfd, 0x50], // | bytes == backslash
  ...[0x20, 0x01, 0x41, SPACE, 0xfd, 0x0f, 0xfd, 0x26, 0xfd, 0x50], // | bytes < space
  ...[0xfd, 0x64, 0x22, 0x02], // marks = a bit for each of them
  ...[0x04, 0x40, 0x20, 0x00, 0x20, 0x02, 0x68, 0x6a, 0x0f, 0x0b], // if (marks) return at + trailing zeros of marks
  ...[0x20, 0x00, 0x41, STRIDE, 0x6a, 0x21, 0x00], // at += 16
  ...[0x0c, 0x00, 0x0b, 0x00, 0x0b], // go on; the end is never reached
);

/** The place into which bytes are copied to be searched, by one reader after the other. */
class SearchWindow {
  /** Counts what was loaded: who loaded last finds its own bytes there. */
  loads = 0;
  private searched: Searched | 'none' | undefined = undefined;
  private place = Buffer.alloc(0);

  /** Copies bytes in. @returns The search in them; `undefined` where this process has none. */
  load(bytes: Buffer, start: number, end: number): Searched | undefined {
    this.searched ??= this.made();
    if (this.searched === 'none') return undefined;
    this.loads += 1;
    if (end - start === bytes.length) this.place.set(bytes);
    else bytes.copy(this.place, 0, start, end);
    this.place.set(END_MARK, end - start);
    return this.searched;
  }

  private made(): Searched | 'none' {
    try {
      if (typeof WebAssembly === 'undefined') return 'none';
      const { exports } = new WebAssembly.Instance(new WebAssembly.Module(CODE));
      this.place = Buffer.from(exports.memory.buffer);
      return exports;
    } catch {
      // No room in the address space for its memory, or no leave to make code.
      return 'none';
    }
  }
}

const WINDOW = new SearchWindow();

/** The ends of plain runs inside the strings of a JSON text. */
export class PlainRuns {
  private readonly bytes: Buffer;
  /** The part of the bytes that was loaded last, if nobody has loaded others since. */
  private start = 0;
  private end = 0;
  private load = 0;
  private searched: Searched | undefined = undefined;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Offset of the first quote, backslash or control character at or after `from`; the number of bytes if there is none. */
  endOf(from: number): number {
    const { bytes } = this;
    let at = from;
    for (;;) {
      if (!this.isLoaded(at)) {
        at = endWithin(bytes, at, Math.min(at + SHORT_RUN, bytes.length));
        if (at >= 0) return at;
        at = ~at;
        if (at === bytes.length) return at;
        if (!this.loadFrom(at)) {
          at = endWithin(bytes, at, bytes.length);
          return at >= 0 ? at : ~at;
        }
      }
      at = this.start + (this.searched?.plainEnd(at - this.start) ?? 0);
      if (at < this.end || at === bytes.length) return at;
    }
  }

  private isLoaded(at: number): boolean {
    return this.load === WINDOW.loads && at >= this.start && at < this.end;
  }

  private loadFrom(at: number): boolean {
    const { bytes } = this;
    this.start = bytes.length <= WINDOW_BYTES ? 0 : at;
    this.end = Math.min(bytes.length, this.start + WINDOW_BYTES);
    this.searched = WINDOW.load(bytes, this.start, this.end);
    this.load = this.searched === undefined ? -1 : WINDOW.loads;
    return this.searched !== undefined;
  }
}

/** Offset of the first quote, backslash or control character; the complement of `to` if there is none before it. */
function endWithin(bytes: Buffer, from: number, to: number): number {
  for (let at = from; at < to; at += 1) {
    const byte = bytes[at] ?? 0;
    // First, as most letters are.
    if (byte > BACKSLASH) continue;
    if (byte === QUOTE || byte === BACKSLASH || byte < SPACE) return at;
  }
  return ~to;
}
