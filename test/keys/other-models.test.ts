import assert from 'node:assert/strict';
import { memoryKeys } from 'megallm-middleware';
import { SECRET } from '../helpers/gateway-options.js';
import { CALL, MODEL, onBareHost } from '../helpers/scene.js';

const OPEN = 'sk-open-0123456789abcdef';
const keys = () =>
  memoryKeys([
    { secret: SECRET, id: 'held', models: [MODEL], tier: 'basic' },
    { secret: OPEN, id: 'open', tier: 'basic' },
  ]);

onBareHost(
  'a key that is held to named models cannot name further ones in members that other servers read',
  () => ({ keys: keys() }),
  async ({ host, upstream }) => {
    const statusOf = async (secret: string, path: string, body: object): Promise<number> => {
      const headers = { authorization: `Bearer ${secret}`, 'content-type': 'application/json' };
      const response = await fetch(host.baseUrl + path, { method: 'POST', headers, body: JSON.stringify(body) });
      await response.text();
      return response.status;
    };
    const chat = '/chat/completions';
    for (const more of [
      { models: ['gpt-4'] },
      { route: 'fallback' },
      { fallbacks: [{ model: 'gpt-4' }] },
      { Models: ['gpt-4'] },
      { context_window_fallback_dict: { [MODEL]: 'gpt-4' } },
    ]) {
      assert.equal(await statusOf(SECRET, chat, { ...CALL, ...more }), 403, JSON.stringify(more));
      assert.equal(await statusOf(SECRET, '/images/generations', { model: MODEL, prompt: 'x', ...more }), 403);
    }
    assert.equal(upstream.requests.length, 0);
    assert.equal(await statusOf(SECRET, chat, CALL), 200);
    assert.equal(await statusOf(OPEN, chat, { ...CALL, models: ['gpt-4'] }), 200);
    assert.equal(upstream.requests.length, 2);
  },
);
