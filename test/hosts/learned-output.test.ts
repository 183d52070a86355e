import assert from 'node:assert/strict';
import { reply, USAGE, wholeChat } from '../helpers/chat-answers.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL, onBareHost, type Scene } from '../helpers/scene.js';

const LIMITS = { tokensPerMinute: 10_000_000 };

/** Answers of so many tokens, unless a ceiling cuts them off. */
const answering = (outputTokens: number) => (request: { json(): Record<string, unknown> }) => {
  const { max_completion_tokens: ceiling = Number.POSITIVE_INFINITY, n = 1 } = request.json();
  const completion_tokens = Number(n) * Math.min(outputTokens, Number(ceiling));
  return reply(wholeChat('Hi', { usage: { ...USAGE, completion_tokens, total_tokens: 11 + completion_tokens } }));
};

async function ask({ host, upstream }: Scene, more: object = {}, secret = SECRET): Promise<unknown> {
  assert.equal((await rawExchange(host.origin, rawChat(secret, { ...CALL, ...more }))).status, 200);
  return upstream.requests.at(-1)?.json().max_completion_tokens;
}

async function askTimes(scene: Scene, times: number, more: object = {}): Promise<unknown> {
  let ceiling: unknown;
  for (let call = 0; call < times; call += 1) ceiling = await ask(scene, more);
  return ceiling;
}

onBareHost(
  'after 20 answers a client that names no ceiling gets what answers were as long as, and at least 1,024',
  () => ({ clock: frozenClock(), key: { limits: LIMITS }, script: answering(200) }),
  async ({ client, upstream, setup }) => {
    for (let call = 0; call < 21; call += 1) await client().chat.completions.create(CALL);
    const ceilings = upstream.requests.map((request) => request.json().max_completion_tokens);
    assert.deepEqual(ceilings, [...Array(20).fill(4_096), 1_024]);
    assert.deepEqual(
      setup.usage.opened.map(({ reservedOutputTokens }) => reservedOutputTokens),
      ceilings,
    );
  },
);

onBareHost(
  'longer answers are learned as they are, and those that were cut off double each time until they fit',
  () => ({ clock: frozenClock(), key: { limits: LIMITS }, defaultMaxOutputTokens: 1_000, script: answering(3_000) }),
  async (scene) => {
    assert.equal(await askTimes(scene, 20), 1_000);
    assert.equal(await askTimes(scene, 100), 4_000, 'cut at 1,000 and at 2,000, and not again');
    assert.equal(scene.setup.records.at(-1)?.outputTokens, 3_000, 'all of it');
  },
);

onBareHost(
  'what is learned of one owner and model says nothing of another, nor of a call that names its ceiling',
  () => ({ clock: frozenClock(), key: { limits: LIMITS }, small: LIMITS, script: answering(200) }),
  async (scene) => {
    await askTimes(scene, 20);
    assert.equal(await ask(scene), 1_024);
    assert.equal(await ask(scene, {}, SMALL_SECRET), 4_096);
    assert.equal(await ask(scene, { model: 'gpt-4o' }), 4_096);
    assert.equal(await ask(scene, { max_completion_tokens: 7 }), 7);
  },
);

onBareHost(
  'a client that names ceilings teaches nothing, and several answers at once are several answers',
  () => ({ clock: frozenClock(), key: { limits: LIMITS }, script: answering(2_000) }),
  async (scene) => {
    await askTimes(scene, 40, { max_completion_tokens: 10 });
    assert.equal(await ask(scene), 4_096, 'nothing was learned of answers of 10 tokens');
    await askTimes(scene, 19, { n: 5 });
    assert.equal(await ask(scene), 2_000);
  },
);

onBareHost(
  'it shrinks to what is left of the limit',
  () => ({ clock: frozenClock(), key: { limits: { tokensPerMinute: 30_000 } }, script: answering(1_450) }),
  async (scene) => {
    const ceilings: number[] = [];
    for (let call = 0; call < 21; call += 1) ceilings.push(Number(await ask(scene)));
    assert.ok((ceilings[20] ?? 0) < 1_024 && (ceilings[20] ?? 0) >= 16, String(ceilings));
  },
);
