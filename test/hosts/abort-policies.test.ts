import assert from 'node:assert/strict';
import { it } from 'node:test';
import { encode } from 'gpt-tokenizer';
import { type AbortPolicy, createGateway, type Upstream, type UsageRecord } from 'megallm-middleware';
import {
  chunkOf,
  errorReply,
  lastChunk,
  reply,
  streamEvents,
  streamHead,
  USAGE,
  wholeChat,
} from '../helpers/chat-answers.js';
import { eventually, type Gate, gate, settleSockets, within } from '../helpers/deadline.js';
import { SECRET, testSetup } from '../helpers/gateway-options.js';
import { inParallel, range } from '../helpers/in-parallel.js';
import { leavingWatch } from '../helpers/leaving.js';
import { type RawClient, rawChat, rawClient } from '../helpers/raw-client.js';
import { CALL, onBareHost, onEveryHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { SeenRequest, Step } from '../helpers/scripted-upstream.js';

const PIECES = ['One', ' two', ' three', ' four', ' five', ' six', ' seven', ' eight', ' nine'];
/** A role, nine pieces, the finish reason, the usage, which the client has not asked for, and `[DONE]`. */
const EVENTS = streamEvents(PIECES);
const FINISH = 10;
const USAGE_AT = 11;
const watch = leavingWatch();
const { identify } = watch;
const LIMITS = { requestsPerMinute: 100_000, tokensPerMinute: 100_000_000, concurrency: 100 };

/** One call whose client leaves after so many events. */
interface Leaving {
  /** The client is gone. */
  readonly left: Gate;
  /** The upstream has sent what it sends before that. */
  readonly sent: Gate;
  isReadToEnd: boolean;
  request: SeenRequest | undefined;
}

interface Expected {
  /** Whether the upstream goes on after the client has left. */
  readonly goesOn: boolean;
  readonly isExact: (events: number) => boolean;
  readonly isReadToEnd: (events: number) => boolean;
}

const POLICIES: readonly (readonly [name: string, onAbort: AbortPolicy, expected: Expected])[] = [
  ['cancel', 'cancel', { goesOn: false, isExact: (events) => events > USAGE_AT, isReadToEnd: () => false }],
  ['drain', 'drain', { goesOn: true, isExact: () => true, isReadToEnd: () => true }],
  ['maxMs', { maxMs: 20 }, { goesOn: false, isExact: (events) => events > USAGE_AT, isReadToEnd: () => false }],
  [
    'maxBytes',
    { maxBytes: 1 },
    // Bounded from the first event on; what is not shown to the client is no part of it.
    { goesOn: true, isExact: (events) => events > FINISH, isReadToEnd: (events) => events > FINISH },
  ],
];

for (const [name, onAbort, expected] of POLICIES) {
  const leavings = [...EVENTS, ''].map(
    (): Leaving => ({ left: gate(), sent: gate(), isReadToEnd: false, request: undefined }),
  );
  onBareHost(
    `E8 a client that leaves after any event of a stream, under \`${name}\`: one record, never below what was delivered`,
    (): SceneOptions => ({
      key: { limits: LIMITS },
      http: { onAbort },
      identify,
      script: (request) => script(request),
    }),
    async (scene) => {
      const { setup } = scene;
      await inParallel(leavings.keys(), 7, async (events) => {
        const record = await recordOfLeaving(scene, leavings, { name, events });
        const isWhole = events === EVENTS.length;
        assert.equal(record.outcome, isWhole ? 'ok' : 'aborted', `${events} events`);
        const isExact = isWhole || expected.isExact(events);
        assert.equal(record.counted, isExact ? 'exact' : 'estimated', `${events} events`);
        const delivered = encode(PIECES.slice(0, Math.max(0, events - 1)).join('')).length;
        assert.ok((record.outputTokens ?? -1) >= delivered, `${record.outputTokens} < ${delivered} delivered`);
        if (isExact) assert.deepEqual([record.inputTokens, record.outputTokens], [11, 9]);
        else
          assert.ok((record.inputTokens ?? 0) > 0 && (record.outputTokens ?? 0) <= (record.reservedOutputTokens ?? 0));
      });
      for (const [events, leaving] of leavings.slice(0, -1).entries()) {
        if (expected.isReadToEnd(events))
          await eventually(() => leaving.isReadToEnd, `to be read to its end after ${events}`);
        else if (!expected.goesOn)
          await within(leaving.request?.closed ?? Promise.reject(), 'the upstream to be cancelled');
      }
      assert.equal(setup.records.length, leavings.length);
      await setup.limiter.allBack();
      assert.equal(setup.limiter.settled.length, leavings.length);
    },
  );

  async function* script(request: SeenRequest): AsyncGenerator<Step> {
    const leaving = leavings[Number(request.json().model)];
    if (leaving === undefined) return;
    leaving.request = request;
    const events = leavings.indexOf(leaving);
    if (events > 0) yield streamHead();
    for (const event of EVENTS.slice(0, events)) yield chunkOf(event);
    leaving.sent.open();
    yield { kind: 'wait', until: leaving.left.opened };
    if (!expected.goesOn) yield { kind: 'stall' };
    if (events === 0) yield streamHead();
    for (const event of EVENTS.slice(events)) yield chunkOf(event);
    yield lastChunk();
    yield { kind: 'do', action: () => void Object.assign(leaving, { isReadToEnd: true }) };
  }
}

async function recordOfLeaving(
  { host, setup }: Scene,
  leavings: readonly Leaving[],
  { name, events }: { readonly name: string; readonly events: number },
): Promise<UsageRecord> {
  const leaving = leavings[events];
  assert.ok(leaving !== undefined);
  const client = await rawClient(host.origin);
  client.send(callOf(`${name} ${events}`, { stream: true, model: String(events) }));
  await within(leaving.sent.opened, 'the events before it leaves');
  // Of the usage nothing is seen.
  const seen = events > USAGE_AT ? events - 1 : events;
  await client.until((text) => text.split('data: ').length > seen, `${seen} events`);
  await settleSockets();
  if (events < EVENTS.length) await leave(client, `${name} ${events}`);
  else client.reset();
  leaving.left.open();
  const find = (): UsageRecord | undefined => setup.records.find(({ model }) => model === String(events));
  await eventually(() => find() !== undefined, `the record of the client that left after ${events}`);
  const record = find();
  assert.ok(record !== undefined);
  return record;
}

async function leave(client: RawClient, name: string): Promise<void> {
  client.reset();
  await watch.gone(name);
}

/** A call's bytes, of a client that is known by this name. */
const callOf = (name: string, more: object = {}): Buffer => rawChat(SECRET, { ...CALL, ...more }, { 'x-client': name });

onEveryHost(
  'E8 under `drain` an answer whose client left is read to its end, for its usage, and its place is free then',
  (): SceneOptions => ({ key: { limits: LIMITS }, http: { onAbort: 'drain' }, identify }),
  async (scene) => {
    const { client, upstream, setup } = scene;
    for (const stream of [true, false]) {
      const left = gate();
      const name = `${scene.host.baseUrl} ${stream}`;
      upstream.answerWith(async function* () {
        if (stream) yield* [streamHead(), ...EVENTS.slice(0, 3).map(chunkOf)];
        yield { kind: 'wait', until: left.opened };
        if (stream) yield* [...EVENTS.slice(3).map(chunkOf), lastChunk()];
        else yield* reply(wholeChat('Hello'));
      });
      const leaving = new AbortController();
      const asked = upstream.requests.length;
      const call = client().chat.completions.create(
        { ...CALL, stream },
        { signal: leaving.signal, headers: { 'x-client': name } },
      );
      if (stream) {
        const answer = await call;
        assert.ok('controller' in answer);
        for await (const chunk of answer) if (chunk.choices[0]?.delta.content === 'One') break;
      }
      await within(upstream.request(asked), 'the call at the upstream');
      leaving.abort();
      if (!stream) await assert.rejects(async () => await call, { message: 'Request was aborted.' });
      await watch.gone(name);
      assert.equal(setup.limiter.open(), 1, 'it is read on');
      left.open();
      await setup.limiter.allBack();
      await setup.usage.allSettled();
      const record = setup.records.at(-1);
      assert.deepEqual([record?.outcome, record?.counted], ['aborted', 'exact']);
      assert.deepEqual([record?.inputTokens, record?.outputTokens], [11, 9]);
    }
    assert.equal(setup.records.length, 2);
  },
);

for (const onAbort of ['cancel', 'drain'] as const) {
  onBareHost(
    `E9 a client that closes in the tick in which it gets \`[DONE]\` had all of it: ok, under \`${onAbort}\``,
    () => ({ http: { onAbort }, script: () => [streamHead(), ...EVENTS.map(chunkOf), lastChunk()] }),
    async ({ host, setup }) => {
      await inParallel(range(50), 10, async () => {
        const client = await rawClient(host.origin);
        client.send(rawChat(SECRET, { ...CALL, stream: true }));
        await client.until((text) => text.includes('[DONE]'), 'the end');
        client.reset();
        await client.closed;
      });
      await setup.usage.allSettled();
      assert.deepEqual(
        setup.records.map(({ outcome, counted }) => `${outcome} ${counted}`),
        Array(50).fill('ok exact'),
      );
    },
  );
}

onBareHost(
  'E8 an upstream that refuses a call whose client left under `drain` has used nothing, even of a budget',
  () => ({
    key: { limits: { usdPerDay: 1 } },
    http: { onAbort: 'drain' },
    identify,
  }),
  async ({ host, upstream, setup }) => {
    const left = gate();
    upstream.answerWith(async function* () {
      yield { kind: 'wait', until: left.opened };
      yield* errorReply(500);
    });
    const client = await rawClient(host.origin);
    client.send(callOf('refused', { max_tokens: 100 }));
    await within(upstream.request(0), 'the call at the upstream');
    await leave(client, 'refused');
    left.open();
    await eventually(() => setup.records.length === 1, 'the record');
    const [record] = setup.records;
    assert.deepEqual([record?.outcome, record?.outputTokens, record?.costNanoUsd], ['aborted', undefined, undefined]);
    assert.deepEqual(setup.limiter.settled[0]?.amounts, [0]);
  },
);

onBareHost(
  'E8 no more than 50 answers are read on at once for nobody; further ones are cancelled',
  () => ({ key: { limits: { ...LIMITS, concurrency: 1_000 } }, http: { onAbort: 'drain' }, identify }),
  async ({ host, upstream, setup }) => {
    const release = gate();
    upstream.answerWith(async function* () {
      yield { kind: 'wait', until: release.opened };
      yield* reply(wholeChat('Hello'));
    });
    const clients = await Promise.all(range(60).map(() => rawClient(host.origin)));
    for (const [index, client] of clients.entries()) client.send(callOf(`one of 60: ${index}`));
    await eventually(() => upstream.requests.length === 60, 'all calls at the upstream');
    for (const [index, client] of clients.entries()) await leave(client, `one of 60: ${index}`);
    await eventually(() => setup.records.length === 10, 'ten to be cancelled');
    await settleSockets(10);
    assert.equal(setup.limiter.open(), 50);
    release.open();
    await eventually(() => setup.records.length === 60, 'fifty to be read to their end');
    const exact = setup.records.filter(({ counted }) => counted === 'exact');
    assert.deepEqual([exact.length, exact.every(({ outputTokens }) => outputTokens === 9)], [50, true]);
    // There is room again.
    const late = await rawClient(host.origin);
    const again = gate();
    upstream.answerWith(async function* () {
      yield { kind: 'wait', until: again.opened };
      yield* reply(wholeChat('Hello'));
    });
    late.send(callOf('late'));
    await within(upstream.request(60), 'one more call');
    await leave(late, 'late');
    again.open();
    await eventually(() => setup.records.length === 61, 'it to be read to its end');
    assert.equal(setup.records.at(-1)?.counted, 'exact');
  },
);

for (const graceMs of [20_000, 20]) {
  const waits = graceMs > 1_000;
  onBareHost(
    `E8 closing the gateway ${waits ? 'waits for' : 'ends, when its grace is over,'} what is read on for nobody`,
    () => ({ key: { limits: LIMITS }, http: { onAbort: 'drain' }, identify }),
    async ({ host, upstream, setup }) => {
      const release = gate();
      upstream.answerWith(async function* () {
        yield* [streamHead(), ...EVENTS.slice(0, 4).map(chunkOf)];
        yield { kind: 'wait', until: release.opened };
        yield* [...EVENTS.slice(4).map(chunkOf), lastChunk()];
      });
      const client = await rawClient(host.origin);
      client.send(callOf(`grace ${graceMs}`, { stream: true }));
      await client.until((text) => text.includes(' two'), 'an event');
      await leave(client, `grace ${graceMs}`);
      let isClosed = false;
      const closing = host.gateway.close({ graceMs }).then(() => {
        isClosed = true;
      });
      await settleSockets(10);
      if (waits) {
        assert.equal(isClosed, false);
        release.open();
      }
      await within(closing, 'the gateway to close');
      assert.equal(setup.limiter.open(), 0);
      const [record] = setup.records;
      assert.deepEqual([record?.outcome, record?.counted], ['aborted', waits ? 'exact' : 'estimated']);
      assert.ok((record?.outputTokens ?? 0) >= 2);
      if (!waits) await within((await upstream.request(0)).closed, 'the upstream to be cancelled');
    },
  );
}

it('whoever writes the answer is not left waiting while it is read on for nobody', async () => {
  const release = gate();
  async function* chunks() {
    yield JSON.parse(EVENTS[1]?.slice(6) ?? '');
    await release.opened;
    yield JSON.parse(EVENTS[FINISH]?.slice(6) ?? '');
    yield { ...JSON.parse(EVENTS[USAGE_AT]?.slice(6) ?? ''), usage: USAGE };
  }
  const upstream: Upstream = {
    name: 'slow',
    onAbort: 'drain',
    send: async () => ({ kind: 'chunks', chunks: chunks() }),
  };
  const setup = testSetup({ upstream });
  const gateway = createGateway(setup.options);
  const client = new AbortController();
  const response = await gateway.handle({
    method: 'POST',
    url: '/v1/chat/completions',
    headers: { authorization: `Bearer ${SECRET}` },
    signal: client.signal,
    body: { parsed: { ...CALL, stream: true } },
    native: undefined,
  });
  assert.ok(typeof response?.body === 'object' && 'read' in response.body);
  const { body } = response;
  const read = (): Promise<unknown> => new Promise((resolve, reject) => body.read(resolve, reject));
  assert.ok((await read()) !== undefined);
  const second = read();
  await settleSockets();
  client.abort();
  assert.equal(await within(second, 'the reader to be told'), undefined);
  assert.equal(await within(read(), 'the reader to be told again'), undefined);
  release.open();
  await setup.finish();
  assert.deepEqual([setup.records[0]?.outcome, setup.records[0]?.outputTokens], ['aborted', 9]);
});
