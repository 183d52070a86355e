// Tells which test files run a line of the sources, and how long each takes: by V8's coverage, a process for each test file.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { runTests } from './run-tests.mjs';

const CACHE = join(tmpdir(), 'megallm-mutants-coverage');
const LIMIT_MS = 600_000;
/** Those that look at the text of the sources, at what is built of them, or at other languages, notice no mutant. */
const BLIND = /^test\/(package|sdks)\/|^test\/(architecture|regular-expressions)\.test\.ts$/;
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** Coverage of the test files: each one's name, the milliseconds that it takes, and the lines by source. Kept in a temporary folder. */
export async function coverageOf(root, { inParallel, note }) {
  mkdirSync(CACHE, { recursive: true });
  const files = namesIn(root, 'test').filter((name) => name.endsWith('.test.ts') && !BLIND.test(name));
  const shared = digestOf(root, [
    ...['src', 'adapters', 'examples'].flatMap((folder) => namesIn(root, folder)),
    ...namesIn(root, 'test').filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts')),
  ]);
  const waiting = [...files];
  const found = [];
  await Promise.all(
    Array.from({ length: inParallel }, async () => {
      for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
        const kept = join(CACHE, digest(`${shared} ${file} ${digestOf(root, [file])}`));
        if (!existsSync(kept)) {
          const measured = await measure(root, file);
          note(`${file}: ${measured.failure ?? `${measured.ms} ms`}`);
          writeFileSync(kept, JSON.stringify(measured));
        }
        found.push({ file, ...JSON.parse(readFileSync(kept, 'utf8')) });
      }
    }),
  );
  return found;
}

/** Compares what stands in files, so that a change of one is a change of all that were measured with it. */
function digestOf(root, names) {
  return digest(names.map((name) => `${name}\n${readFileSync(join(root, name), 'utf8')}`).join('\n'));
}

function digest(text) {
  return createHash('sha256').update(text).digest('hex');
}

function namesIn(root, folder) {
  const names = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(root.length + 1))
    .sort();
}

async function measure(root, file) {
  const folder = mkdtempSync(join(tmpdir(), 'megallm-coverage-'));
  const started = performance.now();
  try {
    const failure = await runTests(root, [file], { limitMs: LIMIT_MS, environment: { NODE_V8_COVERAGE: folder } });
    const lines = linesIn(root, folder);
    // Coverage slows down what may be timed: only what fails without it fails.
    const again = failure && (await runTests(root, [file], { limitMs: LIMIT_MS }));
    const ms = Math.round(performance.now() - started);
    return again === undefined ? { ms, lines } : { ms, lines, failure: `${again.test}: ${again.error}` };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The lines of each source that the processes of a test file ran, of whatever reports there are. */
function linesIn(root, folder) {
  const compiled = pathToFileURL(join(root, '.cache/test/src/')).href;
  const lines = new Map();
  for (const name of readdirSync(folder)) {
    for (const { url, functions } of reportIn(join(folder, name))) {
      if (!url.startsWith(compiled)) continue;
      const file = `src/${url.slice(compiled.length).replace(/\.js$/, '.ts')}`;
      const ran = lines.get(file) ?? new Set();
      for (const line of linesRun(fileURLToPath(url), functions)) ran.add(line);
      lines.set(file, ran);
    }
  }
  return Object.fromEntries([...lines].map(([file, ran]) => [file, [...ran].sort((one, other) => one - other)]));
}

function reportIn(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8')).result;
  } catch {
    // A process that was killed while it wrote.
    return [];
  }
}

function linesRun(path, functions) {
  const text = readFileSync(path, 'utf8');
  const counts = new Uint8Array(text.length + 1);
  // What stands further inside comes later and says it better.
  const ranges = functions.flatMap((one) => one.ranges);
  ranges.sort((one, other) => one.startOffset - other.startOffset || other.endOffset - one.endOffset);
  for (const { startOffset, endOffset, count } of ranges) counts.fill(count > 0 ? 1 : 0, startOffset, endOffset);
  const ran = new Set();
  for (const [offset, line] of placesOf(path, text)) if (counts[offset] === 1) ran.add(line);
  return ran;
}

/** The offsets in a compiled file at which something of a line of the source begins. */
function placesOf(path, text) {
  const { mappings } = JSON.parse(readFileSync(`${path}.map`, 'utf8'));
  const places = [];
  let begin = 0;
  let line = 0;
  const rows = text.split('\n');
  for (const [index, row] of mappings.split(';').entries()) {
    let column = 0;
    for (const segment of row === '' ? [] : row.split(',')) {
      const [columns, , lines] = numbersIn(segment);
      column += columns;
      line += lines ?? 0;
      places.push([begin + column, line + 1]);
    }
    begin += rows[index].length + 1;
  }
  return places;
}

/** The numbers of a segment of a source map, in base 64 with a bit for "goes on" and one for the sign. */
function numbersIn(segment) {
  const numbers = [];
  let value = 0;
  let shift = 0;
  for (const letter of segment) {
    const digit = DIGITS.indexOf(letter);
    value += (digit & 31) << shift;
    shift += 5;
    if (digit >= 32) continue;
    numbers.push(value & 1 ? -(value >> 1) : value >> 1);
    value = 0;
    shift = 0;
  }
  return numbers;
}
