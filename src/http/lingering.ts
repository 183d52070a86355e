import { isRecord, positiveInteger, unexpected } from '../base/checks.js';

/** Bounds of what is read and dropped after an answer that came before the end of its request. */
export interface LingeringOptions {
  /** Longest wait for the next byte. @default 5_000 */
  readonly idleMs?: number | undefined;
  /** Longest time in all. @default 30_000 */
  readonly totalMs?: number | undefined;
  /** Most bytes of one connection. @default 67_108_864 */
  readonly maxBytes?: number | undefined;
  /** Most connections at once; further ones are closed with their answer. @default 256 */
  readonly maxConnections?: number | undefined;
}

/** The bounds, all there. */
export type LingeringBounds = { readonly [Name in keyof LingeringOptions]-?: number };

/** Connections of one gateway that were answered early and still send. */
export interface Lingering {
  readonly bounds: LingeringBounds;
  /** Takes a place; `false` when there is none. */
  enter(): boolean;
  /** Gives a place back. */
  leave(): void;
}

/** Checks the bounds and fills them in. @throws {TypeError} for an unknown name or anything but positive integers. */
export function checkedLingering(given: LingeringOptions = {}): LingeringBounds {
  if (!isRecord(given)) throw unexpected('lingering', 'to be bounds', given);
  const { idleMs = 5_000, totalMs = 30_000, maxBytes = 67_108_864, maxConnections = 256, ...unknown } = given;
  const [name] = Object.keys(unknown);
  if (name !== undefined) throw new TypeError(`Unknown option \`lingering.${name}\``);
  return {
    idleMs: positiveInteger('lingering.idleMs', idleMs),
    totalMs: positiveInteger('lingering.totalMs', totalMs),
    maxBytes: positiveInteger('lingering.maxBytes', maxBytes),
    maxConnections: positiveInteger('lingering.maxConnections', maxConnections),
  };
}

/** Makes the count of one gateway's lingering connections. */
export function countLingering(bounds: LingeringBounds = checkedLingering()): Lingering {
  let connections = 0;
  return {
    bounds,
    enter() {
      if (connections >= bounds.maxConnections) return false;
      connections += 1;
      return true;
    },
    leave() {
      connections -= 1;
    },
  };
}
