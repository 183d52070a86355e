import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SqliteStore, type SqliteStoreOptions, sqliteStore } from 'megallm-middleware/sqlite';
import { type Connect, driverAt, findDriver } from '../../src/stores/sqlite/driver.js';
import { programArgs } from './compiled.js';
import { within } from './deadline.js';
import { shiftedWall } from './shifted-wall.js';

/** A folder for one test's files, and all that was opened there. */
export interface SqliteFolder {
  /** Where the file is. */
  path(name: string): string;
  open(name: string, options?: Partial<SqliteStoreOptions>): Promise<SqliteStore>;
  /** A child process that runs `test/helpers/sqlite-child.ts`. */
  child(...args: readonly string[]): SqliteChild;
  /** One whose wall clock is off by so many milliseconds. */
  shiftedChild(shiftMs: number, ...args: readonly string[]): SqliteChild;
  /** Closes what is open, ends the children, deletes the files. */
  remove(): Promise<void>;
}

export interface SqliteChild {
  readonly process: ChildProcess;
  /** The next line it prints. */
  line(): Promise<string>;
  send(line: string): void;
  /** Resolves when it has ended. */
  ended(): Promise<void>;
  kill(): Promise<void>;
}

export function sqliteFolder(): SqliteFolder {
  const folder = mkdtempSync(join(tmpdir(), 'megallm-sqlite-'));
  const stores: SqliteStore[] = [];
  const children: SqliteChild[] = [];
  const path = (name: string): string => join(folder, name);
  function keep(child: SqliteChild): SqliteChild {
    children.push(child);
    return child;
  }
  return {
    path,
    async open(name, options = {}) {
      const store = await sqliteStore({ file: path(name), ...options });
      stores.push(store);
      return store;
    },
    child: (...args) => keep(startChild(args)),
    shiftedChild: (shiftMs, ...args) => keep(startChild(args, shiftedWall(shiftMs))),
    async remove() {
      for (const child of children) await child.kill();
      for (const store of stores) await store.close().catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** SQLite, for tests of what uses it. */
export async function loadDriver(): Promise<Connect> {
  return driverAt(await findDriver());
}

/** A connection past the store, to look at the file or to do it harm. */
export async function connectTo(file: string): Promise<ReturnType<Connect>> {
  const db = (await loadDriver())(file);
  db.exec('PRAGMA busy_timeout = 5000');
  return db;
}

function startChild(args: readonly string[], env = process.env): SqliteChild {
  const command = [...programArgs('test/helpers/sqlite-child.ts'), ...args];
  const child = spawn(process.execPath, command, { stdio: ['pipe', 'pipe', 'inherit'], env });
  const lines: string[] = [];
  const waiting: ((line: string) => void)[] = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) {
      const next = waiting.shift();
      if (next === undefined) lines.push(line);
      else next(line);
    }
  });
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    process: child,
    line() {
      const line = lines.shift();
      if (line !== undefined) return Promise.resolve(line);
      return within(new Promise((resolve) => waiting.push(resolve)), `a line of ${args[0]}`, 30_000);
    },
    send: (line) => void child.stdin.write(`${line}\n`),
    ended: () => within(exit, `the end of ${args[0]}`, 60_000),
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exit;
    },
  };
}
