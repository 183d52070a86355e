import { endOfLastEvent } from './sse.js';

/** Bytes of a stream, given on only when the events that they belong to are whole. */
export interface EventBuffer {
  /** Takes the next bytes; gives all whole events, `undefined` when there is none yet. */
  take(piece: Uint8Array): Buffer | undefined;
  /** What `take` gave last, in latin1. */
  readonly text: string;
  /** Size of what waits for its end. */
  readonly heldBytes: number;
  /** What waits; nothing does afterwards. */
  rest(): Buffer;
}

/** The bytes themselves where they end with an event, as they mostly do; pieces are joined once, when their event is whole. */
export function eventBuffer(): EventBuffer {
  let held: Uint8Array[] = [];
  /** An end of lines may be cut in the middle. */
  let heldTail = '';
  const buffer = { take, text: '', heldBytes: 0, rest };

  function take(given: Uint8Array): Buffer | undefined {
    const piece = Buffer.from(given.buffer, given.byteOffset, given.byteLength);
    const text = heldTail + piece.toString('latin1');
    const end = endOfLastEvent(text) - heldTail.length;
    if (end <= 0) {
      hold(piece, text);
      return undefined;
    }
    if (held.length === 0 && end === piece.length) {
      buffer.text = text;
      return piece;
    }
    const complete = Buffer.concat([...held, piece.subarray(0, end)]);
    const left = text.slice(heldTail.length + end);
    forget();
    if (end < piece.length) hold(piece.subarray(end), left);
    buffer.text = complete.toString('latin1');
    return complete;
  }

  function hold(piece: Buffer, text: string): void {
    held.push(piece);
    buffer.heldBytes += piece.length;
    heldTail = text.slice(-3);
  }

  function forget(): void {
    held = [];
    heldTail = '';
    buffer.heldBytes = 0;
  }

  function rest(): Buffer {
    const waiting = Buffer.concat(held);
    forget();
    return waiting;
  }

  return buffer;
}
