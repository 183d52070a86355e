import assert from 'node:assert/strict';
import { within } from '../helpers/deadline.js';
import { SMALL_SECRET } from '../helpers/gateway-options.js';
import type { Scene, SceneOptions } from '../helpers/scene.js';
import { BAD_TEMPERATURE, LONG_ANSWER, SCHEMA_ANSWER, type Vendor } from './vendor.js';

/** The model's name for clients. */
export const MODEL = 'house';
export const PRICING = { inputUsdPerMillion: 1, outputUsdPerMillion: 10 };
const CALL = { model: MODEL, messages: [{ role: 'user' as const, content: 'Tell me a long story' }] };
const TOOL = {
  type: 'function' as const,
  function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
};
const SCHEMA = {
  type: 'json_schema' as const,
  json_schema: { name: 'place', schema: { type: 'object', properties: { city: { type: 'string' } } } },
};

/** One cell of the table: what every vendor's clients may count on. */
export type Cell = (vendor: Vendor, scene: Scene) => Promise<void>;

/** The columns of the table. */
export const CELLS: Readonly<Record<string, { readonly options?: SceneOptions; readonly check: Cell }>> = {
  whole: {
    check: async (vendor, { client, setup }) => {
      const { choices, usage } = await client().chat.completions.create(CALL);
      assert.equal(choices[0]?.message.content?.split(' ').length, LONG_ANSWER + 1);
      assert.ok((usage?.completion_tokens ?? 0) > 0);
      checkBilled(vendor, setup.records[0], LONG_ANSWER);
    },
  },
  stream: {
    check: async (vendor, { client, setup }) => {
      assert.equal(await streamedText(client(), {}), LONG_ANSWER + 1);
      checkBilled(vendor, setup.records[0], LONG_ANSWER, vendor.hidesStreamUsage);
    },
  },
  'stream, usage': {
    check: async (vendor, { client, setup }) => {
      const stream = await client().chat.completions.create({
        ...CALL,
        stream: true,
        stream_options: { include_usage: true },
      });
      let output = 0;
      for await (const { usage } of stream) output = Math.max(output, usage?.completion_tokens ?? 0);
      assert.ok(output > 0, 'the client is told what it asked for');
      checkBilled(vendor, setup.records[0], LONG_ANSWER, vendor.hidesStreamUsage);
    },
  },
  tools: {
    check: async ({ refusesTools }, { client }) => {
      if (refusesTools !== undefined) {
        await assert.rejects(client().chat.completions.create({ ...CALL, tools: [TOOL] }), {
          status: 400,
          message: refusesTools,
        });
        return;
      }
      const { choices } = await client().chat.completions.create({ ...CALL, tools: [TOOL] });
      const [call] = choices[0]?.message.tool_calls ?? [];
      assert.ok(call?.type === 'function');
      assert.deepEqual(call.function, { name: 'get_weather', arguments: '{"city":"Paris"}' });
      const final = await client()
        .chat.completions.stream({ ...CALL, tools: [TOOL] })
        .finalChatCompletion();
      const [streamed] = final.choices[0]?.message.tool_calls ?? [];
      assert.ok(streamed?.type === 'function');
      assert.equal(streamed.function.arguments, '{"city":"Paris"}');
    },
  },
  structured: {
    check: async (vendor, { client }) => {
      const asked = client().chat.completions.create({ ...CALL, response_format: SCHEMA });
      if (vendor.refusesSchema !== undefined) {
        await assert.rejects(asked, { status: 400, message: vendor.refusesSchema });
        return;
      }
      assert.equal((await asked).choices[0]?.message.content, SCHEMA_ANSWER);
    },
  },
  'limited key': {
    options: { small: { requestsPerMinute: 100, tokensPerMinute: 3_000, concurrency: 10 } },
    check: async (vendor, scene) => {
      const client = scene.client({ apiKey: SMALL_SECRET });
      // Longer than the ceiling that is set for it, and asked for again, as what was learned must serve the next.
      for (const stream of [false, true]) {
        const { max_completion_tokens } = { max_completion_tokens: vendor.reasoningTokens + 20 };
        if (stream) await streamedText(client, { max_completion_tokens });
        else await client.chat.completions.create({ ...CALL, max_completion_tokens });
      }
      await client.chat.completions.create(CALL);
      for (const record of scene.setup.records) assert.equal(record.outcome, 'ok');
      const [, streamed, free] = scene.setup.records;
      checkCeiling(vendor, streamed);
      assert.ok(
        (free?.outputTokens ?? Infinity) <= (free?.reservedOutputTokens ?? 0),
        'bounded though the client named none',
      );
    },
  },
  'budget key': {
    options: { small: { usdPerDay: 0.02 } },
    check: async (vendor, scene) => {
      const client = scene.client({ apiKey: SMALL_SECRET });
      await client.chat.completions.create({ ...CALL, max_completion_tokens: vendor.reasoningTokens + 20 });
      await client.chat.completions.create(CALL);
      await streamedText(client, {});
      for (const { costNanoUsd, reservedNanoUsd } of scene.setup.records.slice(1)) {
        assert.ok((costNanoUsd ?? Infinity) <= (reservedNanoUsd ?? 0), `${costNanoUsd} of ${reservedNanoUsd}`);
      }
    },
  },
  responses: {
    options: {
      small: { tokensPerMinute: 100_000 },
      models: { [MODEL]: { pricing: PRICING, contextLength: 8_192, responses: 'translate' } },
    },
    check: async (vendor, scene) => {
      const client = scene.client({ apiKey: SMALL_SECRET });
      const asked = { model: MODEL, input: 'Tell me a long story', store: false };
      const max_output_tokens = vendor.reasoningTokens + 20;
      const whole = await client.responses.create({ ...asked, max_output_tokens });
      assert.ok(whole.output_text.startsWith('word0 '));
      let output = 0;
      for await (const event of await client.responses.create({ ...asked, stream: true })) {
        if (event.type === 'response.completed') output = event.response.usage?.output_tokens ?? 0;
      }
      assert.ok(output >= LONG_ANSWER, 'the client is told the usage');
      checkBilled(vendor, scene.setup.records[1], LONG_ANSWER, vendor.hidesStreamUsage);
    },
  },
  'long prompt': {
    options: { small: { tokensPerMinute: 100_000 }, models: { [MODEL]: {} } },
    check: async (_vendor, scene) => {
      const client = scene.client({ apiKey: SMALL_SECRET });
      const messages = [{ role: 'user' as const, content: 'long '.repeat(6_200) }];
      const long = await client.chat.completions.create({ model: MODEL, messages });
      assert.ok(long.choices.length > 0, 'a prompt that fits, though not with the usual ceiling');
      // Nobody else is the worse for it.
      await client.chat.completions.create(CALL);
      const body = scene.upstream.requests.at(-1)?.json() ?? {};
      assert.ok('max_tokens' in body || 'max_completion_tokens' in body, 'the next call has its ceiling');
    },
  },
  abort: {
    options: { broken: true },
    check: async (_vendor, { client, upstream, setup }) => {
      const messages = [{ role: 'user' as const, content: 'stall' }];
      const stream = await client().chat.completions.create({ ...CALL, messages, stream: true });
      for await (const _chunk of stream) break;
      const last = upstream.requests.at(-1);
      assert.ok(last !== undefined);
      await within(last.closed, 'the end of the upstream’s work');
      await setup.usage.allSettled();
      const [record] = setup.records;
      assert.deepEqual([record?.outcome, record?.counted], ['aborted', 'estimated']);
    },
  },
  error: {
    options: { broken: true },
    check: async ({ badTemperature }, { client }) => {
      const { status, words } = badTemperature;
      await assert.rejects(client().chat.completions.create({ ...CALL, temperature: BAD_TEMPERATURE }), {
        status,
        message: words,
      });
    },
  },
  'too many': {
    options: { broken: true },
    check: async (_vendor, { client }) => {
      const messages = [{ role: 'user' as const, content: 'too many calls' }];
      const asked = client().chat.completions.create({ ...CALL, messages });
      await assert.rejects(asked, ({ status, message }: { status: number; message: string }) => {
        assert.equal(status, 429);
        assert.doesNotMatch(message, /1a2b3c|org-[A-Za-z0-9]{6}/, 'no name of the host’s own account');
        return true;
      });
    },
  },
};

async function streamedText(client: ReturnType<Scene['client']>, more: object): Promise<number> {
  const stream = await client.chat.completions.create({ ...CALL, ...more, stream: true });
  let text = '';
  for await (const { choices } of stream) text += choices[0]?.delta.content ?? '';
  return text.split(' ').length;
}

type RecordOf = Scene['setup']['records'][number] | undefined;

/** The record says what the vendor bills, thoughts included. */
function checkBilled(vendor: Vendor, record: RecordOf, words: number, isEstimated = false): void {
  const output = words + vendor.reasoningTokens;
  if (isEstimated) assert.ok((record?.outputTokens ?? 0) >= words);
  else assert.deepEqual([record?.counted, record?.outputTokens], ['exact', output]);
}

/** The answer ended where the client’s ceiling says, under whatever name the vendor knows it. */
function checkCeiling(vendor: Vendor, record: RecordOf): void {
  const most = 20 + vendor.reasoningTokens + (vendor.ceilingCountsThoughts ? 0 : vendor.reasoningTokens);
  assert.ok((record?.outputTokens ?? Infinity) <= most, `${record?.outputTokens} tokens, at most ${most}`);
}
