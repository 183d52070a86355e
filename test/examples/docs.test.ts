import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { basename, join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type BuildFailure, build, type Location, type Plugin } from 'esbuild';
import { within } from '../helpers/deadline.js';
import { blocksOf, PAGES, type Program, programsOf } from '../helpers/pages.js';
import type { Failure, Plan, PlannedProgram } from '../helpers/pages-child.js';
import { noPostgres, type PostgresServer, postgresServer } from '../helpers/postgres-server.js';
import { noRedis, type RedisServer, redisServer } from '../helpers/redis-server.js';

const DEADLINE_MS = 90_000;

/** What may stand in a block: code that is run, words that are typed, data that is parsed. */
const LANGUAGES = ['ts', 'sh', 'json'];

/** Where users put it, and we do not. */
const ADMIN_SECRET_FILE = '/run/secrets/megallm-admin';

// In the tree of the package, so that its own name resolves to it; the dot keeps `tsc` and the test runner out.
const FOLDER = resolve(mkdtempSync('test/examples/.readme-'));
const PROGRAMS = PAGES.flatMap(programsOf);

const failures: Failure[] = [];
let postgres: PostgresServer | undefined;
let redis: RedisServer | undefined;

before(async () => {
  if (noPostgres === false) postgres = await postgresServer();
  if (noRedis === false) redis = await redisServer();
  const runnable = PROGRAMS.filter((program) => whyNot(program) === undefined);
  failures.push(...(await compileAll()), ...(await runAll(runnable)));
});

after(async () => {
  await Promise.all([postgres?.close(), redis?.remove()]);
  rmSync(FOLDER, { recursive: true, force: true });
});

/** Why a program cannot run here. */
function whyNot({ code }: Program): string | undefined {
  const missing = [/ from 'pg'/.test(code) && noPostgres, / from '(?:io)?redis'/.test(code) && noRedis];
  return missing.find((reason) => typeof reason === 'string') || undefined;
}

function nameOf({ page, line }: Program): string {
  return `${basename(page, '.md')}-${line}`;
}

function write(name: string, text: string): string {
  const path = join(FOLDER, name);
  writeFileSync(path, text);
  return path;
}

/** So many ports that nobody has. */
async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  for (let left = count; left > 0; left -= 1) servers.push(createServer().listen(0));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => {
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  });
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}

