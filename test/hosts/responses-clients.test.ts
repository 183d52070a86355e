import assert from 'node:assert/strict';
import { errorReply, head, reply, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { wholeResponse } from '../helpers/response-answers.js';
import { ask } from '../helpers/response-client.js';
import { MODEL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

const CALL = { model: MODEL, input: 'Say hello' } as const;

const hello: Script = (request) =>
  request.json().stream === true ? streamReply(streamEvents(['Hel', 'lo'])) : reply(wholeChat('Hello'));

const translated = (script: Script = hello, more: SceneOptions = {}): SceneOptions => ({
  script,
  models: { [MODEL]: { responses: 'translate' } },
  ...more,
});

interface Refused {
  readonly status: number;
  readonly code: string | null;
  readonly param: string | null;
  readonly message: string;
}

async function refusedBy(scene: Scene, path: string, given: Parameters<typeof ask>[2] = {}): Promise<Refused> {
  const response = await ask(scene, path, given);
  const { error } = JSON.parse(await response.text());
  return { status: response.status, code: error.code, param: error.param, message: error.message };
}

/** Ids as other gateways make them: base64 with what they must remember. */
const LONG_IDS = [
  `resp_${'bGl0ZWxsbTpjdXN0b21fbGxtX3Byb3ZpZGVy'.repeat(13)}=`,
  `${'ab+/'.repeat(200)}==`,
  `${'a_b-'.repeat(1_020)}c`,
  `/+${'A'.repeat(100)}`,
];

onBareHost(
  'ids of 4,096 characters of base64 can be asked for, deleted and gone on from, escaped or not',
  () => ({
    script: (request) => {
      if (request.method === 'DELETE') return [{ kind: 'send', bytes: head(200, { 'content-length': '0' }) }];
      if (request.method === 'GET') return reply(wholeResponse('Hello', { id: 'as asked' }));
      const { input, previous_response_id } = request.json();
      return reply(wholeResponse('Hello', { id: LONG_IDS[Number(input)], previous_response_id }));
    },
  }),
  async (scene) => {
    for (const [index, id] of LONG_IDS.entries()) {
      assert.equal((await ask(scene, '/responses', { body: { ...CALL, input: String(index) } })).status, 200);
      const more = { ...CALL, input: String(index), previous_response_id: id };
      assert.equal((await ask(scene, '/responses', { body: more })).status, 200);
      const written = id.includes('/') ? encodeURIComponent(id) : id;
      for (const path of [`/responses/${encodeURIComponent(id)}`, `/responses/${written}`]) {
        assert.equal((await ask(scene, path)).status, 200, path);
        const { path: asked } = await scene.upstream.request(scene.upstream.requests.length - 1);
        assert.equal(asked, `/v1/responses/${encodeURIComponent(id)}`);
        assert.equal((await ask(scene, `${path}/input_items`)).status, 200, path);
      }
      const deleted = await ask(scene, `/responses/${encodeURIComponent(id)}`, { method: 'DELETE' });
      assert.deepEqual(await deleted.json(), { id, object: 'response.deleted', deleted: true });
      const gone = await refusedBy(scene, `/responses/${id.startsWith('/') ? written : id}`);
      assert.deepEqual([gone.status, gone.message], [404, `Response with id '${id}' not found.`]);
      assert.equal((await refusedBy(scene, '/responses', { body: more })).code, 'previous_response_not_found');
    }
    const odd = await refusedBy(scene, `/responses/${encodeURIComponent('../'.repeat(40))}`);
    assert.match(odd.message, /^Invalid URL/);
  },
);

onBareHost(
  'a body of null is none where none is needed, and is refused where one is',
  () => ({ script: (request) => reply({ id: 'batch_1', object: 'batch', path: request.path }) }),
  async (scene) => {
    const { host, upstream } = scene;
    const post = (path: string, body: string): Promise<Response> =>
      fetch(host.baseUrl + path, {
        method: 'POST',
        headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
        body,
      });
    assert.equal((await post('/batches', JSON.stringify({ input: 'x' }))).status, 200);
    for (const body of ['null', ' null\n', '']) {
      assert.equal((await post('/batches/batch_1/cancel', body)).status, 200, JSON.stringify(body));
      assert.equal((await upstream.request(upstream.requests.length - 1)).body.length, 0);
    }
    assert.equal((await post('/vector_stores', 'null')).status, 200);
    assert.equal((await post('/batches', 'null')).status, 400);
    assert.equal((await post('/batches/batch_1/cancel', 'nul')).status, 400);
  },
);

onBareHost(
  'what an upstream deletes is nobody’s from then on, with whatever good status and words it says so',
  () => ({
    script: (request) => {
      const [, , kind = '', id] = request.path.split('/');
      if (request.method === 'DELETE') {
        if (id === 'loud') return reply('OK', { headers: { 'content-type': 'text/plain' } });
        return [{ kind: 'send', bytes: head(204, {}) }];
      }
      const name = request.path.split('/').at(-1) ?? '';
      if (request.method === 'GET') return reply({ id: name });
      return kind === 'responses'
        ? reply(wholeResponse('Hello', { id: String(request.json().input) }))
        : reply({ id: String(request.json().name), object: 'vector_store' });
    },
  }),
  async (scene) => {
    for (const id of ['quiet', 'loud']) {
      await (await ask(scene, '/responses', { body: { ...CALL, input: id } })).text();
      await (await ask(scene, '/vector_stores', { body: { name: id } })).text();
      for (const [path, object] of [
        [`/responses/${id}`, 'response.deleted'],
        [`/vector_stores/${id}`, 'vector_store.deleted'],
      ] as const) {
        const deleted = await ask(scene, path, { method: 'DELETE' });
        assert.equal(deleted.status, 200);
        assert.match(deleted.headers.get('content-type') ?? '', /^application\/json/);
        assert.deepEqual(await deleted.json(), { id, object, deleted: true });
        assert.equal((await refusedBy(scene, path)).status, 404);
      }
    }
  },
);

onBareHost(
  'a conversation that says nothing is refused in the words of responses',
  () => translated(),
  async (scene) => {
    const input = [{ type: 'reasoning', id: 'rs_1', summary: [] }];
    const { status, param, message } = await refusedBy(scene, '/responses', { body: { ...CALL, input } });
    assert.deepEqual([status, param], [400, 'input']);
    assert.doesNotMatch(message, /messages/);
  },
);

onBareHost(
  'only members that chat knows reach a chat upstream',
  () => translated(),
  async (scene) => {
    const body = {
      ...CALL,
      client_metadata: { session: 'x' },
      top_k: 4,
      temperature: 0.5,
      service_tier: 'default',
      include: ['reasoning.encrypted_content', 'message.output_text.logprobs'],
      max_tool_calls: 0,
    };
    const answer = await ask(scene, '/responses', { body });
    assert.equal(answer.status, 200, await answer.text());
    const sent = (await scene.upstream.request(0)).json();
    assert.deepEqual(Object.keys(sent).sort(), ['logprobs', 'messages', 'model', 'service_tier', 'temperature']);
  },
);

onBareHost(
  'an unknown member of `include` is refused with the known ones',
  () => translated(),
  async (scene) => {
    const { status, code, param, message } = await refusedBy(scene, '/responses', {
      body: { ...CALL, include: ['message.output_text.logprobs', 'nonsense'] },
    });
    assert.deepEqual([status, code, param], [400, 'invalid_value', 'include[1]']);
    assert.match(message, /'nonsense'.*'reasoning\.encrypted_content'/);
    assert.equal(scene.upstream.requests.length, 0);
  },
);

/** What a chat upstream blames, and the words for it in a response. */
const BLAMED: readonly (readonly [
  given: readonly [param: string, message: string],
  shown: readonly [string, string],
])[] = [
  [
    ['reasoning_effort', "Unsupported value: 'reasoning_effort' does not support 'max' with this model."],
    ['reasoning.effort', "Unsupported value: 'reasoning.effort' does not support 'max' with this model."],
  ],
  [
    ['max_completion_tokens', 'max_completion_tokens is too large: 999999.'],
    ['max_output_tokens', 'max_output_tokens is too large: 999999.'],
  ],
  [
    ['max_tokens', 'max_tokens is too large: 999999.'],
    ['max_output_tokens', 'max_output_tokens is too large: 999999.'],
  ],
  [
    ['tools[0].function.parameters', "Invalid schema at 'tools[0].function.parameters.type'."],
    ['tools[0].parameters', "Invalid schema at 'tools[0].parameters.type'."],
  ],
  [
    ['tools.1.custom.format.grammar.syntax', 'tools.1.custom.format.grammar.syntax is odd'],
    ['tools.1.format.syntax', 'tools.1.format.syntax is odd'],
  ],
  [
    ['response_format.json_schema.schema', "Invalid 'response_format.json_schema.schema'."],
    ['text.format.schema', "Invalid 'text.format.schema'."],
  ],
  [
    ['response_format', "Invalid schema for response_format 'n': In context=()"],
    ['text.format', "Invalid schema for text.format 'n': In context=()"],
  ],
  [
    ['tool_choice.function.name', "Invalid 'tool_choice.function.name'."],
    ['tool_choice.name', "Invalid 'tool_choice.name'."],
  ],
  [
    ['verbosity', "Unsupported parameter: 'verbosity'."],
    ['text.verbosity', "Unsupported parameter: 'text.verbosity'."],
  ],
  [
    ['messages[1].content[0].image_url.url', "Bad 'messages[1].content[0].image_url.url' in your messages."],
    ['input', "Bad 'input' in your messages."],
  ],
  [
    ['body.max_completion_tokens', 'body.max_completion_tokens: Extra inputs are not permitted'],
    ['body.max_output_tokens', 'body.max_output_tokens: Extra inputs are not permitted'],
  ],
  [
    ['my_max_tokens', 'the max_tokens_of_all and my_max_tokens are odd, tools too'],
    ['my_max_tokens', 'the max_tokens_of_all and my_max_tokens are odd, tools too'],
  ],
  [
    ['temperature', "Bad 'temperature'."],
    ['temperature', "Bad 'temperature'."],
  ],
];

onBareHost(
  'errors of translated calls name the members that the client sent',
  () => {
    let asked = -1;
    return translated(() => {
      asked += 1;
      const [[param, message]] = BLAMED[asked % BLAMED.length] ?? [['', '']];
      return errorReply(400, { message, param, code: 'invalid_value' });
    });
  },
  async (scene) => {
    for (const [, [param, message]] of BLAMED) {
      const refused = await refusedBy(scene, '/responses', { body: CALL });
      assert.deepEqual([refused.param, refused.message], [param, message]);
    }
  },
);

onBareHost(
  'usage that is recorded is shown, however the upstream contradicts itself',
  () =>
    translated((request) => {
      const usage = {
        prompt_tokens: 9,
        completion_tokens: 2,
        total_tokens: 11,
        completion_tokens_details: { reasoning_tokens: 1_000 },
      };
      const chunk = { id: 'c', object: 'chat.completion.chunk', created: 1, model: MODEL, choices: [], usage };
      return request.json().stream === true
        ? streamReply([
            ...streamEvents(['Hello'], { usage: 'never' }).slice(0, -1),
            `data: ${JSON.stringify(chunk)}\n\n`,
            'data: [DONE]\n\n',
          ])
        : reply({ ...wholeChat('Hello'), usage });
    }),
  async (scene) => {
    const whole = JSON.parse(await (await ask(scene, '/responses', { body: CALL })).text());
    const streamed = await (await ask(scene, '/responses', { body: { ...CALL, stream: true } })).text();
    const last = JSON.parse(streamed.trim().split('\n').at(-1)?.slice('data: '.length) ?? '');
    for (const [index, { usage }] of [whole, last.response].entries()) {
      const record = scene.setup.records[index];
      assert.notEqual(usage, null);
      assert.deepEqual([usage.input_tokens, usage.output_tokens], [record?.inputTokens, record?.outputTokens]);
      assert.ok(usage.output_tokens_details.reasoning_tokens <= usage.output_tokens);
    }
  },
);

onBareHost(
  'a picture in the output of a tool follows in a message of the user',
  () => translated(),
  async (scene) => {
    const image_url = 'data:image/png;base64,AAAA';
    const input = [
      { role: 'user', content: 'Look' },
      { type: 'function_call', call_id: 'c1', name: 'shoot', arguments: '{}' },
      { type: 'function_call', call_id: 'c2', name: 'shoot', arguments: '{}' },
      {
        type: 'function_call_output',
        call_id: 'c1',
        output: [
          { type: 'input_text', text: 'Here' },
          { type: 'input_image', image_url, detail: 'low' },
        ],
      },
      { type: 'function_call_output', call_id: 'c2', output: [{ type: 'input_image', image_url }] },
      { role: 'user', content: 'And?' },
    ];
    assert.equal((await ask(scene, '/responses', { body: { ...CALL, input } })).status, 200);
    const { messages } = (await scene.upstream.request(0)).json();
    assert.ok(Array.isArray(messages));
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['user', 'assistant', 'tool', 'tool', 'user', 'user'],
    );
    assert.equal(messages[2].content, 'Here');
    assert.equal(typeof messages[3].content, 'string');
    const shown = messages[4].content.filter((part: { type: string }) => part.type === 'image_url');
    assert.deepEqual(shown, [
      { type: 'image_url', image_url: { url: image_url, detail: 'low' } },
      { type: 'image_url', image_url: { url: image_url } },
    ]);
  },
);

onBareHost(
  'a conversation is bounded as a body is: what is composed of earlier responses is refused when it is too large',
  () => translated(hello, { maxBodyBytes: 200_000 }),
  async (scene) => {
    let previous: string | undefined;
    const statuses: number[] = [];
    for (let turn = 0; turn < 4; turn += 1) {
      const body = { ...CALL, input: 'x'.repeat(60_000), previous_response_id: previous };
      const response = await ask(scene, '/responses', { body });
      statuses.push(response.status);
      const said = JSON.parse(await response.text());
      if (response.status === 200) previous = said.id;
      else {
        assert.equal(said.error.param, 'previous_response_id');
        assert.match(said.error.message, /200000 bytes/);
      }
    }
    assert.deepEqual(statuses, [200, 200, 200, 413]);
    const small = { ...CALL, input: 'y', previous_response_id: previous };
    assert.equal((await ask(scene, '/responses', { body: small })).status, 200);
    const [record] = scene.setup.records.slice(-1);
    assert.ok((record?.reservedInputTokens ?? 0) > 30_000, 'all of it is estimated');
    const asked = scene.upstream.requests.length;
    const counted = await ask(scene, '/responses/input_tokens', { body: { ...small, input: 'x'.repeat(60_000) } });
    assert.equal(counted.status, 413);
    assert.equal(scene.upstream.requests.length, asked);
  },
);

onBareHost(
  'an item that is referred to many times is said once',
  () => translated(hello, { maxBodyBytes: 200_000 }),
  async (scene) => {
    const first = await ask(scene, '/responses', {
      body: { ...CALL, input: [{ role: 'user', content: 'x'.repeat(100_000) }] },
    });
    const { id } = JSON.parse(await first.text());
    const listed = JSON.parse(await (await ask(scene, `/responses/${id}/input_items`)).text());
    const reference = { type: 'item_reference', id: listed.data[0].id };
    const body = { ...CALL, input: [...Array.from({ length: 500 }, () => reference), { role: 'user', content: 'Hi' }] };
    assert.equal((await ask(scene, '/responses', { body })).status, 200);
    const { messages } = (await scene.upstream.request(1)).json();
    assert.equal(Array.isArray(messages) && messages.length, 2);
  },
);
