// Builds dist/: ES modules in dist/esm and CommonJS in dist/cjs, one file per source file, each with its types and source map.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** Dependencies that CommonJS cannot load: the CommonJS build has a copy of each. */
const ESM_ONLY = ['p-queue'];
const ES_MODULES = 'dist/esm';
const COMMONJS = 'dist/cjs';
const COPIES = join(COMMONJS, 'vendor');
const WORKER = 'src/stores/sqlite';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const { peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
const UNBUNDLED = '/* webpackIgnore: true */ /* turbopackIgnore: true */ /* @vite-ignore */';
const OPTIONAL = new Set(Object.keys(peerDependencies));

rmSync('dist', { recursive: true, force: true });
await Promise.all([compile('tsconfig.build.json'), compile('tsconfig.cjs.json'), ...ESM_ONLY.map(copyDependency)]);
await placeWorkerCode();
for (const name of readdirSync(ES_MODULES, { recursive: true })) {
  if (name.endsWith('.js')) excuseOptional(join(ES_MODULES, name));
}
for (const name of readdirSync(COMMONJS, { recursive: true })) {
  if (name.endsWith('.js') || name.endsWith('.d.ts')) spellAsCommonJs(join(COMMONJS, name));
}

async function compile(project) {
  const compiler = spawn(process.execPath, ['node_modules/typescript/bin/tsc', '-p', project], { stdio: 'inherit' });
  const [code] = await once(compiler, 'exit');
  if (code !== 0) process.exit(1);
}

/** Puts the code of the SQLite store's thread, as one script, where both builds have none: see `worker-code.ts`. */
async function placeWorkerCode() {
  const { outputFiles } = await build({
    stdin: {
      contents: "import { serveStore } from './worker.js'; serveStore();",
      resolveDir: join(ES_MODULES, WORKER),
    },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: 'none',
    write: false,
  });
  const code = JSON.stringify(outputFiles[0].text);
  for (const root of [ES_MODULES, COMMONJS]) {
    const path = join(root, WORKER, 'worker-code.js');
    const text = readFileSync(path, 'utf8');
    const placed = text.replace(/(?<=WORKER_CODE = )undefined(?=;)/, () => code);
    if (placed === text) throw new Error(`${path} has no place for the code of the thread`);
    writeFileSync(path, placed);
  }
}

/** Bundles a dependency, and those it has itself, into one file that names their licences. */
async function copyDependency(name) {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export { default } from '${name}';`, resolveDir: '.' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    metafile: true,
    write: false,
  });
  const folders = new Set(
    Object.keys(metafile.inputs).flatMap((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path) ?? []),
  );
  const notices = [...folders].map(noticeOf).join('\n\n').replaceAll('*/', '* /');
  mkdirSync(COPIES, { recursive: true });
  writeFileSync(join(COPIES, `${name}.cjs`), `/*\n${notices}\n*/\n${outputFiles[0].text}`);
}

function noticeOf(folder) {
  const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const licence = readdirSync(folder).find((file) => /^licen[cs]e/i.test(file));
  if (licence === undefined) throw new Error(`${folder} has no licence to hand on`);
  return `${name} ${version}\n\n${readFileSync(join(folder, licence), 'utf8').trim()}`;
}

/** Bundlers skip a package that such a comment stands before; esbuild lets it be missing where its failure is caught. */
function excuseOptional(path) {
  const text = readFileSync(path, 'utf8');
  const excused = text.replaceAll(/\bimport\((["']([^"']+)["'])\)/g, (load, literal, name) =>
    isOptional(name) ? `import(${UNBUNDLED} ${literal}).catch((error) => { throw error; })` : load,
  );
  if (excused !== text) writeFileSync(path, excused);
}

function isOptional(name) {
  const [scope, rest] = name.split('/');
  return OPTIONAL.has(scope) || OPTIONAL.has(`${scope}/${rest}`);
}

/**
 * Renames a file to `.cjs` or `.d.cts`, its map too, and what it loads with it: the package's own `.js` is an ES module.
 * Bundlers let an optional package be missing where its `require` stands in a `try`.
 */
function spellAsCommonJs(path) {
  const renamed = path.replace(/\.js$/, '.cjs').replace(/\.d\.ts$/, '.d.cts');
  const text = readFileSync(path, 'utf8')
    .replaceAll(/((?:require\(|from |import\()["']\.{1,2}\/[^"']+)\.js(?=["'])/g, '$1.cjs')
    .replaceAll(/(require\(["'])([^"'./][^"']*)(?=["'])/g, (whole, before, name) =>
      ESM_ONLY.includes(name) ? `${before}${relative(dirname(path), join(COPIES, name))}.cjs` : whole,
    )
    .replaceAll(/(?<=\.then\(\(\) => )(__importStar\(require\(["']([^"']+)["']\)\))/g, (load, _, name) =>
      isOptional(name) ? `{ try { return ${load}; } catch (error) { throw error; } }` : load,
    )
    .replace(/(?<=^\/\/# sourceMappingURL=).*$/m, (map) => mapName(map));
  writeFileSync(renamed, text);
  rmSync(path);
  const map = JSON.parse(readFileSync(`${path}.map`, 'utf8'));
  writeFileSync(`${path}.map`, JSON.stringify({ ...map, file: mapName(map.file) }));
  renameSync(`${path}.map`, `${renamed}.map`);
}

function mapName(name) {
  return name.replace(/\.js(?=$|\.map$)/, '.cjs').replace(/\.d\.ts(?=$|\.map$)/, '.d.cts');
}
