import type { Awaitable } from '../base/awaitable.js';
import { type Cancellation, reasonOf } from '../base/cancellation.js';
import type { Clock } from '../base/clock.js';
import { Counts } from '../base/counts.js';
import { unavailable } from '../base/errors.js';
import { iterableOf, type StepSource } from '../base/steps.js';
import { tooManyBytes } from '../wire/request-errors.js';
import type { GatewayResponse } from './exchange.js';

/** Bounds of the bytes of request bodies and unread answers that are in memory at once. */
export interface HeldBounds {
  readonly maxHeldBytesPerKey: number;
  readonly maxHeldBytes: number;
}

/** Largest answer that is written at once and not counted: limits of requests bound how many there are. */
const SMALL_BYTES = 262_144;
const PIECE_BYTES = 65_536;
/** Longest wait for room. Whoever holds bytes meanwhile may wait for nobody, but be slow. */
const MAX_WAIT_MS = 10_000;

/** A wish for room. */
export interface WantedBytes {
  readonly keyId: string;
  readonly bytes: number;
  /** Bytes that the wisher holds already. */
  readonly own: number;
  /** Ends the wait. */
  readonly cancellation: Cancellation;
  readonly clock: Pick<Clock, 'setTimer'>;
  /** Called as soon as the bytes are counted. */
  onHeld(): void;
}

interface Waiting {
  readonly wanted: WantedBytes;
  readonly refusal: unknown;
  end(error: unknown): void;
}

/** The bytes that one gateway holds, by key and in all. */
export class HeldBytes {
  private readonly bounds: HeldBounds;
  private readonly byKey = new Counts();
  private total = 0;
  /** In the order in which they came. */
  private readonly waiting = new Set<Waiting>();

  constructor(bounds: HeldBounds) {
    this.bounds = bounds;
  }

  /**
   * Refuses bytes for which there is no room.
   * @throws {GatewayError} 429 where the key holds too much, 503 where all of them do.
   */
  check(keyId: string, bytes: number): void {
    if (this.isKeyFull(keyId, bytes)) throw tooManyBytes();
    if (this.isFull(bytes)) {
      throw unavailable('overloaded', 'The server is holding too many bytes of requests and answers. Please retry.');
    }
  }

  private isKeyFull(keyId: string, bytes: number): boolean {
    return this.byKey.of(keyId) + bytes > this.bounds.maxHeldBytesPerKey;
  }

  private isFull(bytes: number): boolean {
    return this.total + bytes > this.bounds.maxHeldBytes;
  }

  /** Counts bytes that are there, whether there is room or not. */
  add(keyId: string, bytes: number): void {
    this.byKey.add(keyId, bytes);
    this.total += bytes;
  }

  /**
   * Adds bytes as soon as there is room. While somebody waits, the upstream whose bytes they are is held back. Those who wait
   * only for one another would wait for ever: one of them is refused. One that is alone always finds room: what a
   * single call may hold has bounds of its own.
   * @throws {GatewayError} as `check`, at once or after ten seconds; the cancellation's reason.
   */
  addInTime(wanted: WantedBytes): Awaitable<void> {
    const { keyId, bytes, cancellation } = wanted;
    try {
      this.checkFor(wanted);
    } catch (error) {
      // Who is told of nothing any more would get bytes that nobody gives back.
      if (cancellation.aborted) throw reasonOf(cancellation);
      if (!this.mayFindRoom(wanted)) throw error;
      const waiting = this.wait(wanted, error);
      this.refuseOneOfEachOther(keyId);
      return waiting;
    }
    this.add(keyId, bytes);
    wanted.onHeld();
  }

  private checkFor(wanted: WantedBytes): void {
    if (!this.isAlone(wanted)) this.check(wanted.keyId, wanted.bytes);
  }

  private isAlone({ keyId, bytes, own }: WantedBytes): boolean {
    return this.byKey.of(keyId) <= own && (this.total <= own || !this.isFull(bytes));
  }

