import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/base/errors.js';
import { type QueuedOptions, queued } from '../../src/upstreams/queued.js';
import type { Upstream, UpstreamCall, UpstreamReply } from '../../src/upstreams/upstream.js';
import { settleSockets as settle, within } from '../helpers/deadline.js';
import { DEPTH, runs } from '../helpers/depth.js';
import { callWith } from '../helpers/upstream-call.js';

/** What the upstream does with one call that reached it. */
interface Control {
  readonly call: UpstreamCall;
  reply(kind: UpstreamReply['kind']): void;
  fail(error: Error): void;
  push(): void;
  finish(): void;
  break(error: Error): void;
  readonly returned: boolean;
}

/** An upstream that does nothing by itself, and counts the calls it is at work on. */
function manualUpstream() {
  const controls: Control[] = [];
  let active = 0;
  let most = 0;
  const upstream: Upstream = {
    name: 'manual',
    send(call) {
      active += 1;
      most = Math.max(most, active);
      let atWork = true;
      const stop = (): void => {
        if (atWork) active -= 1;
        atWork = false;
      };
      call.signal.addEventListener('abort', stop);
      const source = manualSource(stop);
      return new Promise((resolve, reject) => {
        controls.push({
          call,
          reply(kind) {
            if (kind === 'whole') stop();
            resolve(replyOf(kind, source.pieces));
          },
          fail(error) {
            stop();
            reject(error);
          },
          ...source,
          get returned() {
            return source.isReturned();
          },
        });
      });
    },
  };
  return { upstream, controls, active: () => active, most: () => most };
}

function replyOf(kind: UpstreamReply['kind'], pieces: AsyncIterable<number>): UpstreamReply {
  if (kind === 'whole') return { kind, body: { whole: true } };
  if (kind === 'chunks') return { kind, chunks: mapped(pieces, (piece) => ({ piece })) };
  return { kind, contentType: 'text/event-stream', body: mapped(pieces, (piece) => Uint8Array.of(piece)) };
}

function mapped<T>(source: AsyncIterable<number>, make: (piece: number) => T): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = source[Symbol.asyncIterator]();
      const convert = ({ done, value }: IteratorResult<number>): IteratorResult<T> =>
        done === true ? { done, value: undefined } : { done: false, value: make(value) };
      return {
        next: async () => convert(await iterator.next()),
        return: async () => convert((await iterator.return?.()) ?? { done: true, value: undefined }),
      };
    },
  };
}

