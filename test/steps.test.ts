import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { nextOf, readToEnd, stepsOf } from '../src/base/steps.js';

/** One step, and then a failure that the test brings about. */
function failing() {
  let fail = (): void => {};
  const failure = new Promise<never>((_resolve, reject) => {
    fail = () => reject(new Error('broken off'));
  });
  const pieces = async function* () {
    yield 'one';
    yield await failure;
  };
  return { source: stepsOf(pieces()), fail };
}

describe('a stream that is read to its end', () => {
  it('is over when it breaks off before its reader, who is told', { timeout: 10_000 }, async () => {
    const { source, fail } = failing();
    const { stream, over } = readToEnd(source);
    assert.equal(await nextOf(stream), 'one');
    fail();
    await assert.rejects(nextOf(stream), /broken off/);
    await over;
  });

  it('is over when it breaks off after its reader left', { timeout: 10_000 }, async () => {
    const { source, fail } = failing();
    const { stream, over } = readToEnd(source);
    assert.equal(await nextOf(stream), 'one');
    stream.leave();
    fail();
    await over;
  });

  it('is over when it breaks off while its reader leaves', { timeout: 10_000 }, async () => {
    const { source, fail } = failing();
    const { stream, over } = readToEnd(source);
    assert.equal(await nextOf(stream), 'one');
    const next = nextOf(stream);
    stream.leave();
    fail();
    await assert.rejects(next, /broken off/);
    await over;
  });
});
