import assert from 'node:assert/strict';
import { toFile } from 'openai';
import { forwardsOnBareHost, ownersKeys, SECRETS } from '../helpers/forward-scene.js';
import { objectUpstream } from '../helpers/object-upstream.js';

forwardsOnBareHost(
  "another owner's objects are out of reach however a body spells their names",
  () => ({ start: objectUpstream, keys: ownersKeys() }),
  async ({ client, ask, upstream }) => {
    const ann = client(SECRETS.ann);
    const bob = client(SECRETS.bob);
    const upload = async (openai: typeof ann): Promise<string> =>
      (await openai.files.create({ file: await toFile(Buffer.from('a'), 'a.txt'), purpose: 'assistants' })).id;
    const theirs = await upload(ann);
    const own = await upload(bob);
    const asked = upstream.arrivals.length;
    const chat = (part: string): string =>
      `{"model":"gpt-4o-mini","messages":[{"role":"user","content":[{"type":"file","file":${part}}]}]}`;
    const bodies: readonly (readonly [path: string, body: string, status: number])[] = [
      ['/chat/completions', chat(`{"file_id":"${theirs}"}`), 404],
      ['/chat/completions', chat(`{"file\\u005fid":"${theirs}"}`), 404],
      ['/chat/completions', chat(`{"FILE_ID":"${theirs}"}`), 404],
      // To servers in Go the last letter is an `s`.
      ['/chat/completions', chat(`{"file_id\u017f":["${theirs}"],"é":1}`), 404],
      [
        '/responses',
        `{"model":"gpt-4o-mini","input":"a","tools":[{"type":"code_interpreter","container":"cntr_1"}]}`,
        404,
      ],
      ['/chat/completions', '{"model":"gpt-4o-mini","Model":"other","messages":[{"role":"user","content":"a"}]}', 400],
      ['/chat/completions', '{"model":"gpt-4o-mini","MAX_TOKENS":9,"messages":[{"role":"user","content":"a"}]}', 400],
    ];
    for (const [path, body, status] of bodies) {
      const response = await ask(path, {
        method: 'POST',
        headers: { authorization: `Bearer ${SECRETS.bob}`, 'content-type': 'application/json' },
        body,
      });
      assert.equal(response.status, status, body);
      await response.text();
    }
    assert.equal(upstream.arrivals.length, asked, 'the upstream was not asked');

    // What was looked at is what the upstream gets: the last of two.
    const twice = await ask('/chat/completions', {
      method: 'POST',
      headers: { authorization: `Bearer ${SECRETS.bob}`, 'content-type': 'application/json' },
      body: chat(`{"file_id":"${theirs}","file_id":"${own}"}`),
    });
    await twice.text();
    const arrived = upstream.arrivals.at(-1)?.body().toString() ?? '';
    assert.ok(arrived.includes(own) && !arrived.includes(theirs), arrived);
  },
);
