/**
 * What is measured. `load` and `upstream` are the same for every subject; `figure` says what is compared:
 * `cpu` is CPU time per unit, `rate` is units per second, `latency` is the added median, `memory` is KB per stream.
 * `targets` are the project's own, as ratios to the line unless `base` names another subject.
 */
export const scenarios = {
  'whole-1k': {
    title: 'Whole answers: 1 KB in, 1.1 KB out, 32 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 1_000, connections: 32 },
    targets: {
      node: { least: 1, stretch: 1.3 },
      koa: { least: 0.9, stretch: 1.2 },
      express: { least: 0.95, base: 'express-proxy' },
      'express-fast': { least: 0.95 },
    },
  },
  'whole-100k': {
    title: 'Whole answers: 100 KB in, 1.1 KB out, 32 connections',
    figure: 'cpu',
    unit: 'answer',
    load: { bytes: 100_000, connections: 32 },
    targets: { node: { least: 1.2, stretch: 1.7 }, koa: { least: 1.1 } },
  },
  'stream-paced': {
    title: 'Streams: 100 at once, 100 chunks a second each',
    figure: 'cpu',
    unit: 'chunk',
    load: { bytes: 1_000, stream: true, connections: 100, tokens: 100, rampMs: 500 },
    upstream: { tokens: 100, perSecond: 100, hold: false },
    targets: { node: { least: 1, stretch: 1.2 }, koa: { least: 0.95 }, express: { least: 0.85 } },
  },
  'stream-saturation': {
    title: 'Streams at saturation: 400 at once, 400,000 chunks a second offered',
    figure: 'rate',
    unit: 'chunk',
    load: { bytes: 1_000, stream: true, connections: 400, tokens: 300, rampMs: 200 },
    upstream: { tokens: 300, perSecond: 1_000, hold: false },
    targets: { node: { least: 1.3 }, koa: { least: 1.3 }, express: { least: 1.2 } },
  },
  latency: {
    title: 'Latency: 200 whole answers a second, median added to asking the upstream directly',
    figure: 'latency',
    unit: 'answer',
    load: { bytes: 1_000, rate: 200 },
    targets: { node: { most: 1.1 }, koa: { most: 1.15 }, express: { most: 1.8 } },
  },
  memory: {
    title: 'Memory: 1,000 streams held open',
    figure: 'memory',
    unit: 'stream',
    load: { bytes: 1_000, stream: true, connections: 1_000, tokens: 10, once: true },
    upstream: { tokens: 10, perSecond: 100, hold: true },
    targets: { node: { most: 10 }, koa: { most: 12 }, express: { most: 30 } },
  },
};
