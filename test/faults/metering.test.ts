import assert from 'node:assert/strict';
import { memoryKeys, memoryObjects } from 'megallm-middleware';
import { ROUTES } from '../../src/endpoints/routes.js';
import { errorReply, reply, streamEvents, streamReply, USAGE, wholeChat } from '../helpers/chat-answers.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET } from '../helpers/gateway-options.js';
import { range } from '../helpers/in-parallel.js';
import { rawChat, rawExchange } from '../helpers/raw-client.js';
import { RESPONSE_ID, responseEvents, wholeResponse } from '../helpers/response-answers.js';
import { CALL, MESSAGES, MODEL, onBareHost, type Scene } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

type Route = (typeof ROUTES)[number];
const nameOf = ({ method, segments }: Route): string => `${method} /${segments.join('/')}`;

/** The least that each route with a body takes; a route with one that is not here fails. */
const BODIES: Readonly<Record<string, object>> = {
  'POST /chat/completions': { model: MODEL, messages: MESSAGES },
  'POST /completions': { model: MODEL, prompt: 'Hi' },
  'POST /embeddings': { model: MODEL, input: 'Hi' },
  'POST /moderations': { model: MODEL, input: 'Hi' },
  'POST /responses': { model: MODEL, input: 'Hi' },
  'POST /responses/input_tokens': { model: MODEL, input: 'Hi' },
  'POST /images/generations': { model: 'gpt-image-1', prompt: 'x' },
  'POST /images/edits': { prompt: 'x' },
  'POST /images/variations': {},
  'POST /audio/speech': { model: 'tts-1', input: 'x', voice: 'alloy' },
  'POST /audio/transcriptions': { model: 'whisper-1' },
  'POST /audio/translations': { model: 'whisper-1' },
  'POST /files': {},
  'POST /uploads': {},
  'POST /uploads/{id}/parts': {},
  'POST /uploads/{id}/complete': {},
  'POST /uploads/{id}/cancel': {},
  'POST /batches': { input_file_id: 'file-1' },
  'POST /batches/{id}/cancel': {},
  'POST /vector_stores': {},
  'POST /vector_stores/{id}': {},
  'POST /vector_stores/{id}/*': { file_id: 'file-1' },
  'POST /responses/{id}/cancel': {},
};
/** Routes that may be asked for a stream. */
const STREAMS = new Set([
  ...['POST /chat/completions', 'POST /completions', 'POST /responses', 'GET /responses/{id}'],
  ...['POST /images/generations', 'POST /images/edits', 'POST /audio/speech', 'POST /audio/transcriptions'],
]);
const IDS = { file: 'file-1', upload: 'upload_1', batch: 'batch_1', vector_store: 'vs_1' } as const;

/** The key's own: one object of each kind, and a response that the upstream keeps. */
function seeded() {
  const objects = memoryObjects();
  const put = (kind: 'file' | 'upload' | 'batch' | 'vector_store' | 'response', id: string, body: object): void =>
    void objects.put({ owner: 'key:key_test', kind, id, createdAt: 1, body: { ...body } });
  for (const kind of ['file', 'upload', 'batch', 'vector_store'] as const) put(kind, IDS[kind], {});
  return objects;
}

function pathOf({ method, segments }: Route): string {
  const rest = method === 'DELETE' ? 'files/file-1' : 'files';
  const ids: Readonly<Record<string, string>> = {
    files: IDS.file,
    uploads: IDS.upload,
    batches: IDS.batch,
    vector_stores: IDS.vector_store,
    responses: RESPONSE_ID,
  };
  return `/${segments.map((one) => (one === '{id}' ? ids[segments[0] ?? ''] : one === '*' ? rest : one)).join('/')}`;
}

/** Answers what every route asks, whole or streamed. */
const answerAll: Script = ({ method, path, body }) => {
  const streams = body.includes('"stream":true') || path.includes('stream=true');
  if (path.startsWith('/v1/responses/') && method === 'DELETE') return reply({ id: RESPONSE_ID, deleted: true });
  if (path.startsWith('/v1/responses/input_tokens')) return reply({ object: 'response.input_tokens', input_tokens: 1 });
  if (path.includes('/input_items')) return reply({ object: 'list', data: [], has_more: false });
  if (path.startsWith('/v1/responses'))
    return streams ? streamReply(responseEvents(['Hi'])) : reply(wholeResponse('Hi'));
  if (path === '/v1/completions') {
    const choices = [{ text: 'Hi', index: 0, logprobs: null, finish_reason: 'stop' }];
    const piece = { id: 'cmpl-1', object: 'text_completion', created: 1, model: MODEL, choices, usage: USAGE };
    return streams ? streamReply([`data: ${JSON.stringify(piece)}\n\n`, 'data: [DONE]\n\n']) : reply(piece);
  }
  if (path === '/v1/audio/speech' && !streams) return reply('sound', { contentType: 'audio/mpeg' });
  if (streams) return streamReply(streamEvents(['Hi']));
  return reply(path === '/v1/chat/completions' ? wholeChat('Hi') : { data: [], results: [], id: 'x', usage: USAGE });
};

async function askRoute({ host }: Scene, route: Route, stream: boolean): Promise<number> {
  const given =
    route.method === 'POST' ? (BODIES[nameOf(route)] ?? assert.fail(`${nameOf(route)} has no body`)) : undefined;
  const body = given === undefined ? undefined : JSON.stringify(stream ? { ...given, stream } : given);
  const query = stream && body === undefined ? '?stream=true' : '';
  const response = await fetch(host.baseUrl + pathOf(route) + query, {
    method: route.method,
    headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body }),
  });
  await response.text();
  return response.status;
}

