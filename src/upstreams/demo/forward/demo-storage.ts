import type { Clock } from '../../../base/clock.js';
import type { DemoBounds } from './demo-bounds.js';
import { storageFull } from './forward-errors.js';
import { type Shelf, shelf } from './shelf.js';

/** A file as it is kept. */
export interface StoredFile {
  readonly id: string;
  readonly purpose: string;
  readonly filename: string;
  readonly bytes: Buffer;
  /** Unix time in seconds. */
  readonly createdAt: number;
  /** Unix time in seconds. `undefined`: never. */
  readonly expiresAt: number | undefined;
}

/** What the endpoints share. */
export interface DemoStorage {
  readonly bounds: DemoBounds;
  readonly files: Shelf<StoredFile>;
  /** Keeps a copy of the bytes. @throws {GatewayError} 400 when there is no room. */
  addFile(seed: string, file: Omit<StoredFile, 'id' | 'createdAt'>): StoredFile;
  /** Whoever else keeps bytes says how many, whenever it is asked. */
  alsoKeeps(bytes: () => number): void;
  /** @throws {GatewayError} 400 when so many bytes more do not fit. */
  requireRoom(bytes: number): void;
  /** Unix time in whole seconds, as OpenAI gives all its times. */
  nowSeconds(): number;
}

export function demoStorage(bounds: DemoBounds, clock: Clock): DemoStorage {
  const nowSeconds = (): number => Math.floor(clock.wallMs() / 1000);
  const files = shelf<StoredFile>({
    prefix: 'file-',
    max: bounds.maxFiles,
    what: 'files',
    isGone: ({ expiresAt }) => expiresAt !== undefined && expiresAt <= nowSeconds(),
  });
  const keepers = [() => files.all().reduce((sum, { bytes }) => sum + bytes.length, 0)];
  const requireRoom = (bytes: number): void => {
    const kept = keepers.reduce((sum, kept) => sum + kept(), 0);
    if (kept + bytes > bounds.maxStoredBytes) throw storageFull(`${bounds.maxStoredBytes} bytes`);
  };
  return {
    bounds,
    files,
    addFile(seed, file) {
      requireRoom(file.bytes.length);
      // A view would keep the whole body alive that the file came in.
      const bytes = Buffer.from(file.bytes);
      return files.add(seed, (id) => ({ ...file, id, bytes, createdAt: nowSeconds() }));
    },
    alsoKeeps: (bytes) => void keepers.push(bytes),
    requireRoom,
    nowSeconds,
  };
}
