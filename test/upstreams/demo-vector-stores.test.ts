import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import type { JsonObject } from '../../src/base/json.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { type ForwardClient, forwardClient, jsonOf, refuses } from '../helpers/demo-forward.js';

interface Result {
  readonly file_id: string;
  readonly score: number;
  readonly content: readonly { readonly text: string }[];
}

const TEXTS = {
  cats: 'Cats purr when they are happy. A cat sleeps most of the day.',
  rockets: 'A rocket burns its fuel in minutes. Engines push against nothing.',
  кошки: 'Кошка спит почти весь день и мурлычет, когда ей хорошо.',
};

async function upload(client: ForwardClient, bytes: Uint8Array, filename = 'a.txt'): Promise<string> {
  const answer = await client.form('/files', [
    ['purpose', 'assistants'],
    ['file', { bytes, filename }],
  ]);
  return String(jsonOf(answer).id);
}

/** A store with the three texts, and their ids. */
async function filled(client: ForwardClient): Promise<{ id: string; files: string[] }> {
  const files: string[] = [];
  for (const [name, text] of Object.entries(TEXTS)) files.push(await upload(client, Buffer.from(text), `${name}.txt`));
  const store = await client.json('POST', '/vector_stores', { name: 'animals', file_ids: files });
  return { id: String(store.id), files };
}

async function search(client: ForwardClient, id: string, body: JsonObject): Promise<Result[]> {
  const page = await client.json('POST', `/vector_stores/${id}/search`, body);
  return JSON.parse(JSON.stringify(page.data));
}

