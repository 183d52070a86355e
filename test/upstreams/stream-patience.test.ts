import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { http } from 'megallm-middleware';
import { HEARTBEAT, Quiet } from '../../src/upstreams/begin-stream.js';
import { chunkOf, lastChunk, sse, streamEvents, streamHead } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import type { Step } from '../helpers/scripted-upstream.js';

const GOING_ON = { done: false, failure: undefined };
const EVENT = Buffer.from('data: {}\n\n');

describe('the comments of an upstream', () => {
  /** What a client sees of comments that come at those times, after an event. */
  function shownAt(times: readonly number[]): readonly (number | undefined)[] {
    let now = 0;
    const quiet = new Quiet({}, { steadyMs: () => now });
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

  it('are counted anew after each event, and no event is held back', () => {
    let now = 0;
    const quiet = new Quiet({ tokenTimeoutMs: 15_000 }, { steadyMs: () => now });
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

/** The head of a stream, and nothing after it. */
async function* silent(): AsyncGenerator<Step> {
  yield streamHead();
  await new Promise(() => {});
}

onBareHost(
  'a first event that does not come in its time is a 504, also of a stream without a byte',
  () => ({ broken: true, http: { firstTokenTimeoutMs: 50 }, script: () => silent() }),
  async ({ client, upstream }) => {
    await assert.rejects(client({ timeout: 3_000, maxRetries: 0 }).chat.completions.create({ ...CALL, stream: true }), {
      status: 504,
    });
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

async function* late(...events: readonly string[]): AsyncGenerator<Step> {
  yield streamHead();
  for (let count = 0; count < 20; count += 1) {
    yield chunkOf(': still here\n\n');
    await setTimeout(5);
  }
  for (const event of events) yield chunkOf(event);
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

describe('the head that is opened by comments, where the stream becomes something else', () => {
  const good = [...streamEvents(['Hel', 'lo'], { done: true })];
  async function* lateAnswer(): AsyncGenerator<Step> {
    yield* late(good[0] ?? '', ...good.slice(1));
  }
  const options = { http: { openHeadAfterMs: 20 }, script: () => lateAnswer() };
  const ask = (baseUrl: string, path: string, body: object): Promise<string> =>
    fetch(baseUrl + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
      body: JSON.stringify({ stream: true, ...body }),
    }).then((answer) => answer.text());

  onBareHost(
    'a translated response follows them',
    () => ({ ...options, models: { house: { responses: 'translate', upstreamModel: 'gpt-4o-mini' } } }),
    async ({ host, client, setup }) => {
      const text = await ask(host.baseUrl, '/responses', { model: 'house', input: 'Say hello' });
      assert.match(text, /^: keep-alive\n\nevent: response.created\n/);
      assert.equal(text.match(/response.created/g)?.length, 2, 'its event comes once, in name and type');
      assert.match(text, /response.completed/);
      let said = '';
      for await (const event of await client().responses.create({ model: 'house', input: 'Hi', stream: true })) {
        if (event.type === 'response.output_text.delta') said += event.delta;
      }
      assert.equal(said, 'Hello');
      assert.ok(setup.records.every(({ outcome }) => outcome === 'ok'));
    },
  );

  onBareHost(
    'a translated response that fails after them says so in its own events',
    () => ({
      ...options,
      broken: true,
      script: () => late(sse({ error: { message: 'Too hot', code: 400 } })),
      models: { house: { responses: 'translate', upstreamModel: 'gpt-4o-mini' } },
    }),
    async ({ host }) => {
      const text = await ask(host.baseUrl, '/responses', { model: 'house', input: 'Say hello' });
      assert.match(text, /^: keep-alive\n\nevent: response.created\n/);
      assert.match(text, /event: response.failed\n.*Too hot/);
    },
  );

  onBareHost(
    'a completion that is kept has none of them',
    () => options,
    async ({ host, client }) => {
      const text = await ask(host.baseUrl, '/chat/completions', { ...CALL, store: true });
      assert.match(text, /^: keep-alive\n\ndata: /);
      const id = /"id":"([^"]+)"/.exec(text)?.[1] ?? '';
      const kept = await client().chat.completions.retrieve(id);
      assert.equal(kept.choices[0]?.message.content, 'Hello');
    },
  );

  onBareHost(
    'legacy completions have them, too',
    () => ({
      ...options,
      script: () =>
        late(sse({ id: 'c', object: 'text_completion', choices: [{ index: 0, text: 'Hi', finish_reason: 'stop' }] })),
    }),
    async ({ host }) => {
      assert.match(
        await ask(host.baseUrl, '/completions', { model: 'x', prompt: 'Say' }),
        /^: keep-alive\n\ndata: .*"Hi"/,
      );
    },
  );
});

it('comments open the head when its time has come, and no millisecond sooner', () => {
  for (const begun of [0, 5_000_000]) {
    let now = begun;
    const quiet = new Quiet({ openHeadAfterMs: 1_000 }, { steadyMs: () => now });
    const heardAfter = (ms: number) => {
      now = begun + ms;
      return quiet.heard(undefined, { done: false, failure: undefined });
    };
    assert.deepEqual([0, 999, 1_000].map(heardAfter), [undefined, undefined, HEARTBEAT]);
  }
});

it('http takes bounds of waiting as positive integers', () => {
  for (const name of ['firstTokenTimeoutMs', 'tokenTimeoutMs', 'openHeadAfterMs']) {
    for (const value of [0, -1, 1.5, '5']) {
      assert.throws(() => http({ baseUrl: 'http://127.0.0.1/v1', [name]: value }), TypeError);
    }
  }
});
