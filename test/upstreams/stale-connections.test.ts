import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { reply, replyBytes, wholeChat } from '../helpers/chat-answers.js';
import { eventually, within } from '../helpers/deadline.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, withScene } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';

const GOOD = wholeChat('Hello');

describe('a connection that was kept alive', () => {
  for (const kind of ['end', 'reset'] as const) {
    for (const stream of [false, true]) {
      it(`and dies without a byte (${kind}) costs one more try on a fresh one, ${stream ? 'streamed' : 'whole'}`, async () => {
        const script = (_request: unknown, index: number): Iterable<Step> => (index === 1 ? [{ kind }] : reply(GOOD));
        await withScene(BARE_HOST, { script }, async ({ client, upstream, setup }) => {
          await client().chat.completions.create(CALL);
          const second = await client().chat.completions.create({ ...CALL, stream });
          if ('controller' in second) for await (const _ of second);
          assert.deepEqual(
            upstream.requests.map(({ connection }) => connection),
            [0, 0, 1],
          );
          assert.deepEqual(upstream.requests[2]?.body, upstream.requests[1]?.body);
          assert.deepEqual(
            setup.records.map(({ outcome }) => outcome),
            ['ok', 'ok'],
          );
        });
      });
    }

    it(`is tried once more, not twice (${kind})`, async () => {
      const script = (_request: unknown, index: number): Iterable<Step> => (index === 0 ? reply(GOOD) : [{ kind }]);
      await withScene(BARE_HOST, { broken: true, script }, async ({ client, upstream }) => {
        await client().chat.completions.create(CALL);
        await assert.rejects(client().chat.completions.create(CALL), { status: 502 });
        assert.equal(upstream.requests.length, 3);
      });
    });

    it(`is another thing than a fresh one: that the server read the request of must not be asked twice (${kind})`, async () => {
      await withScene(BARE_HOST, { broken: true, script: () => [{ kind }] }, async ({ client, upstream }) => {
        await assert.rejects(client().chat.completions.create(CALL), { status: 502 });
        assert.equal(upstream.requests.length, 1);
      });
    });
  }

  it('leaves a call that ends with its client, also while it is tried once more', async () => {
    const script = (_request: unknown, index: number): Iterable<Step> =>
      index === 0 ? reply(GOOD) : [{ kind: index === 1 ? 'end' : 'stall' }];
    await withScene(BARE_HOST, { script }, async ({ client, upstream, setup }) => {
      await client().chat.completions.create(CALL);
      const leaving = new AbortController();
      const asking = client().chat.completions.create(CALL, { signal: leaving.signal });
      const fresh = await within(upstream.request(2), 'the second try');
      leaving.abort();
      await assert.rejects(asking);
      await within(fresh.closed, 'the upstream to be left');
      await eventually(() => setup.records.length === 2, 'the call to be settled');
      assert.equal(setup.records[1]?.outcome, 'aborted');
    });
  });

  it('and breaks off inside an answer is not asked again', async () => {
    const script = (_request: unknown, index: number): Iterable<Step> =>
      index === 0 ? reply(GOOD) : [{ kind: 'send', bytes: replyBytes(GOOD).subarray(0, -20) }, { kind: 'end' }];
    await withScene(BARE_HOST, { broken: true, script }, async ({ client, upstream }) => {
      await client().chat.completions.create(CALL);
      await assert.rejects(client().chat.completions.create(CALL), { status: 502 });
      assert.equal(upstream.requests.length, 2);
    });
  });
});
