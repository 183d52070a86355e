import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { programArgs } from '../helpers/compiled.js';

const NODE_MAJOR = Number(process.versions.node.split('.')[0]);
/** Most garbage of one warm stream of 20 chunks, from `handle` to its end, where each chunk is shown without its `usage`. */
const MAX_BYTES = NODE_MAJOR < 24 ? 33_792 : 36_864;
/** Most promises of one, the upstream's own among them. */
const MAX_PROMISES = 5;
const FLAGS = ['--expose-gc', '--min-semi-space-size=128', '--max-semi-space-size=256'];

it('a warm stream of 20 chunks makes little garbage in the core, and no promise for any chunk', async () => {
  const args = [...FLAGS, ...programArgs('test/helpers/stream-child.ts')];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { bytesPerCall, promises } = JSON.parse(stdout);
  assert.ok(bytesPerCall > 2_000 && bytesPerCall <= MAX_BYTES, `${bytesPerCall} bytes`);
  // A hundredth of a promise: what a timer makes meanwhile.
  assert.ok(promises >= 1 && promises < MAX_PROMISES + 0.5, `${promises} promises`);
});
