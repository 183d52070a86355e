import assert from 'node:assert/strict';
import { demo } from 'megallm-middleware';
import type OpenAI from 'openai';
import { specChecker } from '../conformance/description.js';
import { errorReply, reply, sse, streamEvents, streamReply, USAGE, wholeChat } from '../helpers/chat-answers.js';
import { frozenClock } from '../helpers/frozen-clock.js';
import { SECRET, SMALL_SECRET } from '../helpers/gateway-options.js';
import { ask } from '../helpers/response-client.js';
import { MODEL, onBareHost, onEveryHost, type SceneOptions } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';
import { readEvents } from '../wire/read-events.js';

const check = specChecker();

/** Answers whole or streamed, as it is asked. */
const hello: Script = (request) =>
  request.json().stream === true ? streamReply(streamEvents(['Hel', 'lo'])) : reply(wholeChat('Hello'));

const translated = (script: Script = hello, more: SceneOptions = {}): SceneOptions => ({
  script,
  models: { [MODEL]: { responses: 'translate' } },
  ...more,
});

onBareHost(
  'a response is made of a chat completion, and its record is exact',
  () => translated(),
  async (scene) => {
    const { client, upstream, setup } = scene;
    const call = { model: MODEL, input: 'Say hello', instructions: 'Be brief', max_output_tokens: 50 };
    const { data, request_id } = await client().responses.create(call).withResponse();
    assert.equal(data.output_text, 'Hello');
    assert.match(data.id, /^resp_[0-9a-f]{48}$/);
    check('Response', JSON.parse(await (await ask(scene, `/responses/${data.id}`)).text()));
    const { path } = await upstream.request(0);
    assert.equal(path, '/v1/chat/completions');
    const { messages, max_completion_tokens, store } = (await upstream.request(0)).json();
    assert.deepEqual(messages, [
      { role: 'system', content: 'Be brief' },
      { role: 'user', content: 'Say hello' },
    ]);
    assert.equal(max_completion_tokens, 50);
    assert.equal(store, undefined, 'it is kept here');
    const [record] = setup.records;
    assert.equal(record?.requestId, request_id);
    assert.equal(record?.operation, 'responses');
    assert.deepEqual(
      [record?.counted, record?.inputTokens, record?.cachedInputTokens, record?.outputTokens, record?.reasoningTokens],
      ['exact', 11, 4, 9, 3],
    );
    assert.equal(setup.records.length, 1, 'what is kept here is looked up for nothing');
  },
);

onEveryHost(
  'a streamed response has the events of OpenAI’s description in their order, and no [DONE]',
  () => translated(),
  async (scene) => {
    const response = await ask(scene, '/responses', { body: { model: MODEL, input: 'Say hello', stream: true } });
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    const text = await response.text();
    assert.ok(!text.includes('[DONE]'));
    const events = readEvents(text);
    for (const { name, data } of events) {
      assert.equal(data.type, name);
      check('ResponseStreamEvent', data);
    }
    assert.deepEqual(
      events.map(({ data }) => data.sequence_number),
      events.map((_, index) => index),
    );
    assert.deepEqual(
      events.map(({ name }) => name),
      `response.created response.in_progress response.output_item.added response.content_part.added
       response.output_text.delta response.output_text.delta response.output_text.done response.content_part.done
       response.output_item.done response.completed`.split(/\s+/),
    );
    assert.equal(scene.setup.records[0]?.inputTokens, 11);
    assert.equal(scene.setup.records[0]?.counted, 'exact');
  },
);

onBareHost(
  'the official client’s accumulator takes a stream, and what it made of it can be retrieved',
  () => ({ upstream: demo() }),
  async ({ client, setup }) => {
    const stream = client().responses.stream({ model: MODEL, input: 'Say hello' });
    const final = await stream.finalResponse();
    assert.ok(final.output_text.length > 0);
    const again = await client().responses.retrieve(final.id);
    assert.deepEqual(again.output_text, final.output_text);
    assert.deepEqual(again.usage, final.usage);
    assert.equal(setup.records.length, 1);
    assert.equal(setup.records[0]?.outputTokens, final.usage?.output_tokens);
  },
);

