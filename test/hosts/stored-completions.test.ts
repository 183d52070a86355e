import assert from 'node:assert/strict';
import { demo, memoryObjects } from 'megallm-middleware';
import { isJsonObject } from '../../src/base/json.js';
import { specChecker } from '../conformance/description.js';
import { recordedAnswers } from '../conformance/recordings.js';
import { reply, sse, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { ask } from '../helpers/response-client.js';
import { MESSAGES, MODEL, onBareHost, type Scene } from '../helpers/scene.js';

const check = specChecker();

const CALL = { model: MODEL, messages: MESSAGES, store: true };

/** The SDK's types do not know of it. */
const metadataOf = (completion: object): unknown => ('metadata' in completion ? completion.metadata : undefined);

/** Makes stored completions with these topics, the oldest first. */
async function store({ client }: Scene, topics: readonly string[], model = MODEL): Promise<string[]> {
  const ids: string[] = [];
  for (const topic of topics) {
    const messages = [{ role: 'user' as const, content: `About ${topic}` }];
    ids.push((await client().chat.completions.create({ model, messages, store: true, metadata: { topic } })).id);
  }
  return ids;
}

onBareHost(
  'a stored completion is retrieved, changed, listed with its messages, and deleted',
  () => ({ upstream: demo(), small: {} }),
  async (scene) => {
    const { completions } = scene.client().chat;
    const made = await completions.create({ ...CALL, metadata: { a: '1' }, temperature: 0.5 });
    const stored = await completions.retrieve(made.id);
    assert.deepEqual(stored.choices, made.choices);
    assert.deepEqual(stored.usage, made.usage);
    assert.deepEqual(metadataOf(stored), { a: '1' });
    const raw: unknown = await (await ask(scene, `/chat/completions/${made.id}`)).json();
    check('CreateChatCompletionResponse', raw);
    const [recorded = {}] = recordedAnswers('GET /v1/chat/completions/{chatcmpl_id} 200 application/json');
    assert.ok(isJsonObject(recorded) && isJsonObject(raw));
    for (const name of Object.keys(recorded)) assert.ok(name in raw, name);
    assert.equal(raw.temperature, 0.5);

    const updated = await completions.update(made.id, { metadata: { b: '2' } });
    assert.deepEqual(metadataOf(updated), { b: '2' });
    assert.deepEqual(metadataOf(await completions.retrieve(made.id)), { b: '2' });
    const listed = await completions.list();
    assert.deepEqual(
      listed.data.map(({ id }) => id),
      [made.id],
    );
    const { data } = await completions.messages.list(made.id);
    assert.deepEqual(
      data.map(({ id, content }) => [id, content]),
      [[`${made.id}-0`, MESSAGES[0]?.content]],
    );

    const others = scene.client({ apiKey: SMALL_SECRET }).chat.completions;
    const unknown = {
      status: 404,
      code: 'not_found',
      param: 'completion_id',
      message: `404 Completion ${made.id} not found`,
    };
    await assert.rejects(others.retrieve(made.id), unknown);
    await assert.rejects(others.update(made.id, { metadata: {} }), unknown);
    await assert.rejects(others.delete(made.id), unknown);
    await assert.rejects(Promise.resolve(others.messages.list(made.id)), unknown);
    assert.deepEqual((await others.list()).data, []);

    assert.deepEqual(await completions.delete(made.id), {
      object: 'chat.completion.deleted',
      id: made.id,
      deleted: true,
    });
    await assert.rejects(completions.retrieve(made.id), unknown);
    assert.equal(scene.setup.records.length, 1);
  },
);

onBareHost(
  'a streamed completion is stored as it was said, with its usage though nobody asked for it',
  () => ({ script: () => streamReply(streamEvents(['Hel', 'lo'])) }),
  async (scene) => {
    const text = await (await ask(scene, '/chat/completions', { body: { ...CALL, stream: true } })).text();
    assert.ok(!text.includes('prompt_tokens'));
    const { data } = await scene.client().chat.completions.list();
    const [stored] = data;
    assert.equal(stored?.choices[0]?.message.content, 'Hello');
    assert.equal(stored?.choices[0]?.finish_reason, 'stop');
    assert.deepEqual(
      [stored?.usage?.prompt_tokens, stored?.usage?.prompt_tokens_details?.cached_tokens, stored?.usage?.total_tokens],
      [11, 4, 20],
    );
    check('CreateChatCompletionResponse', stored);
  },
);

onBareHost(
  'a streamed completion is stored with its calls of custom tools, as if it had not been streamed',
  () => ({ upstream: demo() }),
  async (scene) => {
    const { completions } = scene.client().chat;
    const tools = [
      { type: 'custom' as const, custom: { name: 'run_code', description: 'Runs code' } },
      { type: 'function' as const, function: { name: 'ping' } },
      { type: 'custom' as const, custom: { name: 'note' } },
    ];
    const asked = { ...CALL, tools, tool_choice: 'required' as const, n: 2 };
    const made = await completions.create(asked);
    const calls = made.choices.map(({ message }) => (message.tool_calls ?? []).map(({ type }) => type));
    assert.deepEqual(calls, Array(2).fill(['custom', 'function', 'custom']));
    await (await ask(scene, '/chat/completions', { body: { ...asked, stream: true } })).text();
    const [whole, streamed] = (await completions.list()).data;
    const withoutIds = (stored: unknown): unknown =>
      JSON.parse(JSON.stringify(stored), (name, value) => (name === 'id' ? typeof value : value));
    assert.deepEqual(withoutIds(whole?.choices), withoutIds(made.choices));
    assert.deepEqual(withoutIds(streamed?.choices), withoutIds(made.choices));
    assert.deepEqual(streamed?.usage, made.usage);
    check('CreateChatCompletionResponse', streamed);
  },
);

const WITHOUT_ID: Record<string, object> = { 'no id': {}, 'an id of null': { id: null }, 'an empty id': { id: '' } };

for (const [what, given] of Object.entries(WITHOUT_ID)) {
  const unnamed = (body: object): object => ({ ...body, id: undefined, ...given });
  const renamedEvents = (text: string): string =>
    text === 'data: [DONE]\n\n' ? text : sse(unnamed(JSON.parse(text.slice('data: '.length))));

  onBareHost(
    `a completion with ${what} is shown and kept with one of ours, whole and streamed`,
    () => ({
      script: (request) =>
        request.json().stream === true
          ? // Two events in one piece, as proxies join them.
            streamReply([
              streamEvents(['Hel', 'lo']).map(renamedEvents).slice(0, 2).join(''),
              ...streamEvents(['Hel', 'lo']).map(renamedEvents).slice(2),
            ])
          : reply(unnamed(wholeChat('Hello'))),
    }),
    async ({ client, setup }) => {
      const { completions } = client().chat;
      const { id } = await completions.create(CALL);
      assert.match(id, /^chatcmpl-\w{29}$/);
      assert.equal((await completions.retrieve(id)).choices[0]?.message.content, 'Hello');

      const ids = new Set<string>();
      let text = '';
      const stream = await completions.create({ ...CALL, stream: true, stream_options: { include_usage: true } });
      for await (const chunk of stream) {
        ids.add(chunk.id);
        text += chunk.choices[0]?.delta.content ?? '';
      }
      const [streamedId = '', ...others] = ids;
      assert.deepEqual(others, []);
      assert.equal(text, 'Hello');
      assert.match(streamedId, /^chatcmpl-\w{29}$/);
      assert.notEqual(streamedId, id);
      assert.equal((await completions.retrieve(streamedId)).choices[0]?.message.content, 'Hello');
      const listed = await completions.list();
      assert.deepEqual(
        listed.data.map((one) => one.id),
        [id, streamedId],
      );
      const { data } = await completions.messages.list(streamedId);
      assert.deepEqual(
        data.map((message) => message.id),
        [`${streamedId}-0`],
      );
      assert.deepEqual(
        setup.records.map(({ outputTokens }) => outputTokens),
        [9, 9],
      );
    },
  );
}

onBareHost(
  'an empty id before the real one, as Azure sends with its filters, is not taken for it',
  () => ({
    script: () => {
      const filters = { id: '', object: '', created: 0, model: '', choices: [], prompt_filter_results: [] };
      return streamReply([sse(filters), ...streamEvents(['Hello'])]);
    },
  }),
  async ({ client }) => {
    const { completions } = client().chat;
    const ids: string[] = [];
    for await (const { id } of await completions.create({ ...CALL, stream: true })) ids.push(id);
    const [, id = ''] = ids;
    assert.deepEqual(new Set(ids.slice(1)), new Set(['chatcmpl-000000000000000000000000upstr']));
    assert.equal((await completions.retrieve(id)).choices[0]?.message.content, 'Hello');
  },
);

onBareHost(
  'stored completions are listed by order, page, model and metadata',
  () => ({ upstream: demo() }),
  async (scene) => {
    const ids = await store(scene, ['a', 'b', 'a', 'c']);
    const [other] = await store(scene, ['a'], 'gpt-4.1-mini');
    const all = [...ids, other];
    const { completions } = scene.client().chat;
    const idsOf = async (query: Parameters<typeof completions.list>[0]): Promise<string[]> => {
      const found: string[] = [];
      for await (const { id } of completions.list(query)) found.push(id);
      return found;
    };
    assert.deepEqual(await idsOf({}), all);
    assert.deepEqual(await idsOf({ limit: 2 }), all);
    assert.deepEqual(await idsOf({ order: 'desc', limit: 3 }), all.toReversed());
    assert.deepEqual(await idsOf({ model: 'gpt-4.1-mini' }), [other]);
    assert.deepEqual(await idsOf({ metadata: { topic: 'a' } }), [ids[0], ids[2], other]);
    assert.deepEqual(await idsOf({ metadata: { topic: 'a', more: 'x' } }), []);
    const page = await completions.list({ limit: 2, after: ids[1] ?? '' });
    assert.deepEqual(
      page.data.map(({ id }) => id),
      [ids[2], ids[3]],
    );
    assert.equal(page.has_more, true);
    const before = JSON.parse(await (await ask(scene, `/chat/completions?limit=2&before=${ids[3]}`)).text());
    assert.deepEqual([before.first_id, before.last_id, before.has_more], [ids[1], ids[2], true]);
    const raw = await (await ask(scene, '/chat/completions?limit=1')).json();
    check('ChatCompletionList', raw);
    await assert.rejects(Promise.resolve(completions.list({ limit: 0 })), { status: 400, param: 'limit' });
    await assert.rejects(Promise.resolve(completions.list({ order: 'up' as 'asc' })), { status: 400, param: 'order' });
  },
);

onBareHost(
  'a page does not begin after a completion that is gone, another’s or never was',
  () => ({ upstream: demo(), small: {} }),
  async (scene) => {
    const [first = '', ...others] = await store(scene, ['a', 'b', 'c']);
    const { completions } = scene.client().chat;
    await completions.delete(first);
    const refused = { status: 400, param: 'after', message: /there is no object/ };
    const list = async (after: string) => completions.list({ after });
    for (const after of [first, 'chatcmpl-never', '']) await assert.rejects(list(after), refused);
    const strangers = scene.client({ apiKey: SMALL_SECRET }).chat.completions;
    await assert.rejects(async () => strangers.list({ after: others[0] ?? '' }), refused);
    assert.deepEqual(
      (await list(others[0] ?? '')).data.map(({ id }) => id),
      others.slice(1),
    );
    assert.deepEqual((await list(others[1] ?? '')).data, []);
  },
);

onBareHost(
  'what is not to be stored is not, and what went wrong neither',
  () => ({
    broken: true,
    script: (request) =>
      request.json().stream === true ? streamReply(streamEvents(['a']).slice(0, 2)) : reply(wholeChat('a')),
  }),
  async (scene) => {
    const { completions } = scene.client().chat;
    await completions.create({ ...CALL, store: false });
    await completions.create({ ...CALL, store: null });
    await (await ask(scene, '/chat/completions', { body: { ...CALL, stream: true } })).text();
    assert.deepEqual((await completions.list()).data, []);
  },
);

onBareHost(
  'the upstream’s name of a model is not stored, whole or streamed',
  () => ({
    script: (request) =>
      request.json().stream === true
        ? streamReply(streamEvents(['a'], { model: 'secret-7' }))
        : reply(wholeChat('a', { model: 'secret-7' })),
    models: { public: { upstreamModel: 'secret-7', aliases: ['nick'] } },
  }),
  async (scene) => {
    for (const stream of [false, true]) {
      await (await ask(scene, '/chat/completions', { body: { ...CALL, model: 'nick', stream } })).text();
      const text = await (await ask(scene, '/chat/completions')).text();
      assert.ok(!text.includes('secret'), text);
      assert.ok(text.includes('"model":"nick"'), text);
    }
  },
);

onBareHost(
  'metadata is texts within OpenAI’s bounds',
  () => ({ upstream: demo() }),
  async (scene) => {
    const [id = ''] = await store(scene, ['a']);
    const update = async (metadata: unknown): Promise<number> =>
      (await ask(scene, `/chat/completions/${id}`, { body: { metadata } })).status;
    assert.equal(await update(undefined), 400);
    assert.equal(await update('text'), 400);
    assert.equal(await update({ a: 1 }), 400);
    assert.equal(await update({ a: 'x'.repeat(513) }), 400);
    assert.equal(await update({ ['x'.repeat(65)]: 'a' }), 400);
    assert.equal(await update(Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`k${at}`, 'v']))), 400);
    assert.equal(await update(null), 200);
    assert.deepEqual(metadataOf(await scene.client().chat.completions.retrieve(id)), {});
  },
);

