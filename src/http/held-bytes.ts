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
/** Keys without any bytes up to which none is forgotten: making and dropping entries would be garbage of every call. */
const MAX_EMPTY_KEYS = 1_024;

/** The bytes that one gateway holds, by key and in all. */
export class HeldBytes {
  private readonly bounds: HeldBounds;
  private readonly byKey = new Map<string, number>();
  private total = 0;

  constructor(bounds: HeldBounds) {
    this.bounds = bounds;
  }

  /**
   * Refuses bytes for which there is no room.
   * @throws {GatewayError} 429 where the key holds too much, 503 where all of them do.
   */
  check(keyId: string, bytes: number): void {
    const { maxHeldBytesPerKey, maxHeldBytes } = this.bounds;
    if ((this.byKey.get(keyId) ?? 0) + bytes > maxHeldBytesPerKey) throw tooManyBytes();
    if (this.total + bytes > maxHeldBytes) {
      throw unavailable('overloaded', 'The server is holding too many bytes of requests and answers. Please retry.');
    }
  }

  /** Counts bytes that are there, whether there is room or not. */
  add(keyId: string, bytes: number): void {
    this.byKey.set(keyId, (this.byKey.get(keyId) ?? 0) + bytes);
    this.total += bytes;
  }

  remove(keyId: string, bytes: number): void {
    const left = (this.byKey.get(keyId) ?? 0) - bytes;
    if (left <= 0 && this.byKey.size > MAX_EMPTY_KEYS) this.byKey.delete(keyId);
    else this.byKey.set(keyId, Math.max(0, left));
    this.total = Math.max(0, this.total - bytes);
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
