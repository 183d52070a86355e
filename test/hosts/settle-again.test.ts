import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type GatewayOptions, memoryLimiter, memoryUsage, type UsageRecord, type UsageStore } from 'megallm-middleware';
import { unsettledCalls } from '../../src/call/unsettled.js';
import { chunkOf, lastChunk, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { eventually, gate, settleSockets, within } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawClient } from '../helpers/raw-client.js';
import { CALL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import { hastyClock } from '../helpers/timer-clock.js';

/** A store that takes no record until it is told to. */
interface ShakyUsage extends UsageStore {
  isUp: boolean;
  /** Records that it was given, whether it took them or not. */
  readonly given: string[];
  readonly taken: UsageRecord[];
}

function shakyUsage(): ShakyUsage {
  const store: ShakyUsage = {
    isUp: false,
    given: [],
    taken: [],
    open: () => {},
    async settle(record) {
      store.given.push(record.requestId);
      if (!store.isUp) throw new Error('The store is away');
      store.taken.push(record);
    },
  };
  return store;
}

const withShaky = (usage: UsageStore, more: SceneOptions = {}): SceneOptions => ({
  broken: true,
  clock: hastyClock(100),
  usage,
  ...more,
});

/** Its records are in the test's own store. */
function forget({ setup }: Scene): void {
  setup.records.length = 0;
}

for (const calls of [1, 3]) {
  const usages: ShakyUsage[] = [];
  onBareHost(
    `what the usage store does not take it is given again until it does, once: ${calls} at once`,
    () => {
      const usage = shakyUsage();
      usages.push(usage);
      return withShaky(usage);
    },
    async (scene) => {
      const { client, setup } = scene;
      const usage = usages.at(-1);
      assert.ok(usage !== undefined, 'a store');
      const answers = await Promise.all(Array.from({ length: calls }, () => client().chat.completions.create(CALL)));
      assert.ok(
        answers.every(({ choices }) => choices.length === 1),
        'the client has its answer all the same',
      );
      await setup.limiter.allBack();
      await eventually(() => usage.given.length > calls + 2, 'it to be tried again');
      assert.equal(usage.taken.length, 0);
      assert.deepEqual(
        setup.errors.map(({ context }) => [context.requestId, context.keyId]).sort(),
        setup.records.map(({ requestId, keyId }) => [requestId, keyId]).sort(),
        'each is told once, however often it is tried',
      );
      usage.isUp = true;
      await eventually(() => usage.taken.length === calls, 'the records to be taken');
      const tries = usage.given.length;
      await client().chat.completions.create(CALL);
      await eventually(() => usage.taken.length === calls + 1, 'the next call');
      assert.equal(usage.given.length, tries + 1, 'none is given twice');
      assert.equal(new Set(usage.taken.map(({ requestId }) => requestId)).size, calls + 1);
      assert.equal(setup.records.length, calls + 1, 'onFinish is called once');
      forget(scene);
    },
  );
}

const waited = shakyUsage();
onBareHost(
  'F3 closing waits for what the usage store has not taken yet',
  () => withShaky(waited),
  async (scene) => {
    await scene.client().chat.completions.create(CALL);
    let isClosed = false;
    const closing = scene.host.gateway.close({ graceMs: 1_000_000 }).then(() => {
      isClosed = true;
    });
    await eventually(() => waited.given.length > 2, 'it to be tried again');
    assert.equal(isClosed, false);
    waited.isUp = true;
    await within(closing, 'the gateway to close');
    assert.equal(waited.taken.length, 1);
    forget(scene);
  },
);

const lost = shakyUsage();
onBareHost(
  'but no longer than its grace',
  () => withShaky(lost),
  async (scene) => {
    await scene.client().chat.completions.create(CALL);
    await within(scene.host.gateway.close({ graceMs: 5_000 }), 'the gateway to close');
    assert.equal(lost.taken.length, 0);
    forget(scene);
  },
);

const delays: number[] = [];
const frozen = frozenClock();
const clock: NonNullable<GatewayOptions['clock']> = {
  ...frozen,
  setTimer(run, delayMs) {
    delays.push(delayMs);
    return frozen.setTimer(run, Math.min(delayMs, 20));
  },
};
onBareHost(
  'which is one for the calls that run and for the store together',
  () => withShaky(shakyUsage(), { clock, timeoutMs: 9_999_999 }),
  async (scene) => {
    const release = gate();
    scene.upstream.answerWith(async function* () {
      yield { kind: 'wait', until: release.opened };
      yield* reply(wholeChat('Hello'));
    });
    const call = scene.client().chat.completions.create(CALL);
    // The grace itself is over in no time here: that the call ends with it does not matter.
    call.catch(() => {});
    await within(scene.upstream.request(0), 'the call at the upstream');
    const closing = scene.host.gateway.close({ graceMs: 7_000 });
    frozen.advance(6_600);
    release.open();
    await within(closing, 'the gateway to close');
    assert.deepEqual(
      delays.filter((delayMs) => delayMs === 7_000 || delayMs === 400),
      [7_000, 400],
    );
    forget(scene);
  },
);

describe('records that the store did not take', () => {
  const untold = (requestId: string, settle: (requestId: string) => void) => ({
    ...{ requestId, keyId: 'k' },
    tell: () => settle(requestId),
  });
  const hooks = (errors: unknown[], named: unknown[] = []) => ({
    onFinish: () => {},
    onNotice: () => {},
    onShadowLimit: () => {},
    onRefused: () => {},
    onError(error: unknown, context: unknown) {
      errors.push(error);
      named.push(context);
    },
  });

  it('are 10,000 at most: of further ones the oldest is lost, and reported; the rest come in their order', async () => {
    const taken: string[] = [];
    let isUp = false;
    const settle = (requestId: string): void => {
      if (!isUp) throw new Error('The store is away');
      taken.push(requestId);
    };
    const errors: unknown[] = [];
    const named: unknown[] = [];
    const unsettled = unsettledCalls({ clock: hastyClock(100), hooks: hooks(errors, named) });
    for (let index = 0; index < 10_002; index += 1) unsettled.add(untold(String(index), settle));
    assert.equal(errors.length, 2);
    assert.deepEqual(named, [
      { requestId: '0', keyId: 'k' },
      { requestId: '1', keyId: 'k' },
    ]);
    await settleSockets(10);
    isUp = true;
    await within(unsettled.drained(1_000_000), 'the store to take them');
    assert.equal(taken.length, 10_000);
    assert.ok(!taken.includes('0') && !taken.includes('1'), 'the oldest are lost');
    await within(unsettled.drained(1_000_000), 'what is empty to be so at once');
  });

  it('are told many at once when the store is back, and not before', async () => {
    let isUp = false;
    let running = 0;
    let most = 0;
    let failed = 0;
    const settle = async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      if (isUp) return;
      failed += 1;
      throw new Error('The store is away');
    };
    const clock = hastyClock(100);
    const unsettled = unsettledCalls({ clock, hooks: hooks([]) });
    for (let index = 0; index < 1_000; index += 1) {
      unsettled.add({ requestId: String(index), keyId: 'k', tell: settle });
    }
    await eventually(
      () => failed >= 8,
      () => 'some to be tried',
    );
    assert.equal(most, 1);
    isUp = true;
    await within(unsettled.drained(1_000_000), 'the store to take them');
    assert.ok(most > 100 && most <= 256, String(most));
  });

  it('are not held up by some that the store always refuses', async () => {
    const taken: string[] = [];
    const settle = (requestId: string): void => {
      if (requestId.startsWith('bad')) throw new Error('Such a name is never taken');
      taken.push(requestId);
    };
    const unsettled = unsettledCalls({ clock: hastyClock(100), hooks: hooks([]) });
    for (let index = 0; index < 20; index += 1) unsettled.add(untold(`bad${index}`, settle));
    unsettled.add(untold('good', settle));
    await eventually(
      () => taken.length === 1,
      () => 'the good one to be taken',
    );
  });
});

