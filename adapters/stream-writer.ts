import { OutgoingMessage, type ServerResponse } from 'node:http';
import type { AnswerStream } from '../src/adapter.js';
import type { IncomingRequest } from './incoming-request.js';

/** Longest time in which a client may take nothing before it is cut off: it holds memory and a place in the limits. */
export const STALLED_CLIENT_MS = 30_000;

/** Largest piece that is made one text with the frame of its chunk. */
const FRAMED_BYTES = 16_384;

/** Node's own ways of writing and ending, whatever is put in their place later. */
const { write: NODES_WRITE, end: NODES_END } = OutgoingMessage.prototype;

/** An answer in pieces on its way out, no faster than its client takes it. */
export class StreamWriter {
  private readonly res: ServerResponse;
  private readonly request: IncomingRequest | undefined;
  private readonly pieces: AnswerStream;
  private readonly onOver: () => void;
  /** Whether the head was written. */
  private hasBegun = false;
  /** The connection that is waited for. */
  private awaited: ServerResponse['socket'] = null;
  private isAwaiting = false;
  private stallTimer: NodeJS.Timeout | undefined = undefined;
  // Bound, as V8 takes a function that is written behind the `=` of a property for one that lives long: so would all that it knows.
  private readonly onPiece = this.write.bind(this);
  private readonly onFailure = this.fail.bind(this);
  private readonly onDrained = this.drained.bind(this);

  /** @param onOver called once, when the last piece is written or nobody is left to read it */
  constructor(res: ServerResponse, request: IncomingRequest | undefined, pieces: AnswerStream, onOver: () => void) {
    this.res = res;
    this.request = request;
    this.pieces = pieces;
    this.onOver = onOver;
  }

  /** Reads the next piece, to write it. */
  writeNext(): void {
    this.pieces.read(this.onPiece, this.onFailure);
  }

  private write(piece: string | Uint8Array | undefined): void {
    if (piece === undefined || this.isEnded()) {
      if (piece !== undefined) this.pieces.leave();
      this.onOver();
    } else if (this.pieces.isLast === true && this.writeLast(piece)) this.onOver();
    else if (this.writePiece(piece)) this.writeNext();
    else this.awaitDrain();
  }

  private fail(): void {
    this.res.destroy();
    this.onOver();
  }

  /**
   * Writes a piece. Node makes four writes of a chunk, held back to the end of the turn, and hands them to the system in a list.
   * One text with the frame in it, written to the connection itself once the head has gone there, costs half. The frames stay
   * Node's for whoever else may write or end.
   * @returns whether there is room for more
   */
  private writePiece(piece: string | Uint8Array): boolean {
    const { res } = this;
    const chunk = res.chunkedEncoding === true && res.write === NODES_WRITE ? framed(piece) : undefined;
    if (chunk === undefined) return res.write(piece);
    const { socket } = res;
    if (this.hasBegun && socket !== null && holdsNothing(res, socket)) return socket.write(chunk, 'latin1');
    if (res.writableCorked > 0) return res.write(piece);
    this.hasBegun = true;
    res.chunkedEncoding = false;
    try {
      return res.write(chunk, 'latin1');
    } finally {
      res.chunkedEncoding = true;
    }
  }

  /**
   * Writes the last piece together with the end of the chunks, where nothing waits before it and nobody else may add to it.
   * @returns whether that was done
   */
  private writeLast(piece: string | Uint8Array): boolean {
    const { res } = this;
    const { socket } = res;
    const isOurs = this.hasBegun && res.chunkedEncoding === true && res.write === NODES_WRITE && res.end === NODES_END;
    if (!isOurs || socket === null || socket.writableLength > 0 || !holdsNothing(res, socket)) return false;
    // Node's own place for the trailers that a host has added.
    const chunk = Reflect.get(res, '_trailer') === '' ? framed(piece) : undefined;
    if (chunk === undefined) return false;
    socket.write(`${chunk}0\r\n\r\n`, 'latin1');
    // Node ends without a chunk of its own then.
    res.chunkedEncoding = false;
    return true;
  }

  /** Whether nothing more can be written: nobody is left, or the host has ended what we began. */
  private isEnded(): boolean {
    const { res } = this;
    return res.destroyed || this.request?.isClosed === true || res.writableEnded;
  }

  /** Waits for `drain` or for the end of the connection, whichever comes. */
  private awaitDrain(): void {
    if (isGone(this.res, this.request)) {
      setImmediate(() => this.writeNext());
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
      this.drained();
    }, STALLED_CLIENT_MS);
  }

  private drained(): void {
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
    setImmediate(() => this.writeNext());
  }
}

/** Whether nobody is left to read. The compatible API of HTTP/2 knows no `destroyed`. */
export function isGone(res: ServerResponse, request: IncomingRequest | undefined): boolean {
  return res.destroyed || request?.isClosed === true;
}

/** Whether the answer holds nothing back of what was written: else it waits for its turn, or for the host's `uncork`. */
function holdsNothing(res: ServerResponse, socket: NonNullable<ServerResponse['socket']>): boolean {
  return res.writableLength === socket.writableLength;
}

/** Lines before chunks of fewer bytes, as most are: to write a number in hexadecimal takes longer than to look it up. */
const SIZE_LINES: readonly string[] = Array.from({ length: 1_024 }, (_, size) => `${size.toString(16)}\r\n`);

/** The piece as a chunk, in latin1; `undefined` where it is too large, or its text has not a byte for each character. */
function framed(piece: string | Uint8Array): string | undefined {
  const { length } = piece;
  // A frame without bytes would be the last.
  if (length === 0 || length > FRAMED_BYTES) return undefined;
  const line = SIZE_LINES[length] ?? `${length.toString(16)}\r\n`;
  if (typeof piece !== 'string') return `${line}${latin1Of(piece)}\r\n`;
  const chunk = `${line}${piece}\r\n`;
  // Of the whole chunk, which is made one text by that: it will be written as one.
  return Buffer.byteLength(chunk) === chunk.length ? chunk : undefined;
}

function latin1Of({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}
