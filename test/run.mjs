// Compiles everything once and runs the test files given, or all of `test/`, in few processes: a group of files in each.
// The environment variable `MEGALLM_DEPTH` says how far they go: see test/helpers/depth.ts.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { compile, compiled } from './run/compile.mjs';
import { groupsOf, groupsOverUndici, longestFirst } from './run/groups.mjs';

/** So many distinct answers and events the whole suite receives at least; fewer, and the watching is broken. */
const LEAST_DISTINCT = 1_000;
/** A process that is not done by then is ended. */
const GROUP_TIMEOUT_MS = 600_000;
/** How much of what a process printed is shown when it failed. */
const MAX_OUTPUT = 20_000;

const started = performance.now();
const given = process.argv.slice(2);
const files =
  given.length > 0
    ? given
    : readdirSync('test', { recursive: true })
        .map((name) => `test/${name}`)
        .filter((name) => name.endsWith('.test.ts') && !name.startsWith('test/sdks/'))
        .sort();

await compile();
const { DEPTH } = await import(compiled('test/helpers/depth.ts'));
const { NO_REFERENCE_DATA, specIsMissing } = await import(compiled('test/conformance/description.ts'));
const folder = mkdtempSync(join(tmpdir(), 'megallm-tests-'));
// Each process notes here which answers it received: see test/conformance/every-answer.ts.
const ledger = join(folder, 'answers');
mkdirSync(ledger);
const children = new Set();
process.once('SIGTERM', () => end(143));
process.once('SIGINT', () => end(130));

const events = [];
const waiting = longestFirst([...groupsOf(files), ...groupsOverUndici(files, DEPTH)]);
// Two more than there are processors: tests wait for sockets, servers and disks half of their time.
await Promise.all(Array.from({ length: availableParallelism() + 2 }, work));
assertTogether();
rmSync(folder, { recursive: true, force: true });
report();

function end(code) {
  for (const child of children) child.kill('SIGTERM');
  rmSync(folder, { recursive: true, force: true });
  process.exit(code);
}

async function work() {
  for (let group = waiting.shift(); group !== undefined; group = waiting.shift()) {
    const begun = performance.now();
    const found = await runGroup(group);
    events.push(...found);
    const failed = found.filter(({ kind }) => kind === 'failed');
    const passed = found.filter(({ kind }) => kind === 'passed').length;
    const seconds = ((performance.now() - begun) / 1_000).toFixed(1);
    console.log(`${failed.length === 0 ? 'ok' : 'FAILED'} ${group.name}: ${passed} passed in ${seconds} s`);
    for (const { text } of found) if (text !== undefined) console.log(`  ${text}`);
    for (const { path, error } of failed) console.log(`\n✖ ${path.join(' > ')}\n${error.replace(/^/gm, '    ')}\n`);
  }
}

/** What its tests had to tell, and a failure more if the process did not end well. */
async function runGroup({ name, files, environment }) {
  const results = join(folder, `${name.replaceAll('/', '-')}.jsonl`);
  const printed = join(folder, `${name.replaceAll('/', '-')}.out`);
  const args = [
    '--enable-source-maps',
    '--disable-warning=ExperimentalWarning',
    '--test-reporter=./test/run/events.mjs',
    `--test-reporter-destination=${results}`,
    compiled('test/run/group.ts'),
    ...files,
  ];
  const out = openSync(printed, 'w');
  const env = { ...process.env, MEGALLM_CONFORMANCE_LEDGER: ledger, ...environment };
  const child = spawn(process.execPath, args, { stdio: ['ignore', out, out], env });
  children.add(child);
  const timer = setTimeout(() => child.kill('SIGTERM'), GROUP_TIMEOUT_MS * DEPTH);
  const [code, signal] = await new Promise((resolve) => child.once('exit', (...how) => resolve(how)));
  clearTimeout(timer);
  children.delete(child);
  return judged({ name, code, signal, results, output: readFileSync(printed, 'utf8') });
}

function judged({ name, code, signal, results, output }) {
  const lines = existsSync(results) ? readFileSync(results, 'utf8').split('\n') : [];
  const found = lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line));
  const isOver = found.at(-1)?.kind === 'over';
  const hasFailed = found.some(({ kind }) => kind === 'failed');
  const tail = output.slice(-MAX_OUTPUT).trimEnd();
  if (!isOver || (code !== 0 && !hasFailed)) {
    const last = isOver ? undefined : found.findLast(({ kind }) => kind === 'begun');
    const how = `The process of ${name} ended with ${signal ?? code}${last === undefined ? '' : ' in the midst of it'}`;
    found.push({ kind: 'failed', path: last?.path ?? [name], error: `${how}\n${tail}` });
  } else if (hasFailed && tail !== '') {
    found.push({ kind: 'note', text: `printed:\n${tail.replace(/^/gm, '    ')}` });
  }
  return found;
}

/** What the processes together did not live up to. */
function assertTogether() {
  const skipped = events.filter(({ reason }) => reason === NO_REFERENCE_DATA);
  if (existsSync('../shared') && skipped.length > 0) {
    const names = skipped.map(({ path }) => path.join(' > ')).join('\n  ');
    fail('reference data', `../shared is there, and yet these were skipped:\n  ${names}`);
  }
  if (specIsMissing !== false) return;
  const notes = readdirSync(ledger).flatMap((name) => JSON.parse(readFileSync(join(ledger, name), 'utf8')));
  const distinct = new Set(notes).size;
  console.log(`${distinct} distinct answers and events validated against OpenAI's description`);
  if (given.length === 0 && distinct < LEAST_DISTINCT) {
    fail('conformance', `Only ${distinct} answers and events were validated: the watching is broken`);
  }
}

function fail(name, error) {
  events.push({ kind: 'failed', path: [name], error });
}

/** Prints why tests were skipped, then what failed and the sums as Node's own runner does. */
function report() {
  const count = (wanted) => events.filter(({ kind }) => kind === wanted).length;
  const reasons = events.flatMap(({ kind, reason }) => (kind === 'skipped' ? [reason] : []));
  for (const reason of new Set(reasons)) {
    console.log(`${reasons.filter((other) => other === reason).length} skipped: ${reason}`);
  }
  const failed = events.filter(({ kind }) => kind === 'failed');
  failed.forEach(({ path, error }, index) => {
    console.log(`not ok ${index + 1} - ${path.join(' > ')}\n    ${error.split('\n', 1)[0]}`);
  });
  console.log(`# tests ${count('passed') + failed.length + reasons.length}`);
  console.log(`# pass ${count('passed')}`);
  console.log(`# fail ${failed.length}`);
  console.log(`# skipped ${reasons.length}`);
  console.log(`# duration_ms ${Math.round(performance.now() - started)}`);
  process.exitCode = failed.length === 0 ? 0 : 1;
}
