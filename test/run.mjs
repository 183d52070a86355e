// Runs the test files given, or all of `test/`, on Node's own runner. Node 20's `--test` takes no globs. With `--full`, tests
// that go on for as long as one likes go on for long.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** So many distinct answers and events the whole suite receives at least; fewer, and the watching is broken. */
const LEAST_DISTINCT = 1_000;

/** What `--full` makes of the tests that read it; the environment of the caller goes before. */
const FULL = { MEGALLM_KILLS: '1000' };
const TIMEOUT_MS = 120_000;
const FULL_TIMEOUT_MS = 3_600_000;

const isFull = process.argv.includes('--full');
const given = process.argv.slice(2).filter((argument) => argument !== '--full');
const files =
  given.length > 0
    ? given
    : readdirSync('test', { recursive: true })
        .map((name) => `test/${name}`)
        .filter((name) => name.endsWith('.test.ts') && !name.startsWith('test/sdks/'))
        .sort();

// Each test file notes here which answers it received: see test/conformance/every-answer.ts.
const ledger = mkdtempSync(join(tmpdir(), 'megallm-conformance-'));
const env = { ...(isFull ? FULL : {}), ...process.env, MEGALLM_CONFORMANCE_LEDGER: ledger };
const timeout = `--test-timeout=${isFull ? FULL_TIMEOUT_MS : TIMEOUT_MS}`;
const args = ['--import', 'tsx', '--conditions=@megallm/source', '--test', timeout, ...files];
spawn(process.execPath, args, { stdio: 'inherit', env }).on('exit', (code) => {
  const conforms = reportConformance();
  rmSync(ledger, { recursive: true, force: true });
  process.exit(code === 0 && !conforms ? 1 : (code ?? 1));
});

/** Adds up what the test files noted. @returns whether all is well */
function reportConformance() {
  if (!existsSync(new URL('../../shared/data/openai-openapi.json', import.meta.url))) {
    console.log("Answers were not validated: OpenAI's description, ../shared/data/openai-openapi.json, is not here.");
    return true;
  }
  const notes = readdirSync(ledger).map((name) => JSON.parse(readFileSync(join(ledger, name), 'utf8')));
  const distinct = new Set(notes.flatMap((note) => note.distinct)).size;
  const violations = notes.reduce((sum, note) => sum + note.violations, 0);
  const tail = `against OpenAI's description, ${violations} violations outside the list`;
  console.log(`${distinct} distinct answers and events validated ${tail}`);
  return violations === 0 && (given.length > 0 || distinct >= LEAST_DISTINCT);
}
