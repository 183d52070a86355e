import type { Socket } from 'node:net';
import { type Pieces, type StepSource, stepsOf } from '../../base/steps.js';
import { young } from '../../base/young.js';
import type { RequestHead } from './request-head.js';

/** The one who waits for a body to be sent. */
export interface SendingWatch {
  /** The server does not take more for now, or takes more again. */
  onServerSlow(isSlow: boolean): void;
  onSent(): void;
  onBroken(error: Error): void;
}

/**
 * Sends a request whose body comes in pieces, as slowly as the server takes them: as chunks, or as the length that was told. The head goes
 * out with the first piece, so that of a body which breaks off at once nothing arrives.
 */
export class BodySender {
  private readonly socket: Socket;
  private readonly source: StepSource<Uint8Array>;
  private readonly watch: SendingWatch;
  /** The head with its empty line, until it has gone out. */
  private head: string;
  /** Bytes of the told length that are to come; `undefined` for chunks. */
  private remaining: number | undefined;
  private isOver = false;
  private isReading = false;
  private wantsMore = false;
  private waitsForDrain = false;

  constructor(socket: Socket, { text, piecesLength }: RequestHead, body: Pieces<Uint8Array>, watch: SendingWatch) {
    this.socket = socket;
    this.head = `${text}\r\n`;
    this.source = stepsOf(body);
    this.remaining = piecesLength;
    this.watch = watch;
  }

  start(): void {
    this.readOn();
  }

  /** Whether nothing of the request has gone out, so that nothing can be an answer to it. */
  get isUnsent(): boolean {
    return this.head !== '';
  }

  /** The socket can be written to again. */
  onDrain(): void {
    if (!this.waitsForDrain || this.isOver) return;
    this.waitsForDrain = false;
    this.watch.onServerSlow(false);
    this.readOn();
  }

  /** Sends no more. */
  leave(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.source.leave();
  }

  /** A source may answer at once: a loop, as calls of each other would fill the stack. */
  private readOn(): void {
    this.wantsMore = true;
    if (this.isReading) return;
    this.isReading = true;
    while (this.wantsMore && !this.isOver) {
      this.wantsMore = false;
      this.source.read(this.onPiece, this.onFailure);
    }
    this.isReading = false;
  }

  private readonly onPiece = young((piece: Uint8Array | undefined): void => {
    if (this.isOver) return;
    if (piece === undefined) this.finish();
    else if (this.send(piece)) this.readOn();
  });

  private readonly onFailure = young((reason: unknown): void => {
    if (this.isOver) return;
    this.isOver = true;
    this.watch.onBroken(reason instanceof Error ? reason : new Error('The body broke off.', { cause: reason }));
  });

  /** @returns Whether to read on. */
  private send(piece: Uint8Array): boolean {
    // An empty chunk would end the body.
    if (piece.byteLength === 0) return true;
    if (this.remaining !== undefined) {
      this.remaining -= piece.byteLength;
      if (this.remaining < 0) return this.breakOff('The body is longer than it was told to be.');
    }
    if (this.write(piece)) return true;
    this.waitsForDrain = true;
    this.watch.onServerSlow(true);
    return false;
  }

  private write(piece: Uint8Array): boolean {
    const { socket, head } = this;
    const isChunk = this.remaining === undefined;
    const before = isChunk ? `${head}${piece.byteLength.toString(16)}\r\n` : head;
    this.head = '';
    socket.cork();
    if (before !== '') socket.write(before, 'latin1');
    let takesMore = socket.write(piece);
    if (isChunk) takesMore = socket.write('\r\n', 'latin1');
    socket.uncork();
    return takesMore;
  }

  private finish(): void {
    if (this.remaining !== undefined && this.remaining > 0) {
      this.breakOff('The body is shorter than it was told to be.');
      return;
    }
    this.isOver = true;
    const rest = this.remaining === undefined ? `${this.head}0\r\n\r\n` : this.head;
    this.head = '';
    if (rest !== '') this.socket.write(rest, 'latin1');
    this.watch.onSent();
  }

  private breakOff(message: string): false {
    this.leave();
    this.watch.onBroken(new Error(message));
    return false;
  }
}
