import assert from 'node:assert/strict';
import { it } from 'node:test';
import { memoryUsage } from '../../src/usage/memory.js';
import type { UsageReader, UsageRecord, UsageStore } from '../../src/usage/usage-store.js';
import { HOUR_MS, recordUsage, sumsOf, usageRecordOf } from '../contracts/usage-store.js';
import { DEPTH } from '../helpers/depth.js';
import { SECRET } from '../helpers/gateway-options.js';
import { stillWhile } from '../helpers/loop-watch.js';
import { onBareHost } from '../helpers/scene.js';
import { sqliteFolder } from '../helpers/sqlite.js';

/** Far above what is promised, 50 ms. */
const MOST_MS = 1_000;
const BASE = 1_800_000_000_000 - (1_800_000_000_000 % (24 * HOUR_MS));

async function checkStill<T>(what: string, run: () => Promise<T>): Promise<T> {
  let result: T | undefined;
  const { stillMs, workMs } = await stillWhile(async () => {
    result = await run();
  });
  console.log(`${what}: the loop stood still for ${stillMs.toFixed(1)} ms, ${workMs?.toFixed(1)} ms of work`);
  assert.ok((workMs ?? stillMs) < MOST_MS, `${what}: ${stillMs} ms`);
  assert.ok(result !== undefined);
  return result;
}

/** Calls of two owners, in that many hours with that many models in each. */
async function fill(store: UsageStore, hours: number, models: number): Promise<UsageRecord[]> {
  const records: UsageRecord[] = [];
  for (let hour = 0; hour < hours; hour += 1) {
    for (let model = 0; model < models; model += 1) {
      const owner = model % 10 === 0 ? 'owner:other' : 'owner:ann';
      const startedAt = BASE + hour * HOUR_MS + model * 17;
      const requestId = `r${hour}-${model}`;
      records.push(usageRecordOf({ requestId, keyId: 'key_test', owner, model: `m${model}`, startedAt }));
    }
  }
  // A store takes no more than some thousand questions at once.
  for (let at = 0; at < records.length; at += 2_000) {
    await Promise.all(records.slice(at, at + 2_000).map((record) => recordUsage(store, record)));
  }
  return records;
}

async function checkReports(
  what: string,
  store: UsageReader,
  records: readonly UsageRecord[],
  to: number,
): Promise<void> {
  // Neither begins nor ends with an hour.
  const period = { from: BASE, to };
  const [all] = await checkStill(`${what}: one sum`, async () => store.report({ ...period, by: [] }));
  const within = records.filter(({ startedAt }) => startedAt < to);
  assert.deepEqual(all?.sums, sumsOf(within));
  const groups = await checkStill(`${what}: by hour and model`, async () =>
    store.report({ ...period, by: ['model'], every: 'hour', only: { owner: ['owner:ann'] } }),
  );
  const asked = within.filter(({ owner }) => owner === 'owner:ann');
  assert.equal(groups.length, asked.length);
  assert.equal(
    groups.reduce((sum, { sums }) => sum + sums.requests, 0),
    asked.length,
  );
  const names = groups.map(({ startsAt, of }) => `${startsAt} ${of.model}`);
  assert.deepEqual(
    names,
    [...names].sort((one, other) => (one < other ? -1 : 1)),
    'by time, then by name',
  );
}

it('a report on many sums in memory gives others their turn, and is the same', async () => {
  const store = memoryUsage({ maxRowsPerKey: 1_000_000 });
  const [hours, models] = DEPTH < 10 ? [11, 200] : [700, 200];
  const records = await fill(store, hours, models);
  await checkReports('memory', store, records, BASE + hours * HOUR_MS);
});

it('a report on many calls of one hour in a file gives others their turn, and is the same', async () => {
  const folder = sqliteFolder();
  try {
    const { usage } = await folder.open('usage.db');
    const [hours, models] = DEPTH < 10 ? [1, 7_000] : [3, 10_000];
    const records = await fill(usage, hours, models);
    await checkReports('SQLite', usage, records, BASE + hours * HOUR_MS - 1);
    const middle = BASE + (hours - 1) * HOUR_MS + 6_500 * 17;
    await checkReports('SQLite, cut within an hour', usage, records, middle);
    const [rest] = await usage.report({ from: BASE + 1_234, to: middle, by: [] });
    assert.deepEqual(
      rest?.sums,
      sumsOf(records.filter(({ startedAt }) => startedAt >= BASE + 1_234 && startedAt < middle)),
    );
  } finally {
    await folder.remove();
  }
});

interface Report {
  readonly data?: readonly { readonly hour: string; readonly model: string }[];
  readonly error?: { readonly message: string };
  readonly total_requests?: number;
  readonly requests_by_hour?: readonly object[];
}

const usage = memoryUsage();
onBareHost(
  'a report with too many groups is refused, and one that adds them up is not',
  () => ({ usage }),
  async ({ host }) => {
    const now = Date.now() - (Date.now() % HOUR_MS);
    for (let hour = 0; hour < 101; hour += 1) {
      for (let model = 0; model < 200; model += 1) {
        const startedAt = now - hour * HOUR_MS;
        await recordUsage(
          usage,
          usageRecordOf({
            requestId: `x${hour}-${model}`,
            keyId: 'key_test',
            owner: 'key:key_test',
            model: `m${model}`,
            startedAt,
          }),
        );
      }
    }
    const ask = async (query: string): Promise<{ readonly status: number; readonly body: Report }> => {
      const response = await fetch(`${host.baseUrl}/usage${query}`, { headers: { authorization: `Bearer ${SECRET}` } });
      const body: Report = JSON.parse(await response.text());
      return { status: response.status, body };
    };
    const many = await checkStill('20,200 groups', () => ask('?group_by=model,hour'));
    assert.equal(many.status, 400);
    assert.match(many.body.error?.message ?? '', /more than 20000 groups/);
    const days = await ask('?group_by=model');
    assert.deepEqual([days.status, days.body.data?.length], [200, 200]);
    const sums = await checkStill('their sum', () => ask(''));
    assert.equal(sums.body.total_requests, 20_200);
    assert.equal(sums.body.requests_by_hour?.length, 101);
    const start = Math.floor(now / 1_000) - 90 * 3_600;
    const fewer = await checkStill('18,200 groups', () => ask(`?group_by=model,hour&start_time=${start}`));
    assert.equal(fewer.body.data?.length, 18_200);
    assert.equal(new Set(fewer.body.data?.map(({ hour, model }) => hour + model)).size, 18_200);
  },
);
