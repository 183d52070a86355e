import assert from 'node:assert/strict';
import { AsyncLocalStorage, createHook } from 'node:async_hooks';
import { describe, it } from 'node:test';
import { createCancellation } from '../src/base/cancellation.js';
import { done, there, Waiting, type Work } from '../src/base/work.js';

function* waitFor<T>(promise: PromiseLike<T>): Work<T> {
  return yield* there(promise);
}

describe('work', () => {
  it('is done at once where nothing is waited for, and goes on by itself where something is', async () => {
    const steps: string[] = [];
    function* inner(promise: Promise<string>): Work<string> {
      steps.push('inner');
      return yield* there(promise);
    }
    function* outer(promise?: Promise<string>): Work<string> {
      steps.push('outer');
      return promise === undefined ? 'at once' : `${yield* inner(promise)}, ${yield* there(Promise.resolve('again'))}`;
    }
    const atOnce = done(outer());
    assert.deepEqual(steps, ['outer']);
    const later = done(outer(Promise.resolve('there')));
    assert.deepEqual(steps, ['outer', 'outer', 'inner']);
    assert.deepEqual([await atOnce, await later], ['at once', 'there, again']);
  });

  it('catches what it waits for in vain, cleans up behind it, and fails with what it does not catch', async () => {
    const steps: string[] = [];
    function* work(isCaught: boolean): Work<string> {
      try {
        return yield* there(Promise.reject(new Error('lost')));
      } catch (error) {
        if (!isCaught) throw error;
        return `caught ${error}`;
      } finally {
        steps.push('cleaned');
      }
    }
    assert.equal(await done(work(true)), 'caught Error: lost');
    await assert.rejects(done(work(false)), /lost/);
    assert.deepEqual(steps, ['cleaned', 'cleaned']);
    const throwsAtOnce = function* (): Work<never> {
      yield* there(Promise.resolve());
      throw new Error('thrown');
    };
    await assert.rejects(done(throwsAtOnce()), /thrown/);
  });

  it('ends a wait that is cancelled, though not inside of whoever cancels, and hears nothing of what comes later', async () => {
    const source = createCancellation();
    let resolve: (value: string) => void = () => {};
    const promise = new Promise<string>((given) => {
      resolve = given;
    });
    let end: unknown;
    const work = done(
      (function* (): Work<void> {
        try {
          yield* there(promise, source);
        } catch (error) {
          end = error;
        }
      })(),
    );
    const reason = new Error('gone');
    source.abort(reason);
    assert.equal(end, undefined);
    resolve('late');
    await work;
    assert.equal(end, reason);
    // One that was cancelled before, and one that fails later, unheard.
    await assert.rejects(done(there(Promise.reject(new Error('unheard')), source)), reason);
  });

  it('leaves no listener behind', async () => {
    const listeners = new Set<() => void>();
    const cancellation = {
      aborted: false,
      reason: undefined,
      addEventListener: (_: 'abort', listener: () => void) => void listeners.add(listener),
      removeEventListener: (_: 'abort', listener: () => void) => void listeners.delete(listener),
    };
    const ends = [there(Promise.resolve(1), cancellation), there(Promise.reject(new Error('no')), cancellation)];
    assert.equal(listeners.size, 2);
    await Promise.allSettled(ends.map((wait) => done(wait)));
    assert.equal(listeners.size, 0);
  });

  it('takes a host’s thenable that calls at once, twice, or with another promise', async () => {
    const promiseLike = (then: (onValue: (value: never) => void, onFailure: (reason: unknown) => void) => void) =>
      ({ then }) as unknown as PromiseLike<string>;
    const odd: readonly PromiseLike<string>[] = [
      promiseLike((onValue) => onValue('a' as never)),
      promiseLike((onValue, onFailure) => {
        onValue('a' as never);
        onValue('b' as never);
        onFailure(new Error('c'));
      }),
      promiseLike((onValue) => onValue(Promise.resolve('a') as never)),
    ];
    for (const one of odd) assert.equal(await done(waitFor(one)), 'a');
    const throwing = promiseLike(() => {
      throw new Error('no then');
    });
    await assert.rejects(done(waitFor(throwing)), /no then/);
  });

  it('goes on in the asynchronous context in which it waits, and gives a value that was called once', async () => {
    const context = new AsyncLocalStorage<string>();
    let resolve: (value: string) => void = () => {};
    const promise = new Promise<string>((given) => {
      resolve = given;
    });
    const work = context.run('ours', () =>
      done(
        (function* (): Work<string | undefined> {
          yield* there(promise);
          return context.getStore();
        })(),
      ),
    );
    context.run('theirs', () => resolve('x'));
    assert.equal(await work, 'ours');
    const called = new Waiting<number>();
    called.onValue(1);
    called.onValue(2);
    called.onFailure(new Error('late'));
    assert.equal(await done(called), 1);
  });

  it('makes a promise for itself and one for each wait', async () => {
    const given = [Promise.resolve(1), Promise.resolve(2)];
    function* three(): Work<number> {
      return (yield* waitFor(Promise.resolve(0))) + 1;
    }
    await done(three());
    let made = 0;
    const hook = createHook({
      init(_id, type) {
        if (type === 'PROMISE') made += 1;
      },
    }).enable();
    const work = done(
      (function* (): Work<number> {
        let sum = 0;
        for (const one of given) sum += yield* waitFor(one);
        return sum;
      })(),
    );
    const first = made;
    hook.disable();
    assert.equal(first, 2, 'its own, and that of the first `then`');
    assert.equal(await work, 3);
  });
});
