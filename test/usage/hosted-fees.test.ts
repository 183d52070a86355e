import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { Pricing, UsageRecord } from 'megallm-middleware';
import { reply, sse, streamReply, USAGE, wholeChat } from '../helpers/chat-answers.js';
import { wholeResponse } from '../helpers/response-answers.js';
import { CALL, onBareHost, type Scene, type SceneOptions } from '../helpers/scene.js';
import type { Script } from '../helpers/scripted-upstream.js';

const MODEL = 'searcher';
const JSON_TYPE = { 'content-type': 'application/json' };
const PRICING: Pricing = {
  inputUsdPerMillion: 1,
  outputUsdPerMillion: 1,
  toolCallUsd: { web_search: 0.01, code_interpreter: 0.03 },
};

function scene(more: SceneOptions = {}, pricing: Partial<Pricing> = {}): SceneOptions {
  return {
    key: { limits: { usdPerDay: 10 } },
    models: { [MODEL]: { pricing: { ...PRICING, ...pricing }, contextLength: 100_000, responses: 'pass' } },
    ...more,
  };
}

const ask = (on: Scene, more: object = {}) =>
  on.client().post('/chat/completions', { body: { ...CALL, model: MODEL, max_completion_tokens: 16, ...more } });
const respond = (on: Scene, more: object = {}) =>
  on.client().post('/responses', { body: { model: MODEL, input: 'x', max_output_tokens: 16, ...more } });

function lastOf({ setup }: Scene): UsageRecord {
  const record = setup.records.at(-1);
  assert.ok(record !== undefined);
  return record;
}

const told =
  (usage: object, message?: object): Script =>
  () => {
    const chat = wholeChat('Found', { usage: { ...USAGE, ...usage }, model: MODEL });
    return reply(message === undefined ? chat : { ...chat, ...message });
  };

/** Dollars beside the tokens of `USAGE`, and at the most: the fees of a call. */
function feesOf(record: UsageRecord): { settled: number; reserved: number } {
  const { costNanoUsd, reservedNanoUsd, inputTokens, outputTokens } = record;
  const tokens = ((inputTokens ?? 0) + (outputTokens ?? 0)) * 1_000;
  // The whole context may be read, and 16 tokens written.
  const reserved = (reservedNanoUsd ?? Number.NaN) - (100_000 + 16) * 1_000;
  return { settled: ((costNanoUsd ?? Number.NaN) - tokens) / 1e9, reserved: reserved / 1e9 };
}

