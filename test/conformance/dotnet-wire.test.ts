/**
 * What the two clients of C# demand of the wire (wire.md §1.3, §2), by raw HTTP: their suites in `test/sdks` need a `dotnet`.
 * "Official" is the package `OpenAI`, the other one `OpenAI-DotNet`.
 */
import assert from 'node:assert/strict';
import { demo, fromFunction } from 'megallm-middleware';
import { SECRET } from '../helpers/gateway-options.js';
import { CALL, MODEL, onBareHost, type Scene } from '../helpers/scene.js';

const DEMO = () => ({ upstream: demo() });
/** What System.Int32 holds. */
const MAX_INT32 = 2_147_483_647;

/** As the official client sends it: it asks for JSON even where it wants a stream. */
function post({ host }: Scene, path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${host.baseUrl}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${SECRET}`,
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': 'OpenAI/2.15.0 (.NET 8.0.0; Linux)',
      ...headers,
    },
    body: JSON.stringify(body),
  });
}

interface Chunk {
  readonly created: number;
  readonly choices: readonly {
    readonly delta: { role?: string; tool_calls?: unknown[] };
    finish_reason: string | null;
  }[];
}

async function dataOf(response: Response): Promise<string[]> {
  return [...(await response.text()).matchAll(/^data: (.*)$/gm)].map(([, data = '']) => data);
}

onBareHost(
  'official: a stream is a stream though the client accepts only JSON, and ends with data equal to [DONE]',
  DEMO,
  async (scene) => {
    const response = await post(scene, '/chat/completions', { ...CALL, stream: true });
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    const data = await dataOf(response);
    assert.equal(data.at(-1), '[DONE]');
    for (const text of data.slice(0, -1)) assert.equal(JSON.parse(text).object, 'chat.completion.chunk');
  },
);

onBareHost('official: finish reasons, roles and kinds of tools are only the known ones', DEMO, async (scene) => {
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }];
  for (const body of [{ ...CALL }, { ...CALL, tools, tool_choice: 'required' }, { ...CALL, max_tokens: 1 }]) {
    const whole = JSON.parse(await (await post(scene, '/chat/completions', body)).text());
    assert.ok(['stop', 'length', 'tool_calls'].includes(whole.choices[0].finish_reason));
    assert.equal(whole.choices[0].message.role, 'assistant');
    for (const call of whole.choices[0].message.tool_calls ?? []) assert.equal(call.type, 'function');
    const chunks = (await dataOf(await post(scene, '/chat/completions', { ...body, stream: true }))).slice(0, -1);
    for (const { choices } of chunks.map((text): Chunk => JSON.parse(text))) {
      for (const { delta, finish_reason } of choices) {
        assert.ok([null, 'stop', 'length', 'tool_calls'].includes(finish_reason));
        assert.ok(delta.role === undefined || delta.role === 'assistant');
      }
    }
  }
});

onBareHost(
  'official: embeddings are base64 of little-endian floats when asked for, as it always does',
  DEMO,
  async (scene) => {
    const ask = { model: 'text-embedding-3-small', input: ['one', 'two'], dimensions: 8 };
    const coded = JSON.parse(await (await post(scene, '/embeddings', { ...ask, encoding_format: 'base64' })).text());
    const plain = JSON.parse(await (await post(scene, '/embeddings', ask)).text());
    for (const [at, { embedding }] of coded.data.entries()) {
      assert.match(embedding, /^[A-Za-z0-9+/]+={0,2}$/);
      const bytes = Buffer.from(embedding, 'base64');
      const floats = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
      assert.deepEqual(floats, plain.data[at].embedding.map(Math.fround));
    }
  },
);

onBareHost(
  'official: the text of a 429 is made of error.{type,code,message,param}, and retry-after is whole seconds',
  () => ({ upstream: demo(), key: { limits: { requestsPerMinute: 1 } } }),
  async (scene) => {
    await (await post(scene, '/chat/completions', CALL)).text();
    const response = await post(scene, '/chat/completions', CALL);
    assert.equal(response.status, 429);
    assert.match(response.headers.get('retry-after') ?? '', /^[1-9]\d*$/);
    const { error } = JSON.parse(await response.text());
    assert.deepEqual(Object.keys(error).sort(), ['code', 'message', 'param', 'type']);
    assert.equal(typeof error.message, 'string');
    assert.equal(error.code, 'rate_limit_exceeded');
  },
);

onBareHost(
  'both: what they read as Int32 fits, in bodies, chunks and headers',
  () => ({ upstream: demo(), key: { limits: { requestsPerMinute: 1e9, tokensPerMinute: 1e12 } } }),
  async (scene) => {
    const response = await post(scene, '/chat/completions', CALL);
    for (const name of ['limit-requests', 'limit-tokens', 'remaining-requests', 'remaining-tokens']) {
      const text = response.headers.get(`x-ratelimit-${name}`) ?? '';
      assert.match(text, /^\d+$/);
      assert.ok(Number(text) <= MAX_INT32, name);
    }
    const whole = JSON.parse(await response.text());
    const chunk = JSON.parse(
      (await dataOf(await post(scene, '/chat/completions', { ...CALL, stream: true })))[0] ?? '',
    );
    const model = JSON.parse(
      await (
        await fetch(`${scene.host.baseUrl}/models/${MODEL}`, { headers: { authorization: `Bearer ${SECRET}` } })
      ).text(),
    );
    for (const { created } of [whole, chunk, model])
      assert.ok(Number.isInteger(created) && created > 0 && created <= MAX_INT32);
    for (const count of Object.values(whole.usage)) if (typeof count === 'number') assert.ok(Number.isInteger(count));
  },
);

onBareHost(
  'OpenAI-DotNet: organisation and project headers are taken, and reach no upstream',
  () => ({}),
  async (scene) => {
    const headers = { 'openai-organization': 'org-abcdefabcdef', 'openai-project': 'proj_abcdefabcdef' };
    assert.equal((await post(scene, '/chat/completions', CALL, headers)).status, 200);
    const seen = (await scene.upstream.request(0)).headers;
    assert.equal(seen['openai-organization'], undefined);
    assert.equal(seen['openai-project'], undefined);
  },
);

onBareHost(
  'OpenAI-DotNet: an event line belongs to the data after it, so chat has none, not even before an error',
  () => ({
    upstream: fromFunction(async function* () {
      yield 'one ';
      throw new Error('broken on purpose');
    }),
    broken: true,
  }),
  async (scene) => {
    const text = await (await post(scene, '/chat/completions', { ...CALL, stream: true })).text();
    assert.doesNotMatch(text, /^(?:event|id|retry):/m);
    assert.match(text, /\n\ndata: \{"error":\{[^\n]+\n\n$/);
  },
);
