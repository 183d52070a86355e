import assert from 'node:assert/strict';
import { reply, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { gate, within } from '../helpers/deadline.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost, onEveryHost } from '../helpers/scene.js';
import { streamResponse } from '../helpers/stream-client.js';

onEveryHost(
  'the limit headers of streams, answers and refusals tell what is left, in OpenAI’s form',
  () => ({
    clock: frozenClock(),
    key: { limits: { requestsPerMinute: 3, tokensPerMinute: 60_000 } },
    script: (request) =>
      request.json().stream === true ? streamReply(streamEvents(['Hi'])) : reply(wholeChat('Hello')),
  }),
  async (scene) => {
    const heads: Response[] = [];
    for (const more of [{ max_tokens: 100 }, { stream: false }, { n: 0 }, { max_tokens: 100 }, { max_tokens: 100 }]) {
      const head = await streamResponse(scene, more);
      await head.text();
      heads.push(head);
    }
    assert.deepEqual(
      heads.map((head) => head.status),
      [200, 200, 400, 200, 429],
    );
    assert.deepEqual(
      heads.map((head) => head.headers.get('x-ratelimit-remaining-requests')),
      ['2', '1', '1', '0', '0'],
    );
    assert.deepEqual(
      heads.map((head) => head.headers.get('x-ratelimit-reset-requests')),
      ['20s', '40s', '40s', '1m0s', '1m0s'],
    );
    for (const head of heads) assert.equal(head.headers.get('x-ratelimit-limit-tokens'), '60000');
    // 20 tokens were used by each of the three calls.
    assert.equal(heads[4]?.headers.get('x-ratelimit-remaining-tokens'), '59940');
  },
);

onBareHost(
  'a key has as many calls running at once as its tier allows; the next one is told so, and gets in when one has ended',
  () => ({ small: { concurrency: 2 } }),
  async ({ client, upstream }) => {
    const release = gate();
    upstream.answerWith(function* () {
      yield { kind: 'wait', until: release.opened };
      yield* reply(wholeChat('Hello'));
    });
    const openai = client({ apiKey: SMALL_SECRET });
    const running = [openai.chat.completions.create(CALL), openai.chat.completions.create(CALL)];
    await within(upstream.request(1), 'both calls at the upstream');
    await assert.rejects(openai.chat.completions.create(CALL), {
      status: 429,
      code: 'rate_limit_exceeded',
      type: 'concurrency',
    });
    release.open();
    await within(Promise.all(running), 'the running calls to end');
    assert.equal((await openai.chat.completions.create(CALL)).choices[0]?.message.content, 'Hello');
    assert.equal(upstream.requests.length, 3);
  },
);
