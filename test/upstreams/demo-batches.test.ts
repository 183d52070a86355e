import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import type { JsonObject } from '../../src/base/json.js';
import { demo } from '../../src/upstreams/demo/demo.js';
import type { Upstream } from '../../src/upstreams/upstream.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import { COMPILED } from '../helpers/compiled.js';
import { eventually, gate } from '../helpers/deadline.js';
import { type ForwardClient, forwardClient, jsonOf, refuses } from '../helpers/demo-forward.js';
import { shapeOf } from '../helpers/openai-shapes.js';

interface Batch {
  readonly id: string;
  readonly status: string;
  readonly model: string | null;
  readonly output_file_id: string | null;
  readonly error_file_id: string | null;
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number };
  readonly usage: { readonly total_tokens: number };
  readonly errors: { readonly data: readonly JsonObject[] } | null;
  readonly [at: `${string}_at`]: number | null;
}

interface Line {
  readonly id: string;
  readonly custom_id: string;
  readonly error: unknown;
  readonly response: { readonly status_code: number; readonly request_id: string; readonly body: JsonObject };
}

const WINDOW = { endpoint: '/v1/chat/completions', completion_window: '24h' };

function chatLine(customId: string, content: unknown = 'Hello', rest: JsonObject = {}): string {
  const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content }], ...rest };
  return JSON.stringify({ custom_id: customId, method: 'POST', url: '/v1/chat/completions', body });
}

async function uploadLines(client: ForwardClient, lines: readonly string[]): Promise<string> {
  const file = { bytes: Buffer.from(lines.join('\n')), filename: 'input.jsonl' };
  return String(
    jsonOf(
      await client.form('/files', [
        ['purpose', 'batch'],
        ['file', file],
      ]),
    ).id,
  );
}

async function begin(client: ForwardClient, lines: readonly string[], rest: JsonObject = {}): Promise<Batch> {
  const input_file_id = await uploadLines(client, lines);
  return batchOf(await client.json('POST', '/batches', { ...WINDOW, input_file_id, ...rest }));
}

/** What a test looks into. */
function batchOf(body: JsonObject): Batch {
  return JSON.parse(JSON.stringify(body));
}

async function ended(client: ForwardClient, { id }: Batch): Promise<Batch> {
  let batch = batchOf(await client.json('GET', `/batches/${id}`));
  await eventually(
    async () => {
      batch = batchOf(await client.json('GET', `/batches/${id}`));
      return ['completed', 'failed', 'cancelled'].includes(batch.status);
    },
    () => `the end of a batch that is ${batch.status}`,
  );
  return batch;
}

