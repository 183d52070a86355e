import { setTimeout as sleep } from 'node:timers/promises';
import { startChild } from './child.mjs';

const rampMs = 400;

/** @typedef {Awaited<ReturnType<typeof startChild>>} Child */
/** @typedef {{ mock: Child, load: Child, cpus: ReturnType<typeof import('./child.mjs').splitCpus> }} Bench */

/**
 * Puts one scenario's load on one subject and counts for `seconds`, after the load has settled.
 *
 * @param {Bench} bench
 * @param {Child} subject
 */
export async function measure({ mock, load }, subject, scenario, seconds) {
  if (scenario.upstream) await mock.ask('configure', scenario.upstream);
  await load.ask('start', { ...scenario.load, port: subject.port });
  await sleep(rampMs + (scenario.load.rampMs ?? 0));
  const all = () => Promise.all([subject, load, mock].map((child) => child.ask('snapshot')));
  const before = await all();
  await sleep(seconds * 1_000);
  const after = await all();
  const last = await load.ask('stop');
  const leftOpen = await streamsLeftOpen(mock);

  const [subjectCpu, loadCpu, mockCpu] = after.map(
    (now, i) => (now.cpuUs - before[i].cpuUs) / 1e3 / (now.atMs - before[i].atMs),
  );
  const count = scenario.unit === 'chunk' ? 'events' : 'answers';
  const perSecond = ((after[1][count] - before[1][count]) / (after[1].atMs - before[1].atMs)) * 1e3;
  return {
    cpuUs: (subjectCpu / perSecond) * 1e6,
    perSecond,
    p50Ms: after[1].p50Ms,
    load: { subject: subjectCpu, generator: loadCpu, upstream: mockCpu },
    failures: last.failures + leftOpen,
    firstFailure:
      last.firstFailure ?? (leftOpen > 0 ? 'upstream calls of clients that left were not cancelled' : undefined),
  };
}

/** How many upstream streams are still open when all clients have been gone for a while. */
async function streamsLeftOpen(mock) {
  for (let i = 0; ; i += 1) {
    const { open } = await mock.ask('snapshot');
    if (open === 0 || i === 60) return open;
    await sleep(50);
  }
}

/**
 * Memory of a fresh subject process per stream held open. A first, untimed batch of streams has been opened and ended
 * before, so that what is measured is streams and not code being loaded.
 *
 * @param {Bench} bench
 * @param {string} name
 */
export async function measureMemory({ mock, load, cpus }, name, scenario) {
  const args = [name, `http://127.0.0.1:${mock.port}`];
  const subject = await startChild('./subject.mjs', { args, cpus: cpus?.subject, execArgv: ['--expose-gc'] });
  await mock.ask('configure', scenario.upstream);
  try {
    const warm = await hold({ mock, load }, subject, scenario, 200);
    const held = warm.failures > 0 ? warm : await hold({ mock, load }, subject, scenario, scenario.load.connections);
    const each = (key) => (held.during[key] - held.before[key]) / 1_024 / scenario.load.connections;
    return { ...held, rssKb: each('rss'), usedKb: each('used') };
  } finally {
    await subject.stop();
  }
}

async function hold({ mock, load }, subject, scenario, connections) {
  const before = await subject.ask('memory');
  await load.ask('start', { ...scenario.load, connections, port: subject.port });
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

/** The load's state as soon as it is as wanted, something failed, or 10 s have passed. */
async function until(load, isReached) {
  const deadline = performance.now() + 10_000;
  for (;;) {
    const now = await load.ask('snapshot');
    if (isReached(now) || now.failures > 0 || performance.now() > deadline) return now;
    await sleep(20);
  }
}