describe('searches in chat', () => {
  const asking: readonly [string, object][] = [
    ['web_search_options', { web_search_options: {} }],
    ['web_search_options with a size', { web_search_options: { search_context_size: 'high' } }],
    ["OpenRouter's plugins", { plugins: [{ id: 'web', max_results: 3 }] }],
    ["xAI's search_parameters", { search_parameters: { mode: 'auto' } }],
    ["Alibaba's enable_search", { enable_search: true }],
    ["Groq's compound", { compound_custom: { tools: { enabled_tools: ['web_search'] } } }],
    ['a hosted tool', { tools: [{ type: 'web_search' }] }],
    ["OpenRouter's tool", { tools: [{ type: 'openrouter:web_search' }] }],
    ["Anthropic's tool", { tools: [{ type: 'web_search_20250305', name: 'web_search' }] }],
    ["Groq's tool", { tools: [{ type: 'browser_search' }] }],
    ["Gemini's tool", { tools: [{ google_search: {} }] }],
    ['a tool among functions', { tools: [{ type: 'function', function: { name: 'f' } }, { type: 'web_search' }] }],
    ['a tool in a namespace', { tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'web_search' }] }] }],
    // Servers in Go take names in any case, and the last of them.
    ['a type in other letters', { tools: [{ type: 'function', Type: 'web_search', function: { name: 'f' } }] }],
    ['tools in other letters', { tools: [{ type: 'namespace', tools: [], Tools: [{ type: 'web_search' }] }] }],
    ['a mode in other letters', { search_parameters: { mode: 'off', MODE: 'on' } }],
    ['a choice of one', { tool_choice: { type: 'web_search_preview' } }],
  ];
  onBareHost(
    'are reserved however they are asked for, and paid for once where the answer does not tell them',
    () => scene({ script: told({}) }),
    async (on) => {
      for (const [way, more] of asking) {
        await ask(on, more);
        assert.deepEqual(feesOf(lastOf(on)), { settled: 0.01, reserved: 0.1 }, way);
        assert.equal(lastOf(on).isOverReserved, false);
      }
    },
  );

  const telling: readonly [string, object][] = [
    ['Anthropic and OpenRouter', { server_tool_use: { web_search_requests: 3 } }],
    ['xAI', { server_side_tool_usage_details: { web_search_calls: 3, x_search_calls: 0 } }],
    ["xAI's live search", { num_sources_used: 3 }],
    ['Perplexity', { num_search_queries: 3 }],
  ];
  onBareHost(
    'are paid for by the number that the answer tells, whole and streamed, asked for or not',
    () => scene(),
    async (on) => {
      for (const [vendor, usage] of telling) {
        on.upstream.answerWith(told(usage));
        await ask(on, { web_search_options: {} });
        assert.equal(feesOf(lastOf(on)).settled, 0.03, vendor);
        await ask(on);
        assert.equal(feesOf(lastOf(on)).settled, 0.03, vendor);
        on.upstream.answerWith(() =>
          streamReply([
            sse({ choices: [{ index: 0, delta: { role: 'assistant', content: 'Found' } }] }),
            sse({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }),
            sse({ choices: [], usage: { ...USAGE, ...usage } }),
            'data: [DONE]\n\n',
          ]),
        );
        const stream = await on.client().chat.completions.create({ ...CALL, model: MODEL, stream: true });
        for await (const _ of stream);
        assert.equal(feesOf(lastOf(on)).settled, 0.03, vendor);
      }
    },
  );

  onBareHost(
    'that nobody asks for cost nothing, and need not be known',
    () => scene({ script: told({}), models: { [MODEL]: { pricing: PRICING } } }),
    async (on) => {
      const plain: readonly object[] = [
        {},
        { tools: [{ type: 'function', function: { name: 'web_search' } }] },
        { tools: [], tool_choice: 'auto', plugins: [], web_search_options: null, enable_search: false },
        { search_parameters: { mode: 'off' } },
        { tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'function', name: 'f' }] }] },
        // A choice that is no tool's: OpenAI's, and Anthropic's words for it.
        { tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [{ type: 'function' }] } } },
        { tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] } },
        ...['auto', 'any', 'none', 'required'].map((type) => ({ tool_choice: { type } })),
        { tool_choice: { type: 'tool', name: 'f' } },
      ];
      for (const more of plain) {
        await ask(on, more);
        assert.equal(feesOf(lastOf(on)).settled, 0);
      }
    },
  );

  onBareHost(
    'bring pages to the model: how many it may read must be known where money is limited',
    () => scene({ models: { [MODEL]: { pricing: PRICING } } }),
    async (on) => {
      await assert.rejects(ask(on, { web_search_options: {} }), { status: 403, code: 'model_not_allowed' });
      assert.equal(on.upstream.requests.length, 0);
    },
  );

  onBareHost(
    'are not hidden by a name in other letters',
    () => scene(),
    async (on) => {
      for (const name of ['Web_Search_Options', 'Plugins', 'TOOLS', 'Tool_choice', 'Search_Parameters']) {
        await assert.rejects(ask(on, { [name]: [{ type: 'web_search' }] }), { status: 400 }, name);
      }
    },
  );

  onBareHost(
    'of a budget are refused once their fees do not fit',
    () => scene({ key: { limits: { usdPerDay: 0.25 } }, script: told({}) }),
    async (on) => {
      await ask(on, { web_search_options: {} });
      const ends = await Promise.allSettled(Array.from({ length: 20 }, () => ask(on, { web_search_options: {} })));
      const spent = on.setup.records.reduce((sum, { costNanoUsd = 0 }) => sum + costNanoUsd, 0);
      assert.ok(ends.some(({ status }) => status === 'rejected'));
      assert.ok(spent <= 250_000_000, String(spent));
    },
  );
});

describe('a fee for each request', () => {
  onBareHost(
    'is reserved and paid for, beside tokens and whatever the tier',
    () =>
      scene({ script: told({}, { service_tier: 'priority' }) }, { usdPerRequest: 0.012, serviceTiers: { fast: 2 } }),
    async (on) => {
      await ask(on, { service_tier: 'fast' });
      const { costNanoUsd, reservedNanoUsd = 0, inputTokens = 0, outputTokens = 0 } = lastOf(on);
      assert.equal(costNanoUsd, 12_000_000 + 2 * 1_000 * (inputTokens + outputTokens));
      assert.ok(reservedNanoUsd >= 12_000_000 + 2 * 16_000);
      assert.equal(lastOf(on).isOverReserved, false);
    },
  );

  onBareHost(
    'is not paid for where the upstream refuses',
    () =>
      scene(
        { script: () => reply({ error: { message: 'No', type: 'invalid_request_error' } }, { status: 400 }) },
        { usdPerRequest: 0.012 },
      ),
    async (on) => {
      await assert.rejects(ask(on), { status: 400 });
      assert.equal(lastOf(on).costNanoUsd, undefined);
    },
  );
});