async function linesOf(client: ForwardClient, id: string | null): Promise<Line[]> {
  const { bytes } = await client.raw('GET', `/files/${id}/content`);
  return bytes
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('batches of the demo', () => {
  it('run: good answers go to the output, refusals to the error file', async () => {
    const client = forwardClient();
    const metadata = { run: '1' };
    const begun = await begin(client, [chatLine('a'), chatLine('b', 42), '', chatLine('c')], { metadata });
    assert.equal(begun.status, 'validating');
    const batch = await ended(client, begun);
    assert.equal(batch.status, 'completed');
    assert.deepEqual(batch.request_counts, { total: 3, completed: 2, failed: 1 });
    assert.equal(batch.model, 'gpt-4o-mini');
    for (const name of ['created', 'in_progress', 'finalizing', 'completed'] as const)
      assert.equal(typeof batch[`${name}_at`], 'number', name);
    const output = await linesOf(client, batch.output_file_id);
    assert.deepEqual(
      output.map((line) => [line.custom_id, line.response.status_code, line.error, line.response.body.object]),
      [
        ['a', 200, null, 'chat.completion'],
        ['c', 200, null, 'chat.completion'],
      ],
    );
    const tokens = output.map(({ response }) => Object(response.body.usage).total_tokens);
    assert.equal(batch.usage.total_tokens, tokens[0] + tokens[1]);
    const [refusal, ...more] = await linesOf(client, batch.error_file_id);
    assert.equal(more.length, 0);
    assert.equal(refusal?.response.status_code, 400);
    assert.match(JSON.stringify(refusal?.response.body), /^{"error":{"message":"Invalid type for 'messages\[0\]/);
    const file = await client.json('GET', `/files/${batch.output_file_id}`);
    assert.equal(file.purpose, 'batch_output');
  });

  it('fail when a line cannot be read, and say which', async () => {
    const client = forwardClient();
    const noBody = JSON.stringify({ custom_id: 'n', method: 'POST', url: '/v1/chat/completions' });
    const elsewhere = JSON.stringify({ custom_id: 'e', method: 'POST', url: '/v1/embeddings', body: {} });
    const lines = [
      chatLine('a'),
      'not JSON',
      chatLine('a'),
      noBody,
      elsewhere,
      chatLine('m', 'x', { model: 'gpt-4o' }),
    ];
    const batch = await ended(client, await begin(client, lines));
    assert.equal(batch.status, 'failed');
    assert.deepEqual(
      batch.errors?.data.map(({ code, line }) => [code, line]),
      [
        ['invalid_json_line', 2],
        ['duplicate_custom_id', 3],
        ['missing_required_parameter', 4],
        ['url_mismatch', 5],
        ['model_mismatch', 6],
      ],
    );
    assert.equal(batch.errors?.data[0]?.message, 'This line is not parseable as valid JSON.');
    assert.equal(typeof batch.failed_at, 'number');
    assert.equal(batch.output_file_id, null);
    const empty = await ended(client, await begin(client, [' ']));
    assert.equal(empty.errors?.data[0]?.code, 'empty_file');
  });

  it('are bounded in lines, output and number', async () => {
    const client = forwardClient({ maxBatchLines: 2, maxFileBytes: 1_000, maxBatches: 1 });
    const first = await ended(
      client,
      await begin(
        client,
        ['1', '2', '3'].map((id) => chatLine(id)),
      ),
    );
    assert.equal(first.errors?.data[0]?.code, 'too_many_tasks');
    const second = await ended(
      client,
      await begin(
        client,
        ['1', '2'].map((id) => chatLine(id)),
      ),
    );
    assert.equal(second.errors?.data[0]?.code, 'output_too_large');
    await refuses(client.json('GET', `/batches/${first.id}`), 404, /^No batch found with id 'batch_/);
  });

  it('survive an upstream that fails, streams or answers nonsense', async () => {
    const replies: Upstream['send'][] = [
      () => Promise.reject(undefined),
      () => Promise.reject(new Error('secret')),
      async () => ({ kind: 'chunks', chunks: (async function* () {})() }),
    ];
    let calls = 0;
    const client = forwardClient({}, (call) => (replies[calls++] ?? demo().send)(call));
    const lines = [...'abc'].map((id) => chatLine(id)).concat(chatLine('d', 'Hello', { stream: true }));
    const batch = await ended(client, await begin(client, lines));
    assert.deepEqual(batch.request_counts, { total: 4, completed: 0, failed: 4 });
    assert.equal(batch.output_file_id, null);
    const errors = await linesOf(client, batch.error_file_id);
    assert.deepEqual(
      errors.map(({ response }) => response.status_code),
      [500, 500, 500, 400],
    );
    assert.doesNotMatch(JSON.stringify(errors), /secret/);
  });

  it('are cancelled while they run and while they wait, and keep what was answered', async () => {
    const waiting = gate();
    let calls = 0;
    const client = forwardClient({}, async (call) => {
      calls += 1;
      if (calls === 2) await waiting.opened;
      return demo().send(call);
    });
    const running = await begin(
      client,
      ['a', 'b', 'c'].map((id) => chatLine(id)),
    );
    const next = await begin(client, [chatLine('a')]);
    await eventually(() => calls === 2, 'the second call');
    const cancelling = await client.json('POST', `/batches/${running.id}/cancel`);
    assert.equal(cancelling.status, 'cancelling');
    await client.json('POST', `/batches/${next.id}/cancel`);
    waiting.open();
    const batch = await ended(client, running);
    assert.equal(batch.status, 'cancelled');
    assert.deepEqual(batch.request_counts, { total: 3, completed: 1, failed: 0 });
    assert.deepEqual(
      (await linesOf(client, batch.output_file_id)).map((line) => line.custom_id),
      ['a'],
    );
    assert.equal((await ended(client, next)).status, 'cancelled');
    await refuses(client.json('POST', `/batches/${next.id}/cancel`), 400, /status 'cancelled'/);
    assert.equal(calls, 2);
  });

  it('run one after the other, and fail when their input was deleted before their turn', async () => {
    const waiting = gate();
    const client = forwardClient({}, async (call) => {
      await waiting.opened;
      return demo().send(call);
    });
    const running = await begin(client, [chatLine('a')]);
    const input_file_id = await uploadLines(client, [chatLine('a')]);
    const next = batchOf(await client.json('POST', '/batches', { ...WINDOW, input_file_id }));
    await client.json('DELETE', `/files/${input_file_id}`);
    waiting.open();
    assert.equal((await ended(client, running)).status, 'completed');
    const batch = await ended(client, next);
    assert.deepEqual([batch.status, batch.errors?.data[0]?.code], ['failed', 'file_not_found']);
  });

  it('are refused when they are asked for wrongly', async () => {
    const client = forwardClient();
    const input_file_id = await uploadLines(client, [chatLine('a')]);
    const good = { ...WINDOW, input_file_id };
    const bad: [JsonObject, RegExp][] = [
      [{ ...good, endpoint: '/v1/audio/speech' }, /^Invalid value: '\/v1\/audio\/speech'/],
      [{ ...good, completion_window: '1h' }, /^Invalid value: '1h'/],
      [{ ...good, input_file_id: 'file-x' }, /^No such File object: file-x/],
      [WINDOW, /^Missing required parameter: 'input_file_id'/],
      [{ ...good, metadata: { a: 1 } }, /^Invalid type for 'metadata.a'/],
    ];
    for (const [body, message] of bad) await refuses(client.json('POST', '/batches', body), 400, message);
  });

  it('do not keep the process alive', () => {
    const script = `
      import { forwardClient } from './test/helpers/demo-forward.js';
      const client = forwardClient({}, () => new Promise(() => {}));
      const line = JSON.stringify({ custom_id: 'a', method: 'POST', url: '/v1/embeddings', body: {} });
      const file = await client.form('/files', [['purpose', 'batch'], ['file', { bytes: Buffer.from(line), filename: 'a.jsonl' }]]);
      const input_file_id = JSON.parse(file.bytes.toString()).id;
      await client.json('POST', '/batches', { endpoint: '/v1/embeddings', completion_window: '24h', input_file_id });
      console.log('end');`;
    const options = { cwd: COMPILED, timeout: 15_000, encoding: 'utf8' } as const;
    const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], options);
    assert.deepEqual([stdout, status], ['end\n', 0]);
  });
});

describe('batches against OpenAI', () => {
  // Nulls that were recorded where the description has none: model, errors, the file ids and all *_at.
  it('are what its description says', { skip: specIsMissing }, async () => {
    const check = specChecker();
    const client = forwardClient();
    const begun = await begin(client, [chatLine('a')]);
    check('Batch', begun);
    check('Batch', await ended(client, begun));
    check('Batch', await ended(client, await begin(client, ['x'])));
    check('ListBatchesResponse', await client.json('GET', '/batches'));
  });

  it('have the shape of recordings', { skip: recordingsAreMissing }, async () => {
    const client = forwardClient();
    const batch = await begin(client, [chatLine('a')], { metadata: { testMetadataKey: 'x' } });
    const [recorded] = recordedAnswers('POST /v1/batches 200 application/json');
    assert.deepEqual(shapeOf(batch), shapeOf(recorded));
    const [cancelled] = recordedAnswers('POST /v1/batches/{batch_id}/cancel 200 application/json');
    assert.deepEqual(shapeOf(await client.json('POST', `/batches/${batch.id}/cancel`)), shapeOf(cancelled));
  });
});
