/**
 * What is measured. `load` and `upstream` are the same for every subject; `figure` names one of report.mjs's. `entries` are the
 * subjects, by name, or variants of one; `targets` are by entry, compared with the line of the same round unless `base` names
 * another entry; what `isLong` a short run leaves out. Ratios of `cpu` and `rate` are better the higher they are, those of the others the lower.
 */
const OUR_HOSTS = ['node', 'koa', 'express', 'express-fast'];
const OUR_STORES = ['node-ledger', 'node-sqlite', 'node-redis'];
const PROXIES = ['koa-proxy', 'express-proxy'];
const OTHERS = ['naive', 'portkey', 'litellm', 'bifrost'];
const ALL = ['line', ...OUR_HOSTS, ...OUR_STORES, ...PROXIES, ...OTHERS];
const HOSTS = ['line', ...OUR_HOSTS, ...PROXIES, ...OTHERS];

const PACED = { tokens: 100, perSecond: 100, hold: false };
const HELD = { tokens: 10, perSecond: 100, hold: true };

const variants = (list) => Object.fromEntries(list.map(({ key, ...entry }) => [key, entry]));
const byKeys = [10, 1_000, 100_000, 1_000_000].map((keys) => ({
  key: `keys-${keys}`,
  subject: 'node',
  label: `megallm on bare Node, ${keys.toLocaleString('en')} keys`,
  options: { keys },
}));
const byOpenStreams = ['line', 'node'].flatMap((subject) =>
  [0, 1_000, 5_000].map((open) => ({
    ...{ key: `${subject}-${open}`, subject, open },
    label: `${subject === 'line' ? 'bare proxy' : 'megallm on bare Node'}, ${open.toLocaleString('en')} streams open`,
  })),
);

