import { setTimeout as sleep } from 'node:timers/promises';
import { DEADLINE_MS, eventually, within } from '../helpers/deadline.js';
import { range } from '../helpers/in-parallel.js';
import { chaosPlan, chaosUpstream, type UpstreamBook } from './chaos-upstream.js';
import { type ClientEntry, type ClientTarget, callOrder, makeCall, newAgent } from './clients.js';
import { type Dice, dice } from './dice.js';
import { MODELS, type SceneKey, WIDE, writeKeys } from './scene.js';
import type { ServerFolder, ServerOrder, ServerProcess } from './server-process.js';

/** How a server is brought down again and again. */
export interface CrashOptions {
  readonly folder: ServerFolder;
  readonly file: string;
  readonly seed: number;
  /** So many servers, one after the other, on the same file. After them, one more is started and ended in peace. */
  readonly ends: number;
  /** `SIGKILL`: at any instant. `SIGTERM`: under load, and calls that run may end. */
  readonly signal: 'SIGKILL' | 'SIGTERM';
  readonly clients: number;
}

export interface CrashRun {
  readonly clients: readonly ClientEntry[];
  readonly upstream: UpstreamBook;
  readonly keys: readonly SceneKey[];
  /** Processes that were killed before they listened. */
  readonly endedEarly: number;
  /** What the servers said of errors, but for those that the upstream makes on purpose. */
  readonly errors: readonly string[];
}

const ON_PURPOSE = /The upstream answered 500: No luck|The server closed the connection/;

/** `max_tokens` of the first call: more than any answer has. */
const FIRST_ID = 10_000;
const TIMEOUT_MS = 20_000;
/** Of kills that hit a process while it starts and recovers what the one before it left. */
const EARLY_SHARE = 0.15;
/** One in so many gets the time to answer many calls, however slow the machine is. */
const LONG_EVERY = 7;
const LONG_ANSWERS = 60;

/** Clients call, servers die: what clients and upstream saw of it. */
export async function crashRun({ folder, file, seed, ends, signal, clients }: CrashOptions): Promise<CrashRun> {
  const chance = dice(seed);
  const keys = await writeKeys(
    file,
    range(clients).map((index) => ({ id: `key-${index}`, owner: `owner-${index % 4}`, tier: 'wide' })),
  );
  const upstream = await chaosUpstream(chaosPlan(dice(seed + 1)));
  const order: ServerOrder = {
    ...{ file, upstream: upstream.baseUrl, tiers: { wide: WIDE }, models: MODELS, timeoutMs: TIMEOUT_MS },
  };
  const made: ClientEntry[] = [];
  const errors: string[] = [];
  let endedEarly = 0;
  let spare = folder.start();
  try {
    for (let epoch = 0; epoch <= ends; epoch += 1) {
      const server = spare;
      if (epoch < ends) spare = folder.start();
      const isLast = epoch === ends;
      const isLong = epoch % LONG_EVERY === 1;
      const isEarly = !isLast && !isLong && signal === 'SIGKILL' && chance.chance(EARLY_SHARE);
      if (isEarly) void sleep(chance.between(0, 100)).then(() => server.kill('SIGKILL'));
      const port = await portOf(server, order, isEarly);
      if (port === undefined) endedEarly += 1;
      else {
        const target = { port, agent: newAgent(), epoch };
        const first = made.length;
        const working = callInTurns(target, { server, chance, keys, made });
        if (isLong) await answered(made, first, LONG_ANSWERS);
        if (!isEarly) void sleep(chance.between(0, 300)).then(() => server.kill(isLast ? 'SIGTERM' : signal));
        await within(working, `the clients of server ${epoch} to be done`, 2 * DEADLINE_MS);
        target.agent.destroy();
      }
      await within(server.ended, `the end of server ${epoch}`, 2 * DEADLINE_MS);
      errors.push(...server.errors.filter((text) => !ON_PURPOSE.test(text)));
    }
  } finally {
    await upstream.close();
  }
  return { clients: made, upstream: upstream.book, keys, endedEarly, errors };
}

/** Resolves when so many of the calls that were made after the first ones have been answered. */
function answered(made: readonly ClientEntry[], first: number, count: number): Promise<void> {
  const complete = (): number => made.slice(first).filter(({ end }) => end === 'complete').length;
  return eventually(
    () => complete() >= count,
    () => `${count} answers, not ${complete()}`,
    2 * DEADLINE_MS,
  );
}

/** `undefined`: it was killed first. */
async function portOf(server: ServerProcess, order: ServerOrder, isEarly: boolean): Promise<number | undefined> {
  try {
    return await server.serve(order);
  } catch (error) {
    if (isEarly) return undefined;
    throw error;
  }
}

interface Calling {
  readonly server: ServerProcess;
  readonly chance: Dice;
  readonly keys: readonly SceneKey[];
  /** Where all calls are entered, when they begin. */
  readonly made: ClientEntry[];
}

/** Each client makes one call after the other, until one is broken off or the server is gone. */
async function callInTurns(target: ClientTarget, { server, chance, keys, made }: Calling): Promise<void> {
  let isOver = false;
  void server.ended.then(() => {
    isOver = true;
  });
  await Promise.all(
    keys.map(async (key) => {
      while (!isOver) {
        const { entry, over } = makeCall(target, callOrder(chance, FIRST_ID + made.length, key));
        made.push(entry);
        await over;
        if (entry.end === 'broken' || entry.status === 503) return;
      }
    }),
  );
}
