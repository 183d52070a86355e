import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonObject } from '../../src/base/json.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { eventually } from '../helpers/deadline.js';
import { type DemoClient, demoClient, jsonOf, refuses } from '../helpers/demo-client.js';
import { frozenClock } from '../helpers/frozen-clock.js';

const gone = { status: 404 };

async function upload(
  client: DemoClient,
  text: string | Uint8Array,
  filename = 'a.txt',
  purpose = 'user_data',
): Promise<string> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  return String(
    jsonOf(
      await client.form('/files', [
        ['purpose', purpose],
        ['file', { bytes, filename }],
      ]),
    ).id,
  );
}
const idsOf = ({ data }: JsonObject): readonly unknown[] => (Array.isArray(data) ? data.map(({ id }) => id) : []);

describe('files of the demo', () => {
  it('are kept, listed, given back and deleted', async () => {
    const client = demoClient();
    const bytes = Buffer.from(Array.from({ length: 200_000 }, (_, at) => at % 251));
    const id = await upload(client, bytes, 'naïve "name".bin');
    const kept = await client.json('GET', `/files/${id}`);
    assert.deepEqual([kept.bytes, kept.purpose, kept.status], [200_000, 'user_data', 'processed']);
    assert.match(String(kept.filename), /^naïve "name".bin$/);
    const content = await client.raw('GET', `/files/${id}/content`);
    assert.ok(content.bytes.equals(bytes));
    assert.match(content.headers['content-disposition'] ?? '', /^attachment; filename="[\w. -]+"$/);
    assert.deepEqual(await client.json('DELETE', `/files/${id}`), { object: 'file', deleted: true, id });
    await refuses(client.json('GET', `/files/${id}`), new RegExp(`No such File object: ${id}`), gone);
    await refuses(client.json('DELETE', `/files/${id}`), /No such File/, gone);
    await refuses(client.json('GET', '/nowhere'), /Invalid URL/, gone);
  });

  it('are listed by purpose, in pages, newest first, also after a cursor that was deleted', async () => {
    const client = demoClient();
    const ids: string[] = [];
    for (const purpose of ['user_data', 'vision', 'user_data', 'user_data'])
      ids.push(await upload(client, 'x', 'a', purpose));
    assert.deepEqual(idsOf(await client.json('GET', '/files')), ids.toReversed());
    assert.deepEqual(idsOf(await client.json('GET', '/files?order=asc&limit=2')), ids.slice(0, 2));
    assert.deepEqual(idsOf(await client.json('GET', '/files?purpose=vision')), [ids[1]]);
    await client.json('DELETE', `/files/${ids[1]}`);
    assert.deepEqual(idsOf(await client.json('GET', `/files?order=asc&after=${ids[1]}`)), ids.slice(2));
  });

  it('expire by the clock', async () => {
    const clock = frozenClock();
    const client = demoClient({ clock });
    const values = [
      ['purpose', 'assistants'],
      ['expires_after[anchor]', 'created_at'],
      ['expires_after[seconds]', '3600'],
    ] as const;
    const { id, expires_at } = jsonOf(
      await client.form('/files', [...values, ['file', { bytes: Buffer.from('x'), filename: 'a' }]]),
    );
    assert.equal(expires_at, clock.wallMs() / 1000 + 3_600);
    clock.advance(3_600_000);
    await refuses(client.json('GET', `/files/${id}`), /No such File/, gone);
    assert.deepEqual(idsOf(await client.json('GET', '/files')), []);
  });

  it('are read from forms as .NET and Java write them', async () => {
    const lines = [
      '--b',
      'Content-Type: text/plain; charset=utf-8',
      'Content-Disposition: form-data; name=purpose',
      '',
      'assistants',
      '--b',
      "Content-Disposition: form-data; name=file; filename=a.txt; filename*=utf-8''a.txt",
      '',
      'line\r\n--not the boundary',
      '--b--',
    ];
    const headers = { 'content-type': 'multipart/form-data; boundary="b"' };
    const kept = jsonOf(await demoClient().raw('POST', '/files', Buffer.from(`${lines.join('\r\n')}\r\n`), headers));
    assert.deepEqual([kept.filename, kept.bytes], ['a.txt', 24]);
    const nameless = lines.map((line) =>
      line.includes('filename') ? 'Content-Disposition: form-data; name="file"' : line,
    );
    const other = jsonOf(
      await demoClient().raw('POST', '/files', Buffer.from(`${nameless.join('\r\n')}\r\n`), headers),
    );
    assert.deepEqual([other.filename, other.bytes], ['file', 24]);
    for (const body of ['', '--b', '--b\r\n\r\n\r\nx\r\n--b--', 'x'.repeat(100_000)]) {
      await refuses(
        demoClient().raw('POST', '/files', Buffer.from(body), headers),
        /could not parse the multipart form/,
      );
    }
    await refuses(demoClient().raw('POST', '/files', Buffer.from('{}'), {}), /names no boundary/);
    const parts = `--b\r\nContent-Disposition: form-data; name=a[]\r\n\r\n\r\n`.repeat(100_000);
    await refuses(demoClient().raw('POST', '/files', Buffer.from(`${parts}--b--`), headers), /more than 1000 parts/);
  });

  it('are bounded in size and number, and nothing goes unasked', async () => {
    const client = demoClient({}, { maxFileBytes: 1_000, maxStoredBytes: 8_000, maxObjects: 4 });
    await refuses(upload(client, 'x'.repeat(1_001)), /limit \(1000\)/, { status: 413 });
    const ids = [await upload(client, 'x'.repeat(1_000)), await upload(client, 'x'.repeat(1_000))];
    ids.push(await upload(client, 'x'.repeat(1_000)));
    await refuses(upload(client, 'x'.repeat(1_000)), /at most 8000 bytes/, { code: 'storage_limit_exceeded' });
    await client.json('DELETE', `/files/${ids[0]}`);
    await upload(client, 'x'.repeat(1_000));
    const many = demoClient({}, { maxObjects: 2 });
    await upload(many, 'x');
    await upload(many, 'x');
    await refuses(upload(many, 'x'), /at most 2 objects/);
    await refuses(upload(demoClient(), 'x', 'a.txt', 'world_domination'), /'world_domination'/, { param: 'purpose' });
    await refuses(upload(demoClient(), 'x', 'a.txt', 'batch'), /Must be .jsonl/);
  });
});

