import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { createCancellation } from '../../src/base/cancellation.js';
import type { Timed } from '../../src/base/clock.js';
import { GatewayError } from '../../src/base/errors.js';
import type { GatewayRequest } from '../../src/http/exchange.js';
import { readBody } from '../../src/http/read-body.js';

type Body = GatewayRequest['body'];

/** A source of the test's own making, which is told what its reader does. */
function handSource() {
  let onStep: ((piece: Uint8Array | undefined) => void) | undefined;
  let onFailure: ((reason: unknown) => void) | undefined;
  const seen = { reads: 0, left: 0 };
  const body: Body = {
    read(step, failure) {
      seen.reads += 1;
      onStep = step;
      onFailure = failure;
    },
    leave() {
      seen.left += 1;
    },
    [Symbol.asyncIterator]() {
      throw new Error('A source that can be read by calls is not iterated');
    },
  };
  return {
    body,
    seen,
    give: (text: string | undefined) => onStep?.(text === undefined ? undefined : Buffer.from(text)),
    fail: (reason: unknown) => onFailure?.(reason),
  };
}

function reading(body: Body, headers: GatewayRequest['headers'] = {}) {
  const signal = createCancellation();
  let ring: () => void = () => {};
  let isTicking = false;
  const bounds = {
    maxBodyBytes: 10,
    bodyDeadlines: {
      start(one: Timed) {
        isTicking = true;
        ring = () => one.ring();
      },
      cancel() {
        isTicking = false;
      },
    },
  };
  const request: GatewayRequest = { method: 'POST', url: '/', headers, signal, body, native: undefined };
  const bytes = Promise.resolve(readBody(request, bounds)).then((read) => Buffer.from(read).toString());
  bytes.catch(() => {});
  return { bytes, abort: (reason: Error) => signal.abort(reason), ring: () => ring(), isTicking: () => isTicking };
}

const statusIs = (status: number) => (error: unknown) => error instanceof GatewayError && error.status === status;

describe('a body that can only be iterated', () => {
  it('is read to its end', async () => {
    async function* pieces() {
      yield Buffer.from('{"a"');
      yield Buffer.from(':1}');
    }
    assert.equal(await reading(pieces()).bytes, '{"a":1}');
  });

  it('may be a stream of Node’s, which has a `read` of another kind', async () => {
    assert.equal(await reading(Readable.from([Buffer.from('{'), Buffer.from('}')])).bytes, '{}');
  });

  it('is left as soon as it is too long', async () => {
    let isLeft = false;
    async function* pieces() {
      try {
        for (;;) yield Buffer.alloc(4);
      } finally {
        isLeft = true;
      }
    }
    await assert.rejects(reading(pieces()).bytes, statusIs(413));
    assert.ok(isLeft);
  });
});

describe('a body that is read by calls', () => {
  it('is asked for a piece at a time, and no more once it is as long as was announced', async () => {
    const { body, seen, give } = handSource();
    const { bytes, isTicking } = reading(body, { 'content-length': '4' });
    assert.equal(seen.reads, 1);
    give('{ ');
    assert.equal(seen.reads, 2);
    give(' }');
    assert.equal(await bytes, '{  }');
    assert.deepEqual(seen, { reads: 2, left: 0 });
    assert.ok(!isTicking());
  });

  it('ends where its source ends, if no length was announced', async () => {
    const { body, give } = handSource();
    const { bytes } = reading(body);
    give('{}');
    give(undefined);
    assert.equal(await bytes, '{}');
  });

  it('is left when it is too long, when its time is up and when the client goes away, and heard no more', async () => {
    const gone = new Error('gone');
    const ends: readonly [(scene: ReturnType<typeof reading>, give: (text: string) => void) => void, unknown][] = [
      [(_, give) => give('x'.repeat(11)), statusIs(413)],
      [(scene) => scene.ring(), statusIs(408)],
      [(scene) => scene.abort(gone), gone],
    ];
    for (const [end, expected] of ends) {
      const { body, seen, give, fail } = handSource();
      const scene = reading(body);
      give('{');
      end(scene, give);
      await assert.rejects(scene.bytes, expected as Error);
      assert.equal(seen.left, 1);
      assert.ok(!scene.isTicking());
      give('}');
      fail(new Error('late'));
      scene.abort(new Error('later'));
      assert.equal(seen.left, 1);
    }
  });

  it('fails as its source fails', async () => {
    const { body, fail } = handSource();
    const { bytes } = reading(body);
    const broken = new Error('broken');
    fail(broken);
    await assert.rejects(bytes, broken);
  });
});
