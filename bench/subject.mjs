/** The process being measured: one of `servers`, by name, in front of the upstream at the given origin. */
import { createHook } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerParent, cpuNow } from './child.mjs';
import { servers } from './servers.mjs';

const { server: name, origin, ...options } = JSON.parse(process.argv[2]);
const { server, secret } = await servers[name](origin, options);
server.keepAliveTimeout = 120_000;
let promises = 0;
const promiseHook = createHook({
  init(_id, type) {
    if (type === 'PROMISE') promises += 1;
  },
});

answerParent({
  ready: () =>
    new Promise((resolve) => {
      server.listen(0, '127.0.0.1', 4_096, () => resolve({ port: server.address().port, secret }));
    }),
  snapshot: cpuNow,
  /** Bytes in use after two collections; needs `--expose-gc`. */
  async memory() {
    for (let i = 0; i < 2; i += 1) {
      globalThis.gc();
      await sleep(50);
    }
    const { rss, heapUsed, external } = process.memoryUsage();
    return { rss, used: heapUsed + external };
  },
  /** Bytes of the heap and of buffers, garbage included; and how many promises were made while they were counted. */
  held() {
    const { heapUsed, external } = process.memoryUsage();
    return { held: heapUsed + external, promises };
  },
  countPromises(isOn) {
    promises = 0;
    if (isOn) promiseHook.enable();
    else promiseHook.disable();
  },
  /** What keeps the process alive, such as sockets and timers, by kind. */
  handles() {
    const kinds = {};
    for (const kind of process.getActiveResourcesInfo()) kinds[kind] = (kinds[kind] ?? 0) + 1;
    return kinds;
  },
});