onBareHost(
  'a store that fails costs an answer nothing but its being kept; what is to be looked up is a 503',
  () => ({
    broken: true,
    script: () => reply(wholeChat('Hello')),
    objects: {
      ...memoryObjects(),
      put: () => Promise.reject(new Error('away')),
      find: () => Promise.reject(new Error('away')),
      list: () => Promise.reject(new Error('away')),
      listIds: () => Promise.reject(new Error('away')),
    },
  }),
  async ({ client, setup }) => {
    const { completions } = client().chat;
    assert.equal((await completions.create(CALL)).choices[0]?.message.content, 'Hello');
    assert.equal(setup.errors.length, 1);
    await assert.rejects(Promise.resolve(completions.list()), { status: 503, code: 'objects_unavailable' });
    await assert.rejects(completions.retrieve('chatcmpl-1'), { status: 503 });
  },
);

onBareHost(
  'a page of completions or of usage costs a request of the key; what one page may not hold is on the next',
  () => ({ upstream: demo(), key: { ownLimits: { requestsPerMinute: 6 } } }),
  async ({ client, host }) => {
    const { completions } = client().chat;
    for (const _ of [1, 2]) await completions.create({ ...CALL, store: true });
    const first = await completions.list({ limit: 1 });
    assert.deepEqual([first.data.length, first.has_more], [1, true]);
    const after = first.data[0]?.id ?? '';
    const second = await completions.list({ limit: 1, after });
    assert.deepEqual([second.data.length, second.has_more], [1, false]);
    assert.notEqual(second.data[0]?.id, after);
    const headers = { authorization: `Bearer ${SECRET}` };
    const statuses: number[] = [];
    for (const path of ['/usage', '/chat/completions?limit=1', '/usage', '/chat/completions']) {
      statuses.push((await fetch(host.baseUrl + path, { headers })).status);
    }
    assert.deepEqual(statuses, [200, 200, 429, 429]);
  },
);
