import { eventBuffer } from './event-buffer.js';

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
  const buffer = eventBuffer();
  let isInside = false;
  return {
    take(piece) {
      const complete = buffer.take(piece);
      const isTooLong = buffer.heldBytes > MAX_EVENT_BYTES;
      if (isTooLong || complete !== undefined) isInside = isTooLong;
      if (!isTooLong) return complete ?? NOTHING;
      return complete === undefined ? buffer.rest() : Buffer.concat([complete, buffer.rest()]);
    },
    rest: buffer.rest,
    separator: () => (isInside ? '\n\n' : ''),
  };
}
