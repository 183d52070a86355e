/** As much of WebAssembly as is used here: its types come with those of browsers. Absent where a process may make no code. */
declare const WebAssembly:
  | {
      readonly Module: new (code: Uint8Array) => object;
      readonly Instance: new (module: object) => { readonly exports: Search };
    }
  | undefined;

/** A search in bytes, and the page that they are copied to for it. */
interface Search {
  readonly memory: { readonly buffer: ArrayBuffer };
  /**
   * Offset of the first quote, control character or odd backslash at or after `at`, and 65,536 for each plain escape before it. It does
   * not end before it finds one.
   */
  textEnd(at: number): number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

/** Bytes that the processor compares at once. */
const STRIDE = 16;
/** Bytes that are searched in one piece: one page of WebAssembly, but for the end mark. */
const WINDOW_BYTES = 65_536 - STRIDE;
/** Control characters, which no escape passes over. */
const END_MARK = Buffer.alloc(STRIDE, 0);

/**
 * The search, 16 bytes at a time: for 100 KB of prose with its escapes JavaScript takes 140 µs, and this 30; at 100
 * bytes both take the same. Instructions by https://webassembly.github.io/spec/core/binary/.
 */
const CODE = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // magic number, version
  ...[0x01, 0x06, 0x01, 0x60, 0x01, 0x7f, 0x01, 0x7f], // one type: (i32) -> i32
  ...[0x03, 0x02, 0x01, 0x00], // one function of it
  ...[0x05, 0x03, 0x01, 0x00, 0x01], // a memory of one page
  ...[0x07, 0x14, 0x02], // two exports
  ...[0x06, ...Buffer.from('memory'), 0x02, 0x00],
  ...[0x07, ...Buffer.from('textEnd'), 0x00, 0x00],
  ...[0x0a, 0x9c, 0x01, 0x01, 0x99, 0x01], // code, of 153 bytes
  ...[0x02, 0x01, 0x7b, 0x02, 0x7f], // locals: v128 bytes, i32 found, i32 escapes
  ...[0x03, 0x40], // loop
  ...[0x20, 0x00, 0xfd, 0x00, 0x00, 0x00, 0x22, 0x01], //   bytes = load(at)
  ...[0x41, QUOTE, 0xfd, 0x0f, 0xfd, 0x23], //   bytes == quote
  ...[0x20, 0x01, 0x41, 0xdc, 0x00, 0xfd, 0x0f, 0xfd, 0x23, 0xfd, 0x50], //   | bytes == backslash
  ...[0x20, 0x01, 0x41, SPACE, 0xfd, 0x0f, 0xfd, 0x26, 0xfd, 0x50], //   | bytes < space
  ...[0xfd, 0x64, 0x22, 0x02], //   found = a bit for each byte of those
  ...[0x45, 0x04, 0x40], //   if (found == 0)
  ...[0x20, 0x00, 0x41, STRIDE, 0x6a, 0x21, 0x00, 0x0c, 0x01, 0x0b], //     at += 16; continue
  ...[0x20, 0x00, 0x20, 0x02, 0x68, 0x6a, 0x22, 0x00], //   at += trailing zeros of found
  ...[0x2d, 0x00, 0x00, 0x41, 0xdc, 0x00, 0x46, 0x04, 0x40], //   if (byte(at) == backslash)
  ...[0x20, 0x00, 0x2d, 0x00, 0x01, 0x22, 0x02], //     found = byte(at + 1)
  ...[0x41, 0x80, 0x01, 0x49, 0x04, 0x40], //     if (found < 128)
  ...[0x42, 0x80, 0x80, 0x80, 0x80, 0xc1, 0x88, 0x90, 0x0a], //       bits of \bfnrt, less 64
  ...[0x42, 0x80, 0x80, 0x80, 0x80, 0xc0, 0x80, 0x20], //       bits of "/
  ...[0x20, 0x02, 0x41, 0xc0, 0x00, 0x71, 0x1b], //       those that found & 64 selects
  ...[0x20, 0x02, 0xad, 0x88, 0xa7, 0x41, 0x01, 0x71, 0x04, 0x40], //       if (its bit is set)
  ...[0x20, 0x00, 0x41, 0x02, 0x6a, 0x21, 0x00], //         at += 2
  ...[0x20, 0x03, 0x41, 0x80, 0x80, 0x04, 0x6a, 0x21, 0x03], //         escapes += 65536
  ...[0x0c, 0x03, 0x0b, 0x0b, 0x0b], //         continue
  ...[0x20, 0x00, 0x20, 0x03, 0x72, 0x0f], //   return at | escapes
  ...[0x0b, 0x00, 0x0b], // never reached
);
/** The part of what it returns that is the offset. */
const OFFSET_BITS = 16;
const OFFSET_MASK = 0xffff;

/** The page into which bytes are copied to be searched, by one reader after the other. */
class SearchPage {
  /** Counts what was loaded: who loaded last finds its own bytes there. */
  loads = 0;
  private search: Search | 'none' | undefined = undefined;
  private place = Buffer.alloc(0);

  /** Copies bytes in. @returns The search in them; `undefined` where this process has none. */
  load(bytes: Buffer, start: number, end: number): Search | undefined {
    this.search ??= this.made();
    if (this.search === 'none') return undefined;
    this.loads += 1;
    if (end - start === bytes.length) this.place.set(bytes);
    else bytes.copy(this.place, 0, start, end);
    this.place.set(END_MARK, end - start);
    return this.search;
  }

  private made(): Search | 'none' {
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

const PAGE = new SearchPage();

/** The places where the strings of a JSON text end, or go on with something odd. */
export class TextEnds {
  /** Plain escapes, such as `\n`, that were passed over. */
  escapes = 0;
  private readonly bytes: Buffer;
  /** The part of the bytes that was loaded last, if nobody has loaded others since. */
  private start = 0;
  private end = 0;
  private load = 0;
  private search: Search | undefined = undefined;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /**
   * Offset of the first quote, backslash or control character at or after `from`, which is no part of an escape; the number of bytes if
   * there is none. Plain escapes may be passed over, and are counted then.
   */
  after(from: number): number {
    const { bytes } = this;
    let at = from;
    for (;;) {
      if (at >= bytes.length) return bytes.length;
      if (!this.isLoaded(at) && !this.loadFrom(at)) return endWithin(bytes, at);
      const found = this.search?.textEnd(at - this.start) ?? 0;
      at = this.start + (found & OFFSET_MASK);
      this.escapes += found >>> OFFSET_BITS;
      if (at < this.end - 1 || this.end === bytes.length) return at;
      // A last backslash may begin an escape whose letter was not loaded.
      this.load = -1;
    }
  }

  private isLoaded(at: number): boolean {
    return this.load === PAGE.loads && at >= this.start && at < this.end;
  }

  private loadFrom(at: number): boolean {
    const { bytes } = this;
    this.start = bytes.length <= WINDOW_BYTES ? 0 : at;
    this.end = Math.min(bytes.length, this.start + WINDOW_BYTES);
    this.search = PAGE.load(bytes, this.start, this.end);
    this.load = this.search === undefined ? -1 : PAGE.loads;
    return this.search !== undefined;
  }
}

/** Offset of the first quote, backslash or control character, byte by byte. */
function endWithin(bytes: Buffer, from: number): number {
  for (let at = from; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0;
    // First, as most letters are.
    if (byte > BACKSLASH) continue;
    if (byte === QUOTE || byte === BACKSLASH || byte < SPACE) return at;
  }
  return bytes.length;
}
