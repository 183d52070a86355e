import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import express from 'express';
import express4 from 'express4';
import Koa from 'koa';
import { fromFunction } from 'megallm-middleware';
import { megallm as expressMegallm } from 'megallm-middleware/express';
import { megallm as koaMegallm } from 'megallm-middleware/koa';
import { megallm as nodeMegallm } from 'megallm-middleware/node';
import { SECRET, type Setup, testSetup } from '../helpers/gateway-options.js';
import { listen } from '../helpers/hosts/listen.js';
import { type RawResponse, rawChat, rawExchange } from '../helpers/raw-client.js';
import { CALL } from '../helpers/scene.js';

const setupOf = (broken: boolean): Setup => testSetup({ upstream: fromFunction(() => 'Hello'), broken });

async function post(app: Parameters<typeof listen>[0], body: string, headers = {}): Promise<RawResponse> {
  const host = await listen(app);
  try {
    return await rawExchange(host.origin, rawChat(SECRET, body, headers));
  } finally {
    await host.close();
    assert.deepEqual(host.hostErrors, []);
  }
}

/** Express with these parsers before us. */
function behind(
  create: typeof express,
  setup: Setup,
  ...parsers: express.RequestHandler[]
): Parameters<typeof listen>[0] {
  const app = create();
  const hostErrors: unknown[] = [];
  const middleware = expressMegallm(setup.options);
  app.use(...parsers, middleware);
  app.use(((error, _req, res, _next) => {
    hostErrors.push(error);
    res.status(500).end();
  }) satisfies express.ErrorRequestHandler);
  return { listener: app, gateway: middleware.gateway, hostErrors, mountPath: '' };
}

describe('C18 a body that the application parsed goes through the same checks', () => {
  const deep = `{"model":"m","messages":[{"role":"user"}],"x":${'['.repeat(80)}${']'.repeat(80)}}`;
  const cases: [string, string, number, string | null][] = [
    ['a good one', JSON.stringify(CALL), 200, null],
    ['nested too deeply', deep, 400, 'json_too_deep'],
    ['a poisoned name', '{"model":"m","messages":[{"x":{"constructor":{"prototype":{}}}}]}', 400, 'invalid_request'],
    ['an array', '[]', 400, 'invalid_json'],
    ['a wrong type', '{"model":"m","messages":"Hi"}', 400, 'invalid_type'],
    ['a lone surrogate', JSON.stringify(CALL).replace('Say', '\\ud800'), 200, null],
  ];
  for (const create of [express, express4]) {
    for (const [what, body, status, code] of cases) {
      it(`${what}, by Express ${create === express ? 5 : 4}`, async () => {
        const setup = setupOf(false);
        const response = await post(behind(create, setup, create.json({ limit: '1mb' })), body);
        assert.equal(response.status, status, response.body);
        if (code !== null) assert.equal(JSON.parse(response.body).error.code, code);
        await setup.finish();
      });
    }

    it(`a parser that left the body alone changes nothing (Express ${create === express ? 5 : 4})`, async () => {
      const setup = setupOf(false);
      const parsers = [create.urlencoded({ extended: true }), create.text(), create.raw()];
      const response = await post(behind(create, setup, ...parsers), JSON.stringify(CALL));
      assert.equal(response.status, 200, response.body);
      await setup.finish();
    });

    it(`a body kept as text or bytes is read as such (Express ${create === express ? 5 : 4})`, async () => {
      for (const parser of [create.text({ type: '*/*' }), create.raw({ type: '*/*' })]) {
        const setup = setupOf(false);
        const response = await post(behind(create, setup, parser), JSON.stringify(CALL));
        assert.equal(response.status, 200, response.body);
        await setup.finish();
      }
    });

    it(`a form is not a call, whoever parsed it (Express ${create === express ? 5 : 4})`, async () => {
      const setup = setupOf(false);
      const response = await post(behind(create, setup, create.urlencoded({ extended: true })), 'model=m', {
        'content-type': 'application/x-www-form-urlencoded',
      });
      assert.equal(response.status, 400, response.body);
      assert.equal(JSON.parse(response.body).error.code, 'unsupported_content_type');
      await setup.finish();
    });
  }
});

describe('C18 a body that somebody swallowed is a 500 whose cause names the fix', () => {
  const swallow = async (stream: AsyncIterable<unknown>): Promise<void> => {
    for await (const _ of stream);
  };
  const assertTold = async (setup: Setup, response: RawResponse): Promise<void> => {
    assert.equal(response.status, 500);
    assert.equal(JSON.parse(response.body).error.code, 'internal_error');
    assert.match(String(setup.errors[0]?.error), /before/);
    await setup.finish();
  };

  it('in Express', async () => {
    const setup = setupOf(true);
    const app = behind(express, setup, (req, _res, next) => void swallow(req).then(() => next()));
    await assertTold(setup, await post(app, JSON.stringify(CALL)));
  });

  it('in Koa', async () => {
    const setup = setupOf(true);
    const middleware = koaMegallm(setup.options);
    const app = new Koa().use(async (ctx, next) => {
      await swallow(ctx.req);
      await next();
    });
    app.use(middleware);
    const host = { listener: app.callback(), gateway: middleware.gateway, hostErrors: [], mountPath: '' };
    await assertTold(setup, await post(host, JSON.stringify(CALL)));
  });

  it('in node:http', async () => {
    const setup = setupOf(true);
    const middleware = nodeMegallm(setup.options);
    const host: Parameters<typeof listen>[0] = {
      listener: (req, res) => void swallow(req).then(() => middleware(req, res)),
      gateway: middleware.gateway,
      hostErrors: [],
      mountPath: '',
    };
    await assertTold(setup, await post(host, JSON.stringify(CALL)));
  });
});
