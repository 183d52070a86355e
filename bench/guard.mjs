/**
 * `npm run bench:guard`: fails when a whole answer or a chunk has become dearer than ratios.json says, beside the bare proxy.
 *
 * Both run at once on one core, so that whatever else the machine does befalls both alike. One attempt is the median of many
 * short windows; the best of three attempts counts, as noise has many ways to spoil a ratio and lost speed is lost each time.
 * Windows during which others had most of the core, or the upstream was late, say nothing and are left out; an attempt of which
 * hardly any is left does not count, and nothing fails before three have counted. `--write` makes three attempts and writes
 * their medians into ratios.json.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus as machine } from 'node:os';
import { children, splitCpus } from './child.mjs';
import { compile } from './compile.mjs';
import { measure, measureWindows } from './measure.mjs';
import { median } from './report.mjs';
import { scenarios } from './scenarios.mjs';

const FILE = new URL('./ratios.json', import.meta.url);
/** Of the ratio in the file; a fresh machine and a short run differ by less than that. */
const LEAST_SHARE = 0.85;
const ATTEMPTS = 3;
const WARM_SECONDS = 4;
const WINDOWS = 15;
const WINDOW_SECONDS = 0.3;
/** So many windows of an attempt must tell something. */
const LEAST_WINDOWS = 5;
/** The two of them have a core to share, and use all of it for whole answers; with less, others were in their way. */
const LEAST_OF_CORE = 0.5;
const FIGURES = {
  whole: { ...scenarios.race, isSaturated: true },
  chunk: { ...scenarios['race-streams'], load: { ...scenarios['race-streams'].load, connections: 40 } },
};

const isWriting = process.argv.includes('--write');
const committed = isWriting ? undefined : JSON.parse(readFileSync(FILE, 'utf8')).ratios;
const cpus = splitCpus();
const { start, stopAll } = children();

async function entryOf(key, options) {
  const subject = await start('./subject.mjs', { args: [JSON.stringify(options)], cpus: cpus?.subject });
  return { key, subject, load: await start('./load.mjs', { cpus: cpus?.helpers }), spec: {} };
}

/** How much cheaper than the line ours is; `undefined` where the machine was too busy to tell. @throws where an answer was wrong. */
async function ratioOf(bench, entries, scenario) {
  const windows = await measureWindows(bench, entries, scenario, { seconds: WINDOW_SECONDS, windows: WINDOWS });
  const wrong = windows.flat().find(({ firstFailure }) => firstFailure !== undefined && firstFailure !== 'no answers');
  if (wrong !== undefined) throw new Error(wrong.firstFailure);
  const telling = windows.filter(([line, own]) => {
    const isCrowded = scenario.isSaturated && line.share + own.share < LEAST_OF_CORE;
    return line.refusal === undefined && !isCrowded && line.perSecond > 0 && own.perSecond > 0;
  });
  if (telling.length < LEAST_WINDOWS) return undefined;
  return median(telling.map(([line, own]) => line.cpuUs / own.cpuUs));
}

/** @returns for each figure the ratios of all attempts that were needed. */
async function attempts(bench, entries) {
  const found = Object.fromEntries(Object.keys(FIGURES).map((name) => [name, []]));
  for (const scenario of Object.values(FIGURES)) await measure(bench, entries, scenario, WARM_SECONDS);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    for (const [name, scenario] of Object.entries(FIGURES)) {
      if (isGood(name, found[name])) continue;
      const ratio = await ratioOf(bench, entries, scenario);
      if (ratio !== undefined) found[name].push(ratio);
    }
  }
  return found;
}

function isGood(name, ratios) {
  return !isWriting && Math.max(0, ...ratios) >= committed[name] * LEAST_SHARE;
}

const told = (ratios) => ratios.map((ratio) => ratio.toFixed(2)).join(', ');

try {
  const mock = await start('./mock-upstream.mjs', { cpus: cpus?.helpers });
  const origin = `http://127.0.0.1:${mock.port}`;
  const compiled = await compile('bench/ours.ts');
  const entries = [
    await entryOf('line', { server: 'line', origin }),
    await entryOf('node', { server: 'ours', origin, compiled, host: 'node', store: 'memory', file: '', redisUrl: '' }),
  ];
  const found = await attempts({ mock, cpus }, entries);
  if (isWriting) {
    const ratios = Object.fromEntries(
      Object.entries(found).map(([name, all]) => [name, Number(median(all).toFixed(2))]),
    );
    const made = {
      date: new Date().toISOString().slice(0, 10),
      node: process.version,
      cpu: machine()[0]?.model.trim(),
    };
    writeFileSync(FILE, `${JSON.stringify({ ratios, ...made }, undefined, 2)}\n`);
    console.log(`${FILE.pathname}: ${JSON.stringify(ratios)}`);
  } else {
    for (const [name, ratios] of Object.entries(found)) {
      if (ratios.length < ATTEMPTS && !isGood(name, ratios)) {
        console.log(`NOT JUDGED ${name}: the machine is too busy to tell`);
        continue;
      }
      const verdict = isGood(name, ratios) ? 'ok' : 'TOO SLOW';
      const least = (committed[name] * LEAST_SHARE).toFixed(2);
      console.log(
        `${verdict} ${name}: × the bare proxy ${told(ratios)}; at least ${least}, which is ${LEAST_SHARE} of ${committed[name]}`,
      );
      if (verdict !== 'ok') process.exitCode = 1;
    }
  }
} finally {
  await stopAll();
}
