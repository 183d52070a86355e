import { setTimeout as sleep } from 'node:timers/promises';

const SETTLE_MS = 400;
/** A generator or an upstream beyond its share of a core says little about the subject: such a figure is refused. */
const MOST_OF_ONE = 0.7;
/** Of one core that both share. */
const MOST_TOGETHER = 0.9;
/** The same for chunks that the upstream could not write on time, and sent together with others. */
const MOST_LATE = 0.25;

/**
 * @typedef {Awaited<ReturnType<typeof import('./child.mjs').startChild>>} Child
 * @typedef {object} Bench
 * @property {Child} mock
 * @property {Child} holder A load generator that holds streams open while others are measured.
 * @property {{ helpersShare: boolean }} cpus
 * @typedef {object} Entry A subject that runs, with a load generator of its own.
 * @property {string} key
 * @property {Child} subject
 * @property {Child} load
 * @property {object} spec What its load is told beside the scenario's own.
 * @property {boolean} [isOutside] A program of others.
 * @property {number} [open] Streams that are held open meanwhile.
 */

/**
 * Puts a scenario's load on one subject, or on several at once, and counts for `seconds` after the load has settled.
 *
 * @param {Bench} bench
 * @param {readonly Entry[]} entries
 */
export async function measure(bench, entries, scenario, seconds) {
  const [window] = await measureWindows(bench, entries, scenario, { seconds, windows: 1 });
  return window;
}

/** The same for several windows in a row under one load. @returns for each window a round for each entry. */
export async function measureWindows(bench, entries, scenario, { seconds, windows }) {
  const { mock } = bench;
  if (scenario.upstream) await mock.ask('configure', scenario.upstream);
  const held = entries[0].open ? await holdStreams(bench, entries[0], scenario) : undefined;
  for (const { load, subject, spec } of entries) {
    await load.ask('start', { ...scenario.load, ...spec, port: subject.port });
  }
  await sleep(SETTLE_MS + (scenario.load.rampMs ?? 0));
  const all = () => Promise.all([mock, ...entries.flatMap(({ subject, load }) => [subject, load])].map(snapshot));
  const moments = [await all()];
  for (let i = 0; i < windows; i += 1) {
    await sleep(seconds * 1_000);
    moments.push(await all());
  }
  const lasts = [];
  for (const { load } of entries) lasts.push(await load.ask('stop'));
  const heldFault = await held?.release();
  const leftOpen = await streamsLeftOpen(mock);
  // What others leave running is told beside their figures: it is their fault, and no fault of the figures.
  const leaks = entries.some(({ isOutside }) => !isOutside) ? leftOpen : 0;
  const faults = lasts.map(({ failures, firstFailure }) => ({
    failures: failures + leaks + (heldFault === undefined ? 0 : 1),
    firstFailure: firstFailure ?? heldFault ?? (leaks > 0 ? LEFT_OPEN : undefined),
    remark: leftOpen > leaks ? LEFT_OPEN : undefined,
  }));
  const helpersShare = bench.cpus?.helpersShare ?? true;
  return moments.slice(1).map((after, i) => roundsOf(moments[i], after, { unit: scenario.unit, faults, helpersShare }));
}

/** What happened between two moments: a round for each entry. */
function roundsOf(before, after, { unit, faults, helpersShare }) {
  const usage = after.map((now, i) => (now.cpuUs - before[i].cpuUs) / 1e3 / (now.atMs - before[i].atMs));
  const generator = faults.reduce((sum, _fault, i) => sum + usage[2 + 2 * i], 0);
  const written = after[0].written - before[0].written;
  const lateShare = written > 0 ? (after[0].late - before[0].late) / written : 0;
  const helpers = { generator, upstream: usage[0], late: unit === 'chunk' ? lateShare : 0 };
  const refusal = refusalOf(helpers, helpersShare);
  const count = unit === 'chunk' ? 'events' : 'answers';
  return faults.map(({ failures, firstFailure, remark }, i) => {
    const [from, to] = [before[2 + 2 * i], after[2 + 2 * i]];
    const perSecond = ((to[count] - from[count]) / (to.atMs - from.atMs)) * 1e3;
    return {
      cpuUs: (usage[1 + 2 * i] / perSecond) * 1e6,
      ...{ remark, perSecond, share: usage[1 + 2 * i], helpers, refusal, p50Ms: to.p50Ms, p99Ms: to.p99Ms },
      failures: failures + (perSecond > 0 ? 0 : 1),
      firstFailure: firstFailure ?? (perSecond > 0 ? undefined : 'no answers'),
    };
  });
}

const LEFT_OPEN = 'upstream calls of clients that left were not cancelled';
const snapshot = (child) => child.ask('snapshot');

