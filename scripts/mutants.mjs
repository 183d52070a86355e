// Changes lines of the sources, one at a time, and runs the tests that cover each: `npm run mutants -- --seed <hash> --count 100`.
//
// A seed draws the same mutants of the same sources (scripts/mutants/draw.mjs). A mutant is killed by a test that fails twice, is not
// done in time, or by the compiler, which is told apart. All happens in copies of the project in a temporary folder.
//
//   --seed <text>      what draws them, by custom the hash of the commit
//   --count <n>        how many mutants (100)
//   --only 3,17        the mutants of these numbers alone, such as survivors after a test was written
//   --of <file.json>   instead of drawn ones: [{ "file", "from", "to" }], the text `from` of a file made `to`
//   --within <s>       at most so many seconds of tests for a mutant, for a first look: those of its own name and the fastest
//   --parallel <n>     processes side by side (2)
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { SETTINGS } from '../test/run/compile.mjs';
import { groupsOf } from '../test/run/groups.mjs';
import { coverageOf } from './mutants/covering.mjs';
import { drawMutants } from './mutants/draw.mjs';
import { runTests } from './mutants/run-tests.mjs';

/** Test files are run together until they took so long when they were measured. */
const BATCH_MS = [3_000, 10_000, 40_000, 120_000];
/** How much longer than measured a batch may take on a busy machine, before the mutant is said to hang. */
const PATIENCE = 6;
const LEAST_LIMIT_MS = 45_000;

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    count: { type: 'string', default: '100' },
    only: { type: 'string' },
    of: { type: 'string' },
    within: { type: 'string', default: 'Infinity' },
    parallel: { type: 'string', default: '2' },
  },
});
if (values.seed === undefined && values.of === undefined) throw new TypeError('Expected `--seed <text>`');
const inParallel = Number(values.parallel);
const started = performance.now();
const home = mkdtempSync(join(tmpdir(), 'megallm-mutants-'));
process.once('exit', () => rmSync(home, { recursive: true, force: true, maxRetries: 3 }));
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

const copies = Array.from({ length: inParallel }, (_, index) => copyTo(join(home, `copy-${index}`)));
const tests = await coverageOf(copies[0], { inParallel, note: (text) => console.log(`covering ${text}`) });
for (const { file, failure } of tests)
  if (failure !== undefined) console.log(`left out, fails without a mutant: ${file}: ${failure}`);
const usable = tests.filter(({ failure }) => failure === undefined).sort((one, other) => one.ms - other.ms);

const waiting = await chosen();
console.log(`${waiting.length} mutants, ${usable.length} test files, seed ${values.seed}\n`);
const ends = [];
await Promise.all(copies.map(work));
report();

/** A copy of what is checked out, changes included, compiled. */
function copyTo(root) {
  mkdirSync(root);
  const listed = spawnSync('git', ['ls-files', '-co', '--exclude-standard', '-z'], { encoding: 'utf8' });
  for (const name of listed.stdout.split('\0')) {
    if (name === '' || !existsSync(name)) continue;
    mkdirSync(dirname(join(root, name)), { recursive: true });
    cpSync(name, join(root, name));
  }
  symlinkSync(resolve('node_modules'), join(root, 'node_modules'));
  if (existsSync('../shared') && !existsSync(join(home, 'shared')))
    symlinkSync(resolve('../shared'), join(home, 'shared'));
  const compile = "import('./test/run/compile.mjs').then(({ compile }) => compile())";
  const { status, stderr } = spawnSync(process.execPath, ['-e', compile], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return root;
}

/** The mutants to run, numbered. One that does not compile, or changes nothing that is compiled, is drawn again. */
async function chosen() {
  if (values.of !== undefined) return JSON.parse(readFileSync(values.of, 'utf8')).map(byHand);
  const drawn = [];
  for (const mutant of drawMutants(copies[0], values.seed)) {
    if (drawn.length === Number(values.count)) break;
    const text = readFileSync(mutant.file, 'utf8');
    const changed = text.slice(0, mutant.from) + mutant.put + text.slice(mutant.to);
    const compiled = await compile(copies[0], mutant.file, changed);
    if (compiled === undefined || compiled === (await compile(copies[0], mutant.file, text))) continue;
    drawn.push({ ...mutant, number: drawn.length + 1, text, changed });
  }
  const numbers = values.only?.split(',').map(Number);
  return numbers === undefined ? drawn : drawn.filter(({ number }) => numbers.includes(number));
}

function byHand({ file, from, to }, index) {
  const text = readFileSync(file, 'utf8');
  const begin = text.indexOf(from);
  if (begin < 0 || text.indexOf(from, begin + 1) >= 0)
    throw new Error(`Expected ${JSON.stringify(from)} once in ${file}`);
  const line = text.slice(0, begin).split('\n').length;
  const changed = text.slice(0, begin) + to + text.slice(begin + from.length);
  return { number: index + 1, file, line, kind: 'by hand', text, changed };
}

/** The compiled text, as it stands in the copy's cache from now on; `undefined` if it cannot be compiled. */
async function compile(root, file, text) {
  writeFileSync(join(root, file), text);
  try {
    const settings = { ...SETTINGS, logLevel: 'silent', absWorkingDir: root, outdir: join(root, '.cache/test') };
    await build({ ...settings, entryPoints: [file] });
  } catch {
    return undefined;
  }
  return readFileSync(join(root, '.cache/test', file.replace(/\.ts$/, '.js')), 'utf8');
}

async function work(root) {
  for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
    const begun = performance.now();
    await compile(root, mutant.file, mutant.changed);
    const end = await fateOf(root, mutant);
    await compile(root, mutant.file, mutant.text);
    ends.push({ mutant, end });
    console.log(`${told(mutant)}\n    ${end.text} (${((performance.now() - begun) / 1_000).toFixed(1)} s)`);
  }
}

