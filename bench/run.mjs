/** `npm run bench`: see README.md beside this file. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { splitCpus, startChild } from './child.mjs';
import { compile } from './compile.mjs';
import { measure, measureGarbage, measureMemory } from './measure.mjs';
import { CACHE, startProgram } from './programs.mjs';
import { durationLine, machineLine, scenarioTable, targetTable } from './report.mjs';
import { writePart } from './results.mjs';
import { scenarios } from './scenarios.mjs';
import { subjects } from './subjects.mjs';

const flags = {
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  warm: { type: 'string' },
  settle: { type: 'string' },
  only: { type: 'string' },
  scenario: { type: 'string' },
  node: { type: 'string' },
  json: { type: 'string' },
  short: { type: 'boolean', default: false },
  write: { type: 'boolean', default: false },
  'no-pin': { type: 'boolean', default: false },
};
/** What is measured on other versions of Node too. */
const OTHER_NODES = ['22', '24'];
const ON_OTHER_NODES = ['--only', 'line,node', '--scenario', 'whole-1k,stream-paced', '--warm', '20'];

function readOptions() {
  const { values } = parseArgs({ options: flags });
  const number = (name, standard, brief) => {
    const value = Number(values[name] ?? (values.short ? brief : standard));
    if (value > 0) return value;
    throw new TypeError(`Expected --${name} to be a positive number, got "${values[name]}"`);
  };
  return {
    rounds: Math.ceil(number('rounds', 5, 2)),
    seconds: number('seconds', 1.2, 0.4),
    /** Seconds for which all subjects together are warmed up, and then each before each scenario. */
    warm: number('warm', 60, 8),
    settle: number('settle', 1.5, 0.5),
    only: namesOf(values.only, subjects, '--only'),
    scenarios: namesOf(values.scenario, scenarios, '--scenario').filter(
      (name) => values.scenario !== undefined || !values.short || !scenarios[name].isLong,
    ),
    /** Whether the results go into RESULTS.md: all of them do. */
    isWritten: values.write || (values.only === undefined && values.scenario === undefined),
    pin: !values['no-pin'],
    short: values.short,
    ...{ node: values.node, json: values.json },
  };
}

function namesOf(text, known, flag) {
  const names = text === undefined ? Object.keys(known) : text.split(',');
  const stranger = names.find((name) => !Object.hasOwn(known, name));
  if (stranger === undefined) return names;
  throw new TypeError(`Expected ${flag} to name some of ${Object.keys(known).join(', ')}, got "${stranger}"`);
}

const say = (text) => process.stderr.write(`${text}\n`);

/** The entries of a scenario that the options ask for: names of subjects, or variants of them. */
function entriesOf(scenario, { only }) {
  const entries = Array.isArray(scenario.entries)
    ? scenario.entries.map((name) => [name, { subject: name, label: subjects[name].label }])
    : Object.entries(scenario.entries);
  return entries.filter(([, { subject }]) => only.includes(subject));
}