function refusalOf({ generator, upstream, late }, helpersShare) {
  const most = Math.max(generator, upstream);
  if (most > MOST_OF_ONE) return `generator or upstream used ${most.toFixed(2)} of a core`;
  const sum = generator + upstream;
  if (helpersShare && sum > MOST_TOGETHER) return `generator and upstream used ${sum.toFixed(2)} of their core`;
  return late > MOST_LATE ? `the upstream was late with ${Math.round(late * 100)} % of the chunks` : undefined;
}

/** Opens streams on a subject that stay open until they are released. */
async function holdStreams({ mock, holder }, { subject, spec, open }, scenario) {
  await mock.ask('configure', scenario.hold);
  const { tokens } = scenario.hold;
  const streams = { stream: true, bytes: 1_000, connections: open, once: true, rampMs: open, tokens };
  await holder.ask('start', { ...spec, ...streams, port: subject.port });
  const { begun, firstFailure } = await until(holder, (now) => now.begun === open);
  return {
    async release() {
      await mock.ask('release');
      const { answers, firstFailure: later } = await until(holder, (now) => now.answers === open);
      await holder.ask('stop');
      if (begun === open && answers === open) return undefined;
      return firstFailure ?? later ?? `of ${open} streams ${begun} began and ${answers} ended well`;
    },
  };
}

/** How many upstream streams are still open when all clients have been gone for a while. The next subject finds none of them. */
async function streamsLeftOpen(mock) {
  for (let i = 0; i < 300; i += 1) {
    const { open } = await mock.ask('snapshot');
    if (open === 0) return 0;
    await sleep(50);
  }
  const { open } = await mock.ask('snapshot');
  await mock.ask('drop');
  return open;
}

/**
 * Memory of a fresh subject process per stream held open. A first, untimed batch of streams has been opened and ended
 * before, so that what is measured is streams and not code being loaded.
 *
 * @param {Bench} bench
 * @param {Entry} entry
 */
export async function measureMemory({ mock }, entry, scenario) {
  await mock.ask('configure', scenario.upstream);
  const { connections } = scenario.load;
  const warm = await hold(mock, entry, scenario, 200);
  const held = warm.failures > 0 ? warm : await hold(mock, entry, scenario, connections);
  const each = (key) => (held.during[key] - held.before[key]) / 1_024 / connections;
  return { ...held, rssKb: each('rss'), usedKb: each('used') };
}

async function hold(mock, { subject, load, spec }, scenario, connections) {
  const before = await subject.ask('memory');
  await load.ask('start', { ...scenario.load, ...spec, connections, port: subject.port });
  const begun = await until(load, (now) => now.begun === connections);
  const during = await subject.ask('memory');
  await mock.ask('release');
  const ended = await until(load, (now) => now.answers === connections);
  await load.ask('stop');
  if (ended.answers < connections && ended.failures === 0) {
    return { before, during, failures: connections - ended.answers, firstFailure: `only ${begun.begun} streams began` };
  }
  return { before, during, failures: ended.failures, firstFailure: ended.firstFailure };
}

const WARM_CALLS = 3_000;
const COUNTED_CALLS = 100;

/**
 * Garbage and promises per call. The subject's young generation is so large that no collection falls into a reading.
 *
 * @param {Bench} bench
 * @param {Entry} entry
 */
export async function measureGarbage({ mock }, entry, scenario, rounds) {
  const { subject } = entry;
  if (scenario.upstream) await mock.ask('configure', scenario.upstream);
  let last = await makeCalls(entry, scenario, scenario.load.stream ? WARM_CALLS / 4 : WARM_CALLS);
  const readings = [];
  for (let i = 0; i < rounds && last.failures === 0; i += 1) {
    await subject.ask('memory');
    const before = await subject.ask('held');
    last = await makeCalls(entry, scenario, scenario.calls);
    const after = await subject.ask('held');
    readings.push((after.held - before.held) / 1_024 / scenario.calls);
  }
  await subject.ask('countPromises', true);
  if (last.failures === 0) last = await makeCalls(entry, scenario, COUNTED_CALLS);
  const { promises } = await subject.ask('held');
  await subject.ask('countPromises', false);
  const { failures, firstFailure } = last;
  if (failures > 0) return [{ failures, firstFailure }];
  return readings.map((garbageKb) => ({ garbageKb, promises: promises / COUNTED_CALLS, failures: 0 }));
}

async function makeCalls({ subject, load, spec }, scenario, calls) {
  await load.ask('start', { ...scenario.load, ...spec, calls, port: subject.port });
  const now = await until(load, ({ answers }) => answers === calls);
  await load.ask('stop');
  if (now.failures > 0 || now.answers === calls) return now;
  return { failures: calls - now.answers, firstFailure: `only ${now.answers} of ${calls} calls were answered` };
}

/** The load's state as soon as it is as wanted, something failed, or 60 s have passed. */
async function until(load, isReached) {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const now = await load.ask('snapshot');
    if (isReached(now) || now.failures > 0 || performance.now() > deadline) return now;
    await sleep(20);
  }
}
