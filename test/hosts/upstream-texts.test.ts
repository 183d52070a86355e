import assert from 'node:assert/strict';
import { chunkOf, head, lastChunk, reply, sse, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';

/** Texts that an upstream may say, and no client may read; and a link that may stay. */
const SAID =
  'Limit of house-7b in organization org-SECRET9 at /srv/models/x.gguf on gpu-9.internal:8000, [2001:db8::9], ' +
  'C:\\models\\x.bin, key sk-live-abcdef123. See https://platform.openai.com/docs/guides.';
const UNSEEN = ['house-7b', 'SECRET9', '/srv', 'gpu-9', '2001:db8', 'models\\\\x', 'sk-live'];
const LINK = 'https://platform.openai.com/docs/guides';

const ERROR = { message: SAID, type: 'invalid_request_error', param: null, code: 'bad_house-7b' };
const RESPONSE = { id: 'resp_1', object: 'response', created_at: 1, model: 'house-7b', output: [] };
const FAILED = { ...RESPONSE, status: 'failed', error: { code: 'server_error', message: SAID } };
const event = (data: { type: string }): string => `event: ${data.type}\n${sse(data)}`;
const BEGUN = event({
  type: 'response.created',
  ...{ sequence_number: 0, response: { ...RESPONSE, status: 'in_progress' } },
});
const ENDED = event({ type: 'response.failed', ...{ sequence_number: 1, response: FAILED } });
const [FIRST = '', ...REST] = streamEvents(['a']);
const CHAT = { model: 'llama', messages: [{ role: 'user', content: 'Hi' }] };
const ASK = { model: 'llama', input: 'Hi' };
const PICTURE = { model: 'llama', prompt: 'x', stream: true };
const PARTIAL = event({ type: 'image_generation.partial_image', ...{ b64_json: 'x'.repeat(80) } });
const BATCH = {
  id: 'batch_1',
  object: 'batch',
  status: 'failed',
  errors: { object: 'list', data: [{ code: 'token_limit_exceeded', message: SAID, line: null }] },
};

interface Way {
  readonly path?: string;
  readonly body: object;
  readonly script: SceneOptions['script'];
  readonly responses?: 'pass' | 'translate';
  /** Whether words of the upstream are shown. @default true */
  readonly isTold?: boolean;
}

const WAYS: Readonly<Record<string, Way>> = {
  'a refusal': { body: CHAT, script: () => reply({ error: ERROR }, { status: 400 }) },
  'a refusal in plain text': { body: CHAT, script: () => reply(SAID, { status: 422, contentType: 'text/plain' }) },
  'a failure': { body: CHAT, script: () => reply({ error: ERROR }, { status: 500 }), isTold: false },
  'a whole answer that is an error': { body: CHAT, script: () => reply({ error: { ...ERROR, code: 429 } }) },
  'the first event': { body: { ...CHAT, stream: true }, script: () => streamReply([sse({ error: ERROR })]) },
  'a later event': { body: { ...CHAT, stream: true }, script: () => streamReply([FIRST, sse({ error: ERROR })]) },
  'a field of the stream': {
    body: { ...CHAT, stream: true },
    script: () => streamReply([FIRST, `error: ${JSON.stringify(ERROR)}\n\n`]),
  },
  'a comment of the stream': {
    body: { ...CHAT, stream: true },
    script: () => streamReply([FIRST, `: ${SAID}\n\n`, ...REST]),
    isTold: false,
  },
  'a refusal of what was translated': {
    path: '/responses',
    responses: 'translate',
    body: ASK,
    script: () => reply({ error: ERROR }, { status: 400 }),
  },
  'a later event of what is translated': {
    path: '/responses',
    responses: 'translate',
    body: { ...ASK, stream: true },
    script: () => streamReply([FIRST, sse({ error: ERROR })]),
  },
  'a response that failed': { path: '/responses', responses: 'pass', body: ASK, script: () => reply(FAILED) },
  'a streamed response that failed': {
    path: '/responses',
    responses: 'pass',
    body: { ...ASK, stream: true },
    script: () => streamReply([BEGUN, ENDED]),
  },
  'a streamed response that failed, collected': {
    path: '/responses',
    responses: 'pass',
    body: ASK,
    script: () => streamReply([BEGUN, ENDED]),
  },
  'the path of a model': {
    body: CHAT,
    script: () => reply(wholeChat('Hi', { model: '/srv/models/house-7b.gguf' })),
    isTold: false,
  },
  'a stream of pictures whose first event is an error': {
    path: '/images/generations',
    body: PICTURE,
    script: () => streamReply([`event: error\n${sse({ type: 'error', error: ERROR })}`]),
  },
  'a stream of pictures that ends with an error and no blank line': {
    path: '/images/generations',
    body: PICTURE,
    script: () => streamReply([PARTIAL, sse({ error: ERROR }).trimEnd()]),
  },
  'a stream of pictures that is cut inside its error': {
    path: '/images/generations',
    body: PICTURE,
    script: () => {
      const error = `${PARTIAL}event: error\n${sse(ERROR)}`;
      return streamReply([error.slice(0, 160), error.slice(160, 200), error.slice(200)]);
    },
  },
  'an answer in place of pictures that is an error': {
    path: '/images/generations',
    body: PICTURE,
    script: () => reply({ error: { ...ERROR, code: 400 } }),
  },
  'an answer in place of pictures that comes in pieces and is an error': {
    path: '/images/generations',
    body: PICTURE,
    script: () => {
      const text = JSON.stringify({ error: ERROR });
      const parts = [text.slice(0, 40), text.slice(40)].map(chunkOf);
      const type = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' };
      return [{ kind: 'send', bytes: head(200, type) }, ...parts, lastChunk()];
    },
  },
  'comments among pictures': {
    path: '/images/generations',
    body: PICTURE,
    script: () => streamReply([`: ${SAID}\n\n`, `: ${SAID}\n${PARTIAL}`]),
    isTold: false,
  },
  'a refusal of embeddings': {
    path: '/embeddings',
    body: { model: 'llama', input: 'Hi' },
    script: () => reply({ error: ERROR }, { status: 400 }),
  },
};

async function post({ host }: Scene, path: string, body: object): Promise<string> {
  const response = await fetch(host.baseUrl + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return response.text();
}

for (const [way, { path = '/chat/completions', body, script, responses, isTold = true }] of Object.entries(WAYS)) {
  onBareHost(
    `${way} tells no client of accounts, files, machines, keys and names of the upstream's, but OpenAI's own pages`,
    () => ({
      broken: true,
      models: { llama: { upstreamModel: 'house-7b', responses, ...(body === PICTURE && { operation: 'images' }) } },
      ...(script && { script }),
    }),
    async (scene) => {
      const text = await post(scene, path, body);
      for (const unseen of UNSEEN) assert.ok(!text.includes(unseen), `${unseen} in ${text}`);
      assert.equal(text.includes(LINK), isTold, text);
      if (body === PICTURE) assert.equal(scene.setup.records[0]?.outcome, isTold ? 'error' : 'ok');
    },
  );
}

onBareHost(
  'nor does a batch that says why it failed, as it is made and in a list',
  () => ({
    script: ({ method }) => reply(method === 'POST' ? BATCH : { object: 'list', data: [BATCH], has_more: false }),
  }),
  async (scene) => {
    const made = await post(scene, '/batches', { endpoint: '/v1/embeddings', completion_window: '24h' });
    const headers = { authorization: `Bearer ${SECRET}` };
    const listed = await (await fetch(`${scene.host.baseUrl}/batches`, { headers })).text();
    for (const text of [made, listed]) {
      for (const unseen of UNSEEN.slice(1)) assert.ok(!text.includes(unseen), `${unseen} in ${text}`);
      assert.ok(text.includes('token_limit_exceeded') && text.includes(LINK), text);
    }
  },
);
