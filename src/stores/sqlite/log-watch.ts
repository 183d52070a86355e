import { closeSync, existsSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { resolve } from 'node:path';

/** Looks, as another process may be opening or closing the file just now. */
const LOOKS = 3;
/** Places in the index, by SQLite's description of its format: number of pages in the log, and of those copied into the file. */
const PAGES_AT = 16;
const COPIED_AT = 96;

/**
 * Checks that nobody has taken the file's log away: what it holds is committed, and the file alone lacks it.
 * @throws {Error} when the log is missing, and its index says that not all of it was copied.
 */
export function assertLogThere(file: string): void {
  const [log, index] = [`${file}-wal`, `${file}-shm`];
  // SQLite makes the log first, and deletes it last.
  for (let look = 0; look < LOOKS; look += 1) if (existsSync(log) || !existsSync(index) || existsSync(log)) return;
  // Only now: to close it frees the locks of this process on it.
  const bytes = readFileSync(index);
  if (bytes.length < COPIED_AT + 4 || readNative(bytes, PAGES_AT) <= readNative(bytes, COPIED_AT)) return;
  throw new Error(
    `${log} is missing, and with it the latest records: put it back, or close what has the file open. ` +
      `To go on without them, delete ${index}`,
  );
}

/** Reads a number in the order of bytes of this machine, as SQLite writes it there. */
function readNative(bytes: Buffer, at: number): number {
  return endianness() === 'LE' ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
}

/** Tells whether an open file still has the log that it was opened with. */
export interface LogWatch {
  /** `undefined`: it has. `gone`: somebody deleted it. `other`: and another process has begun a new one. */
  look(): 'gone' | 'other' | undefined;
  close(): void;
}

/** @param file one that is open: it has a log then, unless it is reached by a link. */
export function logWatch(file: string): LogWatch {
  const log = resolve(`${file}-wal`);
  const opened = existsSync(log) ? openSync(log, 'r') : undefined;
  return {
    look() {
      if (opened === undefined || fstatSync(opened).nlink > 0) return undefined;
      return existsSync(log) ? 'other' : 'gone';
    },
    close: () => (opened === undefined ? undefined : closeSync(opened)),
  };
}
