import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { memoryUsage, type UsageReader, type UsageStore } from 'megallm-middleware';
import type OpenAI from 'openai';
import { recordUsage, usageRecordOf } from '../contracts/usage-store.js';
import { ownersKeys, SECRETS } from '../helpers/forward-scene.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, onBareHost, type Scene, withScene } from '../helpers/scene.js';
import { sqliteFolder } from '../helpers/sqlite.js';

const ADMIN = 'c7Yq0bV1xRz8mKp4TnW2sLd9hGf6jA3e';
const MINUTE = 60;
const HOUR = 3_600;
const DAY = 86_400;
/** A midnight, in seconds. */
const MIDNIGHT = Date.UTC(2027, 0, 10) / 1_000;
/** Ten days later, at half past nine. */
const NOW_MS = (MIDNIGHT + 10 * DAY + 9.5 * HOUR) * 1_000;

type Store = UsageStore & UsageReader;
type Usage = OpenAI['admin']['organization']['usage'];
type Page = Awaited<ReturnType<Usage['completions']>>;
type Result = Readonly<Record<string, unknown>>;

const adminOf = (scene: Scene): Usage => scene.client({ adminAPIKey: ADMIN }).admin.organization.usage;
const resultsOf = (page: { data: Page['data'] }): Result[] =>
  page.data.flatMap(({ results }) => results as unknown as Result[]);
const only = (results: readonly Result[], ...members: readonly string[]): unknown[][] =>
  results.map((result) => members.map((member) => result[member]));

const files = sqliteFolder();
after(() => files.remove());
let made = 0;
const STORES: Readonly<Record<string, () => Promise<Store> | Store>> = {
  memoryUsage: () => memoryUsage(),
  sqliteStore: async () => (await files.open(`admin-${made++}`)).usage,
};

/** A call at so many seconds after midnight. */
const at = (seconds: number, fields: Partial<Parameters<typeof usageRecordOf>[0]> = {}) =>
  usageRecordOf({ keyId: 'key_ann', owner: 'owner:ann', startedAt: (MIDNIGHT + seconds) * 1_000, ...fields });

/** One promise of the reports, kept on each store, over calls that are there already. */
function onEachStore(
  promise: string,
  play: (usage: Usage, scene: Scene) => Promise<void>,
  calls: readonly ReturnType<typeof at>[],
): void {
  describe(promise, () => {
    for (const [name, make] of Object.entries(STORES)) {
      it(`on ${name}`, { timeout: 30_000 }, async () => {
        const usage = await make();
        for (const call of calls) await recordUsage(usage, call);
        const options = { usage, admin: { secret: ADMIN }, keys: ownersKeys(), clock: frozenClock(NOW_MS) };
        await withScene(BARE_HOST, options, (scene) => play(adminOf(scene), scene));
      });
    }
  });
}

onBareHost(
  'the official client’s admin reads what calls used and cost; API keys and strangers do not',
  () => ({
    admin: { secret: ADMIN },
    keys: ownersKeys(),
    clock: frozenClock(NOW_MS),
    models: { m: { pricing: { inputUsdPerMillion: 2, outputUsdPerMillion: 8 } } },
  }),
  async (scene) => {
    await scene.client({ apiKey: SECRETS.ann }).chat.completions.create({ ...CALL, model: 'm' });
    const usage = adminOf(scene);
    const today = { start_time: MIDNIGHT + 10 * DAY };
    const page = await usage.completions({ ...today, group_by: ['user_id', 'api_key_id', 'model', 'batch'] });
    assert.deepEqual(page, {
      object: 'page',
      data: [
        {
          object: 'bucket',
          start_time: MIDNIGHT + 10 * DAY,
          end_time: MIDNIGHT + 11 * DAY,
          results: [
            {
              object: 'organization.usage.completions.result',
              input_tokens: 11,
              input_cached_tokens: 4,
              input_cache_write_tokens: 0,
              input_cache_write_30m_tokens: 0,
              input_cache_write_12h_tokens: 0,
              input_audio_tokens: 0,
              output_tokens: 9,
              output_audio_tokens: 0,
              num_model_requests: 1,
              project_id: null,
              user_id: 'ann',
              api_key_id: 'key_ann',
              model: 'm',
              batch: false,
              service_tier: null,
            },
          ],
        },
      ],
      has_more: false,
      next_page: null,
    });
    const costs = await usage.costs({ ...today, group_by: ['line_item'] });
    assert.deepEqual(only(resultsOf(costs), 'amount', 'line_item', 'project_id', 'quantity'), [
      [{ value: 0.000094, currency: 'usd' }, 'm', null, null],
    ]);
    for (const key of [SECRETS.ann, SECRETS.bob, `${ADMIN}x`, 'x']) {
      await assert.rejects(scene.client({ adminAPIKey: key }).admin.organization.usage.costs(today), {
        status: 401,
        type: 'invalid_request_error',
        code: 'invalid_api_key',
      });
    }
    await assert.rejects(scene.client({ apiKey: ADMIN }).models.list(), { status: 401 });
  },
);

