import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import { type Answer, type ForwardClient, forwardClient, jsonOf, readAll, refuses } from '../helpers/demo-forward.js';
import { shapeOf } from '../helpers/openai-shapes.js';

const FORM = { 'content-type': 'multipart/form-data; boundary=b' };

async function upload(
  client: ForwardClient,
  text: string,
  { filename = 'notes.txt', purpose = 'assistants' } = {},
): Promise<string> {
  const answer = await client.form('/files', [
    ['purpose', purpose],
    ['file', { bytes: Buffer.from(text), filename }],
  ]);
  return String(jsonOf(answer).id);
}

function ids(list: { readonly data?: unknown }): unknown[] {
  return Array.isArray(list.data) ? list.data.map(({ id }) => id) : [];
}

function rawForm(client: ForwardClient, body: string): Promise<Answer> {
  return client.raw('POST', '/files', Buffer.from(body, 'latin1'), FORM);
}

describe('files of the demo', () => {
  it('are stored, shown, listed, read and deleted', async () => {
    const client = forwardClient();
    const first = await upload(client, 'one');
    const second = await upload(client, 'zwei ü', { purpose: 'user_data' });
    assert.match(first, /^file-[0-9a-f]{24}$/);
    const file = await client.json('GET', `/files/${first}`);
    assert.equal(file.bytes, 3);
    assert.equal(file.filename, 'notes.txt');
    const list = await client.json('GET', '/files');
    assert.deepEqual(ids(list), [second, first], 'newest first');
    assert.deepEqual([list.first_id, list.last_id, list.has_more], [second, first, false]);
    assert.deepEqual(ids(await client.json('GET', '/files?purpose=user_data')), [second]);
    const content = await client.raw('GET', `/files/${second}/content`);
    assert.equal(content.bytes.toString(), 'zwei ü');
    assert.equal(content.type, 'application/octet-stream');
    const deleted = await client.json('DELETE', `/files/${first}`);
    assert.deepEqual(deleted, { object: 'file', deleted: true, id: first });
    await refuses(client.json('GET', `/files/${first}`), 404, /^No such File object: file-/);
    await refuses(client.json('DELETE', '/files/fake_id'), 404, /^No such File object: fake_id$/);
    const error = await refuses(client.json('GET', '/files/fake_id/content'), 404, /^No such File object: fake_id$/);
    assert.equal(error.param, 'id');
  });

  it('are listed in pages, also after one that was deleted meanwhile', async () => {
    const client = forwardClient();
    const all: string[] = [];
    for (const text of ['a', 'b', 'c', 'd', 'e']) all.push(await upload(client, text));
    const page = await client.json('GET', '/files?limit=2&order=asc');
    assert.deepEqual(ids(page), all.slice(0, 2));
    assert.equal(page.has_more, true);
    await client.json('DELETE', `/files/${all[1]}`);
    assert.deepEqual(ids(await client.json('GET', `/files?limit=2&order=asc&after=${all[1]}`)), all.slice(2, 4));
    const last = await client.json('GET', `/files?limit=2&order=desc&after=${all[2]}`);
    assert.deepEqual(ids(last), [all[0]]);
    assert.equal(last.has_more, false);
    await refuses(client.json('GET', '/files?limit=0'), 400, /integer below minimum value/);
    await refuses(client.json('GET', '/files?limit=x'), 400, /Invalid type for 'limit'/);
    await refuses(client.json('GET', '/files?after=nothing'), 400, /no object 'nothing'/);
  });

  it('refuse what OpenAI refuses', async () => {
    const client = forwardClient();
    const values = [['file', { bytes: Buffer.from('x'), filename: 'x.txt' }]] as const;
    await refuses(client.form('/files', values), 400, /Missing required parameter: 'purpose'/);
    const error = await refuses(
      client.form('/files', [...values, ['purpose', 'world_domination']]),
      400,
      /^'world_domination' is not one of \['fine-tune', 'assistants', 'batch', 'user_data', 'vision', 'evals'\] - 'purpose'$/,
    );
    assert.equal(error.param, 'purpose');
    await refuses(client.form('/files', [['purpose', 'batch']]), 400, /Missing required parameter: 'file'/);
    await refuses(client.form('/files', [...values, ['purpose', 'batch']]), 400, /Must be \.jsonl/);
    await refuses(client.json('POST', '/files', {}), 400, /only accepts 'multipart\/form-data'/);
    await refuses(client.json('GET', '/filesystem'), 404, /^Invalid URL \(GET \/v1\/filesystem\)$/);
  });

  it('expire when they are asked to', async () => {
    let now = 1_700_000_000_000;
    const client = forwardClient({ clock: { ...systemClock, wallMs: () => now } });
    const file = jsonOf(
      await client.form('/files', [
        ['purpose', 'user_data'],
        ['expires_after[anchor]', 'created_at'],
        ['expires_after[seconds]', '3600'],
        ['file', { bytes: Buffer.from('x'), filename: 'x' }],
      ]),
    );
    assert.equal(file.expires_at, 1_700_003_600);
    now += 3_599_000;
    await client.json('GET', `/files/${file.id}`);
    now += 1_000;
    await refuses(client.json('GET', `/files/${file.id}`), 404, /No such File/);
    assert.deepEqual(ids(await client.json('GET', '/files')), []);
  });

  it('are bounded in size, number and sum', async () => {
    const client = forwardClient({ maxFileBytes: 1_000, maxFiles: 3, maxStoredBytes: 1_500 });
    await refuses(upload(client, 'x'.repeat(1_001)), 413, /Maximum content size limit \(1000\)/);
    await refuses(upload(client, 'x'.repeat(400_000)), 413, /Maximum content size limit/);
    const first = await upload(client, 'x'.repeat(1_000));
    await refuses(upload(client, 'x'.repeat(501)), 400, /keeps at most 1500 bytes/);
    await upload(client, 'a');
    await upload(client, 'b');
    await refuses(upload(client, 'c'), 400, /keeps at most 3 files/);
    await client.json('DELETE', `/files/${first}`);
    await upload(client, 'x'.repeat(1_000));
  });

  it('stop with the signal, while they come in and while they go out', async () => {
    const client = forwardClient();
    const controller = new AbortController();
    const call = {
      method: 'POST',
      path: '/files',
      headers: FORM,
      signal: controller.signal,
      body: (async function* () {
        yield Buffer.from('--b\r\n');
        await new Promise(() => {});
      })(),
    };
    const stuck = client.call(call);
    controller.abort(new Error('gone'));
    await assert.rejects(stuck, /gone/);
    await assert.rejects(client.call(call), /gone/, 'not even begun');
  });
});

