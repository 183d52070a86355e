/** Pieces shorter than this are copied into blocks: as an object each takes a hundred bytes besides its own. */
const SMALL_BYTES = 1_024;
const BLOCK_BYTES = 16_384;
const NO_BYTES = new Uint8Array(0);

/**
 * Bytes that come in pieces and are wanted in one. However small the pieces are, they take about as much memory as they have
 * bytes: a sender may cut a body into pieces of one byte.
 */
export class GatheredBytes {
  size = 0;
  private pieces: Uint8Array[] = [];
  private block: Buffer | undefined = undefined;
  /** The part of the block that holds pieces which are not among the others yet. */
  private from = 0;
  private to = 0;

  add(piece: Uint8Array): void {
    this.size += piece.byteLength;
    // As a rule there is one piece, which stays as it is.
    if (this.pieces.length === 0 || !isSmall(piece)) {
      this.closeBlock();
      this.pieces.push(piece);
      return;
    }
    if (this.block === undefined || this.to + piece.byteLength > BLOCK_BYTES) this.beginBlock();
    this.block?.set(piece, this.to);
    this.to += piece.byteLength;
  }

  /** All bytes in one piece. They are gathered no longer. */
  take(): Uint8Array {
    this.closeBlock();
    const [only = NO_BYTES] = this.pieces;
    const all = this.pieces.length > 1 ? Buffer.concat(this.pieces, this.size) : only;
    this.clear();
    return all;
  }

  clear(): void {
    this.size = 0;
    this.pieces = [];
    this.block = undefined;
    this.from = 0;
    this.to = 0;
  }

  private beginBlock(): void {
    this.closeBlock();
    this.block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.from = 0;
    this.to = 0;
  }

  private closeBlock(): void {
    if (this.block === undefined || this.from === this.to) return;
    this.pieces.push(this.block.subarray(this.from, this.to));
    this.from = this.to;
  }
}

/** Whether a piece takes much more memory than it has bytes: it may keep alive the large buffer that it was cut from. */
function isSmall({ byteLength, buffer }: Uint8Array): boolean {
  return byteLength < SMALL_BYTES || (byteLength <= BLOCK_BYTES && buffer.byteLength > 4 * byteLength);
}
