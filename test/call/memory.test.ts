import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { programArgs } from '../helpers/compiled.js';

const NODE_MAJOR = Number(process.versions.node.split('.')[0]);
/** Most garbage of one warm whole call, from `handle` to its answer. From Node 24 on, V8's promises and its context of async calls take more. */
const MAX_BYTES = NODE_MAJOR < 24 ? 10_496 : 13_312;
/** Most promises of one, the upstream's own among them. */
const MAX_PROMISES = 3;
/** Most bytes that a call leaves behind when what is young is collected: the texts of its id are kept for a while. */
const MAX_LEFT_BYTES = { whole: 2_000, stream: 5_000 };
/** Nothing is collected in between: new objects have room for all spans. */
const FLAGS = ['--expose-gc', '--allow-natives-syntax', '--min-semi-space-size=128', '--max-semi-space-size=256'];

describe('a call in memory', () => {
  it('has one shape, as V8 holds it, and a warm one makes little garbage and few promises', async () => {
    const args = [...FLAGS, ...programArgs('test/helpers/call-child.ts')];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { hasFastProperties, bytesPerCall, promises } = JSON.parse(stdout);
    assert.equal(hasFastProperties, true);
    assert.ok(bytesPerCall > 2_000 && bytesPerCall <= MAX_BYTES, `${bytesPerCall} bytes`);
    // A hundredth of a promise: what a timer makes meanwhile.
    assert.ok(promises >= 1 && promises < MAX_PROMISES + 0.5, `${promises} promises`);
  });

  it('outlives no collection of young objects: neither a whole call nor a stream', async () => {
    // V8 would spare optimised code some of the objects.
    const args = ['--expose-gc', '--no-opt', ...programArgs('test/helpers/young-child.ts')];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { ofWhole, ofStream } = JSON.parse(stdout);
    assert.ok(ofWhole < MAX_LEFT_BYTES.whole, `${ofWhole} bytes of a whole call`);
    assert.ok(ofStream < MAX_LEFT_BYTES.stream, `${ofStream} bytes of a stream`);
  });
});