async function fateOf(root, { file, line }) {
  const covering = coveringLine(file, line);
  const tried = withinTime(inOrder(covering, file));
  for (const batch of batchesOf(tried)) {
    for (const { files } of groupsOf(batch.map((test) => test.file))) {
      const failure = await believed(root, files, limitOf(batch));
      if (failure?.isLate) return { kind: 'late', text: `KILLED, not done in time: ${failure.test}` };
      if (failure !== undefined)
        return { kind: 'killed', text: `killed by ${failure.test}: ${failure.error.split('\n', 1)[0]}` };
    }
  }
  const types = spawnSync('node_modules/.bin/tsc', ['-p', 'tsconfig.json', '--noEmit'], {
    cwd: root,
    encoding: 'utf8',
  });
  if (types.status !== 0)
    return { kind: 'compiler', text: `killed by the compiler alone: ${types.stdout.split('\n', 1)[0]}` };
  return { kind: 'survived', text: `SURVIVED ${tried.length} of ${covering.length} test files that cover it` };
}

/** A line of SQL within a template has no place of its own in what is compiled: its template's beginning has. */
function coveringLine(file, line) {
  for (let at = line; at > 0; at -= 1) {
    const covering = usable.filter(({ lines }) => lines[file]?.includes(at));
    if (covering.length > 0) return covering;
  }
  return [];
}

/** Those first that bear the name of the source's file or folder: they are the likeliest to notice. The others by their time. */
function inOrder(covering, file) {
  const names = file.replace('.ts', '').split('/').slice(1);
  const isNear = (test) => names.some((name) => test.file.includes(name));
  return [...covering.filter(isNear), ...covering.filter((test) => !isNear(test))];
}

function withinTime(covering) {
  let ms = 0;
  return covering.filter((test) => {
    if (ms + test.ms > Number(values.within) * 1_000) return false;
    ms += test.ms;
    return true;
  });
}

/** A failure that is there again when its file runs alone. */
async function believed(root, files, limitMs) {
  const first = await runTests(root, files, { limitMs });
  if (first === undefined) return undefined;
  const file = files.find((name) => first.test.startsWith(name));
  return await runTests(root, file === undefined ? files : [file], { limitMs });
}

/** From the fastest to the slowest, more and more at once. */
function batchesOf(covering) {
  const batches = [[]];
  let ms = 0;
  for (const test of covering) {
    if (ms > BATCH_MS[Math.min(batches.length, BATCH_MS.length) - 1]) {
      batches.push([]);
      ms = 0;
    }
    batches.at(-1).push(test);
    ms += test.ms;
  }
  return batches;
}

function limitOf(batch) {
  return Math.max(LEAST_LIMIT_MS, PATIENCE * batch.reduce((sum, { ms }) => sum + ms, 0));
}

function told({ number, file, line, kind, text, changed }) {
  const row = (whole) => whole.split('\n')[line - 1].trim();
  return `${number}. ${file}:${line} ${kind}\n  - ${row(text)}\n  + ${row(changed)}`;
}

function report() {
  const of = (wanted) => ends.filter(({ end }) => end.kind === wanted);
  console.log(
    `\nSurvivors:\n${of('survived')
      .map(({ mutant }) => told(mutant))
      .join('\n')}`,
  );
  const killed = of('killed').length + of('late').length;
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(`\n${ends.length} mutants: ${killed} killed by tests (${of('late').length} of them hang),`);
  console.log(
    `${of('compiler').length} by the compiler alone, ${of('survived').length} survived, in ${minutes} minutes.`,
  );
}