onBareHost(
  'what the limiter does not take it is told again: no place stays taken',
  () => {
    let failures = 0;
    const limiter = memoryLimiter();
    return {
      broken: true,
      clock: hastyClock(100),
      key: { limits: { concurrency: 1 } },
      limiter: {
        ...limiter,
        settle(reservation, amounts, now) {
          failures += 1;
          if (failures <= 3) throw new Error('The limiter is away');
          return limiter.settle(reservation, amounts, now);
        },
      },
    };
  },
  async ({ client, setup }) => {
    await client().chat.completions.create(CALL);
    await eventually(
      async () =>
        (await client()
          .chat.completions.create(CALL)
          .catch(() => undefined)) !== undefined,
      () => 'the place to be free again',
    );
    assert.ok(setup.errors.length > 0, 'it was reported');
  },
);

onBareHost(
  'F3 closing does not wait its grace for what a limiter that is away may have granted to a call that it refused',
  () => ({
    broken: true,
    clock: hastyClock(100),
    limiter: {
      reserve: () => Promise.reject(new Error('The limiter is away')),
      settle: () => Promise.reject(new Error('The limiter is away')),
    },
  }),
  async ({ client, host, upstream }) => {
    await assert.rejects(async () => client().chat.completions.create(CALL), { status: 503 });
    await within(host.gateway.close({ graceMs: 100_000_000 }), 'the gateway to close');
    assert.equal(upstream.requests.length, 0);
  },
);

{
  let told: (call: { requestId: string; keyId: string; costNanoUsd: number }) => void = () => {};
  const heard: unknown[] = [];
  const call = { requestId: 'req_dead', keyId: 'k', costNanoUsd: 7 };
  onBareHost(
    'F1 what a dead process held is given back as the ledger tells, again until the limiter takes it; closing does not wait long',
    () => ({
      broken: true,
      clock: hastyClock(100),
      usage: {
        ...memoryUsage(),
        onInterrupted(listener) {
          told = listener;
          return () => {
            told = () => {};
          };
        },
      },
      limiter: {
        ...memoryLimiter(),
        async settleInterrupted(one) {
          heard.push(one);
          if (heard.length !== 3) throw new Error('The limiter is away');
        },
      },
    }),
    async ({ host, setup }) => {
      told(call);
      await eventually(() => heard.length === 3, 'it to be told until it is taken');
      assert.deepEqual(heard, [call, call, call]);
      assert.deepEqual(
        setup.errors.map(({ context }) => context.requestId),
        ['req_dead'],
      );
      told(call);
      await within(host.gateway.close({ graceMs: 100_000_000 }), 'the gateway to close');
      const before = heard.length;
      told(call);
      assert.equal(heard.length, before);
    },
  );
}

