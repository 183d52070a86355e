import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** The contents of the package, and what packing it needs. */
const NEEDED = [
  'src',
  'adapters',
  'bench',
  'examples',
  'docs',
  'scripts',
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'tsconfig.cjs.json',
  'README.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'LICENSE',
];

/** What stands beside the unpacked package: its dependencies, and types; none of its optional packages. */
const BESIDE = ['lru-cache', 'p-queue', '@types/express', '@types/koa', '@types/node'];
const RUN_MS = 120_000;

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'megallm-package-')));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
let tarball: Promise<string> | undefined;
let unpacked: Promise<string> | undefined;

/**
 * The package as `npm pack` makes it, once for all tests of a process; the checkout's own `dist` is left alone. The environment
 * variable `MEGALLM_PACKAGE` may name one that has been packed from these sources already.
 */
export function packed(): Promise<string> {
  const { MEGALLM_PACKAGE: given } = process.env;
  tarball ??= given === undefined ? pack() : Promise.resolve(given);
  return tarball;
}

async function pack(): Promise<string> {
  const checkout = join(folder, 'checkout');
  mkdirSync(checkout);
  for (const name of NEEDED) if (existsSync(name)) cpSync(name, join(checkout, name), { recursive: true });
  symlinkSync(resolve('node_modules'), join(checkout, 'node_modules'), 'junction');
  await run('npm', ['pack', '--silent', '--pack-destination', folder], checkout);
  const [name = ''] = readdirSync(folder).filter((file) => file.endsWith('.tgz'));
  return join(folder, name);
}

/** The folder of the unpacked package. */
export function unpackedPackage(): Promise<string> {
  unpacked ??= unpack();
  return unpacked;
}

async function unpack(): Promise<string> {
  const root = join(folder, 'unpacked');
  const place = join(root, 'node_modules', 'megallm-middleware');
  mkdirSync(place, { recursive: true });
  await run('tar', ['-xzf', await packed(), '--strip-components=1', '-C', place], root);
  for (const name of BESIDE) link(resolve('node_modules', name), root, name);
  return place;
}

/** A folder with one file of `apps`, in which the package is found, and the types of Node. */
export async function application(app: string): Promise<string> {
  const root = mkdtempSync(join(folder, 'app-'));
  link(await unpackedPackage(), root, 'megallm-middleware');
  link(resolve('node_modules/@types/node'), root, '@types/node');
  cpSync(join('test/package/apps', app), join(root, app));
  return root;
}

/** Makes a package known to the application in that folder. */
export function link(target: string, root: string, name: string): void {
  const place = join(root, 'node_modules', name);
  mkdirSync(dirname(place), { recursive: true });
  symlinkSync(target, place, 'junction');
}

/** Everything a program prints. @throws {Error} with it, when the program fails or takes too long. */
export async function run(command: string, args: readonly string[], cwd: string, timeout = RUN_MS): Promise<string> {
  const { NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _context, ...env } = process.env;
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, { cwd, env, timeout, maxBuffer: 2 ** 26 });
    return `${stdout}${stderr}`;
  } catch (cause) {
    const { stdout = '', stderr = '' } = cause as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}`, { cause });
  }
}