onBareHost(
  'E15 every request that reaches an upstream leaves one record, whatever its route, whole and streamed; no other leaves any',
  () => ({ script: answerAll, objects: seeded(), admin: { secret: 'c7Yq0bV1xRz8mKp4TnW2sLd9hGf6jA3e' } }),
  async (scene) => {
    const { setup, upstream } = scene;
    const asked = { upstream: 0, streamed: 0, local: 0 };
    // What deletes goes last, parts before the whole, and what asks about a response after it was made.
    const rank = (route: Route): number => (route.method === 'DELETE' ? 10 - pathOf(route).split('/').length : 0);
    const inOrder = [...ROUTES].sort((one, other) => rank(one) - rank(other));
    for (const route of inOrder) {
      for (const stream of STREAMS.has(nameOf(route)) ? [false, true] : [false]) {
        const before = [upstream.requests.length, setup.records.length];
        const isLocal = route.counts === 'nothing';
        const status = isLocal && route.method !== 'GET' ? 0 : await askRoute(scene, route, stream);
        await setup.usage.allSettled();
        const requests = upstream.requests.length - (before[0] ?? 0);
        const records = setup.records.length - (before[1] ?? 0);
        const what = `${nameOf(route)}, stream: ${stream}: ${status}`;
        // Before a batch is passed on, the gateway reads its file.
        const expected = nameOf(route) === 'POST /batches' ? 2 : 1;
        assert.deepEqual([requests, records], isLocal ? [0, 0] : [expected, 1], what);
        if (!isLocal) assert.equal(status, 200, what);
        asked[isLocal ? 'local' : 'upstream'] += 1;
        if (stream) asked.streamed += 1;
      }
    }
    assert.equal(asked.streamed, STREAMS.size);
    assert.ok(asked.upstream > 40 && asked.local > 10, JSON.stringify(asked));
  },
);

/** What would be told of usage and limits by somebody whose word counted. */
const CLAIMS = {
  ...{ usage: { prompt_tokens: -1_000, completion_tokens: -1_000, total_tokens: 0 }, total_tokens: 0, cost: -5 },
  ...{ cost_nano_usd: -5, quota: 1e9, balance: 1e9, credits: 1e9, remaining_tokens: 1e9, spend: 0, reserved: 0 },
  ...{ limits: { tokensPerMinute: 1e9 }, x_usage: { total_tokens: 0 }, metadata: { usage: '0', quota: '1e9' } },
};
const CLAIM_HEADERS = {
  ...{ 'x-ratelimit-limit-tokens': '999999', 'x-ratelimit-remaining-tokens': '999999', 'x-tokens': '0' },
  ...{ 'x-ratelimit-remaining-requests': '999', 'x-ratelimit-reset-tokens': '0s', 'x-usage': '0', 'x-cost': '0' },
  ...{ 'openai-processing-ms': '0', 'x-debug-cost': '0', 'x-quota': '1000000', 'x-should-retry': 'true' },
};
const LIAR_SECRET = 'liar-secret-0123456789';

onBareHost(
  'E25 nothing that a request says writes a counter: who claims is counted as who does not',
  () => ({
    clock: frozenClock(),
    keys: memoryKeys([
      { secret: SECRET, id: 'honest', tier: 'counted' },
      { secret: LIAR_SECRET, id: 'liar', tier: 'counted' },
    ]),
    models: { [MODEL]: { pricing: { inputUsdPerMillion: 1, outputUsdPerMillion: 2 } } },
    tiers: { counted: { requestsPerMinute: 50, tokensPerMinute: 5_000, usdPerDay: 1 } },
  }),
  async ({ host, setup }) => {
    const spent = async (secret: string): Promise<unknown> => {
      const response = await fetch(`${host.baseUrl}/usage`, { headers: { authorization: `Bearer ${secret}` } });
      return JSON.parse(await response.text()).data;
    };
    const left = ({ status, headers }: Awaited<ReturnType<typeof rawExchange>>): unknown => [
      status,
      headers['x-ratelimit-remaining-tokens'],
      headers['x-ratelimit-remaining-requests'],
    ];
    for (const _ of range(60)) {
      const honest = await rawExchange(host.origin, rawChat(SECRET, CALL));
      const liar = await rawExchange(host.origin, rawChat(LIAR_SECRET, { ...CALL, ...CLAIMS }, CLAIM_HEADERS));
      assert.deepEqual(left(liar), left(honest), liar.body);
    }
    assert.equal(setup.records.length, 100, '50 of each');
    const before = await spent(LIAR_SECRET);
    assert.deepEqual(before, await spent(SECRET));
    const headers = { authorization: `Bearer ${LIAR_SECRET}`, 'content-type': 'application/json' };
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const response = await fetch(`${host.baseUrl}/usage`, { method, headers, body: JSON.stringify(CLAIMS) });
      assert.equal(response.status, 405, method);
      await response.text();
    }
    assert.deepEqual(await spent(LIAR_SECRET), before);
  },
);

onBareHost(
  'E17 a call that is sent again without the field of ours that an upstream refused is one record, charged once',
  () => ({
    script: ({ body }) =>
      body.includes('stream_options')
        ? errorReply(400, { message: 'Unrecognized request argument supplied: stream_options' })
        : streamReply(streamEvents(['Hi'])),
    key: { limits: { requestsPerMinute: 5, tokensPerMinute: 10_000 } },
  }),
  async ({ host, setup, upstream }) => {
    const { status } = await rawExchange(host.origin, rawChat(SECRET, { ...CALL, stream: true }));
    assert.equal(status, 200);
    await setup.usage.allSettled();
    assert.deepEqual([upstream.requests.length, setup.records.length, setup.limiter.settled.length], [2, 1, 1]);
    assert.deepEqual(setup.limiter.settled[0]?.amounts, [1, USAGE.total_tokens]);
  },
);
