import { OutgoingMessage, type ServerResponse } from 'node:http';
import type { AnswerStream } from '../src/adapter.js';
import { requestOf } from './incoming-request.js';

/** Longest time in which a client may take nothing before it is cut off: it holds memory and a place in the limits. */
export const STALLED_CLIENT_MS = 30_000;

/** Largest piece that is copied into one text with the frame of its chunk. */
const FRAMED_BYTES = 16_384;

/** Node's own way of writing, whatever is put in its place later. */
const NODES_WRITE = OutgoingMessage.prototype.write;

/** An answer in pieces on its way out, no faster than its client takes it. */
export class StreamWriter {
  private readonly res: ServerResponse;
  private readonly pieces: AnswerStream;
  private readonly onOver: () => void;
  /** Whether the head was written. */
  private hasBegun = false;
  /** The connection that is waited for. */
  private awaited: ServerResponse['socket'] = null;
  private isAwaiting = false;
  private stallTimer: NodeJS.Timeout | undefined = undefined;

  /** @param onOver called once, when the last piece is written or nobody is left to read it */
  constructor(res: ServerResponse, pieces: AnswerStream, onOver: () => void) {
    this.res = res;
    this.pieces = pieces;
    this.onOver = onOver;
  }

  /** Reads the next piece, to write it. */
  readonly writeNext = (): void => this.pieces.read(this.write, this.fail);

  private readonly write = (piece: string | Uint8Array | undefined): void => {
    if (piece === undefined || this.isEnded()) {
      if (piece !== undefined) this.pieces.leave();
      this.onOver();
    } else if (this.writePiece(piece)) this.writeNext();
    else this.awaitDrain();
  };

  private readonly fail = (): void => {
    this.res.destroy();
    this.onOver();
  };

  /**
   * Writes a piece. Node makes four writes of a chunk, held back to the end of the turn, and hands them to the system in a list.
   * One text with the frame in it, written to the connection itself once the head has gone there, costs half. The frames stay
   * Node's for whoever else may write or end.
   * @returns whether there is room for more
   */
  private writePiece(piece: string | Uint8Array): boolean {
    const { res } = this;
    if (res.chunkedEncoding !== true || res.write !== NODES_WRITE || !isSmall(piece)) return res.write(piece);
    const { socket } = res;
    // Else the answer still holds something back: it waits for its turn, or for the host's `uncork`.
    if (this.hasBegun && socket !== null && res.writableLength === socket.writableLength) {
      return socket.write(framed(piece), 'latin1');
    }
    if (res.writableCorked > 0) return res.write(piece);
    this.hasBegun = true;
    res.chunkedEncoding = false;
    try {
      return res.write(framed(piece), 'latin1');
    } finally {
      res.chunkedEncoding = true;
    }
  }

  /** Whether nothing more can be written: nobody is left, or the host has ended what we began. */
  private isEnded(): boolean {
    return isGone(this.res) || this.res.writableEnded;
  }

  /** Waits for `drain` or for the end of the connection, whichever comes. */
  private awaitDrain(): void {
    if (isGone(this.res)) {
      setImmediate(this.writeNext);
      return;
    }
    this.isAwaiting = true;
    this.res.on('drain', this.onDrained);
    // Node tells the answer only of what was written by its own way.
    this.awaited = this.res.socket;
    this.awaited?.on('drain', this.onDrained);
    this.res.on('close', this.onDrained);
    // By a host's `end`, which is no end of the connection while the client takes nothing.
    this.res.on('prefinish', this.onDrained);
    // An answer that waits behind another one on its connection never closes: its wait ends here.
    this.stallTimer = setTimeout(() => {
      this.res.destroy();
      this.onDrained();
    }, STALLED_CLIENT_MS);
  }

  private readonly onDrained = (): void => {
    // Both told of one drain, as a listener that is taken off while others are told is told all the same.
    if (!this.isAwaiting) return;
    this.isAwaiting = false;
    clearTimeout(this.stallTimer);
    this.res.off('drain', this.onDrained);
    this.awaited?.off('drain', this.onDrained);
    this.awaited = null;
    this.res.off('close', this.onDrained);
    this.res.off('prefinish', this.onDrained);
    if (this.res.writableEnded) {
      this.pieces.leave();
      this.onOver();
      return;
    }
    // Not in this turn: a source that never waits would hold back everybody else.
    setImmediate(this.writeNext);
  };
}

/** Whether nobody is left to read. The compatible API of HTTP/2 knows no `destroyed`. */
export function isGone(res: ServerResponse): boolean {
  return res.destroyed || requestOf(res)?.isClosed === true;
}

/** Whether the piece is worth copying, and a text has a byte for each character. A frame without bytes would be the last. */
function isSmall(piece: string | Uint8Array): boolean {
  const { length } = piece;
  return length > 0 && length <= FRAMED_BYTES && (typeof piece !== 'string' || Buffer.byteLength(piece) === length);
}

/** The places before a piece in which the frame of its chunk stands, and after it. */
const FRAME_BEFORE = 8;
const FRAME_AFTER = 2;
/** Room to put a piece and its frame together in; holds nothing from one write to the next. */
const SCRATCH = Buffer.allocUnsafeSlow(FRAME_BEFORE + FRAMED_BYTES + FRAME_AFTER);

/** The piece as a chunk, in latin1. */
function framed(piece: string | Uint8Array): string {
  const size = piece.length.toString(16);
  if (typeof piece === 'string') return `${size}\r\n${piece}\r\n`;
  // Put together as bytes, it is one text of its own and no tree of others.
  const start = FRAME_BEFORE - size.length - 2;
  SCRATCH.write(`${size}\r\n`, start, 'latin1');
  SCRATCH.set(piece, FRAME_BEFORE);
  const end = SCRATCH.write('\r\n', FRAME_BEFORE + piece.length, 'latin1') + FRAME_BEFORE + piece.length;
  return SCRATCH.toString('latin1', start, end);
}
