import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import { memoryUsage } from 'megallm-middleware';
import { recordUsage, usageRecordOf } from '../contracts/usage-store.js';
import { ownersKeys, SECRETS } from '../helpers/forward-scene.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, onBareHost, type Scene, withScene } from '../helpers/scene.js';
import { sqliteFolder } from '../helpers/sqlite.js';

const HOUR_MS = 3_600_000;
const MODELS = { priced: { pricing: { inputUsdPerMillion: 2, outputUsdPerMillion: 8 } }, unpriced: {} };
/** 22 hours and 40 minutes into a UTC day. */
const START_MS = Date.UTC(2027, 0, 14, 22, 40);

const given = () => ({ models: MODELS, keys: ownersKeys(), clock: frozenClock(START_MS) });

type Row = Readonly<Record<string, unknown>>;

async function ask({ host }: Scene, secret: string, query = ''): Promise<{ status: number; body: Row }> {
  const response = await fetch(`${host.baseUrl}/usage${query}`, { headers: { authorization: `Bearer ${secret}` } });
  return { status: response.status, body: JSON.parse(await response.text()) };
}

/** The members of each row of a grouped report. */
async function rows(scene: Scene, secret: string, query: string, ...members: readonly string[]): Promise<unknown[][]> {
  const { status, body } = await ask(scene, secret, query);
  assert.equal(status, 200, JSON.stringify(body));
  assert.ok(Array.isArray(body.data));
  return body.data.map((row: Row) => members.map((member) => row[member]));
}

async function call(scene: Scene, secret: string, model = 'priced'): Promise<void> {
  await scene.client({ apiKey: secret }).chat.completions.create({ ...CALL, model });
}

onBareHost('GET /v1/usage tells of all keys of the caller’s owner, and of nobody else’s', given, async (scene) => {
  for (const secret of [SECRETS.ann, SECRETS.annToo, SECRETS.annToo]) await call(scene, secret);
  await call(scene, SECRETS.lone);
  for (const secret of [SECRETS.ann, SECRETS.annToo]) {
    assert.equal((await ask(scene, secret)).body.total_requests, 3);
    assert.deepEqual(await rows(scene, secret, '?group_by=key', 'key', 'total_requests'), [
      ['key_ann', 1],
      ['key_ann_too', 2],
    ]);
  }
  // A key that stands alone and has the name of an owner.
  assert.deepEqual(await rows(scene, SECRETS.lone, '?group_by=key', 'key', 'total_requests'), [['ann', 1]]);
  for (const query of ['', '?owner=ann', '?user_ids=ann&api_key_ids=key_ann', '?key=key_ann']) {
    assert.equal((await ask(scene, SECRETS.bob, query)).body.total_requests, 0);
  }
  assert.deepEqual(await rows(scene, SECRETS.bob, '?group_by=key,model'), []);
});

onBareHost('a report has groups of models, keys, hours and days, however they are asked for', given, async (scene) => {
  const { clock } = scene.setup.options;
  await call(scene, SECRETS.ann);
  await call(scene, SECRETS.ann, 'unpriced');
  assert.ok(clock !== undefined && 'advance' in clock && typeof clock.advance === 'function');
  clock.advance(2 * HOUR_MS);
  await call(scene, SECRETS.annToo);
  const ask2 = (query: string, ...members: string[]) => rows(scene, SECRETS.ann, query, ...members, 'total_requests');
  const [day, next] = ['2027-01-14', '2027-01-15'];
  assert.deepEqual(await ask2('?group_by=day', 'day'), [
    [day, 2],
    [next, 1],
  ]);
  const byHourAndModel = [
    [`${day}T22:00:00.000Z`, 'priced', 1],
    [`${day}T22:00:00.000Z`, 'unpriced', 1],
    [`${next}T00:00:00.000Z`, 'priced', 1],
  ];
  for (const query of [
    'group_by=hour,model',
    'group_by=hour&group_by=model',
    'group_by[]=hour&group_by%5B1%5D=model',
  ]) {
    assert.deepEqual(await ask2(`?${query}`, 'hour', 'model'), byHourAndModel);
  }
  assert.deepEqual(await ask2('?group_by=day,hour,key', 'day', 'hour', 'key'), [
    [day, `${day}T22:00:00.000Z`, 'key_ann', 2],
    [next, `${next}T00:00:00.000Z`, 'key_ann_too', 1],
  ]);
  const [priced, unpriced] = (await ask(scene, SECRETS.ann, '?group_by=model')).body.data as Row[];
  // 11 input tokens at $2 and 9 output tokens at $8 for a million, twice.
  assert.deepEqual(priced, {
    object: 'usage.group',
    model: 'priced',
    total_requests: 2,
    total_tokens: 40,
    input_tokens: 22,
    cached_input_tokens: 8,
    cache_write_tokens: 0,
    output_tokens: 18,
    reasoning_tokens: 6,
    total_cost: 0.000188,
    requests_without_cost: 0,
  });
  assert.deepEqual([unpriced?.total_cost, unpriced?.requests_without_cost], [null, 1]);
});

