/** Gateways of others, and Redis: programs that are started as their users start them and watched from outside. */
import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { model, secretOf } from './fixtures.mjs';

/** What the benchmark installs and writes; not part of the repository. */
export const CACHE = fileURLToPath(new URL('../.cache/bench', import.meta.url));
/** The first start of LiteLLM reads thousands of files. */
const START_MS = 120_000;
const PORTKEY = '1.15.2';
/** With a newer one Portkey answers streams with 500. */
const PORTKEY_NODE_SERVER = '1.13.8';

/**
 * Each finds its program and says how to start it in front of the upstream at `origin`, and what calls of it need.
 *
 * @type {Record<string, (origin: string, port: number, folder: string) => Plan>}
 * @typedef {{ missing: string } | { command: string, args: string[], env?: object, version: string, load?: object }} Plan
 */
const plans = {
  portkey(origin, port) {
    const folder = join(CACHE, `portkey-${PORTKEY}`);
    const entry = join(folder, 'node_modules/@portkey-ai/gateway/build/start-server.js');
    if (!existsSync(entry)) {
      mkdirSync(folder, { recursive: true });
      const dependencies = { '@portkey-ai/gateway': PORTKEY };
      const overrides = { '@hono/node-server': PORTKEY_NODE_SERVER };
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, dependencies, overrides }));
      const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error'];
      if (spawnSync('npm', args, { cwd: folder }).status !== 0) return { missing: 'npm could not install it' };
    }
    return {
      ...{ command: process.execPath, args: [entry, `--port=${port}`, '--headless'], version: PORTKEY },
      load: { headers: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${origin}/v1` } },
    };
  },

  litellm(origin, port, folder) {
    // In the path, or where the tests with the real proxy have put it.
    const inTests = readdirSync(tmpdir()).find((name) => /^megallm-litellm-proxy-[\d-]+$/.test(name));
    const python = inTests === undefined ? undefined : join(tmpdir(), inTests, 'bin/python');
    const onPath = spawnSync('litellm', ['--version']);
    if (python === undefined && onPath.status !== 0) return { missing: 'no `litellm` in the path' };
    const config = join(folder, 'config.json');
    const settings = { model: `openai/${model}`, api_base: `${origin}/v1`, api_key: 'sk-bench' };
    const models = [{ model_name: model, litellm_params: settings }];
    writeFileSync(
      config,
      JSON.stringify({
        model_list: models,
        general_settings: { master_key: secretOf(0) },
        litellm_settings: { num_retries: 0 },
      }),
    );
    const args = ['--config', config, '--host', '127.0.0.1', '--port', `${port}`, '--telemetry', 'False'];
    const env = {
      LITELLM_LOCAL_MODEL_COST_MAP: 'True',
      LITELLM_TELEMETRY: 'False',
      DISABLE_ADMIN_UI: 'True',
      LITELLM_LOG: 'ERROR',
    };
    const load = { isLenient: true };
    const version =
      /\d+\.\d+\.\d+/.exec(onPath.stdout?.toString() ?? '')?.[0] ?? inTests?.replace(/^\D+/, '').replaceAll('-', '.');
    if (python === undefined) return { command: 'litellm', args, env, load, version };
    // Scripts in a folder that was renamed name the old one: the interpreter is asked for the module itself.
    return {
      command: python,
      args: ['-c', 'from litellm import run_server; run_server()', ...args],
      env,
      load,
      version,
    };
  },

  bifrost(origin, port, folder) {
    const found = spawnSync('bifrost-http', ['--help']);
    if (found.error) return { missing: 'no `bifrost-http` in the path' };
    const key = { name: 'bench', value: 'sk-bench', models: [model], weight: 1 };
    const openai = { keys: [key], network_config: { base_url: origin } };
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ providers: { openai } }));
    const args = ['-app-dir', folder, '-host', '127.0.0.1', '-port', `${port}`, '-log-level', 'error'];
    return { command: 'bifrost-http', args, version: 'installed', load: { isLenient: true, model: `openai/${model}` } };
  },

  redis(_origin, port, folder) {
    const found = spawnSync('redis-server', ['--version']);
    if (found.error) return { missing: 'no `redis-server` in the path' };
    const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'];
    return { command: 'redis-server', args, version: /v=([\d.]+)/.exec(found.stdout.toString())?.[1] ?? 'unknown' };
  },
};

/**
 * Starts a program of `plans` and waits until its port is open.
 *
 * @param {string} name
 * @param {{ origin?: string, cpus?: string }} settings
 */
export async function startProgram(name, { origin = '', cpus } = {}) {
  mkdirSync(CACHE, { recursive: true });
  const folder = mkdtempSync(join(CACHE, `${name}-run-`));
  const port = await freePort();
  const plan = plans[name](origin, port, folder);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  if (plan.missing !== undefined) {
    remove();
    return { missing: plan.missing };
  }
  const log = join(folder, 'log.txt');
  const watched = await watch({ ...plan, port, cpus, log });
  return { ...watched, load: plan.load, version: plan.version, stop: () => watched.stop().then(remove) };
}

/** Runs a command that listens on a port; CPU time and memory are those of all its processes together. */
export async function watch({ command, args, env, port, cpus, log }) {
  const output = log === undefined ? 'inherit' : openSync(log, 'a');
  const pinned = cpus === undefined ? [command, args] : ['taskset', ['-c', cpus, command, ...args]];
  const child = spawn(...pinned, {
    stdio: ['ignore', output, output],
    env: { ...process.env, NODE_ENV: 'production', ...env },
    detached: true,
  });
  const kill = (signal) => {
    try {
      process.kill(-child.pid, signal);
    } catch {
      // Nobody of its group is left.
    }
  };
  const onExit = () => kill('SIGKILL');
  process.on('exit', onExit);
  // Without a listener a signal ends this process before anybody hears of it.
  for (const signal of ['SIGINT', 'SIGTERM'])
    if (process.listenerCount(signal) === 0) process.on(signal, () => process.exit(1));
  const gone = new Promise((done) => child.once('exit', done));
  const stop = async () => {
    kill('SIGTERM');
    const timer = setTimeout(onExit, 3_000);
    await gone;
    clearTimeout(timer);
    onExit();
    process.off('exit', onExit);
  };
  const deadline = performance.now() + START_MS;
  while (!(await isOpen(port))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await stop();
      throw new Error(`${command} did not start: ${log === undefined ? '' : readFileSync(log, 'utf8').slice(-500)}`);
    }
    await sleep(50);
  }
  const answers = {
    snapshot: () => ({ cpuUs: cpuOf(child.pid), atMs: Number(process.hrtime.bigint()) / 1e6 }),
    memory: async () => {
      await sleep(100);
      return { rss: residentOf(child.pid), used: Number.NaN };
    },
  };
  return { port, ask: async (name) => answers[name](), stop };
}

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

function isOpen(port) {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    const end = (isThere) => {
      socket.destroy();
      done(isThere);
    };
    socket.on('connect', () => end(true));
    socket.on('error', () => end(false));
  });
}

/** The processes of a group, each as the fields of its `/proc/<pid>/stat` behind the name. Linux alone has them. */
function groupOf(group) {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(fields[2]) === group ? [fields] : [];
    } catch {
      // It has ended.
      return [];
    }
  });
}

const TICK_US = 1e6 / Number(spawnSync('getconf', ['CLK_TCK']).stdout?.toString() || 100);
const PAGE_BYTES = Number(spawnSync('getconf', ['PAGESIZE']).stdout?.toString() || 4_096);
const cpuOf = (group) => groupOf(group).reduce((sum, [...f]) => sum + (Number(f[11]) + Number(f[12])) * TICK_US, 0);
const residentOf = (group) => groupOf(group).reduce((sum, [...f]) => sum + Number(f[21]) * PAGE_BYTES, 0);