/** The same with addresses that are this machine's. */
function placed(code: string, port: number | undefined, upstreamPort: number): string {
  return code
    .replaceAll(/\.listen\(3000\b/g, `.listen(${port}`)
    .replaceAll('localhost:3000', `localhost:${port}`)
    .replaceAll(
      /https:\/\/api\.openai\.com\/v1|http:\/\/localhost:(?:11434|8000)\/v1/g,
      `http://localhost:${upstreamPort}/v1`,
    )
    .replaceAll(ADMIN_SECRET_FILE, join(FOLDER, 'admin-secret'));
}

async function planOf(programs: readonly Program[]): Promise<Plan> {
  const [upstreamPort = 0, ...ports] = await freePorts(programs.length + 1);
  const planned = programs.map((program, index): PlannedProgram => {
    const { page, line, code, shell } = program;
    const port = /\.listen\(3000\b/.test(code) ? ports[index] : undefined;
    if (code !== '') write(`${nameOf(program)}.ts`, placed(`${code}\nexport {};\n`, port, upstreamPort));
    return {
      ...{ page, line, port },
      file: code === '' ? undefined : join(FOLDER, 'out', `${nameOf(program)}.js`),
      isAsked: page === 'README.md' && port !== undefined,
      shell: shell.map((block) => ({ line: block.line, code: placed(block.code, port, upstreamPort) })),
    };
  });
  return { folder: FOLDER, upstreamPort, programs: planned };
}

/** Everything but the package itself is as it is installed. */
const OTHERS_OUTSIDE: Plugin = {
  name: 'others outside',
  setup: ({ onResolve }) =>
    onResolve({ filter: /^[\w@]/ }, ({ path, kind }) =>
      kind === 'entry-point' || /^megallm-middleware(?:\/|$)/.test(path) ? undefined : { path, external: true },
    ),
};

function isOf(location: Location | null, program: Program): boolean {
  return location?.file.endsWith(`/${nameOf(program)}.ts`) ?? false;
}

/** Bundles the programs. @returns those that can be, and why the others cannot. */
async function bundle(programs: readonly Program[]): Promise<{ bundled: readonly Program[]; failures: Failure[] }> {
  try {
    await bundleAll(programs);
    return { bundled: programs, failures: [] };
  } catch (failed) {
    const { errors } = failed as BuildFailure;
    const failures = errors.flatMap(({ location, text }): Failure[] => {
      const program = programs.find((one) => isOf(location, one));
      return program === undefined ? [] : [{ page: program.page, line: location?.line ?? 0, message: text }];
    });
    if (failures.length === 0) throw failed;
    // The others may have faults that are found only then.
    const others = await bundle(programs.filter((program) => !errors.some(({ location }) => isOf(location, program))));
    return { bundled: others.bundled, failures: [...failures, ...others.failures] };
  }
}

/** The programs, and what runs them, in one build: they share the package as they do in one application. */
async function bundleAll(programs: readonly Program[]): Promise<void> {
  const [, cli = ''] = /"megallm": "\.\/dist\/.*?(src\/.*)\.js"/.exec(readFileSync('package.json', 'utf8')) ?? [];
  const files = programs.flatMap((program) => (program.code === '' ? [] : [`${join(FOLDER, nameOf(program))}.ts`]));
  await build({
    // The store's thread has its code beside whatever file starts it, as sources are not built with it inside.
    entryPoints: [...files, 'test/helpers/pages-child.ts', 'src/stores/sqlite/worker.ts', `${cli}.ts`].map((input) => ({
      in: input,
      out: basename(input, '.ts'),
    })),
    ...{ outdir: join(FOLDER, 'out'), bundle: true, splitting: true, format: 'esm', platform: 'node' },
    ...{ target: 'es2022', sourcemap: true, conditions: ['@megallm/source'], logLevel: 'silent' },
    plugins: [OTHERS_OUTSIDE],
  });
}

/** `npm` that installs only what we test with, and `npx` that knows our own program. */
function writeShims(): void {
  mkdirSync(join(FOLDER, 'bin'));
  const known = `grep -q "\\"$1\\":" ${resolve('package.json')} || { echo "(not ok) $1 is not in package.json"; exit 1; }`;
  const npm = `case "$1" in install) shift ;; run) shift ;; esac\nwhile [ $# -gt 0 ]; do [ "$1" = megallm-middleware ] || ${known}; shift; done`;
  const npx = `[ "$1" = megallm ] || exit 1\nshift\nexec ${process.execPath} ${join(FOLDER, 'out/cli.js')} "$@"`;
  for (const [name, body] of Object.entries({ npm, npx }))
    chmodSync(write(`bin/${name}`, `#!/bin/sh\n${body}\n`), 0o755);
}

async function runAll(programs: readonly Program[]): Promise<Failure[]> {
  const plan = await planOf(programs);
  const { bundled, failures } = await bundle(programs);
  const isBundled = ({ page, line }: PlannedProgram): boolean =>
    bundled.some((program) => program.page === page && program.line === line);
  write('plan.json', JSON.stringify({ ...plan, programs: plan.programs.filter(isBundled) }));
  write('admin-secret', `${randomBytes(32).toString('hex')}\n`);
  writeShims();
  const { PATH, HOME } = process.env;
  const env = { PATH, HOME, DATABASE_URL: postgres?.url, REDIS_URL: `redis://127.0.0.1:${redis?.port}` };
  const args = ['--enable-source-maps', join(FOLDER, 'out/pages-child.js'), join(FOLDER, 'plan.json')];
  const output = await outputOf(args, env);
  const lines = output.trimEnd().split('\n');
  assert.equal(lines.pop(), 'All were run.', output);
  return [...failures, ...lines.map((line): Failure => JSON.parse(line))];
}

/**
 * Type-checks every program as in a strict project of a user's. `exactOptionalPropertyTypes` is off, as it is with most of
 * them; what that makes of the package's own files is not looked at here.
 */
async function compileAll(): Promise<Failure[]> {
  const programs = PROGRAMS.filter(({ code }) => code !== '');
  const folder = join(FOLDER, 'types');
  mkdirSync(folder);
  for (const program of programs) write(`types/${nameOf(program)}.ts`, `${program.code}\nexport {};\n`);
  const config = {
    extends: '../../../../tsconfig.json',
    compilerOptions: { exactOptionalPropertyTypes: false },
    files: programs.map((program) => `${nameOf(program)}.ts`),
    include: [],
  };
  const path = write('types/tsconfig.json', JSON.stringify(config));
  const args = ['node_modules/typescript/bin/tsc', '-p', path, '--noEmit', '--pretty', 'false'];
  const output = await outputOf(args, { PATH: process.env.PATH });
  const errors = [...output.matchAll(/^\S*\/types\/([\w-]+)-\d+\.ts\((\d+),\d+\): (.*(?:\n {2}.*)*)/gm)];
  return errors.map(([, name = '', line, message = '']) => ({
    page: PAGES.find((page) => basename(page, '.md') === name) ?? name,
    line: Number(line),
    message,
  }));
}

/** What Node prints for it. */
async function outputOf(args: readonly string[], env: NodeJS.ProcessEnv): Promise<string> {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  try {
    await within(once(child, 'close'), `the end of ${args.join(' ')}`, DEADLINE_MS);
    return output;
  } finally {
    child.kill('SIGKILL');
  }
}

describe('every block of the README and the docs', () => {
  for (const page of PAGES) {
    it(`of ${page} does what it says`, (test) => {
      const reasons = new Set(programsOf(page).flatMap((program) => whyNot(program) ?? []));
      for (const reason of reasons) test.diagnostic(`Not all of ${page} was run: ${reason}`);
      const own = failures.filter((failure) => failure.page === page);
      assert.deepEqual(
        own.map(({ line, message }) => `${page}:${line}: ${message}`),
        [],
      );
    });
  }

  it('is of a language that is looked at, and JSON is JSON', () => {
    for (const page of PAGES) {
      for (const { language, line, code } of blocksOf(page)) {
        assert.ok(LANGUAGES.includes(language), `${page}:${line}: ${language}`);
        if (language === 'json') assert.doesNotThrow(() => JSON.parse(code), `${page}:${line}`);
      }
    }
  });
});
