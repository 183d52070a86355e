import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { it } from 'node:test';
import { programArgs } from '../helpers/compiled.js';
import { within } from '../helpers/deadline.js';

it('F3 closing keeps the process alive until the store has taken what it did not take at once', async () => {
  const args = programArgs('test/helpers/closing-child.ts');
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let printed = '';
  child.stdout.on('data', (piece: Buffer) => {
    printed += piece;
  });
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  try {
    assert.equal(await within(ended, 'the process to end', 20_000), 0);
  } finally {
    child.kill('SIGKILL');
  }
  assert.equal(printed, 'taken 1\n');
});
