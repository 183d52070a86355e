import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { verifySums } from 'megallm-middleware/sqlite';
import { range } from '../helpers/in-parallel.js';
import { type ChaosUpstream, chaosUpstream } from './chaos-upstream.js';
import { type ClientEntry, type ClientTarget, makeCall, newAgent } from './clients.js';
import { readRows } from './read-file.js';
import { MODELS, type SceneKey, writeKeys } from './scene.js';
import { type ServerFolder, serverFolder } from './server-process.js';

const PROCESSES = 4;
const CLIENTS_EACH = 15;
const OUTPUT_TOKENS = 1_000;
const REQUESTS = 150;
const TOKENS = 100_000;
const PLACES = 7;
/** A hundred calls at a cent. */
const BUDGET_CALLS = 100;

const TIERS = {
  requests: { requestsPerMinute: REQUESTS },
  tokens: { tokensPerMinute: TOKENS },
  places: { concurrency: PLACES },
  budget: { usdPerMonth: BUDGET_CALLS * 0.01 },
};

describe('four processes share one file, and one owner calls all of them at once', { timeout: 110_000 }, () => {
  let folder: ServerFolder;
  let upstream: ChaosUpstream;
  let file: string;
  let targets: readonly ClientTarget[] = [];
  let callers: ReadonlyMap<string | undefined, SceneKey>;

  before(async () => {
    folder = await serverFolder();
    upstream = await chaosUpstream(() => ({
      ...{ completionTokens: OUTPUT_TOKENS, promptTokens: 1, tokensPerPiece: OUTPUT_TOKENS, fault: undefined },
      pauseMs: () => 3,
    }));
    file = join(folder.path, 'raced.db');
    const keys = await writeKeys(
      file,
      Object.keys(TIERS).map((tier) => ({ id: `key-${tier}`, owner: tier, tier })),
    );
    callers = new Map(keys.map((made) => [made.key.tier, made]));
    const order = { file, upstream: upstream.baseUrl, tiers: TIERS, models: MODELS, timeoutMs: 20_000 };
    const ports = await Promise.all(range(PROCESSES).map(() => folder.start().serve(order)));
    targets = ports.map((port, epoch) => ({ port, agent: newAgent(), epoch }));
  });
  after(async () => {
    for (const { agent } of targets) agent.destroy();
    await upstream.close();
    await folder.remove();
  });

  /** So many calls of the tier's owner, by many clients of all processes. */
  async function hammer(tier: keyof typeof TIERS, calls: number): Promise<{ entries: ClientEntry[]; spanMs: number }> {
    const caller = callers.get(tier);
    assert.ok(caller !== undefined);
    const entries: ClientEntry[] = [];
    const startedAt = performance.now();
    const clients = range(PROCESSES * CLIENTS_EACH).map(async (client) => {
      const target = targets[client % PROCESSES];
      assert.ok(target !== undefined);
      while (entries.length < calls) {
        const order = {
          id: OUTPUT_TOKENS,
          model: 'raced',
          caller,
          isStream: client % 3 === 0,
          leaveMs: undefined,
        } as const;
        const { entry, over } = makeCall(target, order);
        entries.push(entry);
        await over;
      }
    });
    await Promise.all(clients);
    for (const { end, status } of entries) assert.ok(end === 'complete' || status === 429, `${end} ${status}`);
    return { entries, spanMs: performance.now() - startedAt };
  }

  const completeOf = (entries: readonly ClientEntry[]): number =>
    entries.filter(({ end }) => end === 'complete').length;
  const askedSoFar = (): number => upstream.book.get(OUTPUT_TOKENS)?.asked ?? 0;

  it('a budget pays for exactly what it is worth', async () => {
    const before = askedSoFar();
    const { entries } = await hammer('budget', 4 * BUDGET_CALLS);
    assert.equal(completeOf(entries), BUDGET_CALLS);
    assert.equal(askedSoFar() - before, BUDGET_CALLS);
    const rows = readRows(file).filter(({ keyId }) => keyId === 'key-budget');
    const nanoUsd = rows.reduce((sum, row) => sum + (row.costNanoUsd ?? 0), 0);
    assert.deepEqual([rows.length, nanoUsd], [BUDGET_CALLS, TIERS.budget.usdPerMonth * 1e9]);
  });

  it('no more calls run at once than there are places, and all places are used', async () => {
    const mostRunning = upstream.watchRunning(PLACES);
    const { entries } = await hammer('places', 1_500);
    assert.ok(completeOf(entries) > PLACES);
    assert.equal(mostRunning(), PLACES);
  });

  it('requests: never more than the bucket holds and what flows back meanwhile', async (context) => {
    const { entries, spanMs } = await hammer('requests', 4 * REQUESTS);
    const admitted = completeOf(entries);
    const most = REQUESTS * (1 + spanMs / 60_000);
    context.diagnostic(
      `${admitted} of ${entries.length} requests admitted in ${Math.round(spanMs)} ms; at most ${most}`,
    );
    assert.ok(admitted >= REQUESTS && admitted <= most, `${admitted} admitted, ${REQUESTS} to ${most} are right`);
  });

  it('tokens: the same', async (context) => {
    const { entries, spanMs } = await hammer('tokens', 400);
    const used = completeOf(entries) * (OUTPUT_TOKENS + 1);
    const most = TOKENS * (1 + spanMs / 60_000);
    context.diagnostic(`${used} tokens used in ${Math.round(spanMs)} ms; at most ${most}`);
    assert.ok(used <= most && used > TOKENS * 0.9, `${used} used, up to ${most} are right`);
  });

  it('leaves sums that equal their rows', async () => {
    assert.deepEqual(await verifySums(file), []);
  });
});