/** Starts what is needed when it is first needed, and ends all of it. */
function makeFloor(cpus) {
  const started = [];
  const missing = new Map();
  const kept = new Map();
  const helpers = { cpus: cpus?.helpers };
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, 'run-'));
  let bench;
  let redis;
  let databases = 0;

  async function start(file, settings) {
    const child = await startChild(file, settings);
    started.push(child);
    return child;
  }

  async function open() {
    const compiled = await compile('bench/ours.ts');
    const [mock, holder] = [await start('./mock-upstream.mjs', helpers), await start('./load.mjs', helpers)];
    bench = { mock, holder, cpus, compiled, origin: `http://127.0.0.1:${mock.port}` };
    return bench;
  }

  async function redisUrl() {
    redis ??= await startProgram('redis', helpers);
    if (redis.missing === undefined && !started.includes(redis)) started.push(redis);
    return redis.missing === undefined ? `redis://127.0.0.1:${redis.port}` : undefined;
  }

  async function run(name, entry, execArgv) {
    const { server, program, options: standard = {}, needs } = subjects[name];
    const { origin, compiled } = bench;
    if (program !== undefined) {
      const outside = await startProgram(program, { origin, cpus: cpus?.subject });
      if (outside.missing !== undefined) return outside;
      if (program === 'litellm') await bench.mock.ask('expectBlanks');
      return { subject: outside, isOutside: true, spec: outside.load ?? {}, version: outside.version };
    }
    const url = needs === 'redis' ? await redisUrl() : '';
    if (url === undefined) return { missing: redis.missing };
    const file = join(folder, `${databases++}.db`);
    const given = { server, origin, compiled, file, redisUrl: url, isQuiet: true, ...standard, ...entry.options };
    const subject = await startChild('./subject.mjs', { args: [JSON.stringify(given)], cpus: cpus?.subject, execArgv });
    return { subject, spec: subject.secret === undefined ? {} : { secret: subject.secret } };
  }

  /** A subject that runs, with its load generator; `undefined` where it cannot be had, which is said once. */
  async function entry(key, given, { fresh = false, execArgv = [] } = {}) {
    const name = given.subject;
    if (missing.has(name)) return undefined;
    const isShared = !fresh && given.options === undefined;
    if (isShared && kept.has(name)) return { ...kept.get(name), key, open: given.open };
    const running = await run(name, given, execArgv).catch((error) => ({ missing: error.message }));
    if (running.missing !== undefined) {
      missing.set(name, running.missing);
      say(`${subjects[name].label} is left out: ${running.missing}`);
      return undefined;
    }
    const load = await startChild('./load.mjs', helpers);
    const end = () => Promise.all([running.subject.stop(), load.stop()]);
    const made = { ...running, key, open: given.open, load, end };
    if (!isShared) return made;
    // It runs on until all is measured, as its warmth is dear.
    started.push({ stop: end });
    kept.set(name, { ...made, end: () => undefined });
    return kept.get(name);
  }

  async function close() {
    for (const child of started.reverse()) await child.stop();
    rmSync(folder, { recursive: true, force: true });
  }

  return {
    open,
    entry,
    close,
    missing,
    versions: () => [...kept].flatMap(([name, { version }]) => (version ? [`${subjects[name].label} ${version}`] : [])),
  };
}

/** Every entry in turn, then all again: a machine that changes its speed changes it for all of them. */
async function takeRounds(bench, floor, scenario, options) {
  const entries = entriesOf(scenario, options);
  const rounds = {};
  if (scenario.figure === 'memory' || scenario.figure === 'garbage') {
    const isMemory = scenario.figure === 'memory';
    const execArgv = isMemory ? ['--expose-gc'] : ['--expose-gc', ...YOUNG];
    for (const [key, given] of entries) {
      const count = isMemory && !options.short ? 3 : 1;
      for (let i = 0; i < count; i += 1) {
        const entry = await floor.entry(key, given, { fresh: true, execArgv });
        if (entry === undefined) break;
        const taken = isMemory
          ? [await measureMemory(bench, entry, scenario)]
          : await measureGarbage(bench, entry, scenario, options.rounds);
        await entry.end();
        rounds[key] = [...(rounds[key] ?? []), ...taken];
      }
    }
    return rounds;
  }
  const running = [];
  for (const [key, given] of entries) {
    const entry = await floor.entry(key, given);
    if (entry !== undefined) running.push({ ...entry, spec: { ...entry.spec, ...given.load } });
  }
  try {
    const groups = scenario.isRace ? [running] : running.map((entry) => [entry]);
    // Processes of this scenario's own have not been warmed up with the others.
    if (entries.some(([, { options: own }]) => own)) await measure(bench, running, scenario, options.warm / 2);
    for (const group of groups) await measure(bench, group, scenario, options.settle);
    for (let i = 0; i < options.rounds; i += 1) {
      const direct = scenario.figure === 'latency' ? await measureDirect(bench, scenario, options) : undefined;
      for (const group of groups) {
        const taken = await measure(bench, group, scenario, options.seconds);
        group.forEach(({ key }, nth) => {
          rounds[key] = [...(rounds[key] ?? []), added(taken[nth], direct)];
        });
      }
    }
  } finally {
    for (const entry of running) await entry.end();
  }
  return rounds;
}

const YOUNG = ['--max-semi-space-size=256', '--min-semi-space-size=256'];

async function measureDirect(bench, scenario, options) {
  const entry = { key: 'direct', subject: bench.mock, load: bench.holder, spec: {} };
  const [round] = await measure(bench, [entry], scenario, options.seconds);
  return round;
}

function added(round, direct) {
  if (direct === undefined) return round;
  return { ...round, addedMs: round.p50Ms - direct.p50Ms, addedP99Ms: round.p99Ms - direct.p99Ms };
}

