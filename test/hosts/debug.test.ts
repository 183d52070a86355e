import assert from 'node:assert/strict';
import { errorReply, reply, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost, onEveryHost, type SceneOptions, UPSTREAM_KEY } from '../helpers/scene.js';
import { eventsOf, streamResponse, textOf } from '../helpers/stream-client.js';

const DEBUG = { 'x-debug': 'true' };
const PROMPT = 'canary prompt 4711';
const ASK = { model: 'house', messages: [{ role: 'user' as const, content: PROMPT }] };
const HOUSE: SceneOptions = {
  models: { house: { upstreamModel: 'secret-model', pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 2 } } },
  key: { limits: { requestsPerMinute: 10, tokensPerMinute: 100_000 } },
};

function assertNoSecrets(shown: string, upstreamOrigin: string): void {
  const secrets = [UPSTREAM_KEY, upstreamOrigin, new URL(upstreamOrigin).host, SECRET, PROMPT, 'secret-model'];
  for (const secret of [...secrets, 'key_small']) assert.ok(!shown.includes(secret), secret);
}

onBareHost(
  'X-Debug shows where the time, the tokens and the money of a whole answer went, in headers',
  () => ({ ...HOUSE, script: () => reply(wholeChat('Hello')) }),
  async ({ client, upstream }) => {
    const { response } = await client({ defaultHeaders: DEBUG }).chat.completions.create(ASK).withResponse();
    const shown = (name: string): string | null => response.headers.get(`x-debug-${name}`);
    assert.match(response.headers.get('server-timing') ?? '', /^\w+;dur=[\d.]+(?:, \w+;dur=[\d.]+)+$/);
    assert.equal(shown('request-id'), response.headers.get('x-request-id'));
    assert.equal(shown('key-id'), 'key_test');
    assert.equal(shown('model'), 'house');
    assert.equal(shown('attempts'), '1');
    assert.equal(shown('input-tokens'), '11');
    assert.equal(shown('output-tokens'), '9');
    assert.equal(Number(shown('cost-usd')), 11e-6 + 18e-6);
    assert.equal(shown('limits-before'), '10,100000');
    assert.ok(Number(shown('estimated-input-tokens')) > 0);
    assertNoSecrets(JSON.stringify([...response.headers]), upstream.origin);
  },
);

const clock = frozenClock();
onBareHost(
  'X-Debug tells what is left of limits in whole numbers, and never more than there is',
  () => ({ ...HOUSE, clock, key: { limits: { requestsPerMinute: 7 } }, script: () => reply(wholeChat('Hello')) }),
  async ({ client }) => {
    const debugging = client({ defaultHeaders: DEBUG });
    const left = async () => {
      const { response } = await debugging.chat.completions.create(ASK).withResponse();
      return ['limits-before', 'limits-after'].map((name) => response.headers.get(`x-debug-${name}`));
    };
    assert.deepEqual(await left(), ['7', '6']);
    // Six and seven twelfths.
    clock.advance(5_000);
    assert.deepEqual(await left(), ['6', '5']);
  },
);

onEveryHost(
  'X-Debug of a stream is in headers at its head and in a comment before its end, which no client takes for an event',
  () => ({ ...HOUSE, script: () => streamReply(streamEvents(['Hel', 'lo'])) }),
  async (scene) => {
    const response = await streamResponse(scene, ASK, DEBUG);
    assert.equal(response.headers.get('x-debug-model'), 'house');
    const text = await response.text();
    const events = eventsOf(text);
    assert.deepEqual([textOf(events), events.at(-1)], ['Hello', '[DONE]']);
    const [, report = ''] = /\n\n: x-debug (\{.*\})\n\ndata: \[DONE\]\n\n$/.exec(text) ?? [];
    assert.equal(JSON.parse(report).output_tokens, 9);
    assertNoSecrets(text + JSON.stringify([...response.headers]), scene.upstream.origin);
    const openai = scene.client({ defaultHeaders: DEBUG });
    assert.equal(await openai.chat.completions.stream(ASK).finalContent(), 'Hello');
  },
);

onBareHost(
  'of a call larger than its limit the client sees OpenAI’s code, and whoever debugs ours',
  () => ({ key: { debug: true, limits: { tokensPerMinute: 1_000 } } }),
  async ({ host }) => {
    const response = await fetch(`${host.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { ...DEBUG, authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
      body: JSON.stringify({ ...CALL, max_tokens: 5_000 }),
    });
    const { error } = JSON.parse(await response.text());
    assert.deepEqual(
      [response.status, error.code, error.debug.code],
      [429, 'rate_limit_exceeded', 'request_exceeds_limit'],
    );
    assert.equal(response.headers.get('x-should-retry'), 'false');
  },
);

onBareHost(
  'X-Debug of an error is in `error.debug`',
  () => ({ ...HOUSE, broken: true, script: () => errorReply(500, { message: `at ${UPSTREAM_KEY}` }) }),
  async ({ host, upstream }) => {
    const response = await fetch(`${host.baseUrl}/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', ...DEBUG },
      body: JSON.stringify(ASK),
    });
    const text = await response.text();
    const { error } = JSON.parse(text);
    assert.equal(response.status, 502);
    assert.equal(error.debug.request_id, response.headers.get('x-request-id'));
    assert.equal(error.debug.model, 'house');
    assertNoSecrets(text + JSON.stringify([...response.headers]), upstream.origin);
  },
);

onBareHost(
  'X-Debug shows nothing to keys that may not see it, to strangers, or unasked; in production to nobody by default',
  () => ({ environment: { NODE_ENV: 'production' }, key: { debug: true } }),
  async ({ client, host }) => {
    const hidden = async (secret: string, headers: Record<string, string>): Promise<string> => {
      const response = await fetch(`${host.baseUrl}/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ ...CALL, n: 0 }),
      });
      return (await response.text()) + JSON.stringify([...response.headers]);
    };
    assert.ok(!(await hidden(SMALL_SECRET, DEBUG)).includes('debug'), 'a key that may not');
    assert.ok(!(await hidden('nobody-knows-this-secret', DEBUG)).includes('debug'), 'a stranger');
    assert.ok(!(await hidden(SECRET, {})).includes('debug'), 'unasked');
    assert.ok((await hidden(SECRET, DEBUG)).includes('"debug"'), 'a key that may');
    const { response } = await client({ apiKey: SMALL_SECRET, defaultHeaders: DEBUG }).models.list().withResponse();
    assert.equal(response.headers.get('server-timing'), null);
  },
);