const PNG = 'iVBORw0KGgoAAAANSUhEUg==';
const DATA_URL = `data:image/png;base64,${PNG}`;

/** Forms in which chat models answer pictures: OpenRouter's and LiteLLM's `images`, parts of the content. */
const PICTURES: Readonly<Record<string, (url: string) => Record<string, unknown>>> = {
  'images beside no text': (url) => ({ content: null, images: [{ type: 'image_url', image_url: { url } }] }),
  'images beside an empty text': (url) => ({
    content: '',
    images: [{ type: 'image_url', image_url: { url }, index: 0 }],
  }),
  'the address alone': (url) => ({ content: null, images: [url] }),
  'a part of the content': (url) => ({ content: [{ type: 'image_url', image_url: { url } }] }),
  'the same twice': (url) => ({
    content: [{ type: 'image_url', image_url: url }],
    images: [{ type: 'image_url', image_url: { url } }],
  }),
};

/** Says a message whole or streamed, as it is asked. */
const saying =
  (message: Record<string, unknown>): Script =>
  (request) => {
    if (request.json().stream !== true) return reply(wholeChat(null, { message }));
    const chunk = { id: 'c', object: 'chat.completion.chunk', created: 1, model: MODEL };
    const choice = { index: 0, delta: { role: 'assistant', ...message }, finish_reason: null };
    return streamReply([
      sse({ ...chunk, choices: [choice] }),
      sse({ ...chunk, choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }),
      sse({ ...chunk, choices: [], usage: USAGE }),
      'data: [DONE]\n\n',
    ]);
  };

for (const [form, message] of Object.entries(PICTURES)) {
  onBareHost(
    `a picture of a chat model is an image_generation_call, or its address as text: ${form}`,
    () => translated(saying(message(DATA_URL))),
    async (scene) => {
      const body = { model: MODEL, input: 'Draw' };
      const whole = JSON.parse(await (await ask(scene, '/responses', { body })).text());
      check('Response', whole);
      assert.deepEqual(
        whole.output.map(({ id, ...item }: { id: string }) => [id.slice(0, 3), item]),
        [['ig_', { type: 'image_generation_call', status: 'completed', result: PNG }]],
      );
      const streamed = readEvents(await (await ask(scene, '/responses', { body: { ...body, stream: true } })).text());
      for (const { data } of streamed) check('ResponseStreamEvent', data);
      const last = JSON.parse(JSON.stringify(streamed.at(-1)?.data));
      assert.equal(last.type, 'response.completed');
      assert.deepEqual(
        last.response.output.map(({ type, result }: Record<string, unknown>) => [type, result]),
        [['image_generation_call', PNG]],
      );
      assert.deepEqual(
        streamed.slice(2, -1).map(({ name }) => name.replace('response.', '')),
        [
          'output_item.added',
          'image_generation_call.in_progress',
          'image_generation_call.completed',
          'output_item.done',
        ],
      );
      const told = readEvents(await (await ask(scene, `/responses/${whole.id}?stream=true`)).text());
      for (const { data } of told) check('ResponseStreamEvent', data);
      const plain = ({ name, data: { item } }: (typeof told)[number]): unknown => [name, Object(item).result];
      assert.deepEqual(told.map(plain), streamed.map(plain), 'retold as it was told');
      scene.upstream.answerWith(saying(message('https://pictures.example/a.png')));
      for (const stream of [false, true]) {
        const text = await (await ask(scene, '/responses', { body: { ...body, stream } })).text();
        assert.match(
          text,
          /"type":"output_text","annotations":\[\],"logprobs":\[\],"text":"https:\/\/pictures\.example\/a\.png"/,
        );
      }
    },
  );
}

