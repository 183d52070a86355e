import assert from 'node:assert/strict';
import { createGateway, memoryKeys } from 'megallm-middleware';
import { chunkOf, lastChunk, reply, sse, streamHead, wholeChat } from '../helpers/chat-answers.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import { ask } from '../helpers/response-client.js';
import { MODEL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';
import { readEvents } from '../wire/read-events.js';

const THOUGHTS = 'First I look at the weather.';
const TOOLS = [{ type: 'function', name: 'look', parameters: {}, strict: false }];
const TOOL_CALLS = [{ id: 'call_1', type: 'function', function: { name: 'look', arguments: '{}' } }];
const STATELESS = {
  model: MODEL,
  input: 'Weather?',
  store: false,
  tools: TOOLS,
  include: ['reasoning.encrypted_content'],
};

/** Thinks, then calls a tool; whole or streamed, as it is asked. */
const thinks: Script = (request) => {
  const message = { role: 'assistant', content: null, reasoning_content: THOUGHTS, tool_calls: TOOL_CALLS };
  if (request.json().stream !== true) {
    return reply({ ...wholeChat(''), choices: [{ index: 0, message, finish_reason: 'tool_calls' }] });
  }
  const deltas = [
    { reasoning_content: THOUGHTS.slice(0, 7) },
    { reasoning_content: THOUGHTS.slice(7) },
    { tool_calls: [{ index: 0, ...TOOL_CALLS[0] }] },
  ];
  const chunk = (delta: object, finish_reason: string | null): string =>
    sse({
      id: 'c',
      object: 'chat.completion.chunk',
      created: 1,
      model: MODEL,
      choices: [{ index: 0, delta, finish_reason }],
    });
  const events = [...deltas.map((delta) => chunk(delta, null)), chunk({}, 'tool_calls'), 'data: [DONE]\n\n'];
  return [streamHead(), ...events.map(chunkOf), lastChunk()];
};

const translated = (more: SceneOptions = {}): SceneOptions => ({
  script: thinks,
  models: { [MODEL]: { responses: 'translate' } },
  ...more,
});

interface Item {
  readonly type: string;
  readonly content?: readonly { readonly text: string }[];
  readonly summary?: readonly { readonly type: string; readonly text: string }[];
  readonly encrypted_content?: string;
}

async function outputOf(scene: Scene, body: object): Promise<readonly Item[]> {
  const text = await (await ask(scene, '/responses', { body })).text();
  if (!('stream' in body)) return JSON.parse(text).output;
  return JSON.parse(JSON.stringify(readEvents(text).at(-1)?.data.response)).output;
}

/** The thoughts that the upstream gets back in the next turn. */
async function givenBack(scene: Scene, output: readonly unknown[], secret?: string): Promise<unknown> {
  const input = [
    { role: 'user', content: 'Weather?' },
    ...output,
    { type: 'function_call_output', call_id: 'call_1', output: 'Rain' },
  ];
  const given = secret === undefined ? {} : { secret };
  const response = await ask(scene, '/responses', { body: { ...STATELESS, input }, ...given });
  assert.equal(response.status, 200);
  await response.text();
  const { messages } = (await scene.upstream.request(scene.upstream.requests.length - 1)).json();
  assert.ok(Array.isArray(messages));
  return messages.find(({ role }) => role === 'assistant').reasoning_content;
}

/** As the AI SDK gives an item back: without its content. */
const bare = ({ content: _, ...item }: Item): Item => item;

onBareHost(
  'thoughts of a stateless response come back to the upstream, whole and streamed, and nobody can read them on the way',
  () => translated(),
  async (scene) => {
    for (const more of [
      {},
      { stream: true },
      { reasoning: { summary: 'auto' } },
      { stream: true, reasoning: { summary: 'detailed' } },
    ]) {
      const output = await outputOf(scene, { ...STATELESS, ...more });
      const [reasoning] = output;
      assert.match(reasoning?.encrypted_content ?? '', /^[\w-]{40,}$/);
      assert.ok(!Buffer.from(reasoning?.encrypted_content ?? '', 'base64url').includes('weather'));
      assert.equal(
        await givenBack(
          scene,
          output.map((item) => ({ ...bare(item), summary: [] })),
        ),
        THOUGHTS,
      );
    }
    const [plain] = await outputOf(scene, { ...STATELESS, include: [] });
    assert.equal(plain?.encrypted_content, undefined);
  },
);

onBareHost(
  'sealed thoughts that were changed, are another’s or another owner’s, are not read',
  () => translated(),
  async (scene) => {
    const output = await outputOf(scene, STATELESS);
    const sealed = output[0]?.encrypted_content ?? '';
    const changed = Buffer.from(sealed, 'base64url');
    changed[20] = (changed[20] ?? 0) ^ 1;
    for (const text of [
      changed.toString('base64url'),
      sealed.slice(0, -8),
      `B${sealed.slice(1)}`,
      'gAAAAABo',
      '',
      '\u{1F600}',
    ]) {
      const forged = output.map((item) =>
        item.type === 'reasoning' ? { ...bare(item), encrypted_content: text } : item,
      );
      assert.equal(await givenBack(scene, forged), undefined, text);
    }
    assert.equal(await givenBack(scene, output.map(bare), SMALL_SECRET), undefined, 'of another owner');
  },
);

onBareHost(
  'the thoughts are the summary where one is asked for, in its events, too',
  () => translated(),
  async (scene) => {
    const reasoning = { effort: 'high', summary: 'auto' };
    const [whole] = await outputOf(scene, { ...STATELESS, include: [], reasoning });
    assert.deepEqual(whole?.summary, [{ type: 'summary_text', text: THOUGHTS }]);
    assert.equal(whole?.content, undefined);
    const text = await (await ask(scene, '/responses', { body: { ...STATELESS, reasoning, stream: true } })).text();
    const names = readEvents(text)
      .map(({ name }) => name)
      .filter((name) => name?.includes('reasoning'));
    const part = 'response.reasoning_summary';
    assert.deepEqual(names, [
      `${part}_part.added`,
      `${part}_text.delta`,
      `${part}_text.delta`,
      `${part}_text.done`,
      `${part}_part.done`,
    ]);
  },
);

onBareHost(
  'thoughts of a kept response come back to the upstream with the conversation, also those in a summary',
  () => translated(),
  async (scene) => {
    for (const reasoning of [{}, { summary: 'auto' }]) {
      const first = await ask(scene, '/responses', {
        body: { model: MODEL, input: 'Weather?', tools: TOOLS, reasoning },
      });
      const { id } = JSON.parse(await first.text());
      const input = [{ type: 'function_call_output', call_id: 'call_1', output: 'Rain' }];
      const body = { model: MODEL, input, previous_response_id: id, tools: TOOLS };
      assert.equal((await ask(scene, '/responses', { body })).status, 200);
      const { messages } = (await scene.upstream.request(scene.upstream.requests.length - 1)).json();
      assert.equal(Array.isArray(messages) && messages[1].reasoning_content, THOUGHTS);
    }
  },
);

{
  const sealingSecret = 'a1b2c3d4e5f60718293a4b5c6d7e8f90';
  let output: readonly Item[] = [];
  onBareHost(
    'thoughts sealed with a secret of the host are read by another process that has it …',
    () => translated({ sealingSecret }),
    async (scene) => {
      output = (await outputOf(scene, STATELESS)).map(bare);
    },
  );
  onBareHost(
    '… as this one does',
    () => translated({ sealingSecret }),
    async (scene) => assert.equal(await givenBack(scene, output), THOUGHTS),
  );
  onBareHost(
    '… and by none with another',
    () => translated({ sealingSecret: sealingSecret.toUpperCase() }),
    async (scene) => {
      assert.equal(await givenBack(scene, output), undefined);
      const keys = memoryKeys([]);
      assert.throws(() => createGateway({ keys, sealingSecret: 'short' }), {
        name: 'TypeError',
        message: /`sealingSecret`(?!.*short)/,
      });
    },
  );
}
