import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';

/** What is packed, and what packing it needs. */
const NEEDED = [
  'src',
  'adapters',
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
const RUN_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'megallm-package-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
let tarball: Promise<string> | undefined;

/** The package as `npm pack` makes it, once for all tests of a process; the checkout's own `dist` is left alone. */
export function packed(): Promise<string> {
  tarball ??= pack();
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

/**
 * A folder with one file of `apps` and the unpacked package, the package's dependencies, and no other packages than those
 * named: none of the optional ones, for example.
 */
export async function application(app: string, others: readonly string[] = []): Promise<string> {
  const root = mkdtempSync(join(folder, 'app-'));
  const installed = join(root, 'node_modules', 'megallm-middleware');
  mkdirSync(installed, { recursive: true });
  await run('tar', ['-xzf', await packed(), '--strip-components=1', '-C', installed], root);
  for (const other of ['lru-cache', 'p-queue', 'undici', ...others]) {
    const place = join(root, 'node_modules', other);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(resolve('node_modules', other), place, 'junction');
  }
  cpSync(join('test/package/apps', app), join(root, app));
  return root;
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