onBareHost(
  'the secret may come from the environment',
  () => ({ environment: { MEGALLM_ADMIN_SECRET: ADMIN } }),
  async (scene) => assert.equal((await adminOf(scene).costs({ start_time: 0 })).data.length, 7),
);

onEachStore(
  'buckets are UTC days, hours or minutes, the empty ones included; the first and the last may be cut',
  async (usage) => {
    const days = await usage.completions({ start_time: MIDNIGHT + 9 * HOUR });
    assert.deepEqual(
      days.data.map(({ start_time, end_time, results }) => [
        start_time - MIDNIGHT,
        end_time - MIDNIGHT,
        results.length,
      ]),
      [[9 * HOUR, DAY, 1], ...[1, 2, 3, 4, 5, 6].map((day) => [day * DAY, (day + 1) * DAY, day === 3 ? 1 : 0])],
    );
    assert.deepEqual(only(resultsOf(days), 'num_model_requests'), [[2], [1]], 'what was before is left out');
    const hours = await usage.completions({ start_time: MIDNIGHT + 8 * HOUR, bucket_width: '1h', limit: 3 });
    assert.deepEqual(
      hours.data.map(({ start_time, results }) => [
        start_time - MIDNIGHT,
        only(results as unknown as Result[], 'num_model_requests'),
      ]),
      [
        [8 * HOUR, [[1]]],
        [9 * HOUR, [[1]]],
        [10 * HOUR, [[1]]],
      ],
    );
    const cut = await usage.completions({ start_time: MIDNIGHT, end_time: MIDNIGHT + DAY + HOUR });
    assert.deepEqual(
      cut.data.map(({ end_time }) => end_time - MIDNIGHT),
      [DAY, DAY + HOUR],
    );
    assert.deepEqual([cut.has_more, cut.next_page], [false, null]);
    const none = await usage.completions({ start_time: NOW_MS / 1_000 + DAY });
    assert.deepEqual([none.data, none.has_more], [[], false]);
    const minutes = await usage.completions({ start_time: MIDNIGHT + 9 * HOUR, bucket_width: '1m' });
    assert.deepEqual(
      [minutes.data.length, minutes.data[59]?.end_time, minutes.has_more],
      [60, MIDNIGHT + 10 * HOUR, true],
    );
    assert.deepEqual(only(resultsOf(minutes), 'num_model_requests'), [[1]]);
  },
  [at(8 * HOUR + 1_799), at(9 * HOUR + 30 * MINUTE), at(10 * HOUR), at(3 * DAY + 5)],
);

it('a store of whole hours answers minutes by the hour, at its beginning or that of the report', async () => {
  const usage = memoryUsage();
  for (const call of [at(9 * HOUR + 10 * MINUTE), at(10 * HOUR + 20 * MINUTE)]) await recordUsage(usage, call);
  const options = { usage, admin: { secret: ADMIN }, clock: frozenClock(NOW_MS) };
  await withScene(BARE_HOST, options, async (scene) => {
    const query = { start_time: MIDNIGHT + 9.5 * HOUR, bucket_width: '1m' } as const;
    const { data } = await adminOf(scene).completions(query);
    const counted = data.flatMap(({ start_time, results }) => results.map(() => start_time - MIDNIGHT));
    assert.deepEqual(counted, [9.5 * HOUR, 10 * HOUR]);
  });
});

/** Not in the hours in which the periods begin and end: a store of whole hours counts these whole. */
const CALLS = [2, 2.5, 3, 4.75, 5, 20, 23.999, 24, 24.5, 60, 100, 200, 216].map((hours) =>
  at(Math.floor(hours * HOUR)),
);