/** Costs fall for half a minute after the start: whole answers and streams in turn, for all subjects that run in this process's sight. */
async function warmUp(bench, floor, options) {
  const running = [];
  for (const name of options.only) {
    const isUsed = options.scenarios.some((key) => entriesOf(scenarios[key], { only: [name] }).length > 0);
    const entry = isUsed ? await floor.entry(name, { subject: name, label: subjects[name].label }) : undefined;
    if (entry !== undefined) running.push(entry);
  }
  say(`warming up ${running.length} subjects for ${options.warm} s …`);
  for (let i = 0; i < 4; i += 1) {
    const scenario = scenarios[i % 2 === 0 ? 'race' : 'race-streams'];
    await measure(bench, running, scenario, options.warm / 4);
  }
}

function inOtherNode(version, args) {
  const { status } = spawnSync(
    'npx',
    ['--yes', '-p', `node@${version}`, 'node', fileURLToPath(import.meta.url), ...args],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  );
  return status;
}

/** The two main figures under other versions of Node, each with a line of its own. */
function otherNodes() {
  const texts = OTHER_NODES.map((version) => {
    const file = join(CACHE, `node-${version}.json`);
    inOtherNode(version, [...ON_OTHER_NODES, '--json', file]);
    const { node, tables } = JSON.parse(readFileSync(file, 'utf8'));
    return `## Node ${node}\n\n${tables.join('\n')}`;
  });
  return texts.join('\n');
}

/** What others cannot do is in the tables; what the bare proxy and ours cannot do is a fault. */
function hasFailed(rounds) {
  const own = Object.entries(rounds).filter(([key]) => subjects[key]?.program === undefined);
  return own.some(([, list]) => list.some((round) => round.failures > 0));
}

/** The commit that is measured, and the packages that take part in it. */
function packages() {
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD']).stdout?.toString().trim();
  const used = ['undici', 'express', 'koa', 'openai', 'ioredis'].map((name) => {
    const { version } = JSON.parse(
      readFileSync(new URL(`../node_modules/${name}/package.json`, import.meta.url), 'utf8'),
    );
    return `${name} ${version}`;
  });
  return [...(commit ? [`commit ${commit}`] : []), ...used];
}

const whereOf = (options, cpus) => `${machineLine(cpus)}; ${durationLine(options)}`;

async function main() {
  const options = readOptions();
  if (options.node !== undefined) {
    const args = process.argv
      .slice(2)
      .filter((arg, i, all) => arg !== '--node' && all[i - 1] !== '--node' && !arg.startsWith('--node='));
    process.exitCode = inOtherNode(options.node, args) ?? 1;
    return;
  }
  const cpus = options.pin ? splitCpus() : undefined;
  const floor = makeFloor(cpus);
  const tables = [];
  const checks = [];
  try {
    const bench = await floor.open();
    await warmUp(bench, floor, options);
    console.log(`${whereOf(options, cpus)}\n`);
    for (const name of options.scenarios) {
      say(`${name} …`);
      const scenario = scenarios[name];
      const rounds = await takeRounds(bench, floor, scenario, options);
      const labels = Object.fromEntries(entriesOf(scenario, options).map(([key, { label }]) => [key, label]));
      const table = scenarioTable(scenario, labels, rounds);
      console.log(table.text);
      tables.push(table.text);
      checks.push(...table.checks);
      if (hasFailed(rounds)) process.exitCode = 1;
    }
  } finally {
    await floor.close();
  }
  console.log(targetTable(checks));
  if (options.json !== undefined)
    writeFileSync(options.json, JSON.stringify({ node: process.version, tables, checks }));
  if (!options.isWritten || options.json !== undefined) return;
  const leftOut = [...floor.missing].map(([name, reason]) => `${subjects[name].label}: not measured, ${reason}.`);
  const versions = floor.versions();
  const where = [whereOf(options, cpus), [...packages(), ...versions].join(', '), ...leftOut]
    .filter((text) => text !== '')
    .join('\n\n');
  const brief = options.short
    ? 'From a short run, on a machine that did other things too: for a first look only.\n\n'
    : '';
  writePart('targets', `## Targets\n\n${brief}${where}\n\n${targetTable(checks)}`);
  writePart('tables', `## Figures\n\n${tables.join('\n')}\n${options.short ? '' : otherNodes()}`);
}

await main();
