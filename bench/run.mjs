/** `npm run bench`: see README.md beside this file. */
import { parseArgs } from 'node:util';
import { splitCpus, startChild } from './child.mjs';
import { measure, measureMemory } from './measure.mjs';
import { machineLine, scenarioTable } from './report.mjs';
import { scenarios } from './scenarios.mjs';
import { subjects } from './subjects.mjs';

const flags = {
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  warm: { type: 'string' },
  only: { type: 'string' },
  scenario: { type: 'string' },
  quick: { type: 'boolean', default: false },
  'no-pin': { type: 'boolean', default: false },
};

function readOptions() {
  const { values } = parseArgs({ options: flags });
  const number = (name, standard, quick) => {
    const value = Number(values[name] ?? (values.quick ? quick : standard));
    if (value > 0) return value;
    throw new TypeError(`Expected --${name} to be a positive number, got "${values[name]}"`);
  };
  return {
    rounds: Math.ceil(number('rounds', 3, 1)),
    seconds: number('seconds', 1.5, 0.6),
    warm: number('warm', 2.5, 0.3),
    only: namesOf(values.only, subjects, '--only'),
    scenarios: namesOf(values.scenario, scenarios, '--scenario'),
    pin: !values['no-pin'],
  };
}

function namesOf(text, known, flag) {
  const names = text === undefined ? Object.keys(known) : text.split(',');
  const stranger = names.find((name) => !Object.hasOwn(known, name));
  if (stranger === undefined) return names;
  throw new TypeError(`Expected ${flag} to name some of ${Object.keys(known).join(', ')}, got "${stranger}"`);
}

const say = (text) => process.stderr.write(`${text}\n`);

/** Every subject in turn, then all again: a machine that changes its speed changes it for all of them. */
async function takeRounds(bench, children, scenario, options) {
  const rounds = Object.fromEntries(options.only.map((name) => [name, []]));
  if (scenario.figure === 'memory') {
    for (let i = 0; i < options.rounds; i += 1) {
      for (const name of options.only) rounds[name].push(await measureMemory(bench, name, scenario));
    }
    return rounds;
  }
  for (const name of options.only) await measure(bench, children[name], scenario, options.warm);
  for (let i = 0; i < options.rounds; i += 1) {
    const direct =
      scenario.figure === 'latency' ? await measure(bench, bench.mock, scenario, options.seconds) : undefined;
    for (const name of options.only) {
      const round = await measure(bench, children[name], scenario, options.seconds);
      rounds[name].push(direct ? { ...round, addedMs: round.p50Ms - direct.p50Ms } : round);
    }
  }
  return rounds;
}

async function main() {
  const options = readOptions();
  const cpus = options.pin ? splitCpus() : undefined;
  const started = [];
  const start = async (file, settings) => {
    const child = await startChild(file, settings);
    started.push(child);
    return child;
  };
  try {
    const bench = {
      mock: await start('./mock-upstream.mjs', { cpus: cpus?.helpers }),
      load: await start('./load.mjs', { cpus: cpus?.helpers }),
      cpus,
    };
    const children = {};
    for (const name of options.only) {
      const args = [name, `http://127.0.0.1:${bench.mock.port}`];
      children[name] = await start('./subject.mjs', { args, cpus: cpus?.subject });
    }
    console.log(`${machineLine(options, cpus)}\n`);
    for (const name of options.scenarios) {
      say(`${name} …`);
      const rounds = await takeRounds(bench, children, scenarios[name], options);
      console.log(scenarioTable(scenarios[name], subjects, rounds));
      if (Object.values(rounds).some((list) => list.some((round) => round.failures > 0))) process.exitCode = 1;
    }
  } finally {
    await Promise.all(started.map((child) => child.stop()));
  }
}

await main();