onEachStore(
  'pages hang together: each bucket and each call is on one of them',
  async (usage) => {
    for (const [bucket_width, span] of [
      ['1d', 9 * DAY],
      ['1h', DAY],
      ['1m', 4 * HOUR],
    ] as const) {
      for (const limit of [1, 7, 24]) {
        const query = { start_time: MIDNIGHT + HOUR + 90, end_time: MIDNIGHT + HOUR + 90 + span, bucket_width, limit };
        const buckets: Page['data'] = [];
        let page: Page | undefined;
        do {
          page = await usage.completions({ ...query, ...(page?.next_page ? { page: page.next_page } : {}) });
          assert.ok(page.data.length <= limit);
          assert.equal(page.has_more, page.next_page !== null);
          buckets.push(...page.data);
        } while (page.has_more);
        assert.equal(buckets[0]?.start_time, query.start_time);
        assert.equal(buckets.at(-1)?.end_time, query.end_time);
        for (const [index, { start_time }] of buckets.entries())
          if (index > 0) assert.equal(start_time, buckets[index - 1]?.end_time);
        const inside = CALLS.filter(
          ({ startedAt }) => startedAt >= query.start_time * 1_000 && startedAt < query.end_time * 1_000,
        );
        const counted = only(resultsOf({ data: buckets }), 'num_model_requests').reduce(
          (sum, [n]) => sum + Number(n),
          0,
        );
        assert.equal(counted, inside.length, `${bucket_width} ${limit}`);
      }
    }
  },
  CALLS,
);

const EACH = ['chat.completions', 'completions', 'responses', 'embeddings', 'moderations', 'images'] as const;

onEachStore(
  'each sort of calls is in one report, and all of them are in the costs',
  async (usage) => {
    const query = { start_time: MIDNIGHT, limit: 1 };
    const requests = async (page: Promise<{ data: unknown }>): Promise<unknown[]> =>
      only(resultsOf((await page) as Page), 'object', 'num_model_requests', 'input_tokens').flat();
    const named = (name: string, ...rest: unknown[]) => [`organization.usage.${name}.result`, ...rest];
    // Two batches: one that used tokens, and a look at it. What it used counts, but nobody knows in how many requests.
    assert.deepEqual(await requests(usage.completions(query)), named('completions', 3, 400));
    assert.deepEqual(await requests(usage.completions({ ...query, batch: true })), named('completions', 0, 100));
    assert.deepEqual(await requests(usage.completions({ ...query, batch: false })), named('completions', 3, 300));
    assert.deepEqual(await requests(usage.embeddings(query)), named('embeddings', 1, 100));
    assert.deepEqual(await requests(usage.moderations(query)), named('moderations', 1, 100));
    assert.deepEqual(await requests(usage.images(query)), named('images', 1, undefined));
    assert.deepEqual(await requests(usage.audioSpeeches(query)), named('audio_speeches', 1, undefined));
    assert.deepEqual(await requests(usage.audioTranscriptions(query)), named('audio_transcriptions', 2, undefined));
    for (const empty of [
      usage.vectorStores(query),
      usage.codeInterpreterSessions(query),
      usage.fileSearchCalls(query),
      usage.webSearchCalls(query),
    ]) {
      assert.deepEqual(await requests(empty), []);
      assert.equal((await empty).data.length, 1);
    }
    const [[amount] = []] = only(resultsOf(await usage.costs(query)), 'amount');
    assert.deepEqual(amount, { value: (27_000 * (EACH.length + 3) + 5) / 1e9, currency: 'usd' });
  },
  [
    ...EACH.map((operation) => at(5, { operation })),
    at(5, { operation: 'audio', model: 'tts-1' }),
    at(5, { operation: 'audio', model: 'whisper-1' }),
    at(5, { operation: 'audio', model: 'gpt-4o-transcribe' }),
    at(5, { operation: 'batches', model: 'batches', costNanoUsd: 5 }),
    at(5, { operation: 'batches', model: 'batches', inputTokens: 0, outputTokens: 0, costNanoUsd: undefined }),
    at(5, { operation: 'files', model: 'files', inputTokens: 0, outputTokens: 0, costNanoUsd: undefined }),
  ],
);

onEachStore(
  'users are owners and keys are keys: results can be grouped and chosen by them',
  async (usage) => {
    const query = { start_time: MIDNIGHT, limit: 1 };
    const shown = async (more: object, ...members: string[]) =>
      only(resultsOf(await usage.completions({ ...query, ...more })), ...members, 'num_model_requests');
    assert.deepEqual(await shown({}, 'user_id', 'api_key_id', 'model', 'batch'), [[null, null, null, null, 5]]);
    // A key that stands alone is nobody's, whatever its name.
    assert.deepEqual(await shown({ group_by: ['user_id'] }, 'user_id', 'model'), [
      [null, null, 2],
      ['ann', null, 2],
      ['bob', null, 1],
    ]);
    assert.deepEqual(await shown({ group_by: ['api_key_id', 'model'] }, 'api_key_id', 'model', 'user_id'), [
      ['alone', 'm2', null, 1],
      ['ann', 'm1', null, 1],
      ['key_ann', 'm1', null, 1],
      ['key_ann', 'm2', null, 1],
      ['key_bob', 'm1', null, 1],
    ]);
    assert.deepEqual(await shown({ group_by: ['project_id', 'service_tier'] }, 'project_id'), [[null, 5]]);
    assert.deepEqual(await shown({ user_ids: ['ann'] }), [[2]]);
    assert.deepEqual(await shown({ user_ids: ['ann', 'bob'], models: ['m1'] }), [[2]]);
    assert.deepEqual(await shown({ api_key_ids: ['ann', 'alone'] }), [[2]]);
    for (const nobody of [
      { user_ids: ['owner:ann'] },
      { models: ['m'] },
      { project_ids: ['p'] },
      { api_key_ids: ['%'] },
    ])
      assert.deepEqual(await shown(nobody), []);
  },
  [
    at(1, { model: 'm1' }),
    at(2, { model: 'm2' }),
    at(3, { keyId: 'key_bob', owner: 'owner:bob', model: 'm1' }),
    at(4, { keyId: 'ann', owner: 'key:ann', model: 'm1' }),
    at(5, { keyId: 'alone', owner: 'key:alone', model: 'm2' }),
  ],
);

