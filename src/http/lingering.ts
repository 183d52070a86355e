import { isRecord, positiveInteger, unexpected } from '../base/checks.js';
import type { Clock } from '../base/clock.js';

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
  /** Takes a place; `false` when there is none. @param cut ends the reading, should the gateway close. */
  enter(cut: () => void): boolean;
  /** Gives the place back that was taken with the same function. */
  leave(cut: () => void): void;
}

/** The same for its gateway, which closes. */
export interface ClosingLingering extends Lingering {
  /** Lets no more in, and resolves when all have left; those that are still there when the time is up are cut. */
  close(clock: Pick<Clock, 'setTimer'>, graceMs: number): Promise<void>;
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
export function countLingering(bounds: LingeringBounds = checkedLingering()): ClosingLingering {
  const connections = new Set<() => void>();
  let isClosed = false;
  let onEmpty = (): void => {};
  return {
    bounds,
    enter(cut) {
      if (isClosed || connections.size >= bounds.maxConnections) return false;
      connections.add(cut);
      return true;
    },
    leave(cut) {
      connections.delete(cut);
      if (connections.size === 0) onEmpty();
    },
    close(clock, graceMs) {
      isClosed = true;
      if (connections.size === 0) return Promise.resolve();
      return new Promise((resolve) => {
        const cancel = clock.setTimer(() => {
          for (const cut of connections) cut();
        }, graceMs);
        onEmpty = () => {
          cancel();
          resolve();
        };
      });
    },
  };
}