describe('hosted tools of chat', () => {
  onBareHost(
    'are not hidden behind a second name, which another parser might read first',
    () => scene({ script: told({}) }),
    async (on) => {
      const hiding: readonly (readonly [hidden: string, members: string])[] = [
        ['web_search', '"tools":[{"type":"web_search","type":"function","function":{"name":"f"}}]'],
        ['web_search', '"tools":[{"type":"namespace","tools":[{"type":"web_search"}],"tools":[]}]'],
        ['web_search', '"tool_choice":{"type":"web_search","type":"auto"}'],
        ['"on"', '"search_parameters":{"mode":"on","mode":"off"}'],
      ];
      const send = (members: string) => {
        const text = `{"model":"${MODEL}","max_completion_tokens":16,${members},"messages":[{"role":"user","content":"x"}]}`;
        return on.client().post('/chat/completions', { body: Buffer.from(text), headers: JSON_TYPE });
      };
      for (const [at, [hidden, members]] of hiding.entries()) {
        await send(members);
        const sent = (await on.upstream.request(at)).body.toString();
        assert.ok(!sent.includes(hidden), sent);
      }
      // What is said once goes as it came.
      const plain = '"tools": [ {"type":"function","function":{"name":"\\u0066:{"}} ]';
      await send(plain);
      assert.ok((await on.upstream.request(hiding.length)).body.toString().includes(plain));
    },
  );
});

describe('hosted tools of responses', () => {
  const refusing: Script = (request) =>
    'max_tool_calls' in request.json()
      ? reply(
          {
            error: {
              message: "Unknown parameter: 'max_tool_calls'.",
              type: 'invalid_request_error',
              param: 'max_tool_calls',
            },
          },
          { status: 400 },
        )
      : reply(wholeResponse('Found', { model: MODEL }));

  onBareHost(
    'are refused where the upstream knows no bound of their calls, without telling the client off for it',
    () => scene({ script: refusing }),
    async (on) => {
      await assert.rejects(
        respond(on, { tools: [{ type: 'web_search' }] }),
        (error: { status?: number; code?: string; message?: string }) =>
          error.status === 403 && error.code === 'model_not_allowed' && !error.message?.includes('max_tool_calls'),
      );
      await assert.rejects(respond(on, { tools: [{ type: 'web_search' }], max_tool_calls: 3 }), {
        status: 400,
        param: 'max_tool_calls',
      });
    },
  );

  onBareHost(
    'that cost nothing have no bound sent for them',
    () => scene({ script: refusing }),
    async (on) => {
      await respond(on, { tools: [{ type: 'mcp', server_label: 's', server_url: 'https://mcp.example' }] });
      await respond(on, { tools: [{ type: 'computer_use_preview', display_width: 1, display_height: 1 }] });
      assert.equal(on.upstream.requests.length, 2);
    },
  );

  onBareHost(
    'are found in a namespace and in a prompt that the upstream keeps',
    () => scene({ script: () => reply(wholeResponse('Found', { model: MODEL })) }),
    async (on) => {
      await respond(on, { tools: [{ type: 'namespace', name: 'n', tools: [{ type: 'web_search' }] }] });
      assert.equal(feesOf(lastOf(on)).reserved, 0.1);
      await respond(on, { prompt: { id: 'pmpt_1' } });
      assert.equal(feesOf(lastOf(on)).reserved, 0.3);
      assert.equal((await on.upstream.request(1)).json().max_tool_calls, 10);
    },
  );

  onBareHost(
    'are not hidden behind a second type, which another parser might read first',
    () => scene({ script: () => reply(wholeResponse('Found', { model: MODEL })) }),
    async (on) => {
      const tool = '{"type":"web_search","type":"function","name":"f","parameters":{}}';
      const body = Buffer.from(`{"model":"${MODEL}","input":"x","max_output_tokens":16,"tools":[${tool}]}`);
      await on.client().post('/responses', { body, headers: JSON_TYPE });
      const sent = (await on.upstream.request(0)).body.toString();
      assert.ok(!sent.includes('web_search') && sent.includes('"type":"function"'), sent);
    },
  );

  onBareHost(
    'are paid for by what was seen of them where the stream breaks off',
    () =>
      scene({
        script: () => {
          const event = (type: string, more: object): string =>
            `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`;
          const search = { type: 'web_search_call', id: 'ws', status: 'in_progress' };
          return streamReply([
            event('response.created', {
              response: { ...wholeResponse('', { model: MODEL }), status: 'in_progress', output: [] },
            }),
            event('response.output_item.added', { output_index: 0, item: search }),
            event('response.output_item.added', { output_index: 1, item: search }),
            event('response.output_text.delta', { delta: 'Found' }),
          ]);
        },
      }),
    async (on) => {
      const stream = await on
        .client()
        .responses.create({ model: MODEL, input: 'x', stream: true, tools: [{ type: 'web_search' }] });
      await assert.rejects(async () => {
        for await (const _ of stream);
      });
      assert.equal(lastOf(on).outcome, 'error');
      const { costNanoUsd = 0, inputTokens = 0, outputTokens = 0 } = lastOf(on);
      assert.equal(costNanoUsd - 1_000 * (inputTokens + outputTokens), 20_000_000);
    },
  );
});
