// Runs test files as test/run.mjs does, in a copy of the project, up to the first test that fails.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const LOOK_EVERY_MS = 100;
/** How long a process may take to end after it was told to. */
const GRACE_MS = 3_000;
const MAX_SHOWN = 300;

const running = new Set();
process.once('exit', () => {
  for (const pid of running) kill(pid, 'SIGKILL');
});

/** Runs them in one process: the first failure, `undefined` if there is none. A process that ends badly or not in time has failed. */
export async function runTests(root, files, { limitMs, environment = {} }) {
  const folder = mkdtempSync(join(tmpdir(), 'megallm-mutant-'));
  const results = join(folder, 'results.jsonl');
  const child = spawn(
    process.execPath,
    [
      '--enable-source-maps',
      '--disable-warning=ExperimentalWarning',
      '--test-reporter=./test/run/events.mjs',
      `--test-reporter-destination=${results}`,
      '.cache/test/test/run/group.js',
      ...files,
    ],
    // A group of its own, so that what the tests started is ended with them.
    { cwd: root, stdio: 'ignore', detached: true, env: { ...process.env, ...environment } },
  );
  running.add(child.pid);
  const ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  try {
    return await firstFailure(ended, results, Date.now() + limitMs);
  } finally {
    kill(child.pid, 'SIGTERM');
    await Promise.race([ended, sleep(GRACE_MS)]);
    kill(child.pid, 'SIGKILL');
    await ended;
    running.delete(child.pid);
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function firstFailure(ended, results, deadline) {
  for (;;) {
    const end = await Promise.race([ended, sleep(LOOK_EVERY_MS)]);
    const events = eventsIn(results);
    const failed = events.find(({ kind }) => kind === 'failed');
    if (failed !== undefined) return { test: failed.path.join(' > '), error: failed.error.slice(0, MAX_SHOWN) };
    if (end?.code === 0 && events.at(-1)?.kind === 'over') return undefined;
    const path = events.findLast(({ kind }) => kind === 'begun')?.path.join(' > ') ?? '(none begun)';
    if (end !== undefined) return { test: path, error: `the process ended with ${end.signal ?? end.code}` };
    if (Date.now() > deadline) return { test: path, error: 'not done in time', isLate: true };
  }
}

function eventsIn(results) {
  const lines = existsSync(results) ? readFileSync(results, 'utf8').split('\n') : [];
  return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line));
}

function kill(pid, signal) {
  try {
    process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
