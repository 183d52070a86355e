import { fork, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const replyTimeoutMs = 30_000;

/**
 * The CPUs this process may use, split so that the subject has one to itself and the helpers share the rest.
 * `undefined` where that is not possible: not Linux, no `taskset`, or a single CPU.
 */
export function splitCpus() {
  if (process.platform !== 'linux' || spawnSync('taskset', ['--version']).status !== 0) return undefined;
  const allowed = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
  const cpus = allowed.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
  if (cpus.length < 2) return undefined;
  return { subject: `${cpus[0]}`, helpers: cpus.slice(1).join(','), helpersShare: cpus.length === 2 };
}

/**
 * Starts `bench/<file>` as a process of its own that answers `{ ask, value }` messages.
 *
 * @param {string} file
 * @param {{ args?: string[], cpus?: string, execArgv?: string[] }} [options]
 */
export async function startChild(file, { args = [], cpus, execArgv = [] } = {}) {
  const pinned =
    cpus === undefined ? {} : { execPath: 'taskset', execArgv: ['-c', cpus, process.execPath, ...execArgv] };
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    execArgv,
    ...pinned,
    env: { ...process.env, NODE_ENV: 'production' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const waiting = new Map();
  let next = 1;
  child.on('message', ({ id, value, error }) => {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error === undefined) resolve?.(value);
    else reject?.(new Error(`${file}: ${error}`));
  });
  child.on('exit', (code, signal) => {
    for (const { reject } of waiting.values()) reject(new Error(`${file} ended (${signal ?? code})`));
    waiting.clear();
  });

  /** Asks the child something and waits for its answer. */
  function ask(name, value) {
    const id = next++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${file}: no answer to ${name}`)), replyTimeoutMs);
      const settle = (fn) => (result) => {
        clearTimeout(timer);
        fn(result);
      };
      waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      if (child.exitCode !== null || !child.connected) waiting.get(id).reject(new Error(`${file} has ended`));
      else child.send({ id, ask: name, value });
    });
  }

  async function stop() {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    if (child.connected) child.disconnect();
    const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
    await gone;
    clearTimeout(timer);
  }

  return { ask, stop, pid: child.pid, ...(await ask('ready')) };
}

/** Starts children as `startChild` does, and stops all of them at the end. */
export function children() {
  const started = [];
  return {
    async start(file, options) {
      const child = await startChild(file, options);
      started.push(child);
      return child;
    },
    stopAll: () => Promise.all(started.map((child) => child.stop())),
  };
}

/**
 * The other end of `startChild`: answers the parent's questions, and ends the process when the parent is gone.
 *
 * @param {Record<string, (value: unknown) => unknown>} answers By name of the question.
 */
export function answerParent(answers) {
  process.on('message', async ({ id, ask, value }) => {
    try {
      process.send({ id, value: await answers[ask](value) });
    } catch (error) {
      process.send({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
  process.on('disconnect', () => process.exit(0));
}

/** CPU time of this process and the moment it was read, on a clock all processes of the machine share. */
export function cpuNow() {
  const { user, system } = process.cpuUsage();
  return { cpuUs: user + system, atMs: Number(process.hrtime.bigint()) / 1e6 };
}