onBareHost('a report is of a period, by default of the last 31 days up to now', given, async (scene) => {
  const { clock } = scene.setup.options;
  assert.ok(clock !== undefined && 'advance' in clock && typeof clock.advance === 'function');
  await call(scene, SECRETS.ann);
  clock.advance(24 * HOUR_MS);
  await call(scene, SECRETS.ann);
  const total = async (query: string) => (await ask(scene, SECRETS.ann, query)).body.total_requests;
  const hour = (START_MS - 40 * 60_000) / 1_000;
  assert.equal(await total(''), 2);
  assert.equal(await total(`?start_time=${hour}&end_time=${hour + 3_600}`), 1);
  assert.equal(await total(`?start_time=${hour + 3_600}`), 1);
  assert.equal(await total(`?end_time=${hour}`), 0);
  assert.equal(await total(`?end_time=${hour + 3_600}`), 1);
  clock.advance(30 * 24 * HOUR_MS + HOUR_MS);
  assert.equal(await total(''), 1, 'the first is over 31 days old');
  assert.equal(await total(`?start_time=${hour}`), 2);
  const { body } = await ask(scene, SECRETS.ann, `?group_by=day&start_time=${hour}&end_time=${hour + 1}`);
  assert.deepEqual([body.start_time, body.end_time, body.object], [hour, hour + 1, 'list']);
});

const files = sqliteFolder();
after(() => files.remove());

it('a report on SQLite is exact to the second, and has what began just now', async () => {
  const { usage } = await files.open('reports');
  for (const secondsAgo of [0, 1, 2, 3_600]) {
    const startedAt = START_MS - secondsAgo * 1_000;
    await recordUsage(usage, usageRecordOf({ keyId: 'key_ann', owner: 'owner:ann', startedAt }));
  }
  await withScene(BARE_HOST, { ...given(), usage }, async (scene) => {
    const now = START_MS / 1_000;
    const total = async (query: string) => (await ask(scene, SECRETS.ann, query)).body.total_requests;
    assert.equal(await total(''), 4);
    assert.equal(await total(`?start_time=${now}`), 1);
    assert.equal(await total(`?start_time=${now - 2}&end_time=${now}`), 2);
    assert.equal((await ask(scene, SECRETS.bob)).body.total_requests, 0);
  });
});

onBareHost('what cannot be reported is refused in OpenAI’s words', given, async (scene) => {
  const bad: readonly (readonly [query: string, param: string, code: string])[] = [
    ['start_time=yesterday', 'start_time', 'invalid_type'],
    ['start_time=1.5', 'start_time', 'invalid_type'],
    ['start_time=', 'start_time', 'invalid_type'],
    ['start_time=-1', 'start_time', 'integer_below_min_value'],
    ['end_time=99999999999999', 'end_time', 'integer_above_max_value'],
    ['end_time=1e9', 'end_time', 'invalid_type'],
    ['start_time=1800000000&end_time=1800000000', 'end_time', 'invalid_request'],
    ['start_time=0', 'start_time', 'invalid_request'],
    ['group_by=owner', 'group_by', 'invalid_value'],
    ['group_by=model,constructor', 'group_by', 'invalid_value'],
    ['group_by=', 'group_by', 'invalid_value'],
  ];
  for (const [query, param, code] of bad) {
    const { status, body } = await ask(scene, SECRETS.ann, `?${query}`);
    const error = body.error as Row;
    assert.deepEqual([status, error.type, error.param, error.code], [400, 'invalid_request_error', param, code], query);
  }
});

onBareHost(
  'a usage store that fails is a 503',
  () => ({
    ...given(),
    broken: true,
    usage: { ...memoryUsage(), report: () => Promise.reject(new Error('disk on fire')) },
  }),
  async (scene) => {
    const { status, body } = await ask(scene, SECRETS.ann);
    assert.deepEqual([status, (body.error as Row).code], [503, 'ledger_unavailable']);
    assert.match(String(scene.setup.errors[0]?.error), /disk on fire/);
  },
);

onBareHost(
  'a usage store that cannot be read has no reports',
  () => ({ ...given(), usage: { open: () => {}, settle: () => {} } }),
  async (scene) => assert.equal((await ask(scene, SECRETS.ann)).status, 404),
);
