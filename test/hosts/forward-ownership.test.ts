import assert from 'node:assert/strict';
import { memoryObjects, type ObjectStore } from 'megallm-middleware';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { forwardsOnBareHost, ownersKeys, SECRETS } from '../helpers/forward-scene.js';
import { jsonAnswer } from '../helpers/http-upstream.js';
import { objectUpstream } from '../helpers/object-upstream.js';
import { CALL } from '../helpers/scene.js';

const owned = () => ({ start: objectUpstream, keys: ownersKeys() });

async function upload(openai: OpenAI, name = 'a.txt'): Promise<string> {
  const file = await toFile(Buffer.from(JSON.stringify({ custom_id: name })), name);
  return (await openai.files.create({ file, purpose: 'assistants' })).id;
}

interface Page {
  readonly data: readonly { readonly id: string }[];
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: boolean;
}

interface Told {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly text: string;
}

const codeOf = (body: unknown): unknown => (body as { error?: { code?: unknown } }).error?.code;

/** All that a client is told, without what is different of any two answers. */
async function told(response: Response, id: string): Promise<Told> {
  const { date: _, 'x-request-id': __, ...headers } = Object.fromEntries(response.headers);
  const text = await response.text();
  return { status: response.status, headers, text: text.replaceAll(id, '(id)') };
}

forwardsOnBareHost(
  "another owner's objects are not there, whatever is asked about them, and the upstream is not asked",
  owned,
  async ({ client, ask, upstream }) => {
    const ann = client(SECRETS.ann);
    const file = await upload(ann);
    const store = (await ann.vectorStores.create({ name: 'a' })).id;
    const batch = await ann.batches.create({
      input_file_id: file,
      endpoint: '/v1/completions',
      completion_window: '24h',
    });
    const large = await ann.uploads.create({ bytes: 1, filename: 'a', mime_type: 'text/plain', purpose: 'assistants' });
    const asked = upstream.arrivals.length;

    const paths: readonly (readonly [string, string, string])[] = [
      ['GET', '/files/{}', file],
      ['DELETE', '/files/{}', file],
      ['GET', '/files/{}/content', file],
      ['GET', '/batches/{}', batch.id],
      ['POST', '/batches/{}/cancel', batch.id],
      ['POST', '/uploads/{}/parts', large.id],
      ['POST', '/uploads/{}/complete', large.id],
      ['POST', '/uploads/{}/cancel', large.id],
      ['GET', '/vector_stores/{}', store],
      ['POST', '/vector_stores/{}', store],
      ['DELETE', '/vector_stores/{}', store],
      ['GET', '/vector_stores/{}/files', store],
      ['POST', '/vector_stores/{}/search', store],
      ['DELETE', `/vector_stores/{}/files/${file}`, store],
    ];
    for (const secret of [SECRETS.bob, SECRETS.lone]) {
      for (const [method, path, id] of paths) {
        const never = id.replace(/\d+$/, '99999999');
        const others = await told(await ask(path.replace('{}', id), { method, secret }), id);
        assert.equal(others.status, 404, `${method} ${path}`);
        assert.deepEqual(others, await told(await ask(path.replace('{}', never), { method, secret }), never));
      }
    }
    assert.equal(upstream.arrivals.length, asked, 'the upstream was not asked');

    const too = client(SECRETS.annToo);
    assert.equal((await too.files.retrieve(file)).id, file);
    assert.equal(await (await too.files.content(file)).text(), '{"custom_id":"a.txt"}');
    assert.equal((await too.files.delete(file)).deleted, true);
    const gone = await told(await ask(`/files/${file}`, { secret: SECRETS.ann }), file);
    const never = await told(await ask('/files/file-99999999', { secret: SECRETS.ann }), 'file-99999999');
    assert.deepEqual(gone, never, 'what was deleted never was');
  },
);