onBareHost(
  'a picture of a chat model stands after its words, and is shown to it when the conversation goes on',
  () => translated(saying({ content: 'Here:', images: [{ type: 'image_url', image_url: { url: DATA_URL } }] })),
  async ({ client, upstream }) => {
    for (const stream of [false, true]) {
      const first = stream
        ? await client().responses.stream({ model: MODEL, input: 'Draw' }).finalResponse()
        : await client().responses.create({ model: MODEL, input: 'Draw' });
      assert.deepEqual(
        [first.output_text, first.output.map(({ type }) => type)],
        ['Here:', ['message', 'image_generation_call']],
      );
      await client().responses.create({ model: MODEL, input: 'Now in red', previous_response_id: first.id });
      // A client that keeps the conversation itself sends the items back.
      const input: OpenAI.Responses.ResponseInput = [
        { role: 'user', content: 'Draw' },
        ...first.output.flatMap((item) =>
          item.type === 'message' || item.type === 'image_generation_call' ? [item] : [],
        ),
        { role: 'user', content: 'Now in red' },
      ];
      await client().responses.create({ model: MODEL, input });
      const [followed, sentBack] = upstream.requests.slice(-2).map((request) => request.json().messages);
      assert.deepEqual(followed, sentBack);
      assert.deepEqual(followed, [
        { role: 'user', content: 'Draw' },
        { role: 'assistant', content: 'Here:' },
        {
          role: 'user',
          content: [
            { type: 'text', text: 'The picture that you made:' },
            { type: 'image_url', image_url: { url: DATA_URL } },
          ],
        },
        { role: 'user', content: 'Now in red' },
      ]);
    }
  },
);

const WEATHER = {
  type: 'function' as const,
  name: 'get_weather',
  description: 'The weather',
  strict: true,
  parameters: {
    type: 'object',
    properties: { city: { type: 'string' } },
    required: ['city'],
    additionalProperties: false,
  },
};

/** Calls the tool until two answers are there, then speaks. */
const looping: Script = (request) => {
  const answers = (request.json().messages as { role: string }[]).filter(({ role }) => role === 'tool').length;
  if (answers === 2) return reply(wholeChat('It is 20 degrees.'));
  const call = {
    id: `call_${answers}`,
    type: 'function',
    function: { name: 'get_weather', arguments: '{"city":"Paris"}' },
  };
  return reply(wholeChat(null, { finishReason: 'tool_calls', message: { tool_calls: [call] } }));
};

onBareHost(
  'a loop of tool calls goes on by previous_response_id, and by passing the items',
  () => translated(looping),
  async ({ client, upstream }) => {
    const { responses } = client();
    for (const store of [true, false]) {
      let input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'What is the weather in Paris?' }];
      let response = await responses.create({ model: MODEL, input, tools: [WEATHER], store });
      for (let turn = 0; response.output_text === ''; turn += 1) {
        const [call] = response.output;
        assert.ok(call?.type === 'function_call');
        assert.equal(call.call_id, `call_${turn}`);
        const output = { type: 'function_call_output' as const, call_id: call.call_id, output: '{"celsius":20}' };
        input = store ? [output] : [...input, call, output];
        const before = store ? { previous_response_id: response.id } : {};
        response = await responses.create({ model: MODEL, input, tools: [WEATHER], store, ...before });
      }
      assert.equal(response.output_text, 'It is 20 degrees.');
    }
    const [, , stored, , , passed] = upstream.requests.map((request) => request.json().messages);
    assert.deepEqual(passed, stored);
    assert.deepEqual(
      (passed as { role: string }[]).map(({ role }) => role),
      ['user', 'assistant', 'tool', 'assistant', 'tool'],
    );
  },
);

