/** The process being measured: one of `subjects`, by name, in front of the upstream at the given origin. */
import { answerParent, cpuNow } from './child.mjs';
import { subjects } from './subjects.mjs';

const [name, origin] = process.argv.slice(2);
const server = await subjects[name].serve(origin);
server.keepAliveTimeout = 120_000;

answerParent({
  ready: () =>
    new Promise((resolve) => {
      server.listen(0, '127.0.0.1', 4_096, () => resolve(server.address().port));
    }),
  snapshot: cpuNow,
  /** Bytes in use after two collections; needs `--expose-gc`. */
  async memory() {
    for (let i = 0; i < 2; i += 1) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { rss, heapUsed, external } = process.memoryUsage();
    return { rss, used: heapUsed + external };
  },
});
