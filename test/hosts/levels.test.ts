import assert from 'node:assert/strict';
import { memoryKeys } from 'megallm-middleware';
import OpenAI from 'openai';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { gate, settleSockets } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, onBareHost, type SceneOptions } from '../helpers/scene.js';

const secretOf = (name: string): string => `secret-of-${name}-0123456789`;

/** Ann has two keys, one of them limited itself; Bob is of her tier, Cyd of another. */
const SCENE = (): SceneOptions => ({
  clock: frozenClock(),
  keys: memoryKeys([
    { secret: secretOf('ann'), id: 'ann', owner: 'ann', tier: 'pro', ownLimits: { requestsPerMinute: 2 } },
    { secret: secretOf('ann-too'), id: 'ann-too', owner: 'ann', tier: 'pro' },
    { secret: secretOf('bob'), id: 'bob', owner: 'bob', tier: 'pro' },
    { secret: secretOf('cyd'), id: 'cyd', owner: 'cyd', tier: 'basic' },
  ]),
  tiers: { basic: {}, pro: { requestsPerMinute: 4, shared: { requestsPerMinute: 6 } } },
  globalLimits: { requestsPerMinute: 8 },
});

onBareHost(
  'E18 a call is held against its key, its owner, its tier and everybody, each with its own ceiling',
  SCENE,
  async ({ client, setup }) => {
    const ask = async (name: string): Promise<string | undefined> => {
      try {
        await client({ apiKey: secretOf(name) }).chat.completions.create(CALL);
        return 'admitted';
      } catch (error) {
        assert.ok(error instanceof OpenAI.RateLimitError, String(error));
        return /Limit (\d+)/.exec(error.message)?.[1];
      }
    };
    const answers: (string | undefined)[] = [];
    const asked = ['ann', 'ann', 'ann', 'ann-too', 'ann-too', 'ann-too', 'bob', 'bob', 'bob', 'cyd', 'cyd', 'cyd'];
    for (const name of asked) answers.push(await ask(name));
    const ok = 'admitted';
    assert.deepEqual(answers, [ok, ok, '2', ok, ok, '4', ok, ok, '6', ok, ok, '8']);
    assert.equal(setup.records.length, 8, 'a refusal takes nothing from any level');
  },
);

onBareHost('the limit headers show the level with the least left', SCENE, async ({ host }) => {
  const shown = async (name: string): Promise<string> => {
    const { headers } = await rawExchange(host.origin, rawChat(secretOf(name), CALL));
    return `${headers['x-ratelimit-remaining-requests']}/${headers['x-ratelimit-limit-requests']}`;
  };
  assert.equal(await shown('ann'), '1/2');
  assert.equal(await shown('ann-too'), '2/4');
  assert.equal(await shown('bob'), '3/4');
  assert.equal(await shown('bob'), '2/4');
  assert.equal(await shown('bob'), '1/4');
  assert.equal(await shown('bob'), '0/4', 'and 0 of 6');
  assert.equal(await shown('cyd'), '1/8');
});

onBareHost(
  'places are held on every level at once, and all given back',
  () => ({
    keys: memoryKeys(
      ['ann', 'bob', 'cyd'].map((name) => ({
        secret: secretOf(name),
        id: name,
        tier: 'pro',
        ownLimits: { concurrency: 2 },
      })),
    ),
    tiers: { pro: { concurrency: 3, shared: { concurrency: 3 } } },
    globalLimits: { concurrency: 4 },
  }),
  async ({ host, upstream, setup }) => {
    const release = gate();
    upstream.answerWith(async function* () {
      yield { kind: 'wait', until: release.opened };
      yield* reply(wholeChat('Hello'));
    });
    const statuses: number[] = [];
    const asked = ['ann', 'ann', 'ann', 'bob', 'bob', 'cyd'];
    const calls: Promise<void>[] = [];
    for (const name of asked) {
      const call = rawExchange(host.origin, rawChat(secretOf(name), CALL));
      calls.push(call.then(({ status }) => void statuses.push(status)));
      await settleSockets(20);
    }
    release.open();
    await Promise.all(calls);
    assert.deepEqual(statuses.toSorted(), [200, 200, 200, 429, 429, 429]);
    assert.equal(setup.limiter.mostOpen(), 3);
    await setup.limiter.allBack();
    assert.equal((await rawExchange(host.origin, rawChat(secretOf('cyd'), CALL))).status, 200);
  },
);