onBareHost(
  'the demo calls a tool and speaks of what it gave',
  () => ({ upstream: demo() }),
  async ({ client }) => {
    const call = { model: MODEL, tools: [WEATHER] };
    const asked = { ...call, input: 'What is the weather in Paris?', tool_choice: 'required' as const };
    const first = await client().responses.create(asked);
    const [item] = first.output;
    assert.ok(item?.type === 'function_call');
    const input = [{ type: 'function_call_output' as const, call_id: item.call_id, output: '{"celsius":20}' }];
    const second = await client().responses.create({ ...call, input, previous_response_id: first.id });
    assert.ok(second.output_text.length > 0);
  },
);

onBareHost(
  'structured outputs are parsed by the official client',
  () => ({ upstream: demo() }),
  async ({ client }) => {
    const schema = {
      type: 'object',
      properties: { answer: { type: 'integer' }, words: { type: 'array', items: { type: 'string' } } },
      required: ['answer', 'words'],
      additionalProperties: false,
    };
    const format = { type: 'json_schema' as const, name: 'answer', strict: true, schema };
    const response = await client().responses.parse({ model: MODEL, input: 'How many?', text: { format } });
    const parsed = response.output_parsed as { answer: number; words: string[] } | null;
    assert.ok(Number.isInteger(parsed?.answer) && Array.isArray(parsed?.words));
  },
);

onBareHost(
  'instructions hold for one response, and what was said before goes along',
  () => translated(),
  async ({ client, upstream }) => {
    const { responses } = client();
    const first = await responses.create({ model: MODEL, input: 'One', instructions: 'Old' });
    const second = await responses.create({ model: MODEL, input: 'Two', previous_response_id: first.id });
    await responses.create({ model: MODEL, input: 'Three', instructions: 'New', previous_response_id: second.id });
    const { messages } = (await upstream.request(2)).json();
    const said = (messages as { role: string; content: unknown }[]).map(({ role, content }) => [
      role,
      Array.isArray(content) ? content.map(({ text }) => text).join('') : content,
    ]);
    assert.deepEqual(said, [
      ['system', 'New'],
      ['user', 'One'],
      ['assistant', 'Hello'],
      ['user', 'Two'],
      ['assistant', 'Hello'],
      ['user', 'Three'],
    ]);
  },
);

onBareHost(
  'a response that is not to be stored is nowhere afterwards, and one that is deleted neither',
  () => translated(),
  async ({ client }) => {
    const { responses } = client();
    const unstored = await responses.create({ model: MODEL, input: 'One', store: false });
    await assert.rejects(responses.retrieve(unstored.id), notFound(unstored.id));
    const stored = await responses.create({ model: MODEL, input: 'One' });
    await responses.delete(stored.id);
    await assert.rejects(responses.retrieve(stored.id), notFound(stored.id));
    await assert.rejects(responses.delete(stored.id), notFound(stored.id));
    await assert.rejects(responses.cancel(stored.id), notFound(stored.id));
    await assert.rejects(
      responses.create({ model: MODEL, input: 'Two', previous_response_id: stored.id }),
      previousNotFound(stored.id),
    );
  },
);

onBareHost(
  'the items of an input are listed, newest first, page by page',
  () => translated(),
  async ({ client }) => {
    const { responses } = client();
    const input = ['A', 'B', 'C', 'D', 'E'].map((content) => ({ role: 'user' as const, content }));
    const { id } = await responses.create({ model: MODEL, input });
    const texts = async (query: OpenAI.Responses.InputItemListParams): Promise<string> => {
      let all = '';
      for await (const item of responses.inputItems.list(id, query)) {
        assert.ok('content' in item && Array.isArray(item.content));
        const [part] = item.content;
        assert.ok(part !== undefined && 'text' in part);
        all += part.text;
      }
      return all;
    };
    assert.equal(await texts({}), 'EDCBA');
    assert.equal(await texts({ limit: 2 }), 'EDCBA');
    assert.equal(await texts({ order: 'asc', limit: 3 }), 'ABCDE');
    const page = await responses.inputItems.list(id, { limit: 2, order: 'asc' });
    assert.equal(page.data.length, 2);
    assert.equal(page.has_more, true);
    await assert.rejects(responses.inputItems.list(id, { limit: 0 }), { status: 400, param: 'limit' });
    const gone = { status: 400, param: 'after', message: /there is no object 'msg_gone'/ };
    await assert.rejects(responses.inputItems.list(id, { after: 'msg_gone' }), gone);
  },
);

