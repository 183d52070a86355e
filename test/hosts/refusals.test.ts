import assert from 'node:assert/strict';
import { memoryKeys, type Refusal, type UsageRecord } from 'megallm-middleware';
import { errorReply } from '../helpers/chat-answers.js';
import { SECRET, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { inBareHost, inEveryHost, type Scene, type SceneOptions, withScene } from '../helpers/scene.js';

const ADMIN = 'b1946ac92492d2347c6235b4d2611184';
const HELD = 'held-secret-0123456789';
const SPENT = 'spent-secret-0123456789';
const CHAT = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hi' }] };

function form(): FormData {
  const fields = new FormData();
  fields.set('model', 'whisper-1');
  fields.set('file', new Blob(['x'.repeat(300)]), 'a.wav');
  return fields;
}

/** One route of each kind. */
const ROUTES: readonly (readonly [route: string, body?: () => object])[] = [
  ['POST /chat/completions', () => CHAT],
  ['POST /embeddings', () => ({ model: 'm', input: 'x' })],
  ['POST /responses', () => ({ model: 'm', input: 'x' })],
  ['POST /responses/input_tokens', () => ({ model: 'm', input: 'x' })],
  ['GET /responses/resp_1'],
  ['GET /chat/completions/chatcmpl_1'],
  ['GET /models/none'],
  ['GET /usage?days=none'],
  ['GET /files/file-1'],
  ['POST /batches', () => ({ input_file_id: 'file-1' })],
  ['POST /images/generations', () => ({ model: 'dall-e-3', prompt: 'x' })],
  ['POST /audio/transcriptions', form],
  ['GET /vector_stores/vs_1/files'],
  ['GET /organization/costs'],
  ['GET /assistants'],
];

function given(refusals: Refusal[], records: UsageRecord[]): SceneOptions {
  return {
    broken: true,
    models: { 'gpt-4o-mini': {}, m: {} },
    keys: memoryKeys([
      { secret: SECRET, id: 'key_test', owner: 'acme', tier: 'open' },
      { secret: HELD, id: 'held', tier: 'open', models: ['none'] },
      { secret: SPENT, id: 'spent', tier: 'open', limits: { requestsPerMinute: 0 } },
    ]),
    admin: { secret: ADMIN },
    wrongKeysPerMinute: 1_000,
    maxBodyBytes: 200,
    maxUploadBytes: 250,
    script: () => errorReply(429, { code: 'slow' }),
    hooks: {
      onRefused: (refusal) => void refusals.push(refusal),
      onFinish: (record) => void records.push(record),
      onError: () => {},
      onNotice: () => {},
    },
  };
}

async function ask({ host }: Scene, route: string, secret: string | undefined, body?: object | string) {
  const [method = '', path = ''] = route.split(' ');
  const isForm = body instanceof FormData;
  const response = await fetch(host.baseUrl + path, {
    method,
    headers: {
      ...(secret === undefined ? {} : { authorization: `Bearer ${secret}` }),
      ...(body === undefined || isForm ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: isForm || typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const { error } = (await response.json()) as { error?: { code: string | null } };
  return { status: response.status, code: error?.code ?? undefined };
}

const seen = new Set<number>();

/** Asks, and checks that a refusal was told once and as the client has it. Codes of ours are for the host alone. */
async function told(
  scene: Scene,
  refusals: Refusal[],
  ...asked: [route: string, secret: string | undefined, body?: object | string]
) {
  refusals.length = 0;
  const { status, code } = await ask(scene, ...asked);
  if (status < 400) return assert.deepEqual(refusals, []);
  seen.add(status);
  const what = `${asked[0]} as ${asked[1]}: ${status}`;
  assert.deepEqual(
    refusals.map((refusal) => refusal.status),
    [status],
    what,
  );
  const [refusal] = refusals;
  if (refusal?.code !== 'request_exceeds_limit') assert.equal(refusal?.code, code, what);
  const [method = '', path = ''] = String(asked[0]).split(' ');
  assert.deepEqual([refusal?.method, refusal?.path, refusal?.address], [method, path.split('?')[0], '127.0.0.1']);
  const isKnown = status !== 401 && status !== 503 && asked[1] !== ADMIN;
  const keyId = asked[1] === SECRET ? 'key_test' : asked[1] === HELD ? 'held' : 'spent';
  assert.equal(refusal?.keyId, isKnown ? keyId : undefined, what);
}

inBareHost(
  'every refusal reaches onRefused once, with its status, code and key, on each kind of route',
  async (kind) => {
    const refusals: Refusal[] = [];
    const records: UsageRecord[] = [];
    await withScene(kind, given(refusals, records), async (scene) => {
      for (const [route, body] of ROUTES) {
        for (const secret of [undefined, UNKNOWN_SECRET, HELD, SPENT, SECRET, ADMIN]) {
          await told(scene, refusals, route, secret, body?.());
        }
        await told(scene, refusals, route.replace(/^\w+/, 'PUT'), SECRET);
        if (body === undefined || body() instanceof FormData) continue;
        await told(scene, refusals, route, SECRET, '{');
        await told(scene, refusals, route, SECRET, { ...body(), user: 'x'.repeat(300) });
      }
      await scene.host.gateway.close();
      for (const [route, body] of ROUTES) await told(scene, refusals, route, SECRET, body?.());
      scene.setup.records.push(...records);
    });
    assert.deepEqual(
      [...seen].sort((one, other) => one - other),
      [400, 401, 403, 404, 405, 413, 429, 503],
    );
  },
);

inEveryHost('wrong keys are counted by the address that the host knows, whatever headers say of it', async (kind) => {
  const notices: string[] = [];
  const hooks = { onNotice: (text: string) => void notices.push(text), onError: () => {} };
  await withScene(kind, { wrongKeysPerMinute: 1, hooks }, async ({ host }) => {
    for (const from of ['1.2.3.4', '5.6.7.8']) {
      const headers = { 'x-api-key': UNKNOWN_SECRET, 'x-forwarded-for': from, forwarded: `for=${from}` };
      assert.equal((await fetch(`${host.baseUrl}/models`, { headers })).status, 401);
    }
  });
  assert.match(notices.join(), /^More than 1 wrong keys in a minute from 127\.0\.0\.1/);
});
