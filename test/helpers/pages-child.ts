// Runs the programs of README and docs one after the other, as a reader would: starts a program, types what the page says
// next, and stops the program. Prints a line of JSON for each failure. Bundled by docs.test.ts together with the programs.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { demo } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import OpenAI from 'openai';
import { eventually, within } from './deadline.js';

/** What docs.test.ts has prepared. */
export interface Plan {
  readonly folder: string;
  /** Where OpenAI's API is played. */
  readonly upstreamPort: number;
  readonly programs: readonly PlannedProgram[];
}

export interface PlannedProgram {
  readonly page: string;
  readonly line: number;
  /** Compiled; `undefined`: there is only something to type. */
  readonly file: string | undefined;
  /** Where it listens; `undefined`: it does not. */
  readonly port: number | undefined;
  /** Whether OpenAI's client is to get an answer from it. */
  readonly isAsked: boolean;
  readonly shell: readonly { readonly line: number; readonly code: string }[];
}

/** A step that failed. */
export interface Failure {
  readonly page: string;
  readonly line: number;
  readonly message: string;
}

const plan: Plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'));
const report = process.stdout.write.bind(process.stdout);
let printed = '';
for (const stream of [process.stdout, process.stderr]) {
  stream.write = (chunk: string | Uint8Array) => {
    printed += chunk;
    return true;
  };
}

let current: Omit<Failure, 'message'> = { page: '', line: 0 };
function fail(error: unknown): void {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  report(`${JSON.stringify({ ...current, message: `${message}\n${printed.slice(-2_000)}` } satisfies Failure)}\n`);
}
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

const openai = createServer(megallm({ upstream: demo(), identify: () => ({ id: 'gateway', tier: 'enterprise' }) }));
await once(openai.listen(plan.upstreamPort), 'listening');

let page = '';
for (const program of plan.programs) {
  if (program.page !== page) process.chdir(mkdtempSync(join(plan.folder, 'cwd-')));
  page = program.page;
  printed = '';
  current = { page, line: program.line };
  try {
    await run(program);
  } catch (error) {
    fail(error);
  }
}
report('All were run.\n', () => process.exit(0));

async function run({ file, port, isAsked, shell }: PlannedProgram): Promise<void> {
  const { line } = current;
  if (file !== undefined) await within(import(pathToFileURL(file).href), 'the end of the program');
  if (port !== undefined) await eventually(() => listens(port), 'the program listens');
  if (isAsked) await ask(port);
  for (const typed of shell) {
    current = { page, line: typed.line };
    await type(typed.code);
  }
  current = { page, line };
  if (process.listenerCount('SIGTERM') === 0) return;
  process.emit('SIGTERM');
  if (port !== undefined) await eventually(async () => !(await listens(port)), 'the program stops at SIGTERM');
  process.removeAllListeners('SIGTERM');
}

/** The secret that the program has printed last. */
function secret(): string {
  return printed.match(/\bsk-mega-[0-9A-Za-z]{49}\b/g)?.at(-1) ?? '';
}

async function ask(port: number | undefined): Promise<void> {
  const client = new OpenAI({ baseURL: `http://localhost:${port}/v1`, apiKey: secret(), maxRetries: 0 });
  const messages = [{ role: 'user', content: 'Say hello' } as const];
  const answer = await client.chat.completions.create({ model: 'gpt-4o', messages });
  const said = answer.choices[0]?.message.content;
  if (said !== 'hello') throw new Error(`The program answers ${said}`);
}

/** In a shell of which `npm` and `npx` are ours: nothing is installed. What it prints must be no error. */
async function type(code: string): Promise<void> {
  const PATH = `${join(plan.folder, 'bin')}:${process.env.PATH}`;
  const child = spawn('sh', ['-euc', code], {
    env: { ...process.env, PATH, KEY: secret() },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  const [exit] = await within(once(child, 'close'), 'the end of what was typed');
  if (exit !== 0 || /"error":\s*\{|\(not ok\)/.test(output)) throw new Error(`It ended with ${exit}: ${output}`);
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, 'localhost');
    socket.on('error', () => resolve(false));
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}
