import { createHook } from 'node:async_hooks';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { after, afterEach, beforeEach, describe } from 'node:test';
import { inspect } from 'node:util';
import { everyAnswer, judgeAnswers, noteAnswers } from '../conformance/every-answer.js';
import { DEPTH } from '../helpers/depth.js';

// The process of a group of test files: test/run.mjs names them on its command line.

/** A test that takes longer hangs. Node 20 and 22 know no limit for every test, but one for whole files. */
const TEST_TIMEOUT_MS = 120_000 * DEPTH;

// Node's runner follows every promise, timer and socket from its making to its end, so that it knows from which test a stray
// error came. That takes a tenth of the processors' time of all tests, and memory. It needs it only to know which suite a test
// stands in, so until all are known; a stray error later on fails the
// process, and is told with the test during which it came.
const hooks = Object.getPrototypeOf(createHook({}));
const { enable } = hooks;
const enabled: { disable(): void }[] = [];
hooks.enable = function (this: { disable(): void }) {
  enabled.push(this);
  return enable.call(this);
};

// What a test started, such as a server, is ended by its own listener to the end of the process.
process.once('SIGTERM', () => process.exit(143));

let limit: NodeJS.Timeout | undefined;
let running = 'no test';
const tell = (error: unknown): void => {
  process.stderr.write(`An error that nobody caught came during ${running}: ${inspect(error)}\n`);
};
process.on('uncaughtExceptionMonitor', tell);
process.on('unhandledRejection', tell);

beforeEach((context) => {
  const name = 'fullName' in context ? String(context.fullName) : context.name;
  everyAnswer.testBegins(name);
  running = name;
  clearTimeout(limit);
  limit = setTimeout(() => {
    process.stderr.write(`${name} did not end within ${TEST_TIMEOUT_MS} ms\n`);
    process.exit(1);
  }, TEST_TIMEOUT_MS);
});
const lift = (): void => clearTimeout(limit);
afterEach(lift);
after(noteAnswers);

// Loaded in one go, within its suite: what a module says at its top to Node's runner is said of this file, not of the process.
const load = createRequire(import.meta.url);
for (const file of process.argv.slice(2)) {
  describe(file, () => {
    load(join(import.meta.dirname, '../..', relative('.', file).replace(/\.ts$/, '.js')));
    // Judged when its tests are over, so that their own time is not taken by reading three megabytes of description.
    after(judgeAnswers);
    // Where a test skips itself there is no `afterEach`.
    after(lift);
  });
}
hooks.enable = enable;
for (const hook of enabled) hook.disable();