onBareHost(
  'only who made a response can retrieve, delete, cancel, list, go on from or refer to it',
  () => translated(hello, { small: {} }),
  async ({ client, upstream }) => {
    const { responses: mine } = client();
    const { responses: others } = client({ apiKey: SMALL_SECRET });
    const made = await mine.create({ model: MODEL, input: 'Mine' });
    const [item] = made.output;
    assert.ok(item?.id !== undefined && item.id !== null);
    await assert.rejects(others.retrieve(made.id), notFound(made.id));
    await assert.rejects(others.delete(made.id), notFound(made.id));
    await assert.rejects(others.cancel(made.id), notFound(made.id));
    await assert.rejects(others.inputItems.list(made.id), notFound(made.id));
    const asked = upstream.requests.length;
    const goingOn = { model: MODEL, input: 'Tell', previous_response_id: made.id };
    await assert.rejects(others.create(goingOn), previousNotFound(made.id));
    const reference = { type: 'item_reference' as const, id: item.id };
    await assert.rejects(others.create({ model: MODEL, input: [reference] }), { status: 404 });
    await assert.rejects(others.inputTokens.count(goingOn), previousNotFound(made.id));
    assert.equal(upstream.requests.length, asked, 'the upstream never heard of it');
    const referring = await mine.create({ model: MODEL, input: [reference, { role: 'user', content: 'And?' }] });
    assert.equal(referring.status, 'completed');
    assert.equal((await mine.retrieve(made.id)).id, made.id);
  },
);

onBareHost(
  'input tokens are counted for nothing, also those of what was said before',
  () => translated(),
  async ({ client, upstream, setup }) => {
    const { responses } = client();
    const short = await responses.inputTokens.count({ model: MODEL, input: 'Hi' });
    assert.equal(short.object, 'response.input_tokens');
    const long = await responses.create({ model: MODEL, input: 'word '.repeat(500) });
    const { input_tokens } = await responses.inputTokens.count({
      model: MODEL,
      input: 'Hi',
      previous_response_id: long.id,
    });
    assert.ok(short.input_tokens > 0 && input_tokens > 400 + short.input_tokens);
    assert.equal(upstream.requests.length, 1);
    assert.equal(setup.records.length, 1);
  },
);

onBareHost(
  'a key that may not call a model may not count for it either, and what is not served is not counted',
  () => translated(hello, { key: { models: ['other'] } }),
  async ({ client }) => {
    const { inputTokens } = client().responses;
    await assert.rejects(inputTokens.count({ model: MODEL, input: 'Hi' }), { status: 403 });
    await assert.rejects(inputTokens.count({ model: 'nope', input: 'Hi' }), { status: 404 });
  },
);

onBareHost(
  'the upstream’s name of a model shows nowhere in a response',
  () => ({
    script: (request) =>
      request.json().stream === true
        ? streamReply(streamEvents(['Hi'], { model: 'secret-model-7' }))
        : reply(wholeChat('Hi', { model: 'secret-model-7' })),
    models: { 'public-model': { upstreamModel: 'secret-model-7', responses: 'translate', aliases: ['nick'] } },
  }),
  async (scene) => {
    for (const model of ['public-model', 'nick']) {
      for (const stream of [false, true]) {
        const response = await ask(scene, '/responses', { body: { model, input: 'Hi', stream } });
        const text = await response.text();
        assert.ok(!text.includes('secret-model-7') && text.includes(`"model":"${model}"`), text);
      }
    }
    assert.ok(scene.setup.records.every(({ model }) => model === 'public-model'));
  },
);

