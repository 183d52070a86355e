/**
 * `node bench/soak.mjs [--minutes N]`: answers, streams, clients that leave, refusals and failing upstreams for a quarter of an
 * hour. Fails when memory grows by 1 MB or more per 10,000 calls after warm-up, or when handles are left at the end.
 */
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { splitCpus, startChild } from './child.mjs';
import { compile } from './compile.mjs';
import { completionText, doneEvent, requestBodies, secretOf, streamEvents } from './fixtures.mjs';
import { machineLine, median } from './report.mjs';
import { writePart } from './results.mjs';

const MOST_MB_PER_10_000_CALLS = 1;
/** Share of the time that belongs to warm-up: code is compiled, pools and caches fill. */
const WARM_SHARE = 0.3;
const SAMPLES = 60;
/** Fewer calls than that after warm-up say nothing about a slope. */
const LEAST_CALLS = 20_000;
/** How long idle connections may take to go. */
const QUIET_MS = 120_000;
const CLIENTS = 12;
const GUESSING = 'wrong key';
const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '15' }, write: { type: 'boolean', default: false } },
});
const minutes = Number(values.minutes);

const bodies = requestBodies(1_000);
const large = requestBodies(100_000);
const streaming = requestBodies(1_000, { stream: true });
const marked = (mark, list) => list.map((body) => body.replace('"messages":', `"user":"${mark}","messages":`));
/** What calls of one kind do; each looks at what came. @type {Record<string, (ask: typeof call) => Promise<boolean>>} */
const kinds = {
  whole: async (ask) => (await ask(bodies)).status === 200,
  again: async (ask) => (await ask(bodies)).status === 200,
  large: async (ask) => (await ask(large)).status === 200,
  stream: async (ask) => (await ask(streaming)).text.endsWith(doneEvent),
  left: async (ask) => (await ask(streaming, { leaveAfter: 1 })).hasLeft,
  'left before an answer': async (ask) => (await ask(marked('slow', bodies), { leaveAfter: 0 })).hasLeft,
  'cut stream': async (ask) => (await ask(marked('cut', streaming))).text.includes('"error"'),
  'failing upstream': async (ask) => (await ask(marked('fail', bodies))).status >= 500,
  [GUESSING]: async (ask) => (await ask(bodies, { secret: 'sk-nobody-has-this-secret' })).status === 401,
  'unknown model': async (ask) => (await ask(bodies.map((text) => text.replace('gpt-4o-mini', 'none')))).status === 404,
  'bad JSON': async (ask) => (await ask(bodies.map((text) => text.slice(0, -5)))).status === 400,
};

/** An upstream that can be slow, fail, and cut its streams. */
const upstream = createServer(async (req, res) => {
  let text = '';
  for await (const chunk of req.setEncoding('utf8')) text += chunk;
  const mark = /"user":"(\w+)"/.exec(text)?.[1];
  if (mark === 'slow') await sleep(300);
  if (mark === 'fail')
    return res.writeHead(503, { 'content-type': 'application/json' }).end('{"error":{"message":"no"}}');
  if (!text.includes('"stream":true'))
    return res.writeHead(200, { 'content-type': 'application/json' }).end(completionText);
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  const events = [...streamEvents(20, text.includes('"include_usage":true')), doneEvent];
  for (const [i, event] of events.entries()) {
    if (res.destroyed) return undefined;
    if (mark === 'cut' && i === 5) return res.destroy();
    res.write(event);
    if (i % 4 === 0) await sleep(2);
  }
  return res.end();
});
upstream.keepAliveTimeout = 5_000;
upstream.on('clientError', (_error, socket) => socket.destroy());

const cpus = splitCpus();
const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS + 1 });
let port;
let calls = 0;
const counts = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, 0]));
const spentMs = { ...counts };
const faults = [];

