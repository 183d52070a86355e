import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Cluster, Redis } from 'ioredis';
import type { RedisClient } from 'megallm-middleware/redis';
import { createClient } from 'redis';
import { eventually, within } from './deadline.js';

/**
 * Why tests of Redis cannot run here, for `skip`; `false`: they can. Where all must run, they run and fail.
 */
export const noRedis: string | false =
  process.env.CI !== 'true' && spawnSync('redis-server', ['--version']).status !== 0
    ? 'redis-server is not installed: apt-get install redis-server'
    : false;

/** A real Redis with nothing in it, on a free port of this machine. It saves only when it is told to. */
export interface RedisServer {
  readonly port: number;
  /** Begins again where it was killed, with what it saved last. */
  start(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGSTOP: it accepts connections and answers nothing. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  /** One command on a connection of its own. */
  command(name: string, ...args: readonly string[]): Promise<unknown>;
  ioredis(): Redis;
  /** When it was started as a cluster of one. */
  cluster(): Cluster;
  nodeRedis(): Promise<RedisClient>;
  /** Closes all clients, ends the server, deletes its files. */
  remove(): Promise<void>;
}

/** @param more options of its command line. */
export async function redisServer(more: readonly string[] = []): Promise<RedisServer> {
  const folder = mkdtempSync(join(tmpdir(), 'megallm-redis-'));
  const port = await freePort();
  const closers: (() => void)[] = [];
  let server: ChildProcess | undefined;

  async function start(): Promise<void> {
    const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'];
    // A replica need not wait for others to come.
    args.push('--repl-diskless-sync-delay', '0');
    server = spawn('redis-server', [...args, ...more], { stdio: 'ignore' });
    const failed = new Promise<never>((_resolve, reject) => server?.once('error', reject));
    await Promise.race([failed, eventually(() => answers(port), 'redis-server')]);
  }

  async function kill(): Promise<void> {
    const running = server;
    server = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exit = new Promise<void>((resolve) => running.once('exit', () => resolve()));
    running.kill('SIGKILL');
    await within(exit, 'the end of redis-server');
  }

  function ioredis(): Redis {
    const client = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 100 });
    client.on('error', () => {});
    closers.push(() => client.disconnect());
    return client;
  }

  process.on('exit', () => server?.kill('SIGKILL'));
  await start().catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  });
  return {
    port,
    start,
    kill,
    pause: () => void server?.kill('SIGSTOP'),
    resume: () => void server?.kill('SIGCONT'),
    async command(name, ...args) {
      const client = ioredis();
      try {
        return await within(Promise.resolve(client.call(name, [...args])), name);
      } finally {
        client.disconnect();
      }
    },
    ioredis,
    cluster() {
      const client = new Cluster([{ host: '127.0.0.1', port }]);
      client.on('error', () => {});
      closers.push(() => client.disconnect());
      return client;
    },
    async nodeRedis() {
      const client = createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: () => 100 } });
      client.on('error', () => {});
      closers.push(() => client.destroy());
      await within(client.connect(), 'a connection to Redis');
      return client;
    },
    async remove() {
      for (const close of closers) close();
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('No port');
  return address.port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.on('error', () => resolve(false));
    socket.on('data', (bytes) => {
      resolve(bytes.toString().startsWith('+PONG'));
      socket.destroy();
    });
  });
}