forwardsOnBareHost('nor can a request speak of them', owned, async ({ client, ask, upstream }) => {
  const file = await upload(client(SECRETS.ann));
  const store = (await client(SECRETS.ann).vectorStores.create({})).id;
  const own = await upload(client(SECRETS.bob));
  const { id: ownStore } = await client(SECRETS.bob).vectorStores.create({});
  const ownPath = `/vector_stores/${ownStore}`;
  const input = { role: 'user', content: [{ type: 'input_file', file_id: file }] };
  const bodies: readonly (readonly [string, unknown])[] = [
    ['/batches', { input_file_id: file, endpoint: '/v1/responses', completion_window: '24h' }],
    ['/vector_stores', { file_ids: [own, file] }],
    ['/vector_stores', { file_ids: { a: file } }],
    ['/vector_stores', { File_Ids: [file] }],
    [`${ownPath}/files`, { file_id: file }],
    [`${ownPath}/file_batches`, { files: [{ file_id: own }, { file_id: file, attributes: {} }] }],
    ['/images/edits', { model: 'gpt-image-1', prompt: 'x', images: [{ file_id: file }] }],
    ['/images/edits', { model: 'gpt-image-1', prompt: 'x', mask: { file_id: file } }],
    [
      '/chat/completions',
      { ...CALL, messages: [{ role: 'user', content: [{ type: 'file', file: { file_id: file } }] }] },
    ],
    ['/responses', { model: CALL.model, input: [input] }],
    ['/responses', { model: CALL.model, input: 'x', tools: [{ type: 'file_search', vector_store_ids: [store] }] }],
    [
      '/responses',
      {
        model: CALL.model,
        input: 'x',
        tools: [{ type: 'code_interpreter', container: { type: 'auto', file_ids: [file] } }],
      },
    ],
    [
      '/responses',
      {
        model: CALL.model,
        input: [{ type: 'message', role: 'user', content: [{ type: 'input_image', file_id: file }] }],
      },
    ],
    ['/responses', { model: CALL.model, prompt: { id: 'p', variables: { x: { type: 'input_file', file_id: file } } } }],
    ['/responses/input_tokens', { model: CALL.model, input: [input] }],
  ];
  const asked = upstream.arrivals.length;
  for (const [path, body] of bodies) {
    const text = JSON.stringify(body);
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, secret: SECRETS.bob };
    const others = await ask(path, { ...init, body: text });
    assert.equal(others.status, 404, text);
    const seen = JSON.stringify(await others.json()).replaceAll(/(?:file-|vs_)\d+/g, '(id)');
    const never = await ask(path, {
      ...init,
      body: text.replaceAll(file, 'file-99999999').replaceAll(store, 'vs_99999999'),
    });
    assert.equal(JSON.stringify(await never.json()).replaceAll(/(?:file-|vs_)\d+/g, '(id)'), seen);
  }
  assert.equal(upstream.arrivals.length, asked, 'the upstream was not asked');
  // What only looks like an id is text.
  const store2 = await client(SECRETS.bob).vectorStores.create({ metadata: { file_id: file }, file_ids: [own, own] });
  assert.ok(store2.id);
});

