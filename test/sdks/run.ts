/** Runs every SDK's suite against a gateway of its own and prints a table: `npm run test:sdks [-- suite …]`. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const here = new URL('.', import.meta.url);
/** A first run builds and downloads. */
const SUITE_MS = 900_000;

interface Gateway {
  readonly environment: Record<string, string>;
  stop(): void;
}

interface SuiteResult {
  readonly suite: string;
  readonly outcomes: ReadonlyMap<string, string>;
  /** Why there are no outcomes where there is nothing to run the suite with. */
  readonly note: string | undefined;
  readonly exitCode: number | null;
  readonly seconds: number;
}

const scenarios = [...readFileSync(new URL('SCENARIOS.md', here), 'utf8').split('## The scenarios')[1]?.matchAll(/^\| `([\w-]+)` \|/gm) ?? []].map(
  ([, name = '']) => name,
);

async function startGateway(): Promise<Gateway> {
  const args = ['--import', 'tsx', '--conditions=@megallm/source', 'test/sdks/serve.ts'];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await Promise.race([
    once(createInterface(child.stdout), 'line'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`The gateway ended with ${code}`))),
  ]);
  const { baseUrl, apiKey, countsUrl } = JSON.parse(String(line));
  return {
    environment: { OPENAI_BASE_URL: baseUrl, OPENAI_API_KEY: apiKey, MEGALLM_COUNTS_URL: countsUrl },
    stop: () => child.stdin.end(),
  };
}

async function runSuite(suite: string): Promise<SuiteResult> {
  const startedAt = performance.now();
  const gateway = await startGateway();
  const outcomes = new Map<string, string>();
  let note: string | undefined;
  const child: ChildProcess = spawn('bash', [new URL(`${suite}/run.sh`, here).pathname], {
    env: { ...process.env, ...gateway.environment },
    stdio: ['ignore', 'pipe', 'inherit'],
    // A group of its own, so that a suite that hangs can be ended with all that it started.
    detached: true,
  });
  const deadline = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'), SUITE_MS);
  if (child.stdout !== null) {
    for await (const line of createInterface(child.stdout)) {
      const [, name, outcome, why = ''] = /^SCENARIO ([\w-]+) (ok|FAILED|absent)\s*(.*)$/.exec(line) ?? [];
      if (name !== undefined && outcome !== undefined) outcomes.set(name, `${outcome} ${why}`.trim());
      else if (line.includes('was not run')) note = line;
    }
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  clearTimeout(deadline);
  gateway.stop();
  return { suite, outcomes, note, exitCode: child.exitCode, seconds: (performance.now() - startedAt) / 1_000 };
}

/** What is wrong with a suite's run; nothing when every scenario is accounted for. */
function problemsOf({ suite, outcomes, note, exitCode }: SuiteResult): string[] {
  if (note !== undefined && outcomes.size === 0) return [];
  const missing = scenarios.filter((name) => !outcomes.has(name)).map((name) => `${suite}: ${name} was not reported`);
  const failed = [...outcomes]
    .filter(([, outcome]) => outcome.startsWith('FAILED'))
    .map(([name, outcome]) => `${suite}: ${name} ${outcome}`);
  return [...missing, ...failed, ...(exitCode === 0 ? [] : [`${suite}: ended with ${exitCode}`])];
}

function cell({ outcomes, note }: SuiteResult, scenario: string): string {
  if (note !== undefined && outcomes.size === 0) return 'not run';
  return outcomes.get(scenario)?.split(' ', 1)[0] ?? 'MISSING';
}

function table(results: readonly SuiteResult[]): string {
  const rows = [
    ['scenario', ...results.map(({ suite }) => suite)],
    ...scenarios.map((scenario) => [scenario, ...results.map((result) => cell(result, scenario))]),
    ['seconds', ...results.map(({ seconds }) => seconds.toFixed(1))],
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) => row.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ').trimEnd()).join('\n');
}

const all = readdirSync(here).filter((name) => existsSync(new URL(`${name}/run.sh`, here))).sort();
const asked = process.argv.slice(2);
const results: SuiteResult[] = [];
for (const suite of asked.length > 0 ? asked : all) results.push(await runSuite(suite));

console.log(`\n${table(results)}\n`);
for (const { suite, note } of results) if (note !== undefined) console.log(`${suite}: ${note}`);
for (const { suite, outcomes } of results) {
  for (const [name, outcome] of outcomes) if (outcome.startsWith('absent')) console.log(`${suite}: ${name} is ${outcome}`);
}
const problems = results.flatMap(problemsOf);
for (const problem of problems) console.log(problem);
const passed = results.flatMap(({ outcomes }) => [...outcomes.values()]).filter((outcome) => outcome === 'ok').length;
console.log(`${passed} passed, ${problems.length} failed`);
process.exitCode = problems.length > 0 ? 1 : 0;