onBareHost(
  'X-Debug shows a whole response’s numbers in headers, and a stream’s in a comment',
  () => translated(),
  async ({ client, host }) => {
    const { response } = await client()
      .responses.create({ model: MODEL, input: 'Hi' }, { headers: { 'x-debug': 'true' } })
      .withResponse();
    assert.ok([...response.headers.keys()].some((name) => name.startsWith('x-debug')));
    const streamed = await fetch(`${host.baseUrl}/responses`, {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', 'x-debug': 'true' },
      body: JSON.stringify({ model: MODEL, input: 'Hi', stream: true }),
    });
    const text = await streamed.text();
    assert.match(text, /^: /m);
    assert.match(text, /event: response.completed\n/);
  },
);

onBareHost(
  'a response draws on the limits of its key, tells what is left, and is refused beyond them',
  () => translated(hello, { small: { requestsPerMinute: 2, tokensPerMinute: 10_000 }, clock: frozenClock() }),
  async ({ client }) => {
    const { responses } = client({ apiKey: SMALL_SECRET });
    const { response } = await responses.create({ model: MODEL, input: 'Hi' }).withResponse();
    assert.equal(response.headers.get('x-ratelimit-remaining-requests'), '1');
    assert.equal(response.headers.get('x-ratelimit-limit-tokens'), '10000');
    assert.equal(response.headers.get('x-ratelimit-remaining-tokens'), '9980');
    await responses.create({ model: MODEL, input: 'Hi' });
    await assert.rejects(responses.create({ model: MODEL, input: 'Hi' }), { status: 429, code: 'rate_limit_exceeded' });
  },
);

onBareHost(
  'an upstream that refuses before it answers is an HTTP error, whole and streamed',
  () => translated(() => errorReply(429, { type: 'requests', code: 'rate_limit_exceeded' })),
  async ({ client, setup }) => {
    const call = { model: MODEL, input: 'Hi' };
    await assert.rejects(client().responses.create(call), { status: 429, code: 'rate_limit_exceeded' });
    await assert.rejects(client().responses.create({ ...call, stream: true }), { status: 429 });
    assert.deepEqual(
      setup.records.map(({ outcome, inputTokens }) => [outcome, inputTokens]),
      [
        ['error', undefined],
        ['error', undefined],
      ],
    );
  },
);

onBareHost(
  'what responses do not have is refused in their words',
  () => translated(),
  async ({ client, upstream }) => {
    const { responses } = client();
    const refused = (more: object): Promise<unknown> =>
      responses.create({ model: MODEL, input: 'Hi', ...more } as never);
    await assert.rejects(refused({ input: undefined }), { status: 400, param: 'input' });
    await assert.rejects(refused({ conversation: 'conv_1' }), { status: 400, param: 'conversation' });
    await assert.rejects(refused({ tools: [{ type: 'web_search' }] }), { status: 400, param: 'tools' });
    await assert.rejects(refused({ background: true, store: false }), { status: 400, param: 'background' });
    await assert.rejects(refused({ previous_response_id: 'resp_none' }), previousNotFound('resp_none'));
    await assert.rejects(responses.retrieve('resp_none'), notFound('resp_none'));
    assert.equal(upstream.requests.length, 0);
  },
);

onBareHost(
  'a response that was not made in the background cannot be cancelled',
  () => translated(),
  async ({ client }) => {
    const { responses } = client();
    const { id } = await responses.create({ model: MODEL, input: 'Hi' });
    await assert.rejects(responses.cancel(id), { status: 400, message: /Cannot cancel a synchronous response/ });
    assert.equal((await responses.retrieve(id)).status, 'completed');
  },
);

