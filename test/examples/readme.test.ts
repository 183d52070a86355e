import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import * as gateway from 'megallm-middleware';
import OpenAI from 'openai';
import { eventually, within } from '../helpers/deadline.js';

const START_MS = 30_000;
const LISTENS = /\.listen\(\d+/;

const README = readFileSync('README.md', 'utf8');

// In the tree of the package, so that its own name resolves to it; the dot keeps `tsc` and the test runner out.
const FOLDER = mkdtempSync('test/examples/.readme-');

const started: ChildProcess[] = [];
after(async () => {
  for (const child of started) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await within(once(child, 'exit'), 'the end of a program');
  }
  rmSync(FOLDER, { recursive: true, force: true });
});

interface Block {
  readonly line: number;
  readonly code: string;
}

const BLOCKS: readonly Block[] = [...README.matchAll(/^```(?:ts|js|typescript|javascript)\n([\s\S]*?)^```$/gm)].map(
  ({ 1: code = '', index }) => ({ line: README.slice(0, index).split('\n').length + 1, code }),
);
const PROGRAMS = BLOCKS.filter(({ code }) => /^import /m.test(code) && LISTENS.test(code));

/** What a block that is not a program takes as given; globals, so that a block's own imports go before them. */
function presumed(): string {
  const exported = Object.keys(gateway).map((name) => `const ${name}: typeof import('megallm-middleware').${name};`);
  return `declare global {
  ${exported.join('\n  ')}
  const megallm: typeof import('megallm-middleware/express').megallm;
  const OpenAI: typeof import('openai').default;
  const apiKey: string;
  const upstream: import('megallm-middleware').Upstream;
  const myStore: import('megallm-middleware').KeyStore;
  function userOf(native: unknown): object | undefined;
}
export {};
`;
}

function write(name: string, text: string): string {
  const path = join(FOLDER, name);
  writeFileSync(path, text);
  return path;
}

function launch(args: readonly string[]): { child: ChildProcess; printed: () => string } {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, args, { env: { PATH, HOME }, stdio: ['ignore', 'pipe', 'pipe'] });
  started.push(child);
  let printed = '';
  const read = (chunk: Buffer): void => {
    printed += chunk;
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  return { child, printed: () => printed };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

async function firstAnswer({ line, code }: Block): Promise<string | null | undefined> {
  const port = await freePort();
  const path = write(`program-${line}.ts`, code.replace(LISTENS, `.listen(${port}`));
  const { child, printed } = launch(['--import', 'tsx', '--conditions=@megallm/source', path]);
  const listens = async (): Promise<boolean> => {
    assert.equal(child.exitCode, null, `The program ended: ${printed()}`);
    const answered = await fetch(`http://localhost:${port}/`, { signal: AbortSignal.timeout(5_000) }).catch(() => null);
    await answered?.body?.cancel();
    return answered !== null && /use: \S+/.test(printed());
  };
  await eventually(listens, () => `the program listens and prints a key: ${printed()}`, START_MS);
  const apiKey = /use: (\S+)/.exec(printed())?.[1] ?? '';
  const client = new OpenAI({ baseURL: `http://localhost:${port}/v1`, apiKey, maxRetries: 0, timeout: 10_000 });
  const messages = [{ role: 'user', content: 'Say hello' } as const];
  const answer = await client.chat.completions.create({ model: 'gpt-4o', messages });
  return answer.choices[0]?.message.content;
}

describe('the README', () => {
  it('shows a program for each host', () => {
    const hosts = PROGRAMS.map(({ code }) => /megallm-middleware\/(\w+)/.exec(code)?.[1]);
    assert.deepEqual(hosts, ['express', 'koa', 'node']);
  });

  for (const program of PROGRAMS) {
    it(`line ${program.line}: the program answers the official client`, async () => {
      assert.equal(await firstAnswer(program), 'hello');
    });
  }

  it('has no block that does not type-check', async () => {
    const files = BLOCKS.map(({ line, code }) => write(`line-${line}.ts`, `${code}export {};\n`));
    files.push(write('presumed.d.ts', presumed()));
    const config = write(
      'tsconfig.json',
      JSON.stringify({ extends: '../../../tsconfig.json', files: files.map((path) => basename(path)), include: [] }),
    );
    const { child, printed } = launch(['node_modules/typescript/bin/tsc', '-p', config, '--noEmit']);
    const [code] = await within(once(child, 'close'), 'the type check', START_MS);
    assert.equal(code, 0, printed());
  });
});
