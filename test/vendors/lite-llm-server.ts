import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { everyAnswer } from '../conformance/every-answer.js';
import { within } from '../helpers/deadline.js';

/** The proxy as it is installed from PyPI. */
const PACKAGE = 'litellm[proxy]==1.108.7';
/** Kept from one run to the next: installing takes a quarter of a minute. */
const INSTALLED = join(tmpdir(), `megallm-${PACKAGE.replace(/\W+/g, '-')}`);
/** The first start reads 3,000 files of Python. */
const START_MS = 240_000;

/** LiteLLM's proxy, in front of one model. */
export interface LiteLlmServer {
  readonly baseUrl: string;
  close(): Promise<void>;
}

/** Installs the proxy where it is missing. @returns the reason where that cannot be done: no Python, or no PyPI. */
export async function installLiteLlm(): Promise<string | undefined> {
  if (existsSync(commandIn(INSTALLED))) return undefined;
  const folder = mkdtempSync(`${INSTALLED}-`);
  const python = join(folder, 'bin/python');
  try {
    await run('python3', ['-m', 'venv', folder]);
    // A quarter of the time that pip takes.
    await run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', 'uv']);
    await run(python, ['-m', 'uv', 'pip', 'install', '--quiet', '--python', python, PACKAGE]);
    // Another process may have been faster.
    if (!existsSync(INSTALLED)) renameSync(folder, INSTALLED);
    return undefined;
  } catch (error) {
    return `LiteLLM's proxy is not here: ${error instanceof Error ? error.message.trim().slice(-300) : error}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const run = promisify(execFile);

/** Scripts in a folder that was renamed name the old one: the interpreter is asked for the module itself. */
function commandIn(folder: string): string {
  return join(folder, 'bin/litellm');
}

/** Starts the proxy in front of an OpenAI-like server. @param apiKey the key that the proxy wants. */
export async function liteLlmServer(model: string, upstreamUrl: string, apiKey: string): Promise<LiteLlmServer> {
  const folder = mkdtempSync(join(tmpdir(), 'megallm-litellm-'));
  const config = join(folder, 'config.json');
  writeFileSync(config, JSON.stringify(configOf(model, upstreamUrl, apiKey)));
  const port = await freePort();
  const log = join(folder, 'log.txt');
  const output = openSync(log, 'w');
  const args = ['--config', config, '--host', '127.0.0.1', '--port', `${port}`, '--telemetry', 'False'];
  const child = spawn(join(INSTALLED, 'bin/python'), ['-c', 'from litellm import run_server; run_server()', ...args], {
    stdio: ['ignore', output, output],
    // Its prices are in the package; nothing is fetched, nothing is told to anybody.
    env: { ...process.env, LITELLM_LOCAL_MODEL_COST_MAP: 'True', LITELLM_TELEMETRY: 'False', DISABLE_ADMIN_UI: 'True' },
  });
  const onExit = (): void => void child.kill('SIGKILL');
  process.on('exit', onExit);
  const origin = `http://127.0.0.1:${port}`;
  const close = async (): Promise<void> => {
    process.off('exit', onExit);
    await end(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await isReady(origin, child);
  } catch (error) {
    const said = readFileSync(log, 'utf8').slice(-2_000);
    await close();
    throw new Error(`LiteLLM did not start: ${said}`, { cause: error });
  }
  const overheard = await overheardRelay(port);
  return {
    baseUrl: `http://127.0.0.1:${overheard.port}/v1`,
    async close() {
      overheard.close();
      await close();
    },
  };
}

/** Passes everything on, so that what the proxy says is known to be its own doing. */
async function overheardRelay(to: number): Promise<{ readonly port: number; close(): void }> {
  const relay = (req: IncomingMessage, res: ServerResponse): void => {
    const { method, url, headers } = req;
    const onward = request({ host: '127.0.0.1', port: to, method, path: url, headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.on('error', () => res.destroy());
      answer.pipe(res);
    });
    onward.on('error', () => res.destroy());
    res.on('close', () => onward.destroy());
    req.on('error', () => onward.destroy());
    req.pipe(onward);
  };
  const server = createHttpServer(everyAnswer.overheard(relay));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('Expected a port');
  return {
    port: address.port,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function configOf(model: string, upstreamUrl: string, apiKey: string): object {
  const settings = { model: `openai/${model}`, api_base: upstreamUrl, api_key: 'sk-behind-litellm' };
  return {
    model_list: [{ model_name: model, litellm_params: settings }],
    general_settings: { master_key: apiKey },
    litellm_settings: { num_retries: 0 },
    router_settings: { num_retries: 0, disable_cooldowns: true },
  };
}

async function isReady(origin: string, child: ChildProcess): Promise<void> {
  const until = performance.now() + START_MS;
  while (performance.now() < until) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('It ended.');
    const isUp = await fetch(`${origin}/health/liveliness`, { signal: AbortSignal.timeout(5_000) }).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isUp) return;
    await setTimeout(100);
  }
  throw new Error('It took too long.');
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGKILL');
  await within(exit, 'the end of LiteLLM');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('Expected a port');
  return address.port;
}
