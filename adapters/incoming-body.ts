import type { IncomingMessage } from 'node:http';
import { iterableOf, type StepSource } from '../src/adapter.js';

/** Bytes of a body that may wait to be read before its sender is held back. */
const MAX_WAITING_BYTES = 65_536;

/** The reason that readers get when the client is gone. */
export function clientGone(): Error {
  return new Error('The client closed the connection.');
}

/**
 * The body by the request's events: Node's own iterator costs more than the rest of a request, and destroys the request
 * when it is left early. Nothing is read before the first `read`, unless it flows already.
 */
export class IncomingBody implements StepSource<Uint8Array>, AsyncIterable<Uint8Array> {
  private readonly req: IncomingMessage;
  /** Tells a sender that waits for it to go on. */
  private readonly onBegin: (() => void) | undefined;
  /** The bytes that wait: as a rule one piece. */
  private first: Uint8Array | undefined = undefined;
  private others: Uint8Array[] | undefined = undefined;
  private waitingBytes = 0;
  private state: 'unread' | 'open' | 'ended' | 'failed' | 'left' = 'unread';
  private isRead = false;
  private isHeldBack = false;
  private onStep: ((piece: Uint8Array | undefined) => void) | undefined = undefined;
  private onFailure: ((reason: unknown) => void) | undefined = undefined;
  // Bound, as V8 takes a function that is written behind the `=` of a property for one that lives long: so would all that it knows.
  private readonly onData = this.take.bind(this);
  private readonly onEnd = this.end.bind(this);
  private readonly onClose = this.fail.bind(this);

  constructor(req: IncomingMessage, onBegin?: () => void) {
    this.req = req;
    this.onBegin = onBegin;
    // A host that listens has set it flowing: what is not taken now is gone when a key store has been asked.
    if (req.readableFlowing !== null) this.attach();
  }

  read(onStep: (piece: Uint8Array | undefined) => void, onFailure: (reason: unknown) => void): void {
    this.onStep = onStep;
    this.onFailure = onFailure;
    if (!this.isRead) {
      this.isRead = true;
      this.onBegin?.();
      if (this.state === 'unread') this.attach();
    }
    this.tell();
    if (this.onStep !== undefined && !this.req.readableFlowing) this.resume();
  }

  leave(): void {
    if (this.detach()) this.req.pause();
  }

  /** Lets go of a request that the host answers. */
  handBack(): void {
    if (this.detach() && this.isHeldBack) this.resume();
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return iterableOf(this)[Symbol.asyncIterator]();
  }

  private attach(): void {
    this.state = 'open';
    this.req.on('data', this.onData).on('end', this.onEnd).on('close', this.onClose).on('error', this.onClose);
  }

  private detach(): boolean {
    const wasOpen = this.state === 'open';
    this.state = 'left';
    this.onStep = undefined;
    this.first = undefined;
    this.others = undefined;
    if (wasOpen) this.req.off('data', this.onData).off('end', this.onEnd).off('close', this.onClose);
    return wasOpen;
  }

  private resume(): void {
    this.isHeldBack = false;
    this.req.resume();
  }

  /** Hands a waiting reader the bytes or the end that have arrived. */
  private tell(): void {
    const onStep = this.onStep;
    if (onStep === undefined) return;
    const { first, others } = this;
    if (first === undefined) {
      if (this.state === 'open') return;
      this.onStep = undefined;
      if (this.state === 'failed') this.onFailure?.(clientGone());
      else onStep(undefined);
      return;
    }
    // A body that is there in full goes in one piece: its end is an event of this very turn.
    if (this.req.complete && this.state === 'open' && !this.isHeldBack) return;
    const piece = others === undefined ? first : Buffer.concat([first, ...others]);
    this.first = undefined;
    this.others = undefined;
    this.waitingBytes = 0;
    this.onStep = undefined;
    onStep(piece);
  }

  private take(given: Uint8Array | string): void {
    // Strings, where the host has set an encoding.
    const piece = typeof given === 'string' ? Buffer.from(given, this.req.readableEncoding ?? 'utf8') : given;
    if (this.first === undefined) this.first = piece;
    else {
      this.others ??= [];
      this.others.push(piece);
    }
    this.waitingBytes += piece.byteLength;
    if (this.waitingBytes > MAX_WAITING_BYTES && this.onStep === undefined) {
      this.isHeldBack = true;
      this.req.pause();
    }
    this.tell();
  }

  private end(): void {
    if (this.state === 'open') this.state = 'ended';
    this.tell();
  }

  private fail(): void {
    if (this.state === 'open') this.state = 'failed';
    this.tell();
  }
}