onBareHost(
  'a usage of zero tokens is kept as it was said, and an upstream that says none is estimated',
  () => translated((_request, index) => reply(wholeChat('Hello', { usage: index === 0 ? USAGE : null }))),
  async ({ client, setup }) => {
    const first = await client().responses.create({ model: MODEL, input: 'Hi' });
    assert.equal(first.usage?.total_tokens, 20);
    await client().responses.create({ model: MODEL, input: 'Hi' });
    assert.deepEqual(
      setup.records.map(({ counted }) => counted),
      ['exact', 'estimated'],
    );
    assert.ok((setup.records[1]?.outputTokens ?? 0) > 0);
  },
);

const notFound = (id: string) => ({ status: 404, message: `404 Response with id '${id}' not found.` });
const previousNotFound = (id: string) => ({
  status: 400,
  code: 'previous_response_not_found',
  param: 'previous_response_id',
  message: `400 Previous response with id '${id}' not found.`,
});

const LONG_STREAM = streamEvents(Array<string>(60).fill('word '));

onBareHost(
  'the bound of an answer is held against what the upstream sent, not against the response that is made of it',
  () => translated(() => streamReply(LONG_STREAM), { maxResponseBytes: LONG_STREAM.join('').length + 100 }),
  async (scene) => {
    const response = await ask(scene, '/responses', { body: { model: MODEL, input: 'Say words', stream: true } });
    const names = readEvents(await response.text()).map(({ name }) => name);
    assert.equal(names.at(-1), 'response.completed');
  },
);

onBareHost(
  'what is made of a response’s request is held to the bounds of any request: its tools are nested deeper than they came',
  () => translated(),
  async (scene) => {
    const toolOf = (depth: number): object => {
      let parameters: object = {};
      for (let at = 1; at < depth; at += 1) parameters = { properties: { a: parameters } };
      return { type: 'function', name: 'deep', parameters, strict: false };
    };
    const statusOf = async (depth: number): Promise<number> => {
      const body = { model: MODEL, input: 'Hi', tools: [toolOf(depth)] };
      const response = await ask(scene, '/responses', { body });
      if (response.status !== 200) assert.match(await response.text(), /64 levels/);
      return response.status;
    };
    // The body, its tools, a tool, its function: 60 levels are left.
    assert.deepEqual([await statusOf(30), await statusOf(31)], [200, 400]);
    assert.equal(scene.upstream.requests.length, 1);
  },
);

onBareHost(
  'half a character that an upstream once wrote reaches it as a whole one when the conversation goes on',
  () => translated(() => reply(JSON.stringify(wholeChat('Hal')).replace('"Hal"', '"Hal\\ud83d"'))),
  async (scene) => {
    const first = await (await ask(scene, '/responses', { body: { model: MODEL, input: 'Hi' } })).json();
    const body = { model: MODEL, input: 'Go on', previous_response_id: Object(first).id };
    assert.equal((await ask(scene, '/responses', { body })).status, 200);
    const sent = (await scene.upstream.request(1)).body;
    assert.ok(sent.includes('"Hal\ufffd"') || sent.includes('"Hal\\ufffd"'), sent);
  },
);

onBareHost(
  'output that no upstream counts is estimated alike, translated or not',
  () => ({
    script: () =>
      streamReply(streamEvents(['A "quote"\n', '\\begin\\begin\\begin', 'Grüße\n\n\n'], { usage: 'never' })),
    models: { [MODEL]: { responses: 'translate' } },
  }),
  async (scene) => {
    const chat = { model: MODEL, messages: [{ role: 'user', content: 'Hi' }], stream: true };
    await (await ask(scene, '/chat/completions', { body: chat })).text();
    await (await ask(scene, '/responses', { body: { model: MODEL, input: 'Hi', stream: true } })).text();
    const [plain, made] = scene.setup.records;
    assert.deepEqual([plain?.counted, made?.counted], ['estimated', 'estimated']);
    assert.equal(made?.outputTokens, plain?.outputTokens);
  },
);
