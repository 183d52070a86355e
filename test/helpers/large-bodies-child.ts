import { createServer } from 'node:http';
import express from 'express';
import { http, memoryKeys } from 'megallm-middleware';
import { megallm as inExpress } from 'megallm-middleware/express';
import { megallm as inNode } from 'megallm-middleware/node';

// A host of its own process, so that its memory is its own: told by its arguments where to go, told by messages when to measure.
const [host, baseUrl = '', secret = ''] = process.argv.slice(2);
const options = {
  upstream: http({ baseUrl, apiKey: 'sk-upstream' }),
  keys: memoryKeys([{ secret, id: 'key_test', tier: 'open' }]),
  tiers: { open: {} },
  environment: {},
};
const server = createServer(host === 'express' ? express().use(express.json(), inExpress(options)) : inNode(options));

let peakRss = 0;
let peakBuffers = 0;
/** A whole collection takes as long as ten of the young generation, in which most of these buffers die. */
const YOUNG_ONLY = 9;
let looks = 0;
setInterval(() => {
  // What is garbage is not held: with it gone, buffers are what is on its way.
  looks += 1;
  globalThis.gc?.({ type: looks % (YOUNG_ONLY + 1) === 0 ? 'major' : 'minor', execution: 'sync' });
  const { rss, arrayBuffers } = process.memoryUsage();
  peakRss = Math.max(peakRss, rss);
  peakBuffers = Math.max(peakBuffers, arrayBuffers);
}, 50);
process.on('message', () => {
  // A small body may have passed between two looks.
  peakRss = Math.max(peakRss, process.memoryUsage().rss);
  process.send?.({ peakRss, peakBuffers });
  peakRss = 0;
  peakBuffers = 0;
});
process.on('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => {
  const address = server.address();
  process.send?.({ port: typeof address === 'object' ? address?.port : 0 });
});