describe('uploads of the demo', () => {
  const begin = async (client: DemoClient, bytes: number): Promise<string> =>
    String(
      (
        await client.json('POST', '/uploads', {
          filename: 'a.txt',
          purpose: 'assistants',
          bytes,
          mime_type: 'text/plain',
        })
      ).id,
    );
  const part = async (client: DemoClient, id: string, text: string): Promise<string> =>
    String(
      jsonOf(await client.form(`/uploads/${id}/parts`, [['data', { bytes: Buffer.from(text), filename: 'p' }]])).id,
    );

  it('become a file of their parts, in the order that is asked for', async () => {
    const client = demoClient();
    const id = await begin(client, 6);
    const [first, second] = [await part(client, id, 'abc'), await part(client, id, 'def')];
    await refuses(
      client.json('POST', `/uploads/${id}/complete`, { part_ids: [first] }),
      /to have 6 bytes, but its parts have 3/,
    );
    await refuses(client.json('POST', `/uploads/${id}/complete`, { part_ids: ['part_x'] }), /No such Part/, gone);
    const { status, file } = await client.json('POST', `/uploads/${id}/complete`, { part_ids: [second, first] });
    assert.equal(status, 'completed');
    const content = await client.raw('GET', `/files/${Object(file).id}/content`);
    assert.equal(content.bytes.toString(), 'defabc');
    await refuses(client.json('POST', `/uploads/${id}/cancel`), /is completed: only a pending one/);
  });

  it('are cancelled, expire by the clock, and free their room then', async () => {
    const clock = frozenClock();
    const client = demoClient({ clock }, { maxStoredBytes: 5_000 });
    const id = await begin(client, 2_000);
    await part(client, id, 'x'.repeat(2_000));
    await refuses(upload(client, 'x'.repeat(1_000)), /at most 5000 bytes/);
    assert.equal((await client.json('POST', `/uploads/${id}/cancel`)).status, 'cancelled');
    await upload(client, 'x'.repeat(1_000));
    const other = await begin(client, 1);
    clock.advance(3_600_000);
    await refuses(client.json('POST', `/uploads/${other}/cancel`), /No such Upload/, gone);
  });
});

