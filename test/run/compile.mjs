import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { build } from 'esbuild';

/** Where the compiled sources stand, in the folders they have in the project. */
const OUT = resolve('.cache/test');
const ROOTS = ['src', 'adapters', 'examples', 'test'];
/** How esbuild compiles a source, which a mutant must be compiled like. */
export const SETTINGS = {
  outbase: '.',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'error',
};

/** Compiles sources and tests, one file for each, with source maps. What has not changed is not written again: it may be in use. */
export async function compile() {
  const { outputFiles } = await build({
    entryPoints: ROOTS.flatMap(sourcesIn),
    outdir: OUT,
    ...SETTINGS,
    write: false,
  });
  const made = new Map(outputFiles.map(({ path, contents }) => [path, contents]));
  made.set(join(OUT, 'package.json'), Buffer.from(packageJson()));
  for (const path of filesIn(OUT)) if (!made.has(path)) rmSync(path);
  for (const [path, contents] of made) {
    if (isThere(path) && readFileSync(path).equals(contents)) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
}

/** The compiled file of a source, such as `test/run/group.ts`. */
export function compiled(source) {
  return join(OUT, relative('.', source).replace(/\.ts$/, '.js'));
}

/** Makes imports of `megallm-middleware` lead to the compiled sources, as the condition `@megallm/source` leads to the others. */
function packageJson() {
  const { name, version, type, exports } = JSON.parse(readFileSync('package.json', 'utf8'));
  const sources = Object.entries(exports).flatMap(([path, { '@megallm/source': source }]) =>
    source === undefined ? [] : [[path, source.replace(/\.ts$/, '.js')]],
  );
  return JSON.stringify({
    name,
    version,
    type,
    exports: { ...Object.fromEntries(sources), './package.json': './package.json' },
  });
}

function sourcesIn(folder) {
  return filesIn(folder).filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'));
}

function filesIn(folder) {
  if (!isThere(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return [path];
    return entry.name === 'node_modules' ? [] : filesIn(path);
  });
}

function isThere(path) {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