  /** Whether there is anybody else to wait for. */
  private mayFindRoom({ keyId, bytes, own }: WantedBytes): boolean {
    if (this.isKeyFull(keyId, bytes)) return true;
    let others = this.total - own;
    for (const { wanted } of this.waiting) others -= wanted.own;
    return others > 0;
  }

  private wait(wanted: WantedBytes, refusal: unknown): Promise<void> {
    return new Promise((resolve, reject) => {
      const { cancellation } = wanted;
      const onAbort = (): void => one.end(reasonOf(cancellation));
      const one: Waiting = {
        wanted,
        refusal,
        end: (error) => {
          this.waiting.delete(one);
          cancel();
          cancellation.removeEventListener('abort', onAbort);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const cancel = wanted.clock.setTimer(() => one.end(refusal), MAX_WAIT_MS);
      cancellation.addEventListener('abort', onAbort);
      this.waiting.add(one);
    });
  }

  private serveWaiting(): void {
    for (const one of this.waiting) {
      const { keyId, bytes, onHeld } = one.wanted;
      // Not by `check`: an error for each that waits, at each end of anybody's call, would take milliseconds.
      if (!this.isAlone(one.wanted) && (this.isKeyFull(keyId, bytes) || this.isFull(bytes))) continue;
      this.add(keyId, bytes);
      onHeld();
      one.end(undefined);
    }
  }

  /**
   * Ends the wait of one of those of a key who wait for one another alone: of the last of those who hold least. What it gives back
   * may be enough for the others; one that holds nothing gives nothing back, and is not the only one.
   */
  private refuseOneOfEachOther(keyId: string): void {
    for (let refused = this.leastOfEachOther(keyId); refused !== undefined; refused = this.leastOfEachOther(keyId)) {
      refused.end(refused.refusal);
      if (refused.wanted.own > 0) return;
    }
  }

  private leastOfEachOther(keyId: string): Waiting | undefined {
    let own = 0;
    let isShort = false;
    let least: Waiting | undefined;
    for (const one of this.waiting) {
      const { wanted } = one;
      if (wanted.keyId !== keyId) continue;
      own += wanted.own;
      isShort ||= this.isKeyFull(keyId, wanted.bytes);
      if (least === undefined || wanted.own <= least.wanted.own) least = one;
    }
    // Else others hold some, or the room that is short is everybody's.
    return isShort && own >= this.byKey.of(keyId) ? least : undefined;
  }

  remove(keyId: string, bytes: number): void {
    this.byKey.add(keyId, -bytes);
    this.total = Math.max(0, this.total - bytes);
    if (this.waiting.size === 0) return;
    this.serveWaiting();
    this.refuseOneOfEachOther(keyId);
  }

  /** The same answer; a large one is counted until its client has taken it, and comes in pieces. */
  holdAnswer(response: GatewayResponse, keyId: string): GatewayResponse {
    const { status, headers, body } = response;
    if (typeof body !== 'string' && !(body instanceof Uint8Array)) return response;
    if (body.length <= SMALL_BYTES) return response;
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    this.add(keyId, bytes.byteLength);
    const source = new HeldAnswer(bytes, () => this.remove(keyId, bytes.byteLength));
    return { status, headers, body: Object.assign(source, iterableOf(source)) };
  }
}

/** A whole answer on its way out, a piece at a time. */
class HeldAnswer implements StepSource<Uint8Array> {
  private bytes: Uint8Array;
  private readonly onOver: () => void;
  private at = 0;
  private isOver = false;

  constructor(bytes: Uint8Array, onOver: () => void) {
    this.bytes = bytes;
    this.onOver = onOver;
  }

  read(onStep: (piece: Uint8Array | undefined) => void): void {
    if (this.at >= this.bytes.byteLength) {
      this.leave();
      onStep(undefined);
      return;
    }
    const piece = this.bytes.subarray(this.at, this.at + PIECE_BYTES);
    this.at += PIECE_BYTES;
    onStep(piece);
  }

  leave(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.at = 0;
    this.bytes = new Uint8Array(0);
    this.onOver();
  }
}
