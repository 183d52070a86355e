/**
 * `node bench/many-streams.mjs [--streams N]`: so many streams at once through one process of the gateway, all served to the
 * end and compared byte for byte. 10,000, or as many as the limit of open files allows: the gateway needs two for each.
 */
import { spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { children, splitCpus } from './child.mjs';
import { compile } from './compile.mjs';
import { machineLine } from './report.mjs';
import { writePart } from './results.mjs';

/** One address of loopback has 28,000 ports, and one process of clients its own limit of open files. */
const CLIENTS = 4;
const SPARE_FILES = 400;
const TOKENS = 30;
const PER_SECOND = 1;
const RAMP_MS = 20_000;
const TIMEOUT_MS = 300_000;

const files = Number(spawnSync('sh', ['-c', 'ulimit -n']).stdout.toString()) || 1_024;
const possible = Math.min(10_000, Math.floor((files - SPARE_FILES) / 2 / 1_000) * 1_000);
const { values } = parseArgs({ options: { streams: { type: 'string' }, write: { type: 'boolean', default: false } } });
const streams = Number(values.streams ?? possible);
if (!(streams >= CLIENTS)) throw new Error(`Too few open files are allowed: ${files}. Try ulimit -n 32768.`);

const cpus = splitCpus();
const { start, stopAll } = children();

/** How each client stands, and when all have what they should. */
async function until(clients, isReached) {
  const deadline = performance.now() + TIMEOUT_MS;
  for (;;) {
    const all = await Promise.all(clients.map((client) => client.ask('snapshot')));
    const sum = (name) => all.reduce((total, now) => total + now[name], 0);
    const now = { begun: sum('begun'), answers: sum('answers'), failures: sum('failures') };
    const firstFailure = all.find((each) => each.firstFailure !== undefined)?.firstFailure;
    if (isReached(now) || now.failures > 0 || performance.now() > deadline) return { ...now, firstFailure };
    await sleep(200);
  }
}

try {
  const compiled = await compile('bench/ours.ts');
  const mock = await start('./mock-upstream.mjs', { cpus: cpus?.helpers });
  const options = { server: 'ours', origin: `http://127.0.0.1:${mock.port}`, compiled, host: 'node', store: 'memory' };
  const args = [JSON.stringify({ ...options, file: '', redisUrl: '' })];
  const gateway = await start('./subject.mjs', { args, cpus: cpus?.subject, execArgv: ['--expose-gc'] });
  const clients = [];
  for (let i = 0; i < CLIENTS; i += 1) clients.push(await start('./load.mjs', { cpus: cpus?.helpers }));
  await mock.ask('configure', { tokens: TOKENS, perSecond: PER_SECOND, hold: true });
  const idle = await gateway.ask('memory');
  const begunAt = performance.now();
  for (const [i, client] of clients.entries()) {
    const connections = Math.floor((streams * (i + 1)) / CLIENTS) - Math.floor((streams * i) / CLIENTS);
    const load = { stream: true, once: true, exact: true, bytes: 1_000, tokens: TOKENS, rampMs: RAMP_MS, connections };
    await client.ask('start', { ...load, port: gateway.port, localAddress: `127.0.0.${i + 1}` });
  }
  const begun = await until(clients, (now) => now.begun === streams);
  const opened = performance.now();
  const { rss } = await gateway.ask('memory');
  const between = await gateway.ask('snapshot');
  await mock.ask('pace');
  const ended = await until(clients, (now) => now.answers === streams);
  const after = await gateway.ask('snapshot');
  const { peak, open } = await mock.ask('snapshot');
  const seconds = (after.atMs - between.atMs) / 1_000;
  const facts = [
    ['streams begun', begun.begun],
    ['most open at once, counted by the upstream', peak],
    ['ended well, byte for byte', ended.answers],
    ['failures', ended.failures === 0 ? 0 : `${ended.failures}: ${ended.firstFailure}`],
    ['left open at the upstream', open],
    ['seconds until all were open', ((opened - begunAt) / 1_000).toFixed(1)],
    ['chunks a second', Math.round((streams * (TOKENS + 2)) / seconds)],
    ['CPU of the gateway meanwhile, of a core', ((after.cpuUs - between.cpuUs) / 1e6 / seconds).toFixed(2)],
    ['RSS of the gateway per stream, KB', ((rss - idle.rss) / 1_024 / streams).toFixed(1)],
  ];
  const isGood = ended.answers === streams && ended.failures === 0 && peak === streams && open === 0;
  const table = ['| | |', '|---|---:|', ...facts.map(([name, value]) => `| ${name} | ${value} |`)].join('\n');
  const title = `## ${streams.toLocaleString('en')} streams at once\n\n${isGood ? 'All served to the end.' : '**Not all were served.**'}`;
  const text = `${title} ${machineLine(cpus)}; ${TOKENS} chunks each, ${PER_SECOND} a second.\n\n${table}`;
  console.log(text);
  if (values.write) writePart('streams', text);
  if (!isGood) process.exitCode = 1;
} finally {
  await stopAll();
}
