import { createHash } from 'node:crypto';
import type { PageOptions } from '../../../wire/list-page.js';
import { storageFull } from './forward-errors.js';

/** Objects of one kind by their ids, in the order in which they came, bounded in number. */
export interface Shelf<T extends Shelved> {
  /** @param seed what the id is derived from, such as the request id. @throws {GatewayError} 400 when it is full. */
  add(seed: string, make: (id: string) => T): T;
  find(id: string): T | undefined;
  /** Puts the new state of an object in the old one's place; nothing happens when that is gone. */
  replace(item: T): void;
  /** Whether there was one. */
  delete(id: string): boolean;
  /** Oldest first. */
  all(): readonly T[];
}

export interface Shelved {
  readonly id: string;
}

export interface ShelfOptions<T> {
  /** How its ids begin, such as `file-`. */
  readonly prefix: string;
  readonly max: number;
  /** For the error, such as `files`. */
  readonly what: string;
  /** Whether it is as good as deleted, having expired. @default never */
  readonly isGone?: (item: T) => boolean;
  /** Whether it may be dropped to make room. @default never */
  readonly mayGo?: (item: T) => boolean;
}

export function shelf<T extends Shelved>(options: ShelfOptions<T>): Shelf<T> {
  const { prefix, max, what, isGone = () => false, mayGo = () => false } = options;
  const items = new Map<string, T>();
  let added = 0;
  const all = (): readonly T[] => {
    for (const item of items.values()) if (isGone(item)) items.delete(item.id);
    return [...items.values()];
  };
  return {
    add(seed, make) {
      if (all().length >= max) {
        const oldest = [...items.values()].find(mayGo);
        if (oldest === undefined) throw storageFull(`${max} ${what}`);
        items.delete(oldest.id);
      }
      added += 1;
      const item = make(objectId(prefix, added, seed));
      items.set(item.id, item);
      return item;
    },
    find(id) {
      const item = items.get(id);
      return item === undefined || isGone(item) ? undefined : item;
    },
    replace(item) {
      if (items.has(item.id)) items.set(item.id, item);
    },
    delete: (id) => items.delete(id),
    all,
  };
}

/** How what lies on shelves is listed: newest first, and a page may begin after an object that was deleted meanwhile. */
export const SHELF_PAGES: PageOptions = { defaultOrder: 'desc', orderOf };

/** The number of an object among its kind, which its id begins with. `undefined`: no id of ours. */
function orderOf(id: string): number | undefined {
  const digits = /[-_]([0-9a-f]{8})[0-9a-f]{16}$/.exec(id)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/** The seed keeps the ids of one process apart from those of the next, whose numbers begin anew. */
function objectId(prefix: string, order: number, seed: string): string {
  const digest = createHash('sha256').update(`${prefix}${order}/${seed}`).digest('hex');
  return `${prefix}${order.toString(16).padStart(8, '0')}${digest.slice(0, 16)}`;
}