/** One call. @returns its status and text, or that its client left. */
async function call(list, { leaveAfter, secret = secretOf(0) } = {}) {
  const body = list[calls % list.length];
  const headers = {
    ...{ 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    authorization: `Bearer ${secret}`,
  };
  const options = { host: '127.0.0.1', port, method: 'POST', path: '/v1/chat/completions', headers, agent };
  const req = request({ ...options, timeout: 60_000 });
  req.on('timeout', () => req.destroy(new Error('no answer within a minute')));
  req.on('error', () => undefined);
  req.end(body);
  if (leaveAfter === 0) {
    await sleep(20);
    req.destroy();
    return { hasLeft: true };
  }
  const [res] = await once(req, 'response');
  let text = '';
  let pieces = 0;
  for await (const chunk of res.setEncoding('utf8')) {
    text += chunk;
    pieces += 1;
    if (pieces === leaveAfter) {
      req.destroy();
      return { hasLeft: true };
    }
  }
  return { status: res.statusCode, text };
}

async function client(nth, until, names) {
  for (let i = nth; performance.now() < until; i += 1) {
    const kind = names[i % names.length];
    const begunAt = performance.now();
    const isGood = await kinds[kind](call).catch((error) => {
      faults.push(`${kind}: ${error.message}`);
      return true;
    });
    if (!isGood) faults.push(kind);
    counts[kind] += 1;
    spentMs[kind] += performance.now() - begunAt;
    calls += 1;
  }
}

/** The median of the slopes between all pairs of samples: single readings far off do not matter. */
function slopeOf(samples) {
  const slopes = samples.flatMap((a, i) => samples.slice(i + 1).map((b) => (b.rss - a.rss) / (b.calls - a.calls)));
  return (median(slopes) / 2 ** 20) * 10_000;
}

const handles = (kinds) => Object.values(kinds).reduce((sum, count) => sum + count, 0);

/** The handles when they are back to what they were, or after a while as they are. */
async function quiet(gateway, wanted) {
  const deadline = performance.now() + QUIET_MS;
  for (;;) {
    const now = await gateway.ask('handles');
    if (handles(now) <= wanted || performance.now() > deadline) return now;
    await sleep(500);
  }
}

let gateway;
try {
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const origin = `http://127.0.0.1:${upstream.address().port}`;
  const compiled = await compile('bench/ours.ts');
  const options = {
    server: 'ours',
    origin,
    compiled,
    host: 'node',
    store: 'memory',
    file: '',
    redisUrl: '',
    isQuiet: true,
  };
  gateway = await startChild('./subject.mjs', {
    ...{ args: [JSON.stringify(options)], cpus: cpus?.subject, execArgv: ['--expose-gc'] },
  });
  port = gateway.port;
  const before = await gateway.ask('handles');
  const begunAt = performance.now();
  const end = begunAt + minutes * 60_000;
  const usual = Object.keys(kinds).filter((kind) => kind !== GUESSING);
  // Who guesses keys is answered after seconds: that must not hold the others.
  const clients = Array.from({ length: CLIENTS }, (_, nth) => client(nth, end, usual));
  clients.push(client(0, end, [GUESSING]));
  const samples = [];
  while (performance.now() < end) {
    await sleep((minutes * 60_000) / SAMPLES);
    const { rss } = await gateway.ask('memory');
    samples.push({ calls, rss });
    process.stderr.write(`${calls} calls, ${(rss / 2 ** 20).toFixed(1)} MB, ${faults.length} faults\n`);
  }
  await Promise.all(clients);
  agent.destroy();
  const after = await quiet(gateway, handles(before));
  const warm = samples.slice(Math.floor(samples.length * WARM_SHARE));
  const slope = slopeOf(warm);
  const left = handles(after) - handles(before);
  const isSlopeKnown = warm.at(-1).calls - warm[0].calls >= LEAST_CALLS;
  const isSteady = !isSlopeKnown || slope < MOST_MB_PER_10_000_CALLS;
  const isGood = isSteady && left <= 0 && faults.length === 0;
  const facts = [
    ['calls', calls],
    ...Object.entries(counts).map(([kind, count]) => [
      `– ${kind}`,
      `${count}, ${(spentMs[kind] / count).toFixed(1)} ms each`,
    ]),
    ['answers that were not as they should be', faults.length === 0 ? 0 : `${faults.length}, such as ${faults[0]}`],
    [
      'RSS after warm-up and at the end, MB',
      `${(warm[0].rss / 2 ** 20).toFixed(1)}, ${(warm.at(-1).rss / 2 ** 20).toFixed(1)}`,
    ],
    [
      `RSS slope after warm-up, MB per 10,000 calls (target < ${MOST_MB_PER_10_000_CALLS})`,
      isSlopeKnown ? slope.toFixed(3) : 'too few calls to tell',
    ],
    ['handles before, and after all clients have gone', `${JSON.stringify(before)}, ${JSON.stringify(after)}`],
  ];
  const table = ['| | |', '|---|---:|', ...facts.map(([name, value]) => `| ${name} | ${value} |`)].join('\n');
  const verdict = isGood ? 'Nothing grew and nothing was left.' : '**Something grew, failed or was left.**';
  const text = `## A soak of ${minutes} minutes\n\n${verdict} ${machineLine(cpus)}.\n\n${table}`;
  console.log(text);
  if (values.write) writePart('soak', text);
  if (!isGood) process.exitCode = 1;
} finally {
  await gateway?.stop();
  agent.destroy();
  upstream.closeAllConnections();
  upstream.close();
}