describe('vector stores of the demo', () => {
  it('are made, shown, changed, listed and deleted', async () => {
    const client = forwardClient();
    const { id } = await filled(client);
    const store = await client.json('GET', `/vector_stores/${id}`);
    assert.deepEqual(store.file_counts, { in_progress: 0, completed: 3, failed: 0, cancelled: 0, total: 3 });
    assert.equal(store.usage_bytes, Buffer.byteLength(Object.values(TEXTS).join('')));
    const changes = { name: 'other', metadata: { a: 'b' } };
    const changed = await client.json('POST', `/vector_stores/${id}`, changes);
    assert.deepEqual([changed.name, changed.metadata], ['other', { a: 'b' }]);
    assert.deepEqual((await client.json('POST', `/vector_stores/${id}`, {})).metadata, { a: 'b' });
    const second = await client.json('POST', '/vector_stores', {});
    const list = await client.json('GET', '/vector_stores?limit=1');
    assert.deepEqual([list.first_id, list.has_more], [second.id, true]);
    const before = await client.json('GET', `/vector_stores?limit=1&before=${id}`);
    assert.deepEqual([before.first_id, before.has_more], [second.id, false]);
    const deleted = await client.json('DELETE', `/vector_stores/${id}`);
    assert.deepEqual(deleted, { id, object: 'vector_store.deleted', deleted: true });
    await refuses(client.json('GET', `/vector_stores/${id}`), 404, /^No vector store found with id 'vs_/);
  });

  it('are searched: the most alike comes first, in any language', async () => {
    const client = forwardClient();
    const { id, files } = await filled(client);
    const [cats] = await search(client, id, { query: 'Do cats sleep?' });
    assert.equal(cats?.file_id, files[0]);
    assert.equal(cats?.content[0]?.text, TEXTS.cats);
    const [rockets] = await search(client, id, { query: ['rockets', 'engine'] });
    assert.equal(rockets?.file_id, files[1]);
    const results = await search(client, id, { query: 'кошки', max_num_results: 2 });
    assert.equal(results.length, 2);
    assert.equal(results[0]?.file_id, files[2]);
    assert.ok((results[0]?.score ?? 0) > (results[1]?.score ?? 0));
    assert.deepEqual(await search(client, id, { query: 'кошки', max_num_results: 2 }), results, 'always the same');
    const [same] = await search(client, id, { query: TEXTS.cats, ranking_options: { score_threshold: 0.99 } });
    assert.equal(same?.file_id, files[0]);
    await refuses(client.json('POST', `/vector_stores/${id}/search`, {}), 400, /'query'/);
  });

  it('take, filter, change and give up files', async () => {
    const client = forwardClient();
    const { id, files } = await filled(client);
    const [first = ''] = files;
    const attributes = { kind: 'pet', age: 3 };
    const changed = await client.json('POST', `/vector_stores/${id}/files/${first}`, { attributes });
    assert.deepEqual(changed.attributes, attributes);
    const filters = {
      type: 'and',
      filters: [
        { type: 'eq', key: 'kind', value: 'pet' },
        { type: 'gt', key: 'age', value: 2 },
      ],
    };
    assert.deepEqual(
      (await search(client, id, { query: 'rocket', filters })).map(({ file_id }) => file_id),
      [first],
    );
    await refuses(search(client, id, { query: 'x', filters: { type: 'like' } }), 400, /Invalid value: 'like'/);
    const binary = await upload(client, Buffer.from([0, 255, 1]));
    const failed = await client.json('POST', `/vector_stores/${id}/files`, { file_id: binary });
    assert.deepEqual([failed.status, Object(failed.last_error).code], ['failed', 'unsupported_file']);
    const page = await client.json('GET', `/vector_stores/${id}/files?filter=failed`);
    assert.equal(page.first_id, binary);
    const content = await client.json('GET', `/vector_stores/${id}/files/${first}/content`);
    assert.deepEqual(content.data, [{ type: 'text', text: TEXTS.cats }]);
    await client.json('DELETE', `/vector_stores/${id}/files/${binary}`);
    await client.json('DELETE', `/files/${first}`);
    const list = await client.json('GET', `/vector_stores/${id}/files?order=asc`);
    assert.deepEqual([list.first_id, list.last_id], [files[1], files[2]]);
    const gone = client.json('GET', `/vector_stores/${id}/files/${first}`);
    await refuses(gone, 404, /^No file found with id 'file-\w+' in vector store 'vs_/);
    await refuses(client.json('POST', `/vector_stores/${id}/files`, { file_id: 'x' }), 404, /'x' not found/);
  });

  it('take many files at once', async () => {
    const client = forwardClient();
    const { files } = await filled(client);
    const { id } = await client.json('POST', '/vector_stores', {});
    const batch = await client.json('POST', `/vector_stores/${id}/file_batches`, { file_ids: [...files, ...files] });
    assert.deepEqual(Object(batch.file_counts).total, 3);
    assert.deepEqual(await client.json('GET', `/vector_stores/${id}/file_batches/${batch.id}`), batch);
    const page = await client.json('GET', `/vector_stores/${id}/file_batches/${batch.id}/files?limit=2`);
    assert.deepEqual([page.first_id, page.has_more], [files[2], true]);
    await refuses(client.json('GET', `/vector_stores/x/file_batches/${batch.id}`), 404, /No file batch found/);
  });

  it('cut long texts into chunks that overlap', async () => {
    const client = forwardClient();
    const text = Array.from({ length: 300 }, (_, index) => `Line ${index} of a long text.`).join('\n');
    const file_ids = [await upload(client, Buffer.from(text))];
    const chunking_strategy = { type: 'static', static: { max_chunk_size_tokens: 100, chunk_overlap_tokens: 50 } };
    const { id } = await client.json('POST', '/vector_stores', { file_ids, chunking_strategy });
    const [best] = await search(client, String(id), { query: 'Line 217' });
    assert.match(best?.content[0]?.text ?? '', /Line 217 of/);
    assert.ok((best?.content[0]?.text.length ?? 0) <= 400);
  });

  it('expire when they are not used, and are bounded in number', async () => {
    let now = 1_700_000_000_000;
    const client = forwardClient({ maxVectorStores: 1, clock: { ...systemClock, wallMs: () => now } });
    const expires_after = { anchor: 'last_active_at', days: 1 };
    const { id } = await client.json('POST', '/vector_stores', { expires_after });
    await refuses(client.json('POST', '/vector_stores', {}), 400, /at most 1 vector stores/);
    now += 86_400_000;
    assert.equal((await client.json('GET', `/vector_stores/${id}`)).status, 'expired');
    await refuses(client.json('POST', `/vector_stores/${id}/search`, { query: 'x' }), 400, /has expired/);
  });

  it('stop searching with the signal', async () => {
    const client = forwardClient();
    const file_ids = [await upload(client, Buffer.from('word '.repeat(200_000)))];
    const { id } = await client.json('POST', '/vector_stores', { file_ids });
    const controller = new AbortController();
    const body = (async function* () {
      yield Buffer.from('{"query":"word"}');
    })();
    const call = { method: 'POST', path: `/vector_stores/${id}/search`, body, signal: controller.signal };
    const searching = client.call(call);
    setImmediate(() => controller.abort(new Error('gone')));
    await assert.rejects(searching, /gone/);
  });

  // `name` is null when none was given, as the real service answers; the description asks for a string.
  it('are what OpenAI describes', { skip: specIsMissing }, async () => {
    const check = specChecker();
    const client = forwardClient();
    const { id, files } = await filled(client);
    check('VectorStoreObject', await client.json('GET', `/vector_stores/${id}`));
    check('ListVectorStoresResponse', await client.json('GET', '/vector_stores'));
    check('VectorStoreFileObject', await client.json('GET', `/vector_stores/${id}/files/${files[0]}`));
    check('ListVectorStoreFilesResponse', await client.json('GET', `/vector_stores/${id}/files`));
    check('VectorStoreSearchResultsPage', await client.json('POST', `/vector_stores/${id}/search`, { query: 'cat' }));
    check('VectorStoreFileContentResponse', await client.json('GET', `/vector_stores/${id}/files/${files[0]}/content`));
    const batch = await client.json('POST', `/vector_stores/${id}/file_batches`, { file_ids: files });
    check('VectorStoreFileBatchObject', batch);
    check('DeleteVectorStoreFileResponse', await client.json('DELETE', `/vector_stores/${id}/files/${files[0]}`));
    check('DeleteVectorStoreResponse', await client.json('DELETE', `/vector_stores/${id}`));
  });
});
