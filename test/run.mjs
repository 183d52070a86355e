// Runs the test files given, or all of `test/`, on Node's own runner. Node 20's `--test` takes no globs.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';

const given = process.argv.slice(2);
const files =
  given.length > 0
    ? given
    : readdirSync('test', { recursive: true })
        .map((name) => `test/${name}`)
        .filter((name) => name.endsWith('.test.ts') && !name.startsWith('test/sdks/'))
        .sort();

const args = ['--import', 'tsx', '--conditions=@megallm/source', '--test', '--test-timeout=120000', ...files];
spawn(process.execPath, args, { stdio: 'inherit' }).on('exit', (code) => process.exit(code ?? 1));