export const scenarios = {
  'whole-1k': {
    title: 'Whole answers, alone: 1 KB in, 1.1 KB out, 32 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 1_000, connections: 32 },
    entries: ALL,
    targets: {
      node: [
        { least: 1.2, stretch: 1.4 },
        { least: 30, base: 'portkey' },
      ],
      koa: [{ least: 1, stretch: 1.2 }],
      express: [{ least: 0.95, base: 'express-proxy' }],
      'express-fast': [{ least: 0.95 }],
      'node-ledger': [{ least: 0.6 }],
    },
  },
  'whole-1k-8': {
    isLong: true,
    title: 'Whole answers, alone: 1 KB in, 1.1 KB out, 8 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 1_000, connections: 8 },
    entries: ['line', ...OUR_HOSTS, ...PROXIES],
  },
  race: {
    title: 'Whole answers, racing: all at once on one core, 1 KB in, 1.1 KB out, 8 connections each',
    figure: 'cpu',
    unit: 'answer',
    isRace: true,
    load: { bytes: 1_000, connections: 8 },
    entries: ['line', ...OUR_HOSTS, 'node-ledger', ...PROXIES],
    targets: { node: [{ least: 1.1 }], koa: [{ least: 0.9 }] },
  },
  'race-streams': {
    title: 'Streams, racing: all at once on one core, 10 streams of each, 100 chunks a second each',
    figure: 'cpu',
    unit: 'chunk',
    isRace: true,
    load: { bytes: 1_000, stream: true, connections: 10, tokens: 100, rampMs: 500 },
    upstream: PACED,
    entries: ['line', ...OUR_HOSTS, ...PROXIES],
  },
  'whole-100k': {
    title: 'Whole answers, alone: 100 KB in, 1.1 KB out, 32 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 100_000, connections: 32 },
    entries: HOSTS,
    targets: { node: [{ least: 1.2, stretch: 1.7 }], koa: [{ least: 1.1 }] },
  },
  'whole-1m': {
    isLong: true,
    title: 'Whole answers, alone: 1 MB in, 1.1 KB out, 8 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 1_000_000, connections: 8 },
    entries: ['line', ...OUR_HOSTS, ...PROXIES],
  },
  'stream-paced': {
    title: 'Streams, alone: 100 at once, 100 chunks a second each',
    figure: 'cpu',
    unit: 'chunk',
    load: { bytes: 1_000, stream: true, connections: 100, tokens: 100, rampMs: 500 },
    upstream: PACED,
    entries: ALL,
    targets: {
      node: [
        { least: 1.2, stretch: 1.4 },
        { least: 2.5, base: 'portkey' },
      ],
      koa: [{ least: 0.95 }],
      express: [{ least: 0.85 }],
    },
  },
  'stream-saturation': {
    title: 'Streams, alone, at saturation: 500 at once, 50,000 chunks a second offered',
    figure: 'rate',
    unit: 'chunk',
    load: { bytes: 1_000, stream: true, connections: 500, tokens: 300, rampMs: 1_000 },
    upstream: { ...PACED, tokens: 300 },
    entries: HOSTS,
    targets: {
      node: [{ least: 1 }, { least: 5, base: 'portkey' }],
      koa: [{ least: 1 }],
      express: [{ least: 0.9 }],
    },
  },
  latency: {
    title: 'Latency of whole answers: 200 a second, what is added to asking the upstream directly',
    figure: 'latency',
    unit: 'answer',
    load: { bytes: 1_000, rate: 200 },
    entries: ALL,
    targets: { node: [{ most: 1.1 }], koa: [{ most: 1.15 }], express: [{ most: 1.8 }] },
  },
  'first-token': {
    isLong: true,
    title: 'Time to the first token: 100 streams of 5 chunks a second, what is added to asking the upstream directly',
    figure: 'latency',
    unit: 'stream',
    load: { bytes: 1_000, stream: true, tokens: 5, rate: 100 },
    upstream: { ...PACED, tokens: 5 },
    entries: HOSTS,
  },
  memory: {
    title: 'Memory: 2,000 streams held open',
    figure: 'memory',
    unit: 'stream',
    load: { bytes: 1_000, stream: true, connections: 2_000, tokens: 10, once: true, rampMs: 2_000 },
    upstream: HELD,
    entries: HOSTS.filter((name) => name !== 'litellm'),
    targets: { node: [{ most: 1 }] },
  },
  keys: {
    title: 'Cost against the number of keys: each key calls in turn, 1 KB in, 1.1 KB out, 32 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 1_000, connections: 32 },
    entries: variants(byKeys.map((entry) => ({ ...entry, load: { keys: entry.options.keys } }))),
    base: 'keys-10',
    targets: { 'keys-1000000': [{ least: 0.9 }] },
  },
  'keys-known': {
    isLong: true,
    title: 'Cost against the number of keys known, of which ten call: 1 KB in, 1.1 KB out, 32 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 1_000, connections: 32, keys: 10 },
    entries: variants(byKeys),
    base: 'keys-10',
    targets: { 'keys-1000000': [{ least: 0.9 }] },
  },
  'open-streams': {
    title: 'Cost of whole answers while streams are open: 1 KB in, 1.1 KB out, 32 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 1_000, connections: 32 },
    hold: HELD,
    entries: variants(byOpenStreams),
    base: 'line-0',
  },
  'garbage-whole': {
    title: 'Garbage and promises of one warm whole call: 1 KB in, 1.1 KB out',
    figure: 'garbage',
    unit: 'call',
    load: { bytes: 1_000, connections: 4 },
    calls: 500,
    entries: ['line', ...OUR_HOSTS, ...OUR_STORES, 'naive'],
    targets: { node: [{ most: 4 }, { of: 'promises', most: 5 }] },
  },
  'garbage-stream': {
    title: 'Garbage and promises of one warm stream of 20 chunks',
    figure: 'garbage',
    unit: 'call',
    load: { bytes: 1_000, stream: true, tokens: 20, connections: 4 },
    upstream: { tokens: 20, perSecond: 1_000, hold: false },
    calls: 100,
    entries: ['line', ...OUR_HOSTS, 'naive'],
    targets: { node: [{ most: 8 }, { of: 'promises', most: 8 }] },
  },
};