describe('forms', () => {
  const head = '--b\r\nContent-Disposition: form-data; ';
  const purpose = `${head}name="purpose"\r\n\r\nuser_data\r\n`;

  it('are read as .NET writes them, without quotes, and as browsers do, with escapes', async () => {
    const client = forwardClient();
    const dotnet = `${head}name=purpose\r\n\r\nuser_data\r\n${head}name=file; filename="Assets\\a.txt"; filename*=utf-8''Assets%5c%C3%BC.txt\r\n\r\nx--b\r\ny\r\n--b--\r\n`;
    const file = jsonOf(await rawForm(client, dotnet));
    assert.deepEqual([file.filename, file.bytes], ['Assets\\ü.txt', 7]);
    const browser = `preamble\r\n${purpose}${head}filename="a%22b\\"c.txt"; name="file"\r\nContent-Type: text/plain\r\n\r\n\r\n--b-- epilogue`;
    const other = jsonOf(await rawForm(client, browser));
    assert.deepEqual([other.filename, other.bytes], ['a"b"c.txt', 0]);
  });

  const hostile: Record<string, string> = {
    'no boundary in it': 'nothing',
    'an empty body': '',
    'no end': `${purpose}`,
    'no end of headers': '--b\r\nContent-Disposition: form-data; name="a"\r\n',
    'headers without end': `--b\r\nx: ${'y'.repeat(17_000)}\r\n\r\n\r\n--b--`,
    'no name': '--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--',
    'no disposition': '--b\r\n\r\nx\r\n--b--',
    'a longer boundary': '--bb\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--bb--',
    'too many parts': `${`${head}name="a"\r\n\r\nx\r\n`.repeat(101)}--b--`,
  };
  for (const [what, body] of Object.entries(hostile)) {
    it(`with ${what} are a 400`, async () => {
      await refuses(rawForm(forwardClient(), body), 400, /^We could not parse the multipart form/);
    });
  }

  it('need a boundary of 1 to 70 characters', async () => {
    for (const type of ['multipart/form-data', `multipart/form-data; boundary=${'b'.repeat(71)}`])
      await refuses(
        forwardClient().raw('POST', '/files', Buffer.from('x'), { 'content-type': type }),
        400,
        /names no boundary/,
      );
  });

  it('of megabytes that only look like boundaries are read in no time', async () => {
    const before = performance.now();
    const content = '\r\n--\r\n-b'.repeat(1_000_000);
    const file = `${purpose}${head}name="file"; filename="x"\r\n\r\n${content}\r\n--b--`;
    assert.equal(jsonOf(await rawForm(forwardClient(), file)).bytes, content.length);
    assert.ok(performance.now() - before < 3_000);
  });
});

