import { endOfLastEvent } from './sse.js';

/** Events on their way, untouched, none given before it is whole: one that breaks off in the middle is no event. */
export interface WholeEvents {
  /** Takes the next bytes; gives those of events that are whole with them. */
  take(piece: Uint8Array): Uint8Array;
  /** What is left at the end. */
  rest(): Uint8Array;
  /** What has to come before another event, should the stream have broken off here. */
  separator(): string;
}

/** A longer event goes on in pieces. */
const MAX_EVENT_BYTES = 1_048_576;

const NOTHING = new Uint8Array(0);

export function wholeEvents(): WholeEvents {
  let held: Uint8Array = NOTHING;
  let isInside = false;

  function give(bytes: Uint8Array, end: number): Uint8Array {
    held = bytes.subarray(end);
    return bytes.subarray(0, end);
  }

  return {
    take(piece) {
      const bytes = held.byteLength === 0 ? piece : Buffer.concat([held, piece]);
      const end = endOfLastEvent(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'));
      const isTooLong = bytes.byteLength - end > MAX_EVENT_BYTES;
      if (isTooLong || end > 0) isInside = isTooLong;
      return give(bytes, isTooLong ? bytes.byteLength : end);
    },
    rest: () => give(held, held.byteLength),
    separator: () => (isInside ? '\n\n' : ''),
  };
}
