import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createKey, demo, memoryKeys } from 'megallm-middleware';
import { isJsonObject, type JsonObject } from '../../src/base/json.js';
import {
  chunkOf,
  errorReply,
  reply,
  streamChat,
  streamEvents,
  streamHead,
  streamReply,
  wholeChat,
} from '../helpers/chat-answers.js';
import { gate, within } from '../helpers/deadline.js';
import { SECRET, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { express5Behind } from '../helpers/hosts/express.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { type RawResponse, rawChat, rawClient, rawExchange, rawRequest } from '../helpers/raw-client.js';
import { CALL, type Scene, type SceneOptions, UPSTREAM_KEY, withScene } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

const TOOL = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
/** Two calls in one answer. */
const TOOLS = [TOOL, { ...TOOL, function: { ...TOOL.function, name: 'get_time' } }];
const RESPONSE_TOOLS = TOOLS.map(({ type, function: { name, parameters } }) => ({
  type,
  name,
  parameters,
  strict: false,
}));

/** Requests whose answers stream, in all shapes there are. */
const STREAMS: readonly (readonly [path: string, body: JsonObject])[] = [
  ['/chat/completions', { ...CALL, stream: true }],
  ['/chat/completions', { ...CALL, stream: true, stream_options: { include_usage: true }, n: 2, logprobs: true }],
  ['/chat/completions', { ...CALL, stream: true, tools: TOOLS, tool_choice: 'required' }],
  ['/completions', { model: 'gpt-3.5-turbo-instruct', prompt: 'Hello', stream: true }],
  ['/responses', { model: CALL.model, input: 'Say hello', stream: true }],
  [
    '/responses',
    { model: CALL.model, input: 'Say hello', stream: true, tools: RESPONSE_TOOLS, tool_choice: 'required' },
  ],
];

/** Requests whose answers are whole. */
const WHOLES: readonly (readonly [path: string, body: JsonObject])[] = [
  ...STREAMS.map(([path, { stream, stream_options, ...body }]) => [path, body] as const),
  ['/embeddings', { model: 'text-embedding-3-small', input: ['a', 'b'] }],
  ['/moderations', { model: 'omni-moderation-latest', input: 'a' }],
];

const AUTH = { authorization: `Bearer ${SECRET}` };
const JSON_TYPE = { 'content-type': 'application/json' };

function post(
  { host }: Scene,
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<RawResponse> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return rawExchange(host.origin, rawRequest('POST', `/v1${path}`, { ...AUTH, ...JSON_TYPE, ...headers }, text));
}

function get({ host }: Scene, path: string, headers: Readonly<Record<string, string>> = {}): Promise<RawResponse> {
  return rawExchange(host.origin, rawRequest('GET', `/v1${path}`, { ...AUTH, ...headers }));
}

/** With the demo behind the gateway. */
function ofDemo(rule: string, play: (scene: Scene) => Promise<void>): void {
  it(rule, { timeout: 30_000 }, () => withScene(BARE_HOST, { upstream: demo() }, play));
}

/** With an upstream that does what the script says. */
function of(rule: string, script: Script, play: (scene: Scene) => Promise<void>, more: SceneOptions = {}): void {
  it(rule, { timeout: 30_000 }, () => withScene(BARE_HOST, { script, ...more }, play));
}

interface StreamEvent {
  readonly lines: readonly string[];
  readonly data: JsonObject | undefined;
}

/** The events of a body, each by its lines, and `undefined` for the data `[DONE]`. */
function eventsIn(body: string): readonly StreamEvent[] {
  return body
    .split('\n\n')
    .slice(0, -1)
    .map((event) => {
      const lines = event.split('\n');
      const text = lines.find((line) => line.startsWith('data: '))?.slice('data: '.length) ?? '';
      const data: unknown = text === '[DONE]' ? undefined : JSON.parse(text);
      return { lines, data: isJsonObject(data) ? data : undefined };
    });
}

const dataIn = (body: string): readonly JsonObject[] =>
  eventsIn(body).flatMap(({ data }) => (data === undefined ? [] : [data]));

async function streamed(
  scene: Scene,
  visit: (events: readonly StreamEvent[], body: string, path: string) => void,
): Promise<void> {
  for (const [path, body] of STREAMS) {
    const answer = await post(scene, path, body);
    assert.equal(answer.status, 200, answer.body);
    const events = eventsIn(answer.body);
    assert.ok(events.length >= 3, answer.body);
    visit(events, answer.body, path);
  }
}

/** All members with that name, at any depth. */
function membersNamed(name: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value.flatMap((item) => membersNamed(name, item));
  if (!isJsonObject(value)) return [];
  return Object.entries(value).flatMap(([key, member]) => [
    ...(key === name ? [member] : []),
    ...membersNamed(name, member),
  ]);
}

const objects = (value: unknown): readonly JsonObject[] => (Array.isArray(value) ? value.filter(isJsonObject) : []);
const deltasOf = (chunk: JsonObject): readonly JsonObject[] =>
  objects(chunk.choices).flatMap(({ delta }) => objects([delta]));
const errorOf = ({ body }: RawResponse): JsonObject => {
  const value: unknown = JSON.parse(body);
  assert.ok(isJsonObject(value) && isJsonObject(value.error), body);
  return value.error;
};

describe('wire.md §2.2, the hard rules', () => {
  ofDemo('rule 1: no good chunk or event has `error` at its top', (scene) =>
    streamed(scene, (events, body, path) => {
      for (const { data } of events) assert.ok(data === undefined || !Object.hasOwn(data, 'error'));
      // One that breaks off has no error either: each must have come to its end.
      if (path !== '/responses') assert.ok(body.endsWith('\n\ndata: [DONE]\n\n'), body.slice(-300));
      else assert.equal(events.at(-1)?.data?.type, 'response.completed', body.slice(-300));
    }),
  );

  ofDemo('rule 2: no `id:` or `retry:` lines, and no event without data', (scene) =>
    streamed(scene, (events) => {
      for (const { lines } of events) {
        assert.ok(lines.some((line) => /^data: \S/.test(line)));
        for (const line of lines) assert.match(line, /^(?:event|data): /);
      }
    }),
  );

  ofDemo(
    'rule 3: role only in the first delta; tool id, type and name only in the first delta of that call',
    async (scene) => {
      for (const [path, body] of STREAMS.filter(([path]) => path === '/chat/completions')) {
        const chunks = dataIn((await post(scene, path, body)).body);
        const choices = new Map<unknown, JsonObject[]>();
        for (const { index, delta } of chunks.flatMap((chunk) => objects(chunk.choices)))
          choices.set(index, [...(choices.get(index) ?? []), ...objects([delta])]);
        for (const [first, ...rest] of choices.values()) {
          assert.equal(first?.role, 'assistant');
          assert.deepEqual(
            rest.filter((delta) => 'role' in delta),
            [],
          );
        }
        const seen = new Set<unknown>();
        for (const call of chunks.flatMap(deltasOf).flatMap((delta) => objects(delta.tool_calls))) {
          const isFirst = !seen.has(call.index);
          seen.add(call.index);
          assert.equal('id' in call && 'type' in call, isFirst);
          assert.equal(isJsonObject(call.function) && 'name' in call.function, isFirst);
        }
        assert.equal(seen.size, body.tools === undefined ? 0 : 2);
      }
    },
  );

  ofDemo('rule 4: every tool delta has an integer `index`', async (scene) => {
    const { body } = await post(scene, '/chat/completions', {
      ...CALL,
      stream: true,
      tools: TOOLS,
      tool_choice: 'required',
    });
    const calls = dataIn(body)
      .flatMap(deltasOf)
      .flatMap((delta) => objects(delta.tool_calls));
    assert.ok(calls.length >= 4);
    for (const { index } of calls) assert.ok(Number.isInteger(index));
  });

  ofDemo('rule 5: lines end in \\n, and the last event in a blank line', (scene) =>
    streamed(scene, (_events, body) => {
      assert.ok(!body.includes('\r'));
      assert.ok(body.endsWith('\n\n'));
      assert.ok(!body.includes('\n\n\n'));
    }),
  );

  of(
    'rule 6: an error in a chat stream is `data: {"error":{` exactly, without `event:` line or comment before it',
    () => [
      streamHead(),
      chunkOf(streamEvents(['Hel'], { finishReason: null, done: false }).join('')),
      { kind: 'reset' },
    ],
    async (scene) => {
      const { body } = await post(scene, '/chat/completions', { ...CALL, stream: true });
      assert.match(body, /\}\n\ndata: \{"error":\{"message":[^\n]+\}\}\n\n$/);
      scene.setup.expectErrors();
    },
    { broken: true },
  );

  ofDemo('rule 7: of our own we write no comments at all', (scene) =>
    streamed(scene, (_events, body) => assert.doesNotMatch(body, /^:/m)),
  );

  ofDemo('rule 8: `created`, `index` and token counts are integers, and `created` is below 2^31', async (scene) => {
    const bodies: string[] = [];
    for (const [path, body] of [...STREAMS, ...WHOLES]) bodies.push((await post(scene, path, body)).body);
    bodies.push((await get(scene, '/models')).body);
    for (const body of bodies) {
      for (const [, name = '', number = ''] of body.matchAll(
        /"(created|created_at|index|\w+_tokens)":\s*(-?[\d.eE+-]+)/g,
      )) {
        assert.match(number, /^\d+$/, `${name}: ${number}`);
        assert.ok(Number(number) < 2 ** 31, `${name}: ${number}`);
      }
    }
  });

  ofDemo(
    'rule 9: `finish_reason`, `role`, `service_tier` and the `type` of tools have known values only',
    async (scene) => {
      const known: Readonly<Record<string, readonly unknown[]>> = {
        finish_reason: [null, 'stop', 'length', 'tool_calls', 'content_filter'],
        role: ['assistant'],
        service_tier: ['auto', 'default', 'flex', 'scale', 'priority'],
      };
      for (const [path, body] of [...STREAMS, ...WHOLES]) {
        const answer = await post(scene, path, body);
        const documents = body.stream === true ? dataIn(answer.body) : [JSON.parse(answer.body)];
        for (const [name, values] of Object.entries(known))
          for (const value of membersNamed(name, documents)) assert.ok(values.includes(value), `${name}: ${value}`);
        for (const call of membersNamed('tool_calls', documents).flatMap(objects))
          assert.ok(call.type === undefined || call.type === 'function');
      }
    },
  );

  ofDemo('rule 10: whole messages have `content` and `refusal`, null or not, and `object` is exact', async (scene) => {
    for (const [path, body] of WHOLES.filter(([path]) => path === '/chat/completions')) {
      const answer: unknown = JSON.parse((await post(scene, path, body)).body);
      assert.ok(isJsonObject(answer));
      assert.equal(answer.object, 'chat.completion');
      for (const message of membersNamed('message', answer).flatMap((one) => objects([one])))
        assert.ok('content' in message && 'refusal' in message);
    }
    const objectsOf = async (path: string, body: JsonObject): Promise<unknown> =>
      JSON.parse((await post(scene, path, body)).body).object;
    assert.equal(await objectsOf('/completions', { model: 'gpt-3.5-turbo-instruct', prompt: 'Hi' }), 'text_completion');
    assert.equal(await objectsOf('/embeddings', { model: 'text-embedding-3-small', input: 'Hi' }), 'list');
    assert.equal(await objectsOf('/responses', { model: CALL.model, input: 'Hi' }), 'response');
  });

  ofDemo(
    'rule 11: ids are there and stay the same; outputs are in order; a response begins with its creation',
    async (scene) => {
      for (const [path, body] of STREAMS) {
        const documents = dataIn((await post(scene, path, body)).body);
        if (path !== '/responses') {
          const ids = new Set(documents.map(({ id }) => id));
          assert.equal(ids.size, 1);
          assert.match(String([...ids][0]), /^(?:chatcmpl|cmpl)-\w+$/);
          continue;
        }
        assert.equal(documents[0]?.type, 'response.created');
        assert.deepEqual(
          documents.map(({ sequence_number }) => sequence_number),
          [...documents.keys()],
        );
        const items = documents.filter(({ type }) => type === 'response.output_item.added');
        assert.deepEqual(
          items.map(({ output_index }) => output_index),
          [...items.keys()],
        );
        const idsByIndex = items.map(({ item }) => (isJsonObject(item) ? item.id : undefined));
        assert.equal(new Set(idsByIndex).size, idsByIndex.length);
        for (const { item } of items) {
          assert.ok(isJsonObject(item) && typeof item.id === 'string' && item.id !== '');
          if (item.type === 'function_call') assert.match(String(item.call_id), /^call_\w+$/);
        }
        for (const { item_id, output_index } of documents) {
          if (item_id !== undefined) assert.equal(item_id, idsByIndex[Number(output_index)]);
        }
      }
    },
  );

  ofDemo('rule 12: JSON is called JSON, and errors are objects', async (scene) => {
    for (const [path, body] of WHOLES) {
      const answer = await post(scene, path, body);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['content-type'], 'application/json');
    }
    const refused = [
      post(scene, '/chat/completions', '{'),
      post(scene, '/chat/completions', {}),
      post(scene, '/threads', {}),
      get(scene, '/models/none'),
      get(scene, '/chat/completions/none'),
      get(scene, '/models', { authorization: `Bearer ${UNKNOWN_SECRET}` }),
      rawExchange(scene.host.origin, rawRequest('DELETE', '/v1/models', AUTH)),
    ];
    for (const answer of await Promise.all(refused)) {
      assert.ok(answer.status >= 400 && answer.status < 500);
      assert.equal(answer.headers['content-type'], 'application/json');
      const { message, type, code, param } = errorOf(answer);
      assert.ok(typeof message === 'string' && message !== '' && typeof type === 'string');
      for (const value of [code, param]) assert.ok(value === null || typeof value === 'string');
    }
  });

  of(
    'rule 13: a 5xx is JSON too, whatever the upstream says',
    () => reply('<html>Bad gateway</html>', { status: 502, contentType: 'text/html' }),
    async (scene) => {
      const answer = await post(scene, '/chat/completions', CALL);
      assert.equal(answer.status, 502);
      assert.equal(answer.headers['content-type'], 'application/json');
      assert.equal(errorOf(answer).code, 'upstream_error');
    },
    { broken: true },
  );

  of(
    'rule 14: what no retry can mend says so',
    () => errorReply(429, { type: 'insufficient_quota', code: 'insufficient_quota' }),
    async (scene) => {
      // The operator's empty account is no matter between the client and us: it stops retries without a word of it.
      const answer = await post(scene, '/chat/completions', CALL);
      assert.equal(answer.headers['x-should-retry'], 'false');
      assert.ok(!answer.body.includes('quota'));
    },
    { broken: true },
  );

  ofDemo('rule 15: `accept` decides nothing', async (scene) => {
    for (const accept of ['application/json', 'text/event-stream', '*/*', 'text/html']) {
      const whole = await post(scene, '/chat/completions', CALL, { accept });
      assert.equal(whole.headers['content-type'], 'application/json');
      const stream = await post(scene, '/chat/completions', { ...CALL, stream: true }, { accept });
      assert.match(stream.headers['content-type'] ?? '', /^text\/event-stream/);
    }
  });

  ofDemo(
    'rule 16: an empty body called JSON is no error where no body is wanted, and a body without model is told so',
    async (scene) => {
      const answer = await get(scene, '/models', JSON_TYPE);
      assert.equal(answer.status, 200);
      const id = String(JSON.parse((await post(scene, '/responses', { model: CALL.model, input: 'Hi' })).body).id);
      const deleted = await rawExchange(
        scene.host.origin,
        rawRequest('DELETE', `/v1/responses/${id}`, { ...AUTH, ...JSON_TYPE }),
      );
      assert.equal(deleted.status, 200);
      const nothing = await post(scene, '/responses', {});
      assert.equal(nothing.status, 400);
      assert.equal(errorOf(nothing).message, 'you must provide a model parameter');
    },
  );

  for (const kind of [BARE_HOST, express5Behind]) {
    it(`rule 17: streams are not compressed, and each event leaves at once, in ${kind.name}`, {
      timeout: 30_000,
    }, async () => {
      const { opened, open } = gate();
      const [first = '', ...rest] = streamEvents(['Hel', 'lo']);
      const script: Script = function* () {
        yield streamHead();
        yield chunkOf(first);
        yield { kind: 'wait', until: opened };
        yield chunkOf(rest.join(''));
        yield { kind: 'send', bytes: '0\r\n\r\n' };
      };
      await withScene(kind, { script }, async ({ host }) => {
        const client = await rawClient(host.origin);
        client.send(rawChat(SECRET, { ...CALL, stream: true }, { 'accept-encoding': 'gzip, deflate, br' }));
        await client.until((received) => received.includes('"role":"assistant"'), 'the first event, alone');
        open();
        const answer = await client.response();
        assert.equal(answer.headers['content-encoding'], undefined);
        assert.ok(answer.body.endsWith('data: [DONE]\n\n'));
        client.destroy();
      });
    });
  }

  ofDemo('rule 18: lists and objects in queries and forms are taken in each of their spellings', async (scene) => {
    const stored = await post(scene, '/chat/completions', { ...CALL, store: true, metadata: { foo: 'x' } });
    const { id } = JSON.parse(stored.body);
    for (const [query, found] of [
      ['metadata[foo]=x', 1],
      ['metadata%5Bfoo%5D=x', 1],
      ['metadata[foo]=y', 0],
    ] as const)
      assert.equal(JSON.parse((await get(scene, `/chat/completions?${query}`)).body).data.length, found, query);
    const response = JSON.parse((await post(scene, '/responses', { model: CALL.model, input: 'Hi' })).body);
    for (const query of [
      'include[]=message.output_text.logprobs&include[]=reasoning.encrypted_content',
      'include=message.output_text.logprobs',
    ])
      assert.equal((await get(scene, `/responses/${response.id}?${query}`)).status, 200, query);
    assert.match(String(id), /^chatcmpl-/);

    const made = JSON.parse(
      (await post(scene, '/images/generations', { model: 'gpt-image-1', prompt: 'A room' })).body,
    );
    for (const name of ['image', 'image[]']) {
      const form = new FormData();
      form.append('model', 'gpt-image-1');
      form.append('prompt', 'A lamp');
      form.append(name, new File([Buffer.from(made.data[0].b64_json, 'base64')], 'a.png', { type: 'image/png' }));
      const answer = await fetch(`${scene.host.baseUrl}/images/edits`, { method: 'POST', headers: AUTH, body: form });
      assert.equal(answer.status, 200, `${name}: ${await answer.text()}`);
    }
  });

  ofDemo('rule 19: doubled slashes are one', async ({ host }) => {
    for (const path of ['//v1/models', '/v1//models', '//v1///models'])
      assert.equal((await rawExchange(host.origin, rawRequest('GET', path, AUTH))).status, 200, path);
  });

  it('rule 20: keys of OpenAI’s look are taken, and the upstream hears what is meant for it, and no more', {
    timeout: 30_000,
  }, async () => {
    const { secret, key } = createKey({ id: 'key_test', tier: 'open' });
    assert.match(secret, /sk-/);
    const options: SceneOptions = { keys: memoryKeys([{ ...key, secret }]), script: () => reply(wholeChat('Hello')) };
    await withScene(BARE_HOST, options, async (scene) => {
      const answer = await post(scene, '/chat/completions', CALL, {
        authorization: `Bearer ${secret}`,
        'openai-organization': 'org-of-the-client',
        'openai-project': 'proj_of_the_client',
        'x-stainless-lang': 'js',
        'keep-alive': 'timeout=5',
        te: 'trailers',
      });
      assert.equal(answer.status, 200, answer.body);
      const { headers } = await scene.upstream.request(0);
      assert.equal(headers.authorization, `Bearer ${UPSTREAM_KEY}`);
      for (const name of ['te', 'keep-alive', 'openai-organization', 'openai-project'])
        assert.equal(headers[name], undefined);
    });
  });

  it('rule 21: calls of an upstream know no other deadline than ours', () => {
    const sources = readdirSync('src', { recursive: true })
      .map((name) => join('src', String(name)))
      .filter((path) => path.endsWith('.ts'))
      .map((path) => readFileSync(path, 'utf8'));
    // Nothing through the global `fetch`, whose deadlines of 300 s cannot be changed.
    for (const source of sources) assert.doesNotMatch(source, /(?<![\w.])fetch\(/);
    assert.match(readFileSync('src/upstreams/http.ts', 'utf8'), /headersTimeoutMs = 600_000/);
  });

  of(
    'rule 22: a client that goes takes its call of the upstream with it',
    () => [
      streamHead(),
      chunkOf(streamEvents(['Hel'], { finishReason: null, done: false }).join('')),
      { kind: 'stall' },
    ],
    async ({ host, upstream }) => {
      const client = await rawClient(host.origin);
      client.send(rawChat(SECRET, { ...CALL, stream: true }));
      await client.until((received) => received.includes('Hel'), 'the first words');
      client.destroy();
      const request = await upstream.request(0);
      await within(request.closed, 'the upstream to see its connection closed');
    },
  );

  it('rule 23: hosts are told to keep connections longer than clients do', () => {
    assert.match(readFileSync('docs/operations.md', 'utf8'), /keepAliveTimeout = 65_000/);
    assert.match(readFileSync('examples/start.ts', 'utf8'), /keepAliveTimeout = 65_000/);
  });

  of(
    'rule 24: members that nobody knows pass, both ways',
    ({ body }) =>
      JSON.parse(body).stream === true
        ? streamReply([streamChat([], { deltas: [{ content: 'Hi', x_of_the_delta: { kept: [1.5] } }] })])
        : reply(wholeChat('Hello')),
    async (scene) => {
      const asked = { ...CALL, x_of_the_request: { kept: [1, 2.5, 'ü'] } };
      const whole = JSON.parse((await post(scene, '/chat/completions', asked)).body);
      assert.deepEqual(whole.x_unknown_to_all, { kept: [1, 2.5, 'ü'] });
      assert.deepEqual((await scene.upstream.request(0)).json().x_of_the_request, asked.x_of_the_request);
      const stream = await post(scene, '/chat/completions', { ...asked, stream: true });
      assert.ok(stream.body.includes('"x_of_the_delta":{"kept":[1.5]}'));
    },
  );
});

describe('wire.md §2.2, where the upstream breaks the rule', () => {
  const [first = '', ...rest] = streamEvents(['Hel', 'lo']);

  function broken(rule: string, script: Script, check: (body: string) => void): void {
    it(rule, { timeout: 30_000 }, () =>
      withScene(BARE_HOST, { script, broken: true }, async (scene) => {
        check((await post(scene, '/chat/completions', { ...CALL, stream: true })).body);
      }),
    );
  }

  broken(
    'rule 1: `error` that is null',
    () => streamReply([first, first.replace('"choices"', '"error":null,"choices"'), rest.join('')]),
    (body) => assert.ok(!body.includes('"error":null'), '`error` is there'),
  );

  broken(
    'rule 6: a comment before an error',
    () => [streamHead(), chunkOf(first), chunkOf(': ping\n\n'), { kind: 'reset' }],
    (body) => assert.match(body, /\}\n\ndata: \{"error":\{[^\n]+\}\}\n\n$/),
  );

  broken(
    'rule 7: more than 100 comments',
    () => streamReply([first, ': ping\n\n'.repeat(1_000), rest.join('')]),
    (body) => assert.ok(body.split('\n\n: ').length <= 101, 'more than 100 comments between two events'),
  );
});
