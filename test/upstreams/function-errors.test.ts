import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { fromFunction, GatewayError } from 'megallm-middleware';
import { SECRET } from '../helpers/gateway-options.js';
import { CALL, onBareHost, type Scene } from '../helpers/scene.js';

type Fn = Parameters<typeof fromFunction>[0];

/** The status and the text of an answer. */
async function ask({ host }: Scene, stream: boolean): Promise<{ status: number; text: string }> {
  const response = await fetch(`${host.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...CALL, stream }),
    signal: AbortSignal.timeout(10_000),
  });
  return { status: response.status, text: await response.text() };
}

const serving = (fn: Fn) => () => ({ upstream: fromFunction(fn), broken: true });

function yielding(...pieces: unknown[]): Fn {
  return async function* () {
    for (const piece of pieces) yield piece;
  };
}

const chunk = (content: unknown) => ({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });

describe('what a function yields that is no answer', () => {
  const wrong: Record<string, [fn: Fn, shown: RegExp]> = {
    'a number for content': [yielding({ content: 5 }), /`content`.*string.*got 5 \(number\)/],
    'parts for content': [yielding({ content: [{ type: 'text', text: 'x' }] }), /`content`.*string.*got an array/],
    'false for content': [yielding({ content: false, finish_reason: 'stop' }), /got false \(boolean\)/],
    'a number in a bare chunk': [yielding(chunk(5)), /`content`.*got 5 \(number\)/],
    'a number in a chunk': [yielding({ object: 'chat.completion.chunk', ...chunk(5) }), /`content`.*got 5 \(number\)/],
    'a number': [yielding(7), /yield.*got 7 \(number\)/],
    'a number for a refusal': [yielding({ refusal: 5 }), /`refusal`.*got 5 \(number\)/],
  };
  for (const [name, [fn, shown]] of Object.entries(wrong)) {
    for (const stream of [false, true]) {
      onBareHost(`is told to the host: ${name} (stream: ${stream})`, serving(fn), async (scene) => {
        const { status, text } = await ask(scene, stream);
        assert.equal(status, 502);
        assert.match(text, /"message":"The upstream failed\."/);
        const [caught, ...more] = scene.setup.errors;
        assert.ok(caught?.error instanceof TypeError, String(caught?.error));
        assert.match(caught.error.message, shown);
        assert.equal(more.length, 0);
      });
    }
  }

  onBareHost('breaks a stream that has begun', serving(yielding('text', { content: 5 })), async (scene) => {
    const { status, text } = await ask(scene, true);
    assert.equal(status, 200);
    assert.match(text, /"content":"text"[\s\S]*data: \{"error":\{/);
    assert.doesNotMatch(text, /\[DONE\]/);
    assert.ok(scene.setup.errors[0]?.error instanceof TypeError);
  });

  onBareHost(
    'is not content that is absent',
    serving(yielding({ content: null }, { content: 'x' }, {})),
    async (scene) => {
      assert.match((await ask(scene, false)).text, /"content":"x"/);
      assert.match((await ask(scene, true)).text, /"content":"x"[\s\S]*\[DONE\]/);
    },
  );
});

describe('an error after text, in a whole answer,', () => {
  const busy = new GatewayError({ status: 429, message: 'Too much for me', code: 'mine', retryAfterMs: 2_000 });
  const said = { message: 'Out of words', type: 'server_error', param: null, code: 'mine' };
  const throwing = (error: unknown): Fn =>
    async function* () {
      yield 'text';
      throw error;
    };

  const known: Record<string, Fn> = {
    thrown: throwing(busy),
    yielded: yielding('text', busy),
    'yielded before any text': yielding(busy),
    'thrown by a plain generator': function* () {
      yield 'text';
      throw busy;
    },
  };
  for (const [name, fn] of Object.entries(known)) {
    onBareHost(`that is a GatewayError reaches the client: ${name}`, serving(fn), async (scene) => {
      const { status, text } = await ask(scene, false);
      assert.deepEqual([status, JSON.parse(text).error.message], [429, 'Too much for me']);
      assert.equal(JSON.parse(text).error.code, 'mine');
      assert.equal(scene.setup.errors.length, 0);
    });
  }

  for (const fn of [yielding('text', { error: said }), yielding({ error: said }), () => ({ error: said })]) {
    onBareHost("in OpenAI's shape keeps its words, as one that is returned does", serving(fn), async (scene) => {
      const { status, text } = await ask(scene, false);
      assert.deepEqual([status, JSON.parse(text).error], [502, said]);
      assert.equal(scene.setup.errors.length, 1);
    });
  }

  const odd = new Error('a secret');
  for (const fn of [throwing(odd), yielding('text', odd)]) {
    onBareHost('of any other kind is the host’s to know', serving(fn), async (scene) => {
      const { status, text } = await ask(scene, false);
      assert.equal(status, 502);
      assert.doesNotMatch(text, /secret/);
      assert.deepEqual(
        scene.setup.errors.map(({ error }) => error),
        [odd],
      );
    });
  }

  onBareHost(
    'that is yielded into a stream ends it with its own words',
    serving(yielding('text', busy)),
    async (scene) => {
      const { status, text } = await ask(scene, true);
      assert.equal(status, 200);
      assert.match(text, /"content":"text"[\s\S]*data: \{"error":\{"message":"Too much for me"/);
      assert.doesNotMatch(text, /\[DONE\]/);
    },
  );
});
