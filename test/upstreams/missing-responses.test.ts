import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { reply, wholeChat } from '../helpers/chat-answers.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { type Scene, withScene } from '../helpers/scene.js';

/** Ways in which servers without responses say so. */
const MISSING: readonly (readonly [what: string, status: number, body: unknown, contentType?: string])[] = [
  ['FastAPI', 404, { detail: 'Not Found' }],
  ['llama.cpp', 404, { error: { code: 404, message: 'File Not Found', type: 'not_found_error' } }],
  ['Go', 404, '404 page not found\n', 'text/plain'],
  ['Kong', 404, { message: 'no Route matched with those values' }],
  ['Groq', 404, { error: { message: 'Unknown request URL: POST /v1/responses', code: 'unknown_url' } }],
  ['nginx', 404, '<html><h1>404 Not Found</h1></html>', 'text/html'],
  ['LM Studio', 404, { error: 'Unexpected endpoint or method. (POST /v1/responses)' }],
  ['LM Studio, with a good status', 200, { error: 'Unexpected endpoint or method. (POST /v1/responses)' }],
  ['a 405', 405, { detail: 'Method Not Allowed' }],
  ['a 501', 501, ''],
];
const MODELS = { left: {}, passed: { responses: 'pass' } } as const;
const ask = ({ client }: Scene, model: string, maxRetries = 0) =>
  client({ maxRetries }).responses.create({ model, input: 'hi' });

describe('an upstream without /responses', () => {
  for (const [what, status, body, contentType] of MISSING) {
    it(`is found out once, and its responses are translated from then on: ${what}`, async () => {
      const options = contentType === undefined ? { status } : { status, contentType };
      await withScene(
        BARE_HOST,
        {
          broken: true,
          models: MODELS,
          script: (request) => (request.path.endsWith('/responses') ? reply(body, options) : reply(wholeChat('Hello'))),
        },
        async (scene) => {
          const { upstream, setup } = scene;
          await assert.rejects(ask(scene, 'left'), (error: Error & { status?: number; headers?: Headers }) => {
            assert.deepEqual([error.status, error.headers?.get('x-should-retry')], [503, 'true']);
            return true;
          });
          for (let round = 0; round < 2; round += 1) assert.equal((await ask(scene, 'left')).output_text, 'Hello');
          assert.equal(upstream.requests.filter(({ path }) => path.endsWith('/responses')).length, 1);
          assert.equal(setup.errors.length, 1, 'told once');
          await assert.rejects(ask(scene, 'passed'), {
            status: status === 404 && typeof body !== 'string' ? 404 : 502,
          });
        },
      );
    });
  }

  it('is none where the model is unknown, or the request is wrong', async () => {
    const bodies = [
      [404, { error: { message: 'The model `left` does not exist', code: 'model_not_found' } }],
      [404, { error: { message: "Item with id 'rs_1' not found.", code: null } }],
      [400, { error: { message: 'Not Found', code: null } }],
    ] as const;
    await withScene(
      BARE_HOST,
      { models: MODELS, script: (_request, index) => reply(bodies[index]?.[1], { status: bodies[index]?.[0] ?? 500 }) },
      async (scene) => {
        for (const [status] of bodies) await assert.rejects(ask(scene, 'left'), { status });
        assert.ok(scene.upstream.requests.every(({ path }) => path.endsWith('/responses')));
      },
    );
  });
});
