import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { programArgs } from './compiled.js';
import { eventually, within } from './deadline.js';

/** A PostgreSQL server of a test's own, on a free port. */
export interface PostgresServer {
  readonly url: string;
  /** A pool that is ended with the server. */
  pool(config?: pg.PoolConfig): pg.Pool;
  /** A child process that runs `test/helpers/postgres-child.ts` with this database. */
  child(role: string, ...args: readonly string[]): PostgresChild;
  /** As when its machine loses its power: nothing is said, nothing is finished. */
  crash(): Promise<void>;
  start(): Promise<void>;
  /** Ends everything. */
  close(): Promise<void>;
}

export interface PostgresChild {
  /** The next line it prints. */
  line(): Promise<string>;
  send(line: string): void;
  kill(): Promise<void>;
}

/** The server refuses to run as root. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
const FOLDERS = [...(process.env.PATH ?? '').split(':'), ...debianFolders()];
const BINARIES = FOLDERS.find((folder) => existsSync(join(folder, 'initdb')) && existsSync(join(folder, 'postgres')));

/** Why tests with PostgreSQL cannot run here; `false` where they can. */
export const noPostgres: string | false =
  BINARIES === undefined ? 'PostgreSQL is not here: apt-get install postgresql' : false;
if (noPostgres !== false && process.env.CI === 'true') throw new Error(noPostgres);

/** Starts a server with an empty database. */
export async function postgresServer(): Promise<PostgresServer> {
  if (BINARIES === undefined) throw new Error(String(noPostgres));
  const folder = mkdtempSync(join(tmpdir(), 'megallm-postgres-'));
  if (NOBODY.uid !== undefined) chownSync(folder, NOBODY.uid, NOBODY.gid);
  const data = join(folder, 'data');
  const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'];
  const made = spawnSync(join(BINARIES, 'initdb'), initdb, { ...NOBODY, cwd: folder, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const pools: pg.Pool[] = [];
  const children: PostgresChild[] = [];
  let running: ChildProcess | undefined;

  async function start(): Promise<void> {
    // What is written need not outlive this machine.
    const settings = ['fsync=off', 'listen_addresses=127.0.0.1', 'unix_socket_directories=', `port=${port}`];
    const args = ['-D', data, ...settings.flatMap((setting) => ['-c', setting])];
    running = spawn(join(BINARIES ?? '', 'postgres'), args, { ...NOBODY, cwd: folder, stdio: 'ignore' });
    await eventually(answers, 'PostgreSQL answers');
  }

  async function answers(): Promise<boolean> {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => {});
    try {
      await client.connect();
      await client.end();
      return true;
    } catch {
      return false;
    }
  }

  async function stop(signal: 'SIGQUIT' | 'SIGINT'): Promise<void> {
    if (running === undefined || running.exitCode !== null) return;
    const exited = once(running, 'exit');
    running.kill(signal);
    await within(exited, 'PostgreSQL exits');
  }

  process.on('exit', () => running?.kill('SIGQUIT'));
  await start();
  return {
    url,
    pool(config) {
      const pool = new pg.Pool({ connectionString: url, ...config });
      pools.push(pool);
      return pool;
    },
    child(role, ...args) {
      const child = startChild([role, url, ...args]);
      children.push(child);
      return child;
    },
    crash: () => stop('SIGQUIT'),
    start,
    async close() {
      for (const child of children) await child.kill();
      for (const pool of pools) pool.on('error', () => {});
      try {
        await within(Promise.all(pools.filter(({ ended }) => !ended).map((pool) => pool.end())), 'the pools end');
      } finally {
        await stop('SIGINT');
        rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
      }
    },
  };
}

function startChild(args: readonly string[]): PostgresChild {
  const command = [...programArgs('test/helpers/postgres-child.ts'), ...args];
  const child = spawn(process.execPath, command, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const exit = once(child, 'exit');
  return {
    async line() {
      const { value } = await within(lines.next(), `a line of ${args[0]}`, 30_000);
      return String(value);
    },
    send: (line) => void child.stdin.write(`${line}\n`),
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await exit;
    },
  };
}

function debianFolders(): string[] {
  const root = '/usr/lib/postgresql';
  return existsSync(root) ? readdirSync(root).map((version) => join(root, version, 'bin')) : [];
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('Expected a port');
  return address.port;
}