describe('batches of the demo', () => {
  const hello = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'say hi' }] };
  const line = (id: string, body: unknown, url = '/v1/chat/completions') =>
    JSON.stringify({ custom_id: id, method: 'POST', url, body });
  const begin = async (
    client: DemoClient,
    lines: readonly string[],
    endpoint = '/v1/chat/completions',
  ): Promise<string> => {
    const input_file_id = await upload(client, lines.join('\n'), 'a.jsonl', 'batch');
    return String((await client.json('POST', '/batches', { input_file_id, endpoint, completion_window: '24h' })).id);
  };
  const ended = async (client: DemoClient, id: string): Promise<JsonObject> => {
    let batch: JsonObject = {};
    await eventually(async () => {
      batch = await client.json('GET', `/batches/${id}`);
      return ['completed', 'failed', 'cancelled'].includes(String(batch.status));
    }, 'the batch to end');
    return batch;
  };
  const linesOf = async (
    client: DemoClient,
    id: unknown,
  ): Promise<readonly Record<string, { status_code: number; body: JsonObject }>[]> => {
    const { bytes } = await client.raw('GET', `/files/${id}/content`);
    return bytes
      .toString()
      .trim()
      .split('\n')
      .map((text) => JSON.parse(text));
  };

  it('answer every line, good and bad ones apart, and add up what they used', async () => {
    const client = demoClient();
    const bad = { ...hello, model: 'nope' };
    const id = await begin(client, [
      line('a', hello),
      '',
      line('b', bad),
      line('c', { ...hello, stream: true }),
      line('d', hello),
    ]);
    const batch = await ended(client, id);
    assert.deepEqual(
      [batch.status, batch.model, batch.request_counts],
      ['completed', 'gpt-4o-mini', { total: 4, completed: 2, failed: 2 }],
    );
    const good = await linesOf(client, batch.output_file_id);
    assert.deepEqual(
      good.map(({ custom_id }) => custom_id),
      ['a', 'd'],
    );
    assert.match(JSON.stringify(good[0]?.response?.body), /"content":"hi"/);
    const failed = await linesOf(client, batch.error_file_id);
    assert.deepEqual(
      failed.map(({ response }) => response?.status_code),
      [404, 400],
    );
    const each = Object(good[0]?.response?.body.usage);
    assert.equal(Object(batch.usage).total_tokens, 2 * each.total_tokens);
    assert.deepEqual(idsOf(await client.json('GET', '/batches')), [id]);
  });

  const embedding = { model: 'text-embedding-3-small', input: 'a' };
  const response = { model: 'gpt-4o-mini', input: 'say hi', max_output_tokens: 100 };
  const endpoints: readonly (readonly [endpoint: string, body: unknown, answer: RegExp])[] = [
    ['/v1/responses', response, /"object":"response".*"status":"completed".*"text":"hi"/],
    ['/v1/embeddings', embedding, /"object":"embedding"/],
    ['/v1/completions', { model: 'davinci-002', prompt: 'a' }, /"object":"text_completion"/],
    ['/v1/moderations', { input: 'a' }, /"flagged":false/],
  ];
  for (const [endpoint, body, answer] of endpoints) {
    it(`may be for ${endpoint}`, async () => {
      const client = demoClient();
      const { status, output_file_id, usage } = await ended(
        client,
        await begin(client, [line('a', body, endpoint)], endpoint),
      );
      assert.equal(status, 'completed');
      const [only] = await linesOf(client, output_file_id);
      assert.match(JSON.stringify(only?.response?.body), answer);
      if (endpoint !== '/v1/moderations') assert.ok(Object(usage).input_tokens > 0);
    });
  }

  it('fail with the lines that are wrong, or without any', async () => {
    const client = demoClient();
    const wrong = ['{', '[]', line('', hello), line('b', hello, '/v1/embeddings'), line('c', 1)];
    for (const one of wrong) {
      const { status, errors } = await ended(
        client,
        await begin(client, ['', line('a', hello), one, line('z', hello)]),
      );
      assert.deepEqual([status, Object(errors).data[0].line], ['failed', 3], one);
    }
    const empty = await ended(client, await begin(client, ['']));
    assert.deepEqual([empty.status, Object(empty.errors).data[0].code], ['failed', 'empty_file']);
    const input_file_id = await upload(client, 'x');
    const create = (rest: JsonObject) =>
      client.json('POST', '/batches', { input_file_id, endpoint: '/v1/embeddings', ...rest });
    await refuses(create({}), /Expected a file with purpose 'batch'/, { param: 'input_file_id' });
    await refuses(create({ input_file_id: 'file-x' }), /No such File/, gone);
    await refuses(create({ endpoint: '/v1/videos' }), /Invalid value: '\/v1\/videos'/);
  });

  it('are refused too many lines, empty or not', async () => {
    const client = demoClient();
    for (const text of [`${'\n'.repeat(10_000_000)}${line('a', hello)}`, '{}\n'.repeat(10_001)]) {
      const { status, errors } = await ended(client, await begin(client, [text]));
      assert.deepEqual([status, Object(errors).data[0].code], ['failed', 'too_many_tasks']);
    }
    const { errors } = await ended(client, await begin(client, ['\n'.repeat(10_000_000)]));
    assert.equal(Object(errors).data[0].code, 'empty_file');
  });

  it('are cancelled before their turn', async () => {
    const client = demoClient();
    const id = await begin(
      client,
      Array.from({ length: 1_000 }, (_, at) => line(String(at), hello)),
    );
    assert.equal((await client.json('POST', `/batches/${id}/cancel`)).status, 'cancelling');
    const { status, cancelled_at } = await ended(client, id);
    assert.equal(status, 'cancelled');
    assert.notEqual(cancelled_at, null);
    await refuses(client.json('POST', `/batches/${id}/cancel`), /Cannot cancel a batch with status 'cancelled'/);
    await refuses(client.json('GET', '/batches/batch_x'), /No batch found/, gone);
  });
});