forwardsOnBareHost('lists show the own objects only, page by page, in both directions', owned, async (scene) => {
  const { client, ask, upstream, setup } = scene;
  const ann = client(SECRETS.ann);
  const mine: string[] = [];
  // Seven of Ann's among 700 of others.
  for (let index = 0; index < 7; index += 1) {
    for (let other = 0; other < 100; other += 1)
      upstream.plant('files', { id: `file-other-${index}-${other}`, object: 'file' });
    mine.unshift(await upload(index % 2 === 0 ? ann : client(SECRETS.annToo)));
  }
  const json = async (path: string, secret: string = SECRETS.ann) =>
    (await (await ask(path, { secret })).json()) as Page;
  const head = await json('/files?limit=3');
  assert.deepEqual([head.first_id, head.last_id, head.has_more], [mine[0], mine[2], true]);
  const seen: string[] = [];
  for await (const file of ann.files.list({ limit: 2 })) seen.push(file.id);
  assert.deepEqual(seen, mine);
  const ascending: string[] = [];
  for await (const file of ann.files.list({ order: 'asc', limit: 7 })) ascending.push(file.id);
  assert.deepEqual(ascending, mine.toReversed());

  const last = await json('/files?limit=7');
  assert.deepEqual([last.data.length, last.has_more], [7, false]);
  const before = await json(`/files?limit=2&before=${mine[5]}`);
  assert.deepEqual(
    before.data.map(({ id }) => id),
    mine.slice(3, 5),
  );
  assert.deepEqual([before.first_id, before.last_id, before.has_more], [mine[3], mine[4], true]);
  const start = await json(`/files?limit=9&before=${mine[2]}`);
  assert.deepEqual([start.data.length, start.has_more], [2, false]);

  // A cursor of another's says as little as one that never was.
  const cursors = ['file-other-3-50', 'file-99999999', mine[6]];
  const [others, never] = await Promise.all(cursors.map((id) => json(`/files?limit=2&after=${id}`)));
  assert.deepEqual(others, never);
  for (const path of ['/files?after=file-other-0-1', '/files', '/batches', '/vector_stores?limit=1']) {
    const { data, has_more } = await json(path, SECRETS.bob);
    assert.deepEqual([data, has_more], [[], false]);
  }
  assert.ok(setup.records.every(({ outcome }) => outcome === 'ok'));
});

forwardsOnBareHost('who deletes while listing gets to the end', owned, async ({ client, upstream }) => {
  const ann = client(SECRETS.ann);
  for (let index = 0; index < 5; index += 1) await upload(ann);
  for await (const file of ann.files.list({ limit: 2 })) await ann.files.delete(file.id);
  assert.deepEqual(upstream.objects('files'), []);
});

forwardsOnBareHost('a server that knows no cursors is not asked for ever', owned, async ({ client, ask, upstream }) => {
  const file = await upload(client(SECRETS.ann));
  await upload(client(SECRETS.ann));
  upstream.answerWith((_arrival, res) =>
    jsonAnswer(res, { object: 'list', data: [{ id: file }, { id: 'file-x' }], has_more: true }),
  );
  const before = upstream.arrivals.length;
  const { data } = (await (await ask('/files', { secret: SECRETS.ann })).json()) as Page;
  assert.deepEqual(data, [{ id: file }]);
  assert.ok(upstream.arrivals.length - before <= 2);
});

forwardsOnBareHost('what a batch or an upload becomes is its owner’s', owned, async ({ client, upstream }) => {
  const ann = client(SECRETS.ann);
  const create = { input_file_id: await upload(ann), endpoint: '/v1/completions', completion_window: '24h' } as const;
  const [first, second] = [await ann.batches.create(create), await ann.batches.create(create)];
  upstream.plant('files', { id: 'file-out-1', object: 'file' });
  upstream.plant('files', { id: 'file-err-2', object: 'file' });
  Object.assign(upstream.objects('batches')[0] ?? {}, { output_file_id: 'file-out-1' });
  Object.assign(upstream.objects('batches')[1] ?? {}, { error_file_id: 'file-err-2' });
  await assert.rejects(ann.files.content('file-out-1'), { status: 404 });
  await ann.batches.retrieve(first.id);
  assert.equal(await (await ann.files.content('file-out-1')).text(), 'content of file-out-1');
  // A list tells of them too.
  assert.deepEqual(
    (await ann.batches.list()).data.map(({ id }) => id),
    [second.id, first.id],
  );
  assert.equal(await (await client(SECRETS.annToo).files.content('file-err-2')).text(), 'content of file-err-2');
  await assert.rejects(client(SECRETS.bob).files.content('file-out-1'), { status: 404 });

  const { id } = await ann.uploads.create({ bytes: 1, filename: 'a', mime_type: 'text/plain', purpose: 'assistants' });
  const { file } = await ann.uploads.complete(id, { part_ids: [] });
  assert.ok(file);
  assert.equal((await ann.files.retrieve(file.id)).id, file.id);
});