/** Pieces pushed by hand. A `next` that waits stays stuck, as a socket does, when the stream is left. */
function manualSource(stop: () => void) {
  const steps: (IteratorResult<number> | Error)[] = [];
  let wake: (() => void) | undefined;
  let returned = false;
  const put = (step: IteratorResult<number> | Error): void => {
    steps.push(step);
    wake?.();
  };
  const pieces: AsyncIterable<number> = {
    [Symbol.asyncIterator]: () => ({
      async next() {
        while (steps.length === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
        const step = steps.shift() ?? { done: true as const, value: undefined };
        if (step instanceof Error) throw step;
        return step;
      },
      async return() {
        returned = true;
        stop();
        return { done: true, value: undefined };
      },
    }),
  };
  return {
    pieces,
    isReturned: () => returned,
    push: () => put({ done: false, value: 1 }),
    finish: () => {
      stop();
      put({ done: true, value: undefined });
    },
    break: (error: Error) => {
      stop();
      put(error);
    },
  };
}

function fixture(options: QueuedOptions) {
  const manual = manualUpstream();
  const timers = manualTimers();
  const upstream = queued(manual.upstream, { clock: timers, ...options });
  let count = 0;
  function send(tier = 'basic') {
    count += 1;
    const controller = new AbortController();
    const call = callWith({ model: 'm' }, { tier, requestId: `req ${count}`, signal: controller.signal });
    const answer = upstream.send(call);
    answer.catch(() => {});
    return { answer, requestId: call.requestId, abort: (reason: Error) => controller.abort(reason) };
  }
  const reached = (): string[] => manual.controls.map(({ call }) => call.requestId);
  return { ...manual, upstream, send, reached, timers };
}

/** Timers that fire when the test says so. */
function manualTimers() {
  const timers = new Set<{ readonly run: () => void; readonly delayMs: number }>();
  return {
    setTimer(run: () => void, delayMs: number) {
      const timer = { run, delayMs };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    delays: () => [...timers].map(({ delayMs }) => delayMs),
    fire() {
      for (const { run } of [...timers]) run();
      timers.clear();
    },
  };
}

function iterate(reply: UpstreamReply): AsyncIterator<unknown> {
  if (reply.kind === 'whole') throw new Error('Not a stream');
  const pieces: AsyncIterable<unknown> = reply.kind === 'chunks' ? reply.chunks : reply.body;
  return pieces[Symbol.asyncIterator]();
}

const isOverloaded = (error: unknown): boolean =>
  error instanceof GatewayError &&
  error.status === 503 &&
  error.code === 'overloaded' &&
  error.shouldRetry === true &&
  error.retryAfterMs !== undefined;

describe('queued', () => {
  it('passes calls and answers on as they are, under the upstream’s name', async () => {
    const { upstream, send, controls } = fixture({ concurrency: 1 });
    assert.equal(upstream.name, 'manual');
    const { answer } = send('pro');
    await settle();
    assert.equal(controls[0]?.call.tier, 'pro');
    controls[0]?.reply('whole');
    assert.deepEqual(await answer, { kind: 'whole', body: { whole: true } });
  });

  it('lets the next call in when a whole answer is there, in the order in which they came', async () => {
    const { send, controls, reached, active } = fixture({ concurrency: 2 });
    for (let count = 0; count < 5; count += 1) send();
    await settle();
    assert.deepEqual(reached(), ['req 1', 'req 2']);
    controls[1]?.reply('whole');
    await settle();
    assert.deepEqual(reached(), ['req 1', 'req 2', 'req 3']);
    assert.equal(active(), 2);
  });

  it('lets the next call in when one fails, and throws what the upstream threw', async () => {
    const { send, controls, reached } = fixture({ concurrency: 1 });
    const first = send();
    send();
    await settle();
    const broken = new Error('broken');
    controls[0]?.fail(broken);
    await assert.rejects(first.answer, broken);
    await settle();
    assert.deepEqual(reached(), ['req 1', 'req 2']);
  });

  it('survives an upstream that throws at once', async () => {
    const broken = new Error('broken');
    const upstream = queued(
      {
        name: 'thrower',
        send: () => {
          throw broken;
        },
      },
      { concurrency: 1, maxQueue: 0 },
    );
    for (let count = 0; count < 3; count += 1) {
      await assert.rejects(upstream.send(callWith({})), broken);
      await settle();
    }
  });

  for (const kind of ['chunks', 'bytes'] as const) {
    it(`keeps the place of a stream of ${kind} until its end was delivered`, async () => {
      const { send, controls, reached } = fixture({ concurrency: 1 });
      const first = send();
      send();
      await settle();
      controls[0]?.reply(kind);
      const pieces = iterate(await first.answer);
      controls[0]?.push();
      assert.equal((await pieces.next()).done, false);
      controls[0]?.finish();
      await settle();
      assert.deepEqual(reached(), ['req 1']);
      assert.equal((await pieces.next()).done, true);
      await settle();
      assert.deepEqual(reached(), ['req 1', 'req 2']);
    });

    it(`frees the place of a stream of ${kind} that breaks, and throws what broke it`, async () => {
      const { send, controls, reached } = fixture({ concurrency: 1 });
      const first = send();
      send();
      await settle();
      controls[0]?.reply(kind);
      const pieces = iterate(await first.answer);
      const broken = new Error('broken');
      controls[0]?.break(broken);
      await assert.rejects(pieces.next(), broken);
      await settle();
      assert.deepEqual(reached(), ['req 1', 'req 2']);
    });

    it(`frees the place of a stream of ${kind} that is left early, begun or not, stuck or not`, async () => {
      for (const state of ['unread', 'read', 'stuck']) {
        const { send, controls, reached } = fixture({ concurrency: 1 });
        const first = send();
        send();
        await settle();
        controls[0]?.reply(kind);
        const pieces = iterate(await first.answer);
        if (state === 'read') {
          controls[0]?.push();
          await pieces.next();
        }
        if (state === 'stuck') void pieces.next();
        assert.equal((await pieces.return?.())?.done, true);
        assert.equal(controls[0]?.returned, true);
        await settle();
        assert.deepEqual(reached(), ['req 1', 'req 2'], state);
      }
    });

    it(`frees the place of a stream of ${kind} when its signal aborts, even if nobody reads it`, async () => {
      for (const state of ['unread', 'stuck']) {
        const { send, controls, reached } = fixture({ concurrency: 1 });
        const first = send();
        send();
        await settle();
        controls[0]?.reply(kind);
        const pieces = iterate(await first.answer);
        if (state === 'stuck') void pieces.next();
        first.abort(new Error('gone'));
        await settle();
        assert.deepEqual(reached(), ['req 1', 'req 2'], state);
        // What happens to it afterwards frees no second place.
        send();
        controls[0]?.finish();
        await pieces.next();
        await pieces.return?.();
        await settle();
        assert.deepEqual(reached(), ['req 1', 'req 2'], state);
      }
    });
  }

  it('frees the place of a call that aborts before the upstream answers', async () => {
    const { send, reached } = fixture({ concurrency: 1 });
    const first = send();
    send();
    await settle();
    first.abort(new Error('gone'));
    await settle();
    assert.deepEqual(reached(), ['req 1', 'req 2']);
  });

  it('drops a waiter that aborts at once, with the reason, and never shows it to the upstream', async () => {
    const { send, controls, reached, timers } = fixture({ concurrency: 1, maxQueue: 1 });
    send();
    const waiter = send();
    await settle();
    assert.deepEqual(timers.delays(), [30_000]);
    const gone = new Error('gone');
    waiter.abort(gone);
    await assert.rejects(within(waiter.answer, 'the waiter to leave'), gone);
    assert.deepEqual(timers.delays(), []);
    const next = send();
    await settle();
    controls[0]?.reply('whole');
    await settle();
    assert.deepEqual(reached(), ['req 1', next.requestId]);
  });

  it('refuses a call that was aborted before', async () => {
    const { upstream, reached } = fixture({ concurrency: 1 });
    const gone = new Error('gone');
    const signal = AbortSignal.abort(gone);
    await assert.rejects(upstream.send(callWith({}, { signal })), gone);
    assert.deepEqual(reached(), []);
  });

  it('answers 503 at once when the queue is full', async () => {
    const { send, controls, reached } = fixture({ concurrency: 1, maxQueue: 2 });
    const [, , third, fourth] = [send(), send(), send(), send()];
    await assert.rejects(within(fourth?.answer ?? Promise.resolve(), 'the refusal'), isOverloaded);
    await settle();
    controls[0]?.reply('whole');
    await settle();
    controls[1]?.reply('whole');
    await settle();
    assert.deepEqual(reached(), ['req 1', 'req 2', third?.requestId]);
  });

  it('lets nobody wait when maxQueue is 0, and uses every place', async () => {
    const { send, controls, reached } = fixture({ concurrency: 2, maxQueue: 0 });
    const [, , third] = [send(), send(), send()];
    await assert.rejects(third?.answer ?? Promise.resolve(), isOverloaded);
    controls[0]?.reply('whole');
    await settle();
    send();
    await settle();
    assert.deepEqual(reached(), ['req 1', 'req 2', 'req 4']);
  });

  it('answers 503 to who waited for maxWaitMs, and to nobody who runs', async () => {
    const { send, controls, reached, timers } = fixture({ concurrency: 1, maxWaitMs: 700 });
    const first = send();
    const second = send();
    const third = send();
    await settle();
    controls[0]?.reply('whole');
    await first.answer;
    await settle();
    assert.deepEqual(timers.delays(), [700]);
    timers.fire();
    await assert.rejects(third.answer, isOverloaded);
    controls[1]?.reply('whole');
    assert.equal((await second.answer).kind, 'whole');
    assert.deepEqual(reached(), ['req 1', 'req 2']);
  });

  it('serves higher tiers first, equals in turn, and tiers without a number as 0', async () => {
    const { send, controls, reached } = fixture({
      concurrency: 1,
      priority: { enterprise: 10, pro: 5, trial: -1 },
    });
    const tiers = ['basic', 'trial', 'pro', 'constructor', 'enterprise', 'pro', 'basic', 'enterprise', '__proto__'];
    send();
    await settle();
    for (const tier of tiers) send(tier);
    for (let done = 0; done <= tiers.length; done += 1) {
      controls[done]?.reply('whole');
      await settle();
    }
    const order = reached()
      .slice(1)
      .map((requestId) => tiers[Number(requestId.slice('req '.length)) - 2]);
    assert.deepEqual(order, [
      'enterprise',
      'enterprise',
      'pro',
      'pro',
      'basic',
      'constructor',
      'basic',
      '__proto__',
      'trial',
    ]);
  });

  it('refuses options that cannot be right', () => {
    const { upstream } = manualUpstream();
    const bad = [
      { concurrency: 0 },
      { concurrency: 1.5 },
      { concurrency: Number.POSITIVE_INFINITY },
      { concurrency: 1, maxQueue: -1 },
      { concurrency: 1, maxQueue: Number.POSITIVE_INFINITY },
      { concurrency: 1, maxWaitMs: 0 },
      { concurrency: 1, priority: { pro: Number.NaN } },
    ];
    for (const options of bad) assert.throws(() => queued(upstream, options), /^TypeError: Expected `/);
  });

  const operation = fc.record({
    kind: fc.constantFrom('send', 'send', 'reply', 'fail', 'push', 'next', 'finish', 'break', 'leave', 'abort', 'late'),
    which: fc.nat(8),
    reply: fc.constantFrom('whole', 'chunks', 'bytes'),
    tier: fc.constantFrom('basic', 'pro'),
    waits: fc.boolean(),
  });

  it('never has more than concurrency calls at work, and has all places back, whatever happens', async () => {
    const seen = { operations: 0, reached: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(operation, { minLength: 10, maxLength: 60 }),
        async (concurrency, operations) => {
          const { send, controls, active, most, timers } = fixture({ concurrency, maxQueue: 3, priority: { pro: 1 } });
          const sent: ReturnType<typeof send>[] = [];
          const readers: AsyncIterator<unknown>[] = [];
          for (const { kind, which, reply, tier, waits } of operations) {
            seen.operations += 1;
            const control = controls.at(-1 - which);
            if (kind === 'send') {
              const one = send(tier);
              sent.push(one);
              one.answer.then(
                (answer) => {
                  if (answer.kind !== 'whole') readers.push(iterate(answer));
                },
                () => {
                  seen.refused += 1;
                },
              );
            } else if (kind === 'reply') control?.reply(reply);
            else if (kind === 'fail') control?.fail(new Error('failed'));
            else if (kind === 'push') control?.push();
            else if (kind === 'finish') control?.finish();
            else if (kind === 'break') control?.break(new Error('broken'));
            else if (kind === 'next')
              void readers
                .at(-1 - which)
                ?.next()
                .catch(() => {});
            else if (kind === 'leave') void readers.at(-1 - which)?.return?.();
            else if (kind === 'abort') sent.at(-1 - which)?.abort(new Error('gone'));
            else timers.fire();
            if (waits) await settle(1);
            assert.ok(active() <= concurrency);
          }
          for (const one of sent) one.abort(new Error('over'));
          await settle();
          assert.equal(active(), 0);
          assert.deepEqual(timers.delays(), []);
          // As many as there are places start at once, and one more does not.
          const before = controls.length;
          for (let count = 0; count <= concurrency; count += 1) send();
          await settle();
          assert.equal(controls.length, before + concurrency);
          assert.ok(most() <= concurrency);
          seen.reached += controls.length;
        },
      ),
      runs(40),
    );
    for (const count of Object.values(seen)) assert.ok(count > 40 * DEPTH, JSON.stringify(seen));
  });
});
