import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { programArgs } from '../helpers/compiled.js';

/** Most garbage of one warm whole call, from `handle` to its answer. */
const MAX_BYTES = 16_384;
/** Nothing is collected in between: new objects have room for all spans. */
const FLAGS = ['--expose-gc', '--allow-natives-syntax', '--min-semi-space-size=128', '--max-semi-space-size=256'];

describe('a call in memory', () => {
  it('has one shape, as V8 holds it, and a warm one makes little garbage', async () => {
    const args = [...FLAGS, ...programArgs('test/helpers/call-child.ts')];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { hasFastProperties, bytesPerCall } = JSON.parse(stdout);
    assert.equal(hasFastProperties, true);
    assert.ok(bytesPerCall > 0 && bytesPerCall <= MAX_BYTES, `${bytesPerCall} bytes`);
  });
});
