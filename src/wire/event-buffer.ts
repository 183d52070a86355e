import { bufferOf } from '../base/bytes.js';
import { GatheredBytes } from '../base/gathered-bytes.js';
import { endOfLastEvent } from './sse.js';

/** Events longer than this are passed on in pieces. */
const MAX_HELD_BYTES = 1_048_576;

const NO_BYTES = new Uint8Array(0);

/** Holds the bytes of a stream back until the events that they belong to are whole. */
export class EventBuffer {
  private readonly held = new GatheredBytes();
  /** The last characters held: the blank line that ends an event may be cut in the middle. */
  private heldTail = '';

  /**
   * Adds the next bytes. Returns all events that are whole now, `undefined` when there are none. Bytes that end with an
   * event, as most do, are returned as they are; other pieces are joined once, when their event is whole.
   */
  addBytes(given: Uint8Array): Buffer | undefined {
    const piece = bufferOf(given);
    if (endsWithBlankLine(piece)) return this.held.size === 0 ? piece : Buffer.concat([this.releaseHeld(), piece]);
    const text = this.heldTail + piece.toString('latin1');
    const end = endOfLastEvent(text) - this.heldTail.length;
    if (end <= 0) {
      this.hold(piece, text);
      return undefined;
    }
    const left = text.slice(this.heldTail.length + end);
    // Not gathered: networks cut events in two all the time, and the rest of each would take a block of 16 KB.
    const rest = end === piece.length ? piece : piece.subarray(0, end);
    const complete = this.held.size === 0 ? rest : Buffer.concat([this.releaseHeld(), rest]);
    if (end < piece.length) this.hold(piece.subarray(end), left);
    return complete;
  }

  /** Size of the bytes that wait for the end of their event. */
  get heldBytes(): number {
    return this.held.size;
  }

  /** Gives up the bytes that wait. */
  releaseHeld(): Buffer {
    this.heldTail = '';
    return bufferOf(this.held.take());
  }

  private hold(piece: Buffer, text: string): void {
    // A copy: few bytes as a rule, which would keep all alive that came with them.
    this.held.add(Buffer.from(piece));
    this.heldTail = text.slice(-3);
  }
}

const LINE_FEED = 0x0a;

/** Whether the bytes end with an event, as most reads of an upstream do. */
function endsWithBlankLine(bytes: Uint8Array): boolean {
  return bytes[bytes.length - 1] === LINE_FEED && bytes[bytes.length - 2] === LINE_FEED;
}

/** Passes events on untouched, each only when it is whole: an event that breaks off in the middle is none. */
export class WholeEvents {
  private readonly buffer = new EventBuffer();
  /** Whether the beginning of an event was passed on whose end is still to come. */
  private isInside = false;

  get keptBytes(): number {
    return this.buffer.heldBytes;
  }

  /** Takes the next bytes of the stream. Returns the events that are whole now. */
  passBytes(piece: Uint8Array): Uint8Array {
    const { buffer } = this;
    const complete = buffer.addBytes(piece);
    const isTooLong = buffer.heldBytes > MAX_HELD_BYTES;
    if (isTooLong || complete !== undefined) this.isInside = isTooLong;
    if (!isTooLong) return complete ?? NO_BYTES;
    return complete === undefined ? buffer.releaseHeld() : Buffer.concat([complete, buffer.releaseHeld()]);
  }

  /** Gives up the bytes that are left at the end of the stream. */
  passRest(): Uint8Array {
    return this.buffer.releaseHeld();
  }

  /** Text that must stand before an event of our own, should the stream have broken off here. */
  separator(): string {
    return this.isInside ? '\n\n' : '';
  }
}
