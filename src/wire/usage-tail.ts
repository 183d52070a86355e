import { readUsage, type TokenUsage } from './usage.js';

/** Usage as it is found at the end of an answer that nobody reads. */
export interface UsageTail {
  take(piece: Uint8Array): void;
  /** What the end says; `undefined` when it says nothing. */
  read(): TokenUsage | undefined;
}

/** Enough for the usage object and what comes after it. */
const TAIL_BYTES = 4_096;

/** An object without more than one level of objects inside, as all usage is. */
const USAGE = /"usage"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})/g;

/** Watches the end of JSON and of events; pictures and sounds have none. */
export function usageInTail(contentType: string): UsageTail {
  if (!/json|event-stream/i.test(contentType)) return { take: () => {}, read: () => undefined };
  let tail = '';
  return {
    take(piece) {
      const end = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)
        .subarray(-TAIL_BYTES)
        .toString('latin1');
      tail = (tail + end).slice(-TAIL_BYTES);
    },
    read() {
      const last = [...tail.matchAll(USAGE)].at(-1)?.[1];
      if (last === undefined) return undefined;
      try {
        return readUsage(JSON.parse(last));
      } catch {
        return undefined;
      }
    },
  };
}
