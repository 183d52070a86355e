import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { http } from 'megallm-middleware';
import { withoutUpstreamName } from '../../src/upstreams/redact.js';
import { reply, sse, streamEvents, streamReply } from '../helpers/chat-answers.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { CALL, type Scene, withScene } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

const WORDS = 'House-East: the backend HOUSE-EAST says no (house-east). See house-eastern and house-east-2.';
const SHOWN = '[redacted]: the backend [redacted] says no ([redacted]). See house-eastern and house-east-2.';

const error = { message: WORDS, type: 'house-east', code: 'house-east', param: 'house-east' };

/** Ways in which an upstream tells an error. */
const TELLING: Readonly<Record<string, Script>> = {
  'a status': () => reply({ error }, { status: 400 }),
  'a text': () => reply({ detail: WORDS }, { status: 422 }),
  'a good status, whole': () => reply({ error: { ...error, code: 400 } }),
  'the first event': () => streamReply([sse({ error })]),
  'a later event': () => streamReply([...streamEvents(['Hi'], { done: false, finishReason: null }), sse({ error })]),
};

describe('the host’s own name for an upstream is cut out of its words', () => {
  for (const [name, script] of Object.entries(TELLING)) {
    for (const stream of [false, true]) {
      it(`told by ${name}, ${stream ? 'streamed' : 'whole'}`, async () => {
        await withScene(BARE_HOST, { broken: true, script, http: { name: 'house-east' } }, async (scene) => {
          const told = JSON.stringify(await failureOf(scene, stream));
          assert.doesNotMatch(told, /house-east["\s)]|house-east:/i);
          assert.match(told, /See house-eastern and house-east-2/);
        });
      });
    }
  }

  it('wherever it stands alone, in whatever case', () => {
    const cut = (text: string, name: string, shown = 'house'): string => withoutUpstreamName(text, name, shown);
    assert.equal(cut(WORDS, 'house-east'), SHOWN);
    assert.equal(cut('ollama failed: Ollama.', 'ollama'), '[redacted] failed: [redacted].');
    assert.equal(cut('My Own Box is down', 'my own box'), '[redacted] is down');
    assert.equal(cut('mistral-large and mistral/x', 'mistral'), 'mistral-large and mistral/x');
    assert.equal(cut('İ am east', 'east'), 'İ am [redacted]');
  });

  it('but not where it is a word like any other, or the client’s name of the model', () => {
    for (const name of ['http', 'openai', 'model', 'Chat', 'main', '']) {
      const text = 'The openai model of the http chat is the main one.';
      assert.equal(withoutUpstreamName(text, name, 'x'), text);
    }
    assert.equal(withoutUpstreamName('The model house is busy.', 'house', 'house'), 'The model house is busy.');
  });

  it('and an error of the host’s own upstream keeps its words', async () => {
    const { GatewayError } = await import('megallm-middleware');
    const upstream = {
      ...http({ baseUrl: 'http://127.0.0.1:9/v1', name: 'parrot' }),
      send: () => Promise.reject(new GatewayError({ status: 400, message: 'The parrot wants a text.' })),
    };
    await withScene(BARE_HOST, { models: { 'gpt-4o-mini': { upstream } } }, async ({ client }) => {
      await assert.rejects(client().chat.completions.create(CALL), { message: '400 The parrot wants a text.' });
    });
  });
});

/** The error that a client is told. */
async function failureOf({ client }: Scene, stream: boolean): Promise<unknown> {
  try {
    const answer = await client().chat.completions.create({ ...CALL, stream });
    if ('controller' in answer) for await (const _ of answer);
  } catch (thrown) {
    return { message: thrown instanceof Error ? thrown.message : '', ...Object(thrown) };
  }
  throw new Error('Expected an error');
}
