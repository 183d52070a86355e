/**
 * `node bench/cluster.mjs`: what examples/cluster.ts costs with one worker and with two, its stores shared. Answers a second of two
 * workers are told for a machine with cores to spare only; CPU time for an answer says on any what sharing costs.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startChild } from './child.mjs';
import { compile } from './compile.mjs';
import { secretOf } from './fixtures.mjs';
import { measure } from './measure.mjs';
import { CACHE, freePort, startProgram, watch } from './programs.mjs';
import { machineLine, median } from './report.mjs';
import { writePart } from './results.mjs';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    warm: { type: 'string', default: '15' },
    write: { type: 'boolean', default: false },
  },
});
const WORKERS = [1, 2];
/** An answer takes its time at a real upstream, and so many are under way. */
const SCENARIO = { unit: 'answer', load: { bytes: 1_000, connections: 32 } };

const started = [];
const keep = (child) => {
  started.push(child);
  return child;
};
const folder = mkdtempSync(join(CACHE, 'cluster-'));

/** The example with so many workers, on stores of its own. */
async function entryOf(key, { example, mock, workers, environment }) {
  const port = await freePort();
  const env = {
    ...{ WORKERS: `${workers}`, PORT: `${port}`, MEGALLM_DB: join(folder, `${key}.db`), OPENAI_API_KEY: 'bench' },
    ...{ OPENAI_BASE_URL: `http://127.0.0.1:${mock.port}/v1`, MEGALLM_KEYS: `${secretOf(0)}:enterprise:bench` },
    ...environment,
  };
  const settings = { command: process.execPath, args: [example], env, port, log: join(folder, `${key}.txt`) };
  const subject = keep(await watch(settings));
  // The port is open when the first worker listens.
  await sleep(2_000);
  return { key, subject, load: keep(await startChild('./load.mjs')), spec: {} };
}

/** What two workers cost beside one: both measured in turn, so that the machine is the same for both. */
async function rowOf(label, settings) {
  const entries = [];
  for (const workers of WORKERS) entries.push(await entryOf(`${label}-${workers}`, { ...settings, workers }));
  for (const entry of entries) await measure({ mock: settings.mock }, [entry], SCENARIO, Number(values.warm));
  const rounds = [];
  for (let i = 0; i < Number(values.rounds); i += 1) {
    const round = [];
    for (const entry of entries)
      round.push(...(await measure({ mock: settings.mock }, [entry], SCENARIO, Number(values.seconds))));
    rounds.push(round);
  }
  for (const { subject, load } of entries) await Promise.all([subject.stop(), load.stop()]);
  const failed = rounds.flat().find(({ failures }) => failures > 0);
  if (failed !== undefined) throw new Error(`${label}: ${failed.firstFailure}`);
  const of = (value) => median(rounds.map(value));
  return [
    label,
    ...[0, 1].map((i) => of((round) => round[i].cpuUs).toFixed(0)),
    of(([one, two]) => one.cpuUs / two.cpuUs).toFixed(2),
    ...[0, 1].map((i) => of((round) => round[i].perSecond).toFixed(0)),
    of(([one, two]) => two.perSecond / one.perSecond).toFixed(2),
  ];
}

try {
  const example = await compile('examples/cluster.ts');
  const mock = keep(await startChild('./mock-upstream.mjs'));
  const redis = await startProgram('redis');
  const rows = [await rowOf('all in SQLite', { example, mock })];
  if (redis.missing === undefined) {
    keep(redis);
    const environment = { REDIS_URL: `redis://127.0.0.1:${redis.port}` };
    rows.push(await rowOf('limits in Redis, ledger in SQLite', { example, mock, environment }));
  }
  const head = [
    'stores',
    'CPU µs per answer, 1 worker',
    '2 workers',
    '1 ÷ 2',
    'answers per second, 1 worker',
    '2 workers',
    '2 ÷ 1',
  ];
  const table = [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((row) => `| ${row.join(' | ')} |`);
  const crowded =
    availableParallelism() < 4
      ? 'The workers share the cores with the load and the upstream here: answers a second cannot double, and the CPU time is the figure. '
      : '';
  const text = `## Two processes instead of one\n\n[examples/cluster.ts](../examples/cluster.ts), 1 KB in, 1.1 KB out, 32 connections. ${crowded}${machineLine()}; ${values.rounds} rounds of ${values.seconds} s after ${values.warm} s of warm-up, medians.\n\n${table.join('\n')}`;
  console.log(text);
  if (values.write) writePart('cluster', text);
} finally {
  for (const child of started.reverse()) await child.stop();
  rmSync(folder, { recursive: true, force: true });
}