onEachStore(
  'costs are whole billionths of a dollar, added up without loss; what nobody knows the cost of makes no result',
  async (usage) => {
    const query = { start_time: MIDNIGHT, limit: 1 };
    const shown = async (more: object) =>
      only(resultsOf(await usage.costs({ ...query, ...more })), 'line_item', 'api_key_id', 'amount');
    const usd = (value: number) => ({ value, currency: 'usd' });
    assert.deepEqual(await shown({}), [[null, null, usd(1.000000003)]]);
    assert.deepEqual(await shown({ group_by: ['line_item', 'api_key_id'] }), [
      ['big', 'key_ann', usd(1.000000001)],
      ['cheap', 'key_ann', usd(0.000000002)],
      ['free', 'key_ann', usd(0)],
    ]);
    assert.deepEqual(await shown({ api_key_ids: ['key_bob'] }), []);
    assert.equal((await usage.costs({ start_time: MIDNIGHT - 170 * DAY, limit: 180 })).data.length, 180);
  },
  [
    at(1, { model: 'cheap', costNanoUsd: 1 }),
    at(2, { model: 'cheap', costNanoUsd: 1 }),
    at(3, { model: 'cheap', costNanoUsd: undefined }),
    at(4, { model: 'big', costNanoUsd: 1_000_000_001 }),
    at(5, { model: 'free', costNanoUsd: 0 }),
    at(6, { model: 'unpriced', costNanoUsd: undefined }),
  ],
);

onBareHost(
  'what cannot be reported is refused in OpenAI’s words',
  () => ({ admin: { secret: ADMIN }, clock: frozenClock(NOW_MS) }),
  async ({ host }) => {
    const from = `start_time=${MIDNIGHT}`;
    const bad: readonly (readonly [path: string, param: string, code: string])[] = [
      ['usage/completions', 'start_time', 'missing_required_parameter'],
      ['costs?start_time=now', 'start_time', 'invalid_type'],
      [`costs?${from}&end_time=${MIDNIGHT}`, 'end_time', 'invalid_request'],
      [`costs?${from}&bucket_width=1h`, 'bucket_width', 'invalid_value'],
      [`costs?${from}&limit=181`, 'limit', 'integer_above_max_value'],
      [`costs?${from}&limit=0`, 'limit', 'integer_below_min_value'],
      [`costs?${from}&group_by=model`, 'group_by', 'invalid_value'],
      [`usage/completions?${from}&bucket_width=constructor`, 'bucket_width', 'invalid_value'],
      [`usage/completions?${from}&limit=32`, 'limit', 'integer_above_max_value'],
      [`usage/completions?${from}&bucket_width=1h&limit=169`, 'limit', 'integer_above_max_value'],
      [`usage/completions?${from}&bucket_width=1m&limit=1441`, 'limit', 'integer_above_max_value'],
      [`usage/completions?${from}&batch=maybe`, 'batch', 'invalid_value'],
      [`usage/vector_stores?${from}&group_by[]=user_id`, 'group_by', 'invalid_value'],
      [`usage/images?${from}&sizes[]=256x256`, 'sizes', 'unsupported_parameter'],
      ...['x', 'page_', `page_${MIDNIGHT}`, `page_${MIDNIGHT + 1}`, `page_${MIDNIGHT + 99 * DAY}`].map(
        (page) => [`usage/completions?${from}&page=${page}`, 'page', 'invalid_value'] as const,
      ),
    ];
    for (const [path, param, code] of bad) {
      const response = await fetch(`${host.baseUrl}/organization/${path}`, {
        headers: { authorization: `Bearer ${ADMIN}` },
      });
      const { error } = JSON.parse(await response.text());
      assert.deepEqual(
        [response.status, error?.type, error?.param, error?.code],
        [400, 'invalid_request_error', param, code],
        path,
      );
    }
  },
);
