#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const USAGE = `Usage: megallm verify <file | postgres://…> [--schema <name>] [--json]
       megallm --version

Recomputes every hourly sum of a ledger from its rows and prints those that differ.

  --schema  of a Postgres ledger (megallm)
  --json    prints an array of the differences

Ends with 0 when all is well, 1 when a sum differs, and 2 when nothing could be verified.`;

/** Sums that differ from those of their rows, as the stores tell them. */
type Differences = readonly object[];

const UNVERIFIED = 2;
const CONNECT_MS = 5_000;

process.exitCode = await run(process.argv.slice(2));

/** @returns the exit code of the process. */
async function run(args: readonly string[]): Promise<number> {
  try {
    const command = commandOf(args);
    if (typeof command === 'string') {
      console.log(command);
      return 0;
    }
    return report(await verify(command), command.asJson);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return UNVERIFIED;
  }
}

/** The command `verify` with its arguments. */
interface VerifyCommand {
  readonly ledger: string;
  readonly schema: string | undefined;
  readonly asJson: boolean;
}

/** @returns the text that was asked for, in place of a command. @throws {Error} with the usage for arguments that make no command. */
function commandOf(args: readonly string[]): VerifyCommand | string {
  const options = {
    schema: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
    version: { type: 'boolean' },
  } as const;
  const { values, positionals } = parsed(() => parseArgs({ args: [...args], options, allowPositionals: true }));
  if (values.help === true) return USAGE;
  if (values.version === true) return versionOf();
  const [name, ledger, ...rest] = positionals;
  if (name !== 'verify' || ledger === undefined || rest.length > 0) throw new Error(USAGE);
  return { ledger, schema: values.schema, asJson: values.json === true };
}

/** Reads the version of this package. */
function versionOf(): string {
  const { version } = createRequire(import.meta.url)('megallm-middleware/package.json') as { readonly version: string };
  return version;
}

function parsed<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    throw new Error(`${cause instanceof Error ? cause.message : cause}\n\n${USAGE}`, { cause });
  }
}

/** @throws {Error} when the ledger cannot be read. */
async function verify({ ledger, schema }: VerifyCommand): Promise<Differences> {
  if (/^postgres(?:ql)?:\/\//.test(ledger)) return verifyPostgres(ledger, schema);
  // SQLite would make the file.
  if (!existsSync(ledger)) throw new Error(`There is no file ${ledger}`);
  const { verifySums } = await import('../stores/sqlite/sqlite.js');
  return verifySums(ledger);
}

/** Verifies with a pool of its own, as no application lends one. */
async function verifyPostgres(connectionString: string, schema: string | undefined): Promise<Differences> {
  const { verifySums } = await import('../stores/postgres/postgres.js');
  const { default: pg } = await import('pg').catch((cause: unknown) => {
    throw new Error('Postgres needs a package: npm install pg', { cause });
  });
  const pool = new pg.Pool({ connectionString, max: 1, connectionTimeoutMillis: CONNECT_MS });
  try {
    return await verifySums(pool, schema);
  } finally {
    await pool.end();
  }
}

function report(differences: Differences, asJson: boolean): number {
  if (asJson) console.log(JSON.stringify(differences, undefined, 2));
  else {
    for (const difference of differences) console.log(JSON.stringify(difference));
    const { length } = differences;
    console.log(
      length === 0 ? 'Every sum equals its rows.' : `${length} ${length === 1 ? 'sum differs' : 'sums differ'}.`,
    );
  }
  return differences.length === 0 ? 0 : 1;
}
