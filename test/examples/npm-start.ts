import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { programArgs } from '../helpers/compiled.js';
import { eventually, within } from '../helpers/deadline.js';

const START_MS = 20_000;

// No OPENAI_API_KEY and no proxies: the demo answers, and nothing leaves this machine.
const { PATH, HOME } = process.env;
export const BARE = { PATH, HOME };

const started: ChildProcess[] = [];

/** A folder of this test file: removed after its tests, and what was launched is ended before. */
export function startFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'megallm-start-'));
  after(async () => {
    for (const child of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) continue;
      child.kill('SIGKILL');
      await within(once(child, 'exit'), 'the end of a child');
    }
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

/** A program that runs, and what it prints. */
export interface Started {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly all: () => string;
  /** Resolves when nothing more will be printed; with no code when it could not be started or was killed. */
  readonly ended: Promise<number | null>;
}

export function launch(command: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd?: string): Started {
  const child = spawn(command, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let out = '';
  let all = '';
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk;
    all += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    all += chunk;
  });
  const ended = new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      all += error.message;
      resolve(null);
    });
    child.on('close', resolve);
  });
  return { child, out: () => out, all: () => all, ended };
}

/** The program of `npm start` in that folder, compiled as all is, once it has printed all. stop.test.ts runs the command itself. */
export async function npmStart(cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Started> {
  const script = /"start": "exec node --import tsx --\S+ (\S+) \|\|/.exec(readFileSync('package.json', 'utf8'));
  const [, program] = script ?? [];
  assert.ok(program !== undefined, 'package.json starts something with tsx');
  const running = launch(process.execPath, programArgs(program), { ...BARE, PORT: '0', ...env }, cwd);
  const complete = (): boolean => {
    assert.equal(running.child.exitCode, null, `It ended: ${running.all()}`);
    return /^console\.log\(.*\nEOF\n/m.test(running.all());
  };
  await eventually(complete, () => `the lines to paste are printed: ${running.all()}`, START_MS);
  return running;
}
