import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { http } from 'megallm-middleware';
import { Quiet } from '../../src/upstreams/begin-stream.js';
import { chunkOf, lastChunk, sse, streamEvents, streamHead } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';

const GOING_ON = { done: false, failure: undefined };
const EVENT = Buffer.from('data: {}\n\n');

describe('the comments of an upstream', () => {
  /** What a client sees of comments that come at those times, after an event. */
  function shownAt(times: readonly number[], showsHeartbeats = true): readonly (number | undefined)[] {
    let now = 0;
    const quiet = new Quiet({}, showsHeartbeats, { steadyMs: () => now });
    quiet.heard(EVENT, GOING_ON);
    return times.map((time) => {
      now = time;
      return quiet.heard(undefined, GOING_ON) === undefined ? undefined : time;
    });
  }

  it('become one of ours every ten seconds at most', () => {
    const times = Array.from({ length: 40 }, (_, second) => second * 1_000);
    assert.deepEqual(
      shownAt(times).filter((time) => time !== undefined),
      [10_000, 20_000, 30_000],
    );
    assert.deepEqual(shownAt([0, 9_999, 25_000, 34_999, 35_000]), [undefined, undefined, 25_000, undefined, 35_000]);
  });

  it('are not for views that make something else of a stream', () => {
    assert.ok(shownAt([0, 20_000, 40_000], false).every((time) => time === undefined));
  });

  it('are counted anew after each event, and no event is held back', () => {
    let now = 0;
    const quiet = new Quiet({ tokenTimeoutMs: 15_000 }, true, { steadyMs: () => now });
    for (; now < 60_000; now += 9_000) {
      assert.equal(quiet.heard(EVENT, GOING_ON), EVENT);
      assert.equal(quiet.heard(undefined, GOING_ON), undefined);
    }
    now += 16_000;
    assert.throws(() => quiet.heard(undefined, GOING_ON), { status: 504 });
  });
});

/** Comments without end, after those events. */
async function* commenting(...events: readonly string[]): AsyncGenerator<Step> {
  yield streamHead();
  for (const event of events) yield chunkOf(event);
  for (;;) {
    yield chunkOf(': still here\n\n');
    await setTimeout(5);
  }
}

onBareHost(
  'a first event that does not come in its time is a 504, whatever comments come',
  () => ({ broken: true, http: { firstTokenTimeoutMs: 50 }, script: () => commenting() }),
  async ({ client, upstream }) => {
    await assert.rejects(client().chat.completions.create({ ...CALL, stream: true }), { status: 504 });
    await (await upstream.request(0)).closed;
  },
);

onBareHost(
  'an event that does not come in its time ends the stream with an error',
  () => ({
    broken: true,
    http: { tokenTimeoutMs: 50 },
    script: () => commenting(...streamEvents(['Hel'], { finishReason: null, done: false, usage: 'never' })),
  }),
  async ({ client, setup }) => {
    let text = '';
    await assert.rejects(async () => {
      for await (const chunk of await client().chat.completions.create({ ...CALL, stream: true })) {
        text += chunk.choices[0]?.delta.content ?? '';
      }
    });
    assert.equal(text, 'Hel');
    assert.equal(setup.records[0]?.outcome, 'error');
  },
);

async function* late(event: string): AsyncGenerator<Step> {
  yield streamHead();
  for (let count = 0; count < 20; count += 1) {
    yield chunkOf(': still here\n\n');
    await setTimeout(5);
  }
  yield chunkOf(event);
  yield lastChunk();
}

onBareHost(
  'the head is opened after comments for so long, if the host says so, and an error is an event then',
  () => ({
    broken: true,
    http: { openHeadAfterMs: 20 },
    script: () => late(sse({ error: { message: 'Too hot', code: 400 } })),
  }),
  async ({ host }) => {
    const answer = await fetch(`${host.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...CALL, stream: true }),
    });
    assert.equal(answer.status, 200);
    const text = await answer.text();
    assert.match(text, /^: keep-alive\n\n/);
    assert.match(text, /data: \{"error":\{"message":"Too hot"/);
    assert.doesNotMatch(text, /\[DONE\]/);
  },
);

it('http takes bounds of waiting as positive integers', () => {
  for (const name of ['firstTokenTimeoutMs', 'tokenTimeoutMs', 'openHeadAfterMs']) {
    for (const value of [0, -1, 1.5, '5']) {
      assert.throws(() => http({ baseUrl: 'http://127.0.0.1/v1', [name]: value }), TypeError);
    }
  }
});
