import assert from 'node:assert/strict';
import { errorReply, sse, streamEvents, streamReply } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost } from '../helpers/scene.js';
import { streamText } from '../helpers/stream-client.js';

const SECRET_MODEL = 'acme-secret-9b';
const models = { house: { upstreamModel: SECRET_MODEL, aliases: ['villa'] }, other: {} };
const ERROR = {
  message: `No such thing as ${SECRET_MODEL} or ACME-Secret-9B`,
  type: 'invalid_request_error',
  param: `${SECRET_MODEL}.x`,
  code: `${SECRET_MODEL}_bad`,
};

for (const stream of [false, true]) {
  onBareHost(
    `no field of an upstream’s error tells its own name of the model (stream: ${stream})`,
    () => ({ models, script: () => errorReply(400, ERROR) }),
    async ({ client }) => {
      const error = await client()
        .chat.completions.create({ ...CALL, model: 'house', stream })
        .then(
          () => assert.fail('went through'),
          (thrown) => thrown,
        );
      assert.equal(error.status, 400);
      // What a model's name may go on with goes with it: a date, or another version.
      assert.deepEqual([error.param, error.code], ['house', 'house']);
      assert.doesNotMatch(JSON.stringify(error.error), /acme/i);
    },
  );
}

onBareHost(
  'no error event in mid-stream tells it either',
  () => ({
    models,
    broken: true,
    script: () => streamReply([...streamEvents(['Hi']).slice(0, 2), sse({ error: ERROR })]),
  }),
  async (scene) => {
    const text = await streamText(scene, { model: 'house' });
    assert.match(text, /"error":\{/);
    assert.doesNotMatch(text, /acme/i);
  },
);

onBareHost(
  'a key that may call a model by its alias only sees it under that name',
  () => ({ models, key: { models: ['villa'] } }),
  async ({ host, client }) => {
    const openai = client();
    assert.deepEqual(
      (await openai.models.list()).data.map(({ id }) => id),
      ['villa'],
    );
    assert.equal((await openai.models.retrieve('villa')).id, 'villa');
    for (const name of ['house', 'other']) await assert.rejects(openai.models.retrieve(name), { status: 404 });
    assert.equal((await openai.chat.completions.create({ ...CALL, model: 'villa' })).model, 'villa');
    await assert.rejects(openai.chat.completions.create({ ...CALL, model: 'house' }), { status: 403 });
    const listed = await fetch(`${host.baseUrl}/models`, { headers: { authorization: `Bearer ${SECRET}` } });
    assert.doesNotMatch(await listed.text(), /acme|house/);
  },
);