/** 2,000 tokens, one to an event. */
const LONG = streamEvents(Array(2_000).fill(' one'));
const longStream = () => [
  streamHead(),
  chunkOf(LONG.slice(0, 1_000).join('')),
  ...LONG.slice(1_000).map(chunkOf),
  lastChunk(),
];

interface Notes {
  /** What the ledger knows that the client may have. */
  resolved: number;
  readonly asked: number[];
  readonly held: (() => void)[];
}

/** A ledger that notes a checkpoint when it is let. */
function checkpointing(notes: Notes, holds: (index: number) => boolean): UsageStore {
  return {
    ...memoryUsage(),
    async checkpoint(_requestId, outputTokens) {
      const index = notes.asked.push(outputTokens) - 1;
      if (holds(index)) await new Promise<void>((resolve) => notes.held.push(resolve));
      notes.resolved = outputTokens;
    },
  };
}

const oneByOne: Notes = { resolved: 0, asked: [], held: [] };
onBareHost(
  'F2 before a client gets more than ever the ledger knows that it may: a stream waits for its checkpoints',
  () => ({ usage: checkpointing(oneByOne, () => true), script: longStream }),
  async (scene) => {
    const client = await rawClient(scene.host.origin);
    client.send(rawChat(SECRET, { ...CALL, stream: true }));
    const delivered = (): number => client.received().toString().split('" one"').length - 1;
    let ended = false;
    client
      .until((text) => text.includes('[DONE]'), 'the end')
      .then(() => {
        ended = true;
      });
    for (let round = 0; !ended; round += 1) {
      await eventually(() => oneByOne.held.length > 0 || ended, 'a checkpoint');
      await settleSockets(30);
      assert.ok(delivered() <= oneByOne.resolved, `${delivered()} > ${oneByOne.resolved} in round ${round}`);
      oneByOne.held.shift()?.();
    }
    assert.equal(delivered(), 2_000);
    assert.deepEqual(
      oneByOne.asked,
      oneByOne.asked.toSorted((one, other) => one - other),
    );
    assert.ok(oneByOne.asked.length > 3 && oneByOne.asked.length < 20, `${oneByOne.asked.length} checkpoints`);
    client.destroy();
    forget(scene);
  },
);

const quick: Notes = { resolved: 0, asked: [], held: [] };
onBareHost(
  'F2 at every event a client has no more than the last checkpoint said',
  () => ({ usage: checkpointing(quick, () => false), script: longStream }),
  async (scene) => {
    const stream = await scene.client().chat.completions.create({ ...CALL, stream: true });
    let tokens = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content === ' one') tokens += 1;
      assert.ok(tokens <= quick.resolved, `${tokens} > ${quick.resolved}`);
    }
    assert.equal(tokens, 2_000);
    forget(scene);
  },
);

onBareHost(
  'a checkpoint that fails is reported, and the answer goes on',
  () => ({
    broken: true,
    usage: {
      ...memoryUsage(),
      checkpoint: async () => {
        throw new Error('The store is away');
      },
    },
    script: longStream,
  }),
  async (scene) => {
    const stream = await scene.client().chat.completions.create({ ...CALL, stream: true });
    let tokens = 0;
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content === ' one') tokens += 1;
    assert.equal(tokens, 2_000);
    const { errors, records } = scene.setup;
    assert.ok(errors.length > 3, 'each is reported');
    assert.ok(
      errors.every(({ context }) => context.requestId === records[0]?.requestId),
      'with the call',
    );
    assert.deepEqual([records[0]?.outcome, records[0]?.counted], ['ok', 'exact']);
    forget(scene);
  },
);

const abandoned: Notes = { resolved: 0, asked: [], held: [] };
onBareHost(
  'what is read on for nobody is no checkpoint',
  () => ({ usage: checkpointing(abandoned, () => false), http: { onAbort: 'drain' } }),
  async (scene) => {
    const left = gate();
    scene.upstream.answerWith(async function* () {
      yield* [streamHead(), ...LONG.slice(0, 10).map(chunkOf)];
      yield { kind: 'wait', until: left.opened };
      yield* [...LONG.slice(10).map(chunkOf), lastChunk()];
    });
    const client = await rawClient(scene.host.origin);
    client.send(rawChat(SECRET, { ...CALL, stream: true }));
    await client.until((text) => text.split('" one"').length > 9, 'some events');
    client.reset();
    await settleSockets(50);
    left.open();
    await eventually(() => scene.setup.records.length === 1, 'the record');
    assert.equal(scene.setup.records[0]?.counted, 'exact');
    assert.equal(abandoned.asked.length, 1);
    forget(scene);
  },
);
