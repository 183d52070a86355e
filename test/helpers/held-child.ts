import { readdirSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { dirname, join } from 'node:path';
import { type ApiKey, type GatewayOptions, http, memoryKeys } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { type SqliteStoreOptions, sqliteStore } from 'megallm-middleware/sqlite';

/** How a host is set up that has a process, and so a memory, of its own. */
export interface HeldHost {
  readonly baseUrl: string;
  readonly secret: string;
  /** Limits of the key, in place of those of the tier `basic`. */
  readonly limits?: ApiKey['limits'];
  /** Its stores are in a file; without it, in memory. */
  readonly sqlite?: SqliteStoreOptions;
  readonly options?: Partial<GatewayOptions>;
}

/** Bytes above those of the idle process, garbage left out; on disk, all. */
export interface Held {
  readonly now: number;
  readonly peak: number;
  readonly disk: number;
}

const { baseUrl, secret, limits, sqlite, options }: HeldHost = JSON.parse(process.argv[2] ?? '');
const store = sqlite === undefined ? {} : { store: await sqliteStore(sqlite) };
const server = createServer(
  megallm({
    upstream: http({ baseUrl, apiKey: 'sk-upstream' }),
    keys: memoryKeys([{ secret, id: 'key_test', tier: 'basic', ...(limits === undefined ? {} : { limits }) }]),
    environment: {},
    hooks: { onError() {} },
    ...store,
    ...options,
  }),
);

function held(): number {
  // The first leaves buffers that are swept beside it; on a busy machine 30 MB were still counted. The second waits for them.
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function onDisk(): number {
  if (sqlite === undefined) return 0;
  const folder = dirname(sqlite.file);
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

let idle = 0;
let peak = 0;

function look(): Held {
  const now = held() - idle;
  peak = Math.max(peak, now);
  return { now, peak, disk: onDisk() };
}

/** Looking takes a part of the time only, however much there is to look at. */
function keepLooking(): void {
  const began = performance.now();
  look();
  setTimeout(keepLooking, Math.max(20, 2 * (performance.now() - began)));
}

process.on('message', (message) => {
  if (message === 'idle') {
    idle = held();
    peak = 0;
  }
  process.send?.(look());
  // Peaks are those since the last question.
  if (message === 'begin') peak = 0;
});
process.on('disconnect', () => process.exit());
keepLooking();
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
});
