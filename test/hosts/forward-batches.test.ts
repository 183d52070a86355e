import assert from 'node:assert/strict';
import { memoryKeys } from 'megallm-middleware';
import type OpenAI from 'openai';
import { toFile } from 'openai';
import { forwardsOnBareHost, SECRETS } from '../helpers/forward-scene.js';
import { SECRET } from '../helpers/gateway-options.js';
import { objectUpstream } from '../helpers/object-upstream.js';

const keys = () =>
  memoryKeys([
    { secret: SECRET, id: 'key_test', owner: 'bob', tier: 'open' },
    { secret: SECRETS.ann, id: 'key_ann', owner: 'ann', tier: 'open' },
    { secret: SECRETS.lone, id: 'held', owner: 'bob', tier: 'open', models: ['gpt-4o-mini'] },
  ]);
const MODELS = { 'gpt-4o-mini': {}, 'gpt-4o': {}, alias: { upstreamModel: 'gpt-4' } };
const given = () => ({ start: objectUpstream, keys: keys(), models: MODELS });

async function upload(openai: OpenAI, text: string): Promise<string> {
  return (await openai.files.create({ file: await toFile(Buffer.from(text), 'lines.jsonl'), purpose: 'batch' })).id;
}

async function statusOf(openai: OpenAI, lines: string): Promise<number> {
  const input_file_id = await upload(openai, lines);
  const made = openai.batches.create({ input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' });
  return made.then(
    () => 200,
    (error: { status?: number }) => error.status ?? 0,
  );
}

const line = (body: string): string =>
  `{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini",${body}}}\n`;
const fine = line('"messages":[{"role":"user","content":"a: b, \\"c\\": {d}"}]');
const file = (id: string): string =>
  line(`"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"${id}"}}]}]`);

forwardsOnBareHost(
  "no line of a batch speaks of another owner's objects, however it is spelt",
  given,
  async (scene) => {
    const bob = scene.client();
    const theirs = await upload(scene.client(SECRETS.ann), fine);
    const own = await upload(bob, fine);
    const cases: Readonly<Record<string, readonly [lines: string, status: number]>> = {
      'a good one': [fine, 200],
      'lines that end in CRLF, and empty ones': [`${fine.trim()}\r\n\r\n${fine}`, 200],
      "one's own file": [fine + file(own), 200],
      'the file of another, on a later line': [fine.repeat(2_000) + file(theirs), 404],
      'with escapes': [file(theirs).replace('file_id', 'file\\u005fid'), 404],
      'in another case': [file(theirs).replace('file_id', 'FILE_ID'), 404],
      'twice, first the other': [file(own).replace('"file_id"', `"file_id":"${theirs}","file_id"`), 400],
      'what only other parsers read': [file(theirs).replace('{"custom_id"', '{"x":NaN,"custom_id"'), 400],
      'a body that stands twice': [fine.replace('"body"', `"body":${file(theirs).slice(0, -1)},"body"`), 400],
      'the response of another': [line('"input":"a","previous_response_id":"resp_x"'), 400],
      'a conversation': [line('"input":"a","conversation":"conv_x"'), 400],
      'an item': [line('"input":[{"type":"item_reference","id":"msg_x"}]'), 400],
    };
    for (const [name, [lines, status]] of Object.entries(cases)) {
      const made = scene.upstream.objects('batches').length;
      assert.equal(await statusOf(bob, lines), status, name);
      assert.equal(scene.upstream.objects('batches').length - made, status === 200 ? 1 : 0, name);
    }
  },
);

forwardsOnBareHost('the lines of a batch name only models that its key may call, as they are', given, async (scene) => {
  const other = fine.replace('"gpt-4o-mini"', '"gpt-4o"');
  const held = scene.client(SECRETS.lone);
  assert.equal(await statusOf(scene.client(), fine + other), 200);
  assert.equal(await statusOf(scene.client(), other.replace('gpt-4o', 'alias')), 404);
  assert.equal(await statusOf(scene.client(), other.replace('gpt-4o', 'nobody')), 404);
  assert.equal(await statusOf(held, fine), 200);
  assert.equal(await statusOf(held, fine + other), 403);
  assert.equal(await statusOf(held, fine.replace('"model":"gpt-4o-mini",', '')), 403);
  assert.equal(await statusOf(held, fine.replace('"model"', '"Model":"gpt-4o","model"')), 400);
});

forwardsOnBareHost('what a batch used is counted once, when it is first seen to have ended', given, async (scene) => {
  const { upstream, setup } = scene;
  const bob = scene.client();
  const input_file_id = await upload(bob, fine);
  const batch = await bob.batches.create({ input_file_id, endpoint: '/v1/chat/completions', completion_window: '24h' });
  const [kept] = upstream.objects('batches');
  assert.ok(kept !== undefined);
  const usage = {
    input_tokens: 100,
    output_tokens: 20,
    total_tokens: 120,
    output_tokens_details: { reasoning_tokens: 5 },
  };
  Object.assign(kept, { status: 'in_progress', usage });
  await bob.batches.retrieve(batch.id);
  Object.assign(kept, { status: 'completed', usage });
  await Promise.all([1, 2, 3].map(() => bob.batches.retrieve(batch.id)));
  await bob.batches.list();
  const tokens = setup.records
    .filter(({ operation }) => operation === 'batches')
    .map(({ inputTokens, outputTokens }) => [inputTokens, outputTokens]);
  assert.deepEqual(
    tokens.filter(([input]) => input !== undefined),
    [[100, 20]],
  );
  assert.equal(tokens.length, 6);
});
