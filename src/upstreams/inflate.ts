import { createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from 'node:zlib';

/** Content codings that are taken out of an answer, though none is asked for. */
export type ContentCoding = 'gzip' | 'deflate' | 'br';

const CODINGS: ReadonlyMap<string, ContentCoding> = new Map([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
]);

/** The coding that a `content-encoding` names; `undefined` for none, and for what is none, such as `none` or `utf-8`. */
export function contentCoding(header: string | undefined): ContentCoding | undefined {
  if (header === undefined) return undefined;
  return header
    .split(',')
    .map((name) => CODINGS.get(name.trim().toLowerCase()))
    .find((coding) => coding !== undefined);
}

/** Receives what comes out of an inflater. */
interface InflaterOutput {
  /** @returns Whether more may come at once; if not, `resume` is called. */
  onData(piece: Buffer): boolean;
  onEnd(): void;
  /** The bytes are not of that coding, or break off. */
  onBroken(error: Error): void;
  /** The inflater takes more again. */
  onDrain(): void;
}

/** First bytes of gzip; a first byte of zlib's form of deflate has 8 in its lower half. */
const GZIP_MAGIC = 0x1f;
const ZLIB_METHOD = 8;

type Decompress = ReturnType<typeof createGunzip>;

/** Takes a coding out of an answer, piece by piece. Bytes that bear no mark of gzip pass as they are: the label was wrong. */
export class Inflater {
  private readonly coding: ContentCoding;
  private readonly output: InflaterOutput;
  private stream: Decompress | undefined = undefined;
  private isPlain = false;

  constructor(coding: ContentCoding, output: InflaterOutput) {
    this.coding = coding;
    this.output = output;
  }

  /** @returns Whether more may come at once; if not, `onDrain` is called. */
  write(piece: Buffer): boolean {
    const [first] = piece;
    if (first === undefined) return true;
    if (this.stream === undefined && !this.isPlain) this.begin(first);
    return this.stream === undefined ? this.output.onData(piece) : this.stream.write(piece);
  }

  end(): void {
    if (this.stream === undefined) this.output.onEnd();
    else this.stream.end();
  }

  resume(): void {
    this.stream?.resume();
  }

  leave(): void {
    this.stream?.destroy();
  }

  private begin(first: number): void {
    if (this.coding === 'gzip' && first !== GZIP_MAGIC) {
      this.isPlain = true;
      return;
    }
    const stream = this.decompress(first);
    this.stream = stream;
    stream.on('data', (piece: Buffer) => {
      if (!this.output.onData(piece)) stream.pause();
    });
    stream.on('drain', () => this.output.onDrain());
    stream.on('end', () => this.output.onEnd());
    stream.on('error', (error) => this.output.onBroken(error));
  }

  private decompress(first: number): Decompress {
    if (this.coding === 'gzip') return createGunzip();
    if (this.coding === 'br') return createBrotliDecompress();
    return (first & 0x0f) === ZLIB_METHOD ? createInflate() : createInflateRaw();
  }
}