describe('vector stores of the demo', () => {
  it('are made, changed, listed and deleted, and have a name without one', async () => {
    const client = demoClient();
    const made = await client.json('POST', '/vector_stores', {});
    assert.deepEqual([made.name, made.status, made.metadata, made.usage_bytes], ['', 'completed', {}, 0]);
    const changes = { name: 'b', metadata: { a: '1' }, expires_after: { anchor: 'last_active_at', days: 2 } };
    const plain = await client.json('POST', '/vector_stores');
    assert.equal(plain.name, '', 'a body that needs nothing may be absent');
    await client.json('DELETE', `/vector_stores/${plain.id}`);
    const changed = await client.json('POST', `/vector_stores/${made.id}`, changes);
    assert.deepEqual([changed.name, changed.metadata], ['b', { a: '1' }]);
    assert.equal(changed.expires_at, Number(changed.last_active_at) + 2 * 86_400);
    assert.equal((await client.json('POST', `/vector_stores/${made.id}`, { expires_after: null })).expires_at, null);
    const other = await client.json('POST', '/vector_stores', { name: 'c' });
    assert.deepEqual(idsOf(await client.json('GET', '/vector_stores')), [other.id, made.id]);
    await client.json('DELETE', `/vector_stores/${made.id}`);
    await refuses(client.json('GET', `/vector_stores/${made.id}`), /No vector store found/, gone);
  });

  it('hold files, whose contents are found by their words', async () => {
    const client = demoClient();
    const [cats, stocks] = [await upload(client, 'Cats sleep all day.'), await upload(client, 'Stocks fell today.')];
    const binary = await upload(client, Buffer.from([0xff, 0xfe]));
    const { id, file_counts } = await client.json('POST', '/vector_stores', { file_ids: [cats, stocks] });
    assert.deepEqual(file_counts, { in_progress: 0, completed: 2, failed: 0, cancelled: 0, total: 2 });
    const entry = await client.json('POST', `/vector_stores/${id}/files`, { file_id: binary, attributes: { a: 1 } });
    assert.deepEqual(
      [entry.status, entry.attributes, Object(entry.last_error).code],
      ['failed', { a: 1 }, 'unsupported_file'],
    );
    assert.deepEqual(idsOf(await client.json('GET', `/vector_stores/${id}/files?filter=completed`)), [stocks, cats]);
    const search = (query: unknown, rest: JsonObject = {}) =>
      client.json('POST', `/vector_stores/${id}/search`, { query, ...rest });
    const { data } = JSON.parse(JSON.stringify(await search('when do cats sleep?', { max_num_results: 1 })));
    assert.deepEqual([data.length, data[0].file_id, data[0].content[0].text], [1, cats, 'Cats sleep all day.']);
    await refuses(search('x', { filters: { type: 'eq', key: 'a', value: 1 } }), /does not filter/, {
      param: 'filters',
    });
    await refuses(search(undefined), /parameter: 'query'/);
    const path = `/vector_stores/${id}/files/${cats}`;
    assert.deepEqual(Object(await client.json('GET', `${path}/content`)).data, [
      { type: 'text', text: 'Cats sleep all day.' },
    ]);
    assert.deepEqual((await client.json('POST', path, { attributes: { b: true } })).attributes, { b: true });
    await client.json('DELETE', path);
    await refuses(client.json('GET', path), /No such File/, gone);
    await client.json('DELETE', `/files/${stocks}`);
    assert.equal(Object(await client.json('GET', `/vector_stores/${id}`)).file_counts.total, 1);
  });

  it('take several files at once', async () => {
    const client = demoClient();
    const file_ids = [await upload(client, 'a'), await upload(client, 'b')];
    const { id } = await client.json('POST', '/vector_stores', { name: 'a' });
    const path = `/vector_stores/${id}/file_batches`;
    const batch = await client.json('POST', path, { file_ids });
    assert.equal(Object(batch.file_counts).completed, 2);
    assert.deepEqual(await client.json('GET', `${path}/${batch.id}`), batch);
    assert.deepEqual(await client.json('POST', `${path}/${batch.id}/cancel`), batch);
    assert.deepEqual(idsOf(await client.json('GET', `${path}/${batch.id}/files?order=asc`)), file_ids);
    await refuses(client.json('POST', path, { file_ids: ['file-x'] }), /No such File/, gone);
    await refuses(client.json('POST', path, {}), /parameter: 'file_ids'/);
    await refuses(client.json('GET', `/vector_stores/vs_x/file_batches/${batch.id}`), /No batch/, gone);
  });
});

it('objects of the demo are what OpenAI describes', { skip: specIsMissing }, async () => {
  const check = specChecker();
  const client = demoClient();
  const file = await upload(client, 'Some text');
  check('OpenAIFile', await client.json('GET', `/files/${file}`));
  const uploaded = { filename: 'a', purpose: 'assistants', bytes: 1, mime_type: 'text/plain' };
  check('Upload', await client.json('POST', '/uploads', uploaded));
  const input_file_id = await upload(client, '{}', 'a.jsonl', 'batch');
  check(
    'Batch',
    await client.json('POST', '/batches', { input_file_id, endpoint: '/v1/embeddings', completion_window: '24h' }),
  );
  const store = await client.json('POST', '/vector_stores', { file_ids: [file] });
  check('VectorStoreObject', store);
  check('VectorStoreFileObject', await client.json('GET', `/vector_stores/${store.id}/files/${file}`));
  check(
    'VectorStoreFileBatchObject',
    await client.json('POST', `/vector_stores/${store.id}/file_batches`, { file_ids: [file] }),
  );
  check(
    'VectorStoreSearchResultsPage',
    await client.json('POST', `/vector_stores/${store.id}/search`, { query: 'text' }),
  );
});