describe('uploads of the demo', () => {
  const wanted = { filename: 'big.txt', purpose: 'assistants', bytes: 10, mime_type: 'text/plain' };
  const part = async (client: ForwardClient, id: unknown, text: string): Promise<unknown> => {
    const values = [['data', { bytes: Buffer.from(text), filename: 'blob' }]] as const;
    return jsonOf(await client.form(`/uploads/${id}/parts`, values)).id;
  };

  it('join their parts in the order that is asked for', async () => {
    const client = forwardClient();
    const { id } = await client.json('POST', '/uploads', wanted);
    const world = await part(client, id, 'world');
    const hello = await part(client, id, 'hello');
    const wrong = { part_ids: [hello, world], md5: '0'.repeat(32) };
    await refuses(client.json('POST', `/uploads/${id}/complete`, wrong), 400, /md5/);
    await refuses(client.json('POST', `/uploads/${id}/complete`, { part_ids: [hello] }), 400, /have 5/);
    await refuses(client.json('POST', `/uploads/${id}/complete`, { part_ids: ['x'] }), 404, /No such Part object: x/);
    const md5 = createHash('md5').update('helloworld').digest('hex');
    const upload = await client.json('POST', `/uploads/${id}/complete`, { part_ids: [hello, world], md5 });
    assert.equal(upload.status, 'completed');
    const file = upload.file;
    assert.ok(typeof file === 'object' && file !== null && 'id' in file);
    const content = await client.raw('GET', `/files/${String(file.id)}/content`);
    assert.equal(content.bytes.toString(), 'helloworld');
    await refuses(part(client, id, 'x'), 400, /is completed/);
  });

  it('are cancelled, expire, and hold no bytes then', async () => {
    let now = 1_700_000_000_000;
    const client = forwardClient({ maxStoredBytes: 10, clock: { ...systemClock, wallMs: () => now } });
    const first = await client.json('POST', '/uploads', wanted);
    await part(client, first.id, '0123456789');
    const second = await client.json('POST', '/uploads', wanted);
    await refuses(part(client, second.id, 'x'), 400, /keeps at most/);
    assert.equal((await client.json('POST', `/uploads/${first.id}/cancel`)).status, 'cancelled');
    await part(client, second.id, '0123456789');
    now += 3_600_000;
    await refuses(part(client, second.id, 'x'), 400, /is expired/);
    await upload(client, '0123456789');
    await refuses(client.json('POST', '/uploads/x/cancel'), 404, /No such Upload object: x/);
    await refuses(client.json('POST', '/uploads', { ...wanted, bytes: 2 ** 40 }), 413, /Maximum content size/);
  });
});

describe('files against OpenAI', () => {
  // Nulls that were recorded where the description has none: expires_at, status_details; ids of an empty list.
  it('are what its description says', { skip: specIsMissing }, async () => {
    const check = specChecker();
    const client = forwardClient();
    const id = await upload(client, 'x');
    check('OpenAIFile', await client.json('GET', `/files/${id}`));
    check('ListFilesResponse', await client.json('GET', '/files'));
    check('DeleteFileResponse', await client.json('DELETE', `/files/${id}`));
    const body = { filename: 'a', purpose: 'vision', bytes: 1, mime_type: 'image/png' };
    const created = await client.json('POST', '/uploads', body);
    check('Upload', created);
    const values = [['data', { bytes: Buffer.from('x'), filename: 'blob' }]] as const;
    const part = jsonOf(await client.form(`/uploads/${created.id}/parts`, values));
    check('UploadPart', part);
    check('Upload', await client.json('POST', `/uploads/${created.id}/complete`, { part_ids: [part.id] }));
  });

  it('have the shape of recordings', { skip: recordingsAreMissing }, async () => {
    const client = forwardClient();
    const id = await upload(client, 'x');
    const [file] = recordedAnswers('POST /v1/files 200 application/json');
    assert.deepEqual(shapeOf(await client.json('GET', `/files/${id}`)), shapeOf(file));
    const [list] = recordedAnswers('GET /v1/files 200 application/json');
    const ours = shapeOf(await client.json('GET', '/files'));
    assert.ok(Array.isArray(ours));
    assert.deepEqual(ours.toSorted(), (shapeOf(list) as unknown[]).toSorted());
    const [deleted] = recordedAnswers('DELETE /v1/files/{file_id} 200 application/json');
    assert.deepEqual(shapeOf(await client.json('DELETE', `/files/${id}`)), shapeOf(deleted));
  });

  it('are read in slices', async () => {
    const client = forwardClient();
    const id = await upload(client, 'x'.repeat(200_000));
    const reply = await client.call({ method: 'GET', path: `/files/${id}/content` });
    let slices = 0;
    for await (const slice of reply.body) slices += slice.length > 65_536 ? 100 : 1;
    assert.equal(slices, 4);
    assert.equal((await readAll((await client.call({ method: 'GET', path: '/files?limit=1' })).body)).at(0), 0x7b);
  });
});
