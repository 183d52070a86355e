import assert from 'node:assert/strict';
import { memoryUsage } from 'megallm-middleware';
import { chunkOf, errorReply, reply, streamEvents, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';

/** A bucket so large that what flows back during a test is seen by nobody who rounds down. */
const LIMITED: SceneOptions = { small: { requestsPerMinute: 10, tokensPerMinute: 100, concurrency: 2 } };

async function ask({ host }: Scene, more: object = {}): Promise<{ response: Response; text: string }> {
  const response = await fetch(`${host.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${SMALL_SECRET}`, 'content-type': 'application/json', 'x-debug': 'true' },
    body: JSON.stringify({ ...CALL, ...more }),
  });
  return { response, text: await response.text() };
}

const remaining = (response: Response): number[] =>
  ['requests', 'tokens'].map((kind) => Number(response.headers.get(`x-ratelimit-remaining-${kind}`)));

onBareHost(
  'the limits on a whole answer are those after it was settled',
  () => ({ ...LIMITED, script: () => reply(wholeChat('Hello')) }),
  async (scene) => {
    const { response } = await ask(scene);
    const [record] = scene.setup.records;
    const used = (record?.inputTokens ?? 0) + (record?.outputTokens ?? 0);
    assert.ok(used > 0 && used < 100);
    assert.deepEqual(remaining(response), [9, 100 - used]);
    assert.equal(response.headers.get('x-debug-limits-after'), `9,${100 - used}`);
  },
);

onBareHost(
  'an upstream’s refusal gives the tokens back, says so in the headers, and X-Debug tells the attempts',
  () => ({ ...LIMITED, script: () => errorReply(400) }),
  async (scene) => {
    const { response, text } = await ask(scene);
    assert.deepEqual(remaining(response), [9, 100]);
    const { debug } = JSON.parse(text).error;
    assert.deepEqual(
      [debug.attempts, debug.limits_before, debug.limits_after],
      [2, [10, 100], [9, 100]],
      'once more without what we add',
    );
  },
);

onBareHost(
  'a call that took too long is charged, and X-Debug tells what it cost',
  () => ({ ...LIMITED, broken: true, timeoutMs: 200, script: () => [{ kind: 'stall' }] }),
  async (scene) => {
    const { response, text } = await ask(scene);
    assert.equal(response.status, 504);
    const { debug } = JSON.parse(text).error;
    const [record] = scene.setup.records;
    assert.equal(debug.input_tokens, record?.inputTokens);
    assert.ok(debug.input_tokens > 0 && debug.cost_usd > 0);
    assert.equal(remaining(response)[1], 100 - debug.input_tokens);
  },
);

onBareHost(
  'a stream that breaks off tells X-Debug in its error event',
  () => ({
    ...LIMITED,
    broken: true,
    script: () => [streamHead(), ...streamEvents(['Once', ' upon']).slice(0, 2).map(chunkOf), { kind: 'reset' }],
  }),
  async (scene) => {
    const { text } = await ask(scene, { stream: true });
    const last = text.trimEnd().split('\n\n').at(-1) ?? '';
    assert.match(last, /^data: \{"error":\{/);
    const { debug } = JSON.parse(last.slice('data: '.length)).error;
    assert.deepEqual([debug.attempts, debug.counted], [1, 'estimated']);
    assert.ok(debug.output_tokens >= 1);
  },
);

onBareHost(
  'a call that is over a limit is told what the limits were',
  () => LIMITED,
  async (scene) => {
    const { response, text } = await ask(scene, { max_tokens: 1_000 });
    assert.equal(response.status, 429);
    assert.deepEqual(JSON.parse(text).error.debug.limits_before, [10, 100]);
    assert.deepEqual(remaining(response), [10, 100]);
  },
);

onBareHost(
  'a call that cannot be recorded costs nothing, not even a request, and leaves no record',
  () => {
    let opened = 0;
    const usage = memoryUsage();
    const open: typeof usage.open = (start) => {
      opened += 1;
      if (opened === 1) throw new Error('disk full');
      return usage.open(start);
    };
    return { ...LIMITED, broken: true, usage: { ...usage, open } };
  },
  async (scene) => {
    const { response, text } = await ask(scene);
    assert.deepEqual([response.status, JSON.parse(text).error.code], [503, 'ledger_unavailable']);
    assert.deepEqual(remaining(response), [10, 100]);
    assert.deepEqual(scene.setup.records, []);
    assert.equal(scene.setup.limiter.open(), 0);
    await ask(scene);
    assert.equal(scene.upstream.requests.length, 1);
    // The gateway's own usage store is not the watched one here.
    scene.setup.records.length = 0;
  },
);

onBareHost(
  'the record tells the status that the client got, and the code of its error',
  () => ({ broken: true, models: { whole: {}, refused: {}, cut: {} } }),
  async (scene) => {
    const { upstream, client, setup } = scene;
    const events = streamEvents(['Once', ' upon']);
    upstream.answerWith((request) => {
      const { model } = request.json();
      if (model === 'refused') return errorReply(429, { code: 'rate_limit_exceeded' });
      return model === 'whole'
        ? reply(wholeChat('Hello'))
        : [streamHead(), ...events.slice(0, 2).map(chunkOf), { kind: 'reset' }];
    });
    await client().chat.completions.create({ ...CALL, model: 'whole' });
    await assert.rejects(client().chat.completions.create({ ...CALL, model: 'refused' }));
    await (
      await client()
        .chat.completions.create({ ...CALL, model: 'cut', stream: true })
        .asResponse()
    ).text();
    assert.deepEqual(
      setup.records.map(({ status, errorCode }) => [status, errorCode]),
      [
        [200, undefined],
        [429, 'rate_limit_exceeded'],
        [200, 'upstream_stream_interrupted'],
      ],
    );
  },
);