/** A store that does as told. */
function breakable(): ObjectStore & { state: 'good' | 'throws' | 'rejects' | 'null' | 'keeps' } {
  const store = memoryObjects();
  const through =
    <A extends unknown[], R>(run: (...given: A) => R) =>
    (...given: A): R => {
      if (objects.state === 'throws') throw new Error('disk on fire');
      if (objects.state === 'rejects') return Promise.reject(new Error('disk on fire')) as never;
      return run(...given);
    };
  const objects = {
    state: 'good' as 'good' | 'throws' | 'rejects' | 'null' | 'keeps',
    find: through(store.find),
    list: through(store.list),
    put: through(store.put),
    remove: through((...given: Parameters<typeof store.remove>): void | PromiseLike<void> =>
      objects.state === 'keeps' ? Promise.reject(new Error('disk is read-only')) : store.remove(...given),
    ),
  };
  const { find } = objects;
  return Object.assign(objects, {
    find: (...given: Parameters<typeof find>) => (objects.state === 'null' ? null : find(...given)) as never,
  });
}

const store = breakable();
forwardsOnBareHost(
  'while the object store fails everything about objects is a 503; one that says null has nothing',
  () => ({ ...owned(), objects: store, broken: true }),
  async ({ client, ask, upstream }) => {
    const file = await upload(client(SECRETS.ann));
    for (const state of ['throws', 'rejects'] as const) {
      store.state = state;
      const asked = upstream.arrivals.length;
      for (const [method, path] of [
        ['GET', `/files/${file}`],
        ['GET', '/files'],
        ['DELETE', `/files/${file}`],
        ['GET', `/files/${file}/content`],
      ] as const) {
        const response = await ask(path, { method, secret: SECRETS.ann });
        assert.deepEqual([response.status, codeOf(await response.json())], [503, 'objects_unavailable']);
        assert.equal(response.headers.get('x-should-retry'), 'true');
      }
      assert.equal(upstream.arrivals.length, asked);
      await assert.rejects(upload(client(SECRETS.ann)), { status: 503 });
      store.state = 'good';
      assert.equal((await client(SECRETS.ann).files.list()).data.length, 1, 'what could not be kept is nobody’s');
    }
    store.state = 'null';
    await assert.rejects(client(SECRETS.ann).files.retrieve(file), { status: 404 });
    store.state = 'good';
  },
);

const keeping = breakable();
forwardsOnBareHost(
  'who deletes is told when the store cannot let go of the object',
  () => ({ ...owned(), objects: keeping, broken: true }),
  async ({ client, ask, setup }) => {
    const file = await upload(client(SECRETS.ann));
    keeping.state = 'keeps';
    const response = await ask(`/files/${file}`, { method: 'DELETE', secret: SECRETS.ann });
    assert.deepEqual([response.status, codeOf(await response.json())], [503, 'objects_unavailable']);
    assert.deepEqual(
      setup.errors.map(({ error }) => String(error)),
      ['Error: disk is read-only'],
    );
    keeping.state = 'good';
    assert.equal((await client(SECRETS.ann).files.list()).data.length, 0, 'it is gone where it was');
  },
);

forwardsOnBareHost(
  'an object that a bounded store has dropped is nobody’s',
  () => ({ ...owned(), objects: memoryObjects({ maxObjectsPerOwner: 2 }) }),
  async ({ client }) => {
    const ann = client(SECRETS.ann);
    const files = [await upload(ann), await upload(ann)];
    await ann.files.retrieve(files[0] ?? '');
    files.push(await upload(ann));
    for (const secret of [SECRETS.ann, SECRETS.bob])
      await assert.rejects(client(secret).files.retrieve(files[1] ?? ''), { status: 404 });
    assert.deepEqual(
      (await ann.files.list()).data.map(({ id }) => id),
      [files[2], files[0]],
    );
  },
);
