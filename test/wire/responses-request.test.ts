import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { GatewayError } from '../../src/base/errors.js';
import type { Json, JsonObject } from '../../src/base/json.js';
import { chatBodyOf } from '../../src/wire/responses/chat-body.js';
import { inputItemsOf, itemReferences, type KnownItems } from '../../src/wire/responses/items.js';
import { readResponsesRequest } from '../../src/wire/responses/request.js';
import { specChecker, specIsMissing } from '../conformance/description.js';

const NOTHING: KnownItems = { priorItems: [] };
const PIXEL = 'data:image/png;base64,AAAA';
const user = (content: Json) => ({ role: 'user', content });
const call = (id: string, args = '{}') => ({ type: 'function_call', call_id: id, name: 'f', arguments: args });
const output = (id: string, text: Json = 'out') => ({ type: 'function_call_output', call_id: id, output: text });
const chatCall = (id: string, args = '{}') => ({ id, type: 'function', function: { name: 'f', arguments: args } });
const tool = (id: string, content: unknown = 'out') => ({ role: 'tool', tool_call_id: id, content });
const FUNCTION = { type: 'function', name: 'f', parameters: { type: 'object', properties: {} }, strict: true };
const CHAT_FUNCTION = {
  type: 'function',
  function: { name: 'f', parameters: { type: 'object', properties: {} }, strict: true },
};

const read = (body: object) => readResponsesRequest(JSON.parse(JSON.stringify({ model: 'm', input: 'Hi', ...body })));
const chat = (body: object, known: KnownItems = NOTHING): JsonObject => chatBodyOf(read(body), known);

function refusal(run: () => unknown): Pick<GatewayError, 'status' | 'message' | 'code' | 'param'> {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    const { status, message, code, param } = error;
    return { status, message, code, param };
  }
  throw new Error('Expected a refusal');
}

describe('readResponsesRequest', () => {
  it('gives what the gateway acts on, with the defaults of OpenAI', () => {
    const { body: _, ...plain } = read({});
    assert.deepEqual(plain, {
      model: 'm',
      stream: false,
      store: true,
      background: false,
      previousResponseId: undefined,
      maxOutputTokens: undefined,
    });
    const { body: __, ...full } = read({
      stream: true,
      background: true,
      previous_response_id: 'resp_1',
      max_output_tokens: 16,
    });
    assert.deepEqual(full, {
      model: 'm',
      stream: true,
      store: true,
      background: true,
      previousResponseId: 'resp_1',
      maxOutputTokens: 16,
    });
  });

  it('takes null for absent', () => {
    const names =
      `instructions max_output_tokens metadata tools tool_choice parallel_tool_calls text reasoning temperature
      top_p top_logprobs include truncation user safety_identifier prompt_cache_key service_tier max_tool_calls stream
      stream_options store background previous_response_id`.split(/\s+/);
    assert.equal(read(Object.fromEntries(names.map((name) => [name, null]))).store, true);
  });

  const refusals: readonly (readonly [object, string | null, string | null, RegExp])[] = [
    [{ model: null }, null, null, /^you must provide a model parameter$/],
    [{ input: null }, 'missing_required_parameter', 'input', /^Missing required parameter: 'input'\.$/],
    [{ input: 5 }, 'invalid_type', 'input', /expected one of a string or array of objects, but got an integer/],
    [{ input: [] }, 'empty_array', 'input', /empty array/],
    [{ input: ['a'] }, 'invalid_type', 'input[0]', /expected an object, but got a string/],
    [{ max_output_tokens: 15 }, 'integer_below_min_value', 'max_output_tokens', /Expected a value >= 16, but got 15/],
    [{ max_output_tokens: 20.5 }, 'invalid_type', 'max_output_tokens', /an integer/],
    [{ temperature: 3 }, 'decimal_above_max_value', 'temperature', /<= 2/],
    [{ top_p: -1 }, 'decimal_below_min_value', 'top_p', />= 0/],
    [{ top_logprobs: 21 }, 'integer_above_max_value', 'top_logprobs', /<= 20/],
    [{ stream: 'yes' }, 'invalid_type', 'stream', /a boolean/],
    [{ store: 1 }, 'invalid_type', 'store', /a boolean/],
    [{ background: 'no' }, 'invalid_type', 'background', /a boolean/],
    [{ background: true, store: false }, null, 'background', /'store'/],
    [{ previous_response_id: 7 }, 'invalid_type', 'previous_response_id', /a string/],
    [{ instructions: ['x'] }, 'invalid_type', 'instructions', /a string, but got an array/],
    [{ metadata: { a: 1 } }, 'invalid_type', 'metadata.a', /a string/],
    [{ metadata: { a: 'x'.repeat(513) } }, 'string_above_max_length', 'metadata.a', /maximum length 512/],
    [
      { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, at) => [at, ''])) },
      'object_above_max_properties',
      'metadata',
      /at most 16/,
    ],
    [{ tools: {} }, 'invalid_type', 'tools', /an array of objects/],
    [{ tools: [{}] }, 'missing_required_parameter', 'tools[0].type', /tools\[0\]\.type/],
    [{ tool_choice: 1 }, 'invalid_type', 'tool_choice', /an object/],
    [{ parallel_tool_calls: 1 }, 'invalid_type', 'parallel_tool_calls', /a boolean/],
    [{ max_tool_calls: -1 }, 'integer_below_min_value', 'max_tool_calls', />= 0/],
    [{ text: 'x' }, 'invalid_type', 'text', /an object/],
    [
      { text: { format: { type: 'xml' } } },
      'invalid_value',
      'text.format.type',
      /'text', 'json_schema', and 'json_object'/,
    ],
    [
      { text: { format: { type: 'json_schema', schema: {} } } },
      'missing_required_parameter',
      'text.format.name',
      /name/,
    ],
    [
      { text: { format: { type: 'json_schema', name: 'n' } } },
      'missing_required_parameter',
      'text.format.schema',
      /schema/,
    ],
    [{ text: { verbosity: 3 } }, 'invalid_type', 'text.verbosity', /a string/],
    [{ reasoning: 'high' }, 'invalid_type', 'reasoning', /an object/],
    [{ reasoning: { effort: 1 } }, 'invalid_type', 'reasoning.effort', /a string/],
    [{ include: 'x' }, 'invalid_type', 'include', /an array of strings/],
    [{ truncation: 'always' }, 'invalid_value', 'truncation', /'auto', and 'disabled'/],
    [{ user: 1 }, 'invalid_type', 'user', /a string/],
    [{ safety_identifier: 'x'.repeat(65) }, 'string_above_max_length', 'safety_identifier', /64/],
    [{ prompt_cache_key: 1 }, 'invalid_type', 'prompt_cache_key', /a string/],
    [{ service_tier: 1 }, 'invalid_type', 'service_tier', /a string/],
    [
      { stream: true, stream_options: { include_obfuscation: 1 } },
      'invalid_type',
      'stream_options.include_obfuscation',
      /./,
    ],
    [{ stream_options: {} }, null, 'stream_options', /only allowed when 'stream' is enabled/],
  ];
  for (const [body, code, param, message] of refusals) {
    it(`refuses ${JSON.stringify(body).slice(0, 80)}`, () => {
      const refused = refusal(() => read(body));
      assert.deepEqual([refused.status, refused.code, refused.param], [400, code, param]);
      assert.match(refused.message, message);
    });
  }

  it('needs no input where there is a response to go on from', () => {
    const { input: _, ...body } = { input: 0, model: 'm', previous_response_id: 'resp_1' };
    assert.equal(readResponsesRequest(body).previousResponseId, 'resp_1');
  });
});

describe('chatBodyOf', () => {
  const said = 'Hello';
  const forms: readonly (readonly [string, unknown, readonly unknown[]])[] = [
    ['a text', 'Hi', [user('Hi')]],
    ['an easy message', [user('Hi')], [user('Hi')]],
    [
      'a message of the developer',
      [{ role: 'developer', content: 'Be brief' }],
      [{ role: 'system', content: 'Be brief' }],
    ],
    ['a message item', [{ type: 'message', ...user([{ type: 'input_text', text: 'Hi' }]) }], [user('Hi')]],
    [
      'an image',
      [
        user([
          { type: 'input_text', text: 'What?' },
          { type: 'input_image', image_url: PIXEL, detail: 'low', file_id: null },
          { type: 'input_image', image_url: PIXEL, detail: 'original' },
          { type: 'input_image', image_url: PIXEL },
        ]),
      ],
      [
        user([
          { type: 'text', text: 'What?' },
          { type: 'image_url', image_url: { url: PIXEL, detail: 'low' } },
          { type: 'image_url', image_url: { url: PIXEL, detail: 'high' } },
          { type: 'image_url', image_url: { url: PIXEL } },
        ]),
      ],
    ],
    [
      'a file and a sound',
      [
        user([
          { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA' },
          { type: 'input_file', file_id: 'file-1' },
          { type: 'input_audio', input_audio: { data: 'AA', format: 'wav' } },
        ]),
      ],
      [
        user([
          { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,AA' } },
          { type: 'file', file: { file_id: 'file-1' } },
          { type: 'input_audio', input_audio: { data: 'AA', format: 'wav' } },
        ]),
      ],
    ],
    [
      'what the assistant said',
      [
        {
          type: 'message',
          id: 'msg_1',
          role: 'assistant',
          status: 'completed',
          content: [
            { type: 'output_text', text: 'Hel', annotations: [], logprobs: [] },
            { type: 'output_text', text: 'lo', annotations: [], logprobs: [] },
          ],
        },
      ],
      [{ role: 'assistant', content: said }],
    ],
    [
      'a refusal',
      [{ role: 'assistant', content: [{ type: 'refusal', refusal: 'No' }] }],
      [{ role: 'assistant', content: null, refusal: 'No' }],
    ],
    [
      'two messages of the assistant',
      [
        { role: 'assistant', content: 'a' },
        { role: 'assistant', content: 'b' },
      ],
      [
        { role: 'assistant', content: 'a' },
        { role: 'assistant', content: 'b' },
      ],
    ],
    [
      'a call and its output',
      [user('Hi'), call('c1'), output('c1')],
      [user('Hi'), { role: 'assistant', content: null, tool_calls: [chatCall('c1')] }, tool('c1')],
    ],
    [
      'parallel calls after a message, outputs in another order',
      [{ role: 'assistant', content: said }, call('c1'), call('c2'), output('c2', '2'), output('c1', '1')],
      [
        { role: 'assistant', content: said, tool_calls: [chatCall('c1'), chatCall('c2')] },
        tool('c1', '1'),
        tool('c2', '2'),
      ],
    ],
    [
      'a message between a call and its output',
      [call('c1'), { role: 'assistant', content: said }, user('Wait'), output('c1')],
      [{ role: 'assistant', content: said, tool_calls: [chatCall('c1')] }, tool('c1'), user('Wait')],
    ],
    [
      'calls numbered anew in each turn',
      [call('0', '{"a":1}'), output('0', 'x'), call('0', '{"a":2}'), output('0', 'y')],
      [
        { role: 'assistant', content: null, tool_calls: [chatCall('0', '{"a":1}')] },
        tool('0', 'x'),
        { role: 'assistant', content: null, tool_calls: [chatCall('0', '{"a":2}')] },
        tool('0', 'y'),
      ],
    ],
    [
      'an output in parts',
      [
        call('c1'),
        output('c1', [
          { type: 'input_text', text: 'a' },
          { type: 'input_text', text: 'b' },
        ]),
      ],
      [
        { role: 'assistant', content: null, tool_calls: [chatCall('c1')] },
        tool('c1', [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ]),
      ],
    ],
    [
      'a call of a custom tool',
      [
        { type: 'custom_tool_call', call_id: 'c1', name: 'sh', input: 'ls' },
        { type: 'custom_tool_call_output', call_id: 'c1', output: 'a b' },
      ],
      [
        {
          role: 'assistant',
          content: null,
          tool_calls: [{ id: 'c1', type: 'custom', custom: { name: 'sh', input: 'ls' } }],
        },
        tool('c1', 'a b'),
      ],
    ],
    [
      'thoughts: given back with calls, dropped elsewhere',
      [
        { type: 'reasoning', id: 'rs_0', summary: [], content: [{ type: 'reasoning_text', text: 'mere' }] },
        { role: 'assistant', content: said },
        user('Go on'),
        { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 's' }], encrypted_content: 'x' },
        { type: 'reasoning', id: 'rs_2', summary: [], content: [{ type: 'reasoning_text', text: 'deep' }] },
        call('c1'),
        output('c1'),
      ],
      [
        { role: 'assistant', content: said },
        user('Go on'),
        { role: 'assistant', content: null, reasoning_content: 'deep', tool_calls: [chatCall('c1')] },
        tool('c1'),
      ],
    ],
  ];
  for (const [name, input, messages] of forms) {
    it(`translates ${name}`, () => {
      assert.deepEqual(chat({ input }), { model: 'm', messages });
    });
  }

  it('says no more than OpenAI describes of a chat completion', { skip: specIsMissing }, () => {
    const check = specChecker();
    for (const [, input] of forms)
      check('CreateChatCompletionRequest', chat({ input, tools: [FUNCTION], stream: true }));
  });

  it('begins with the instructions, then what was said before, then the input', () => {
    const body = { instructions: 'Be brief', input: 'And?' };
    assert.deepEqual(chat(body, { priorItems: [user('Hi'), { role: 'assistant', content: said }] }).messages, [
      { role: 'system', content: 'Be brief' },
      user('Hi'),
      { role: 'assistant', content: said },
      user('And?'),
    ]);
  });

  it('joins a call of the earlier response with the output in the input', () => {
    assert.deepEqual(chat({ input: [output('c1')] }, { priorItems: [user('Hi'), call('c1')] }).messages, [
      user('Hi'),
      { role: 'assistant', content: null, tool_calls: [chatCall('c1')] },
      tool('c1'),
    ]);
  });

  it('puts in what is referred to, once', () => {
    const stored = { id: 'msg_1', type: 'message', role: 'assistant', content: [{ type: 'output_text', text: said }] };
    const input = [user('Hi'), { type: 'item_reference', id: 'msg_1' }, { id: 'msg_2' }];
    const other = { ...stored, id: 'msg_2', content: 'Bye' };
    assert.deepEqual(itemReferences(read({ input })), ['msg_1', 'msg_2']);
    assert.deepEqual(chat({ input }, { priorItems: [], referredItems: [stored, other] }).messages, [
      user('Hi'),
      { role: 'assistant', content: said },
      { role: 'assistant', content: 'Bye' },
    ]);
    assert.deepEqual(chat({ input }, { priorItems: [stored], referredItems: [other] }).messages, [
      { role: 'assistant', content: said },
      user('Hi'),
      { role: 'assistant', content: 'Bye' },
    ]);
    assert.deepEqual(
      refusal(() => chat({ input })),
      {
        status: 404,
        message: "Item with id 'msg_1' not found.",
        code: null,
        param: 'input',
      },
    );
  });

  const members: readonly (readonly [string, object, object])[] = [
    ['the ceiling', { max_output_tokens: 99 }, { max_completion_tokens: 99 }],
    ['the effort', { reasoning: { effort: 'low', summary: 'auto' } }, { reasoning_effort: 'low' }],
    ['verbosity', { text: { verbosity: 'low' } }, { verbosity: 'low' }],
    ['plain text', { text: { format: { type: 'text' } } }, { response_format: { type: 'text' } }],
    [
      'a schema',
      {
        text: {
          format: { type: 'json_schema', name: 'n', schema: { type: 'object' }, strict: true, description: null },
        },
      },
      {
        response_format: { type: 'json_schema', json_schema: { name: 'n', schema: { type: 'object' }, strict: true } },
      },
    ],
    [
      'JSON mode',
      { instructions: 'Answer in JSON', text: { format: { type: 'json_object' } } },
      {
        messages: [{ role: 'system', content: 'Answer in JSON' }, user('Hi')],
        response_format: { type: 'json_object' },
      },
    ],
    ['log probabilities', { top_logprobs: 2 }, { logprobs: true, top_logprobs: 2 }],
    ['log probabilities by include', { include: ['message.output_text.logprobs'] }, { logprobs: true }],
    ['a stream', { stream: true }, { stream: true, stream_options: { include_usage: true } }],
    [
      'what has the same name',
      { temperature: 0, top_p: 0.5, user: 'u', safety_identifier: 's', prompt_cache_key: 'p', service_tier: 'flex' },
      { temperature: 0, top_p: 0.5, user: 'u', safety_identifier: 's', prompt_cache_key: 'p', service_tier: 'flex' },
    ],
    ['nothing that chat does not know', { top_k: 4, client_metadata: { a: 'b' } }, {}],
    [
      'nothing of what the gateway does itself, and nothing that says otherwise',
      {
        store: true,
        background: true,
        metadata: { a: 'b' },
        truncation: 'auto',
        max_tool_calls: 3,
        previous_response_id: 'resp_1',
        n: 100,
        max_tokens: 1_000_000,
        max_completion_tokens: 1_000_000,
        messages: [],
      },
      {},
    ],
    ['no choice among no tools', { tools: [], tool_choice: 'auto', parallel_tool_calls: true }, {}],
    [
      'functions',
      {
        tools: [{ ...FUNCTION, description: 'd', cache_control: {} }],
        tool_choice: 'required',
        parallel_tool_calls: false,
      },
      {
        tools: [{ cache_control: {}, type: 'function', function: { ...CHAT_FUNCTION.function, description: 'd' } }],
        tool_choice: 'required',
        parallel_tool_calls: false,
      },
    ],
    [
      'custom tools',
      {
        tools: [
          { type: 'custom', name: 'a' },
          { type: 'custom', name: 'b', format: { type: 'text' } },
          { type: 'custom', name: 'c', format: { type: 'grammar', syntax: 'lark', definition: 'start: "x"' } },
        ],
        tool_choice: { type: 'custom', name: 'c' },
      },
      {
        tools: [
          { type: 'custom', custom: { name: 'a' } },
          { type: 'custom', custom: { name: 'b', format: { type: 'text' } } },
          {
            type: 'custom',
            custom: { name: 'c', format: { type: 'grammar', grammar: { syntax: 'lark', definition: 'start: "x"' } } },
          },
        ],
        tool_choice: { type: 'custom', custom: { name: 'c' } },
      },
    ],
    [
      'a named function',
      { tools: [FUNCTION], tool_choice: { type: 'function', name: 'f' } },
      { tools: [CHAT_FUNCTION], tool_choice: { type: 'function', function: { name: 'f' } } },
    ],
    [
      'allowed tools',
      {
        tools: [FUNCTION],
        tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] },
      },
      {
        tools: [CHAT_FUNCTION],
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'f' } }] },
        },
      },
    ],
  ];
  for (const [name, body, expected] of members) {
    it(`translates ${name}`, () => {
      assert.deepEqual(chat(body), { model: 'm', messages: [user('Hi')], ...expected });
    });
  }

  it('names only members that OpenAI describes of a chat completion', { skip: specIsMissing }, () => {
    const check = specChecker();
    for (const [, body] of members) check('CreateChatCompletionRequest', chat(body));
  });

  const refusals: readonly (readonly [object, string | null, string | null, RegExp])[] = [
    ...[
      'web_search',
      'file_search',
      'code_interpreter',
      'image_generation',
      'computer_use_preview',
      'mcp',
      'local_shell',
    ].map(
      (type) =>
        [
          { tools: [{ type }] },
          null,
          'tools',
          new RegExp(`^Hosted tool '${type}' is not supported with m\\.$`),
        ] as const,
    ),
    [{ tools: [{ type: 'function', function: { name: 'f' } }] }, 'missing_required_parameter', 'tools[0].name', /./],
    [{ tools: [FUNCTION], tool_choice: { type: 'web_search_preview' } }, null, 'tool_choice', /Hosted tool/],
    [
      { tools: [FUNCTION], tool_choice: { type: 'function', name: 'g' } },
      null,
      'tool_choice',
      /'g' not found in 'tools'/,
    ],
    [{ tools: [FUNCTION], tool_choice: 'maybe' }, 'invalid_value', 'tool_choice', /'none', 'auto', and 'required'/],
    [{ tool_choice: 'required' }, null, 'tool_choice', /must be specified with 'tools'/],
    [{ text: { format: { type: 'json_object' } } }, null, 'text.format', /must contain the word 'json'/],
    [{ conversation: 'conv_1' }, 'unsupported_parameter', 'conversation', /'conversation' is not supported/],
    [{ prompt: { id: 'p' } }, 'unsupported_parameter', 'prompt', /'prompt' is not supported/],
    [{ input: [{ role: 'robot', content: '' }] }, 'invalid_value', 'input[0].role', /'robot'/],
    [{ input: [{ role: 'user' }] }, 'missing_required_parameter', 'input[0].content', /./],
    [{ input: [user(5)] }, 'invalid_type', 'input[0].content', /string or array of objects/],
    [{ input: [user([{ type: 'text', text: 'x' }])] }, 'invalid_value', 'input[0].content[0].type', /'input_text'/],
    [{ input: [user([{ type: 'input_text' }])] }, 'missing_required_parameter', 'input[0].content[0].text', /./],
    [
      { input: [user([{ type: 'input_image', file_id: 'file-1' }])] },
      'invalid_request',
      'input[0].content[0].file_id',
      /not supported with this model/,
    ],
    [{ input: [user([{ type: 'input_image' }])] }, 'missing_required_parameter', 'input[0].content[0].image_url', /./],
    [
      { input: [user([{ type: 'input_file', file_url: 'https://x/' }])] },
      'invalid_request',
      'input[0].content[0].file_url',
      /not supported with this model/,
    ],
    [{ input: [user([{ type: 'input_file' }])] }, 'missing_required_parameter', 'input[0].content[0].file_data', /./],
    [
      { input: [{ role: 'assistant', content: [{ type: 'input_image', image_url: PIXEL }] }] },
      'invalid_value',
      'input[0].content[0].type',
      /'output_text', and 'refusal'/,
    ],
    [{ input: [{ type: 'web_search_call', id: 'ws_1' }] }, 'invalid_value', 'input[0].type', /'web_search_call'/],
    [
      { input: [{ type: 'function_call', name: 'f', arguments: '' }] },
      'missing_required_parameter',
      'input[0].call_id',
      /./,
    ],
    [{ input: [call('c1')] }, null, 'input', /^No tool output found for function call c1\.$/],
    [{ input: [output('c1')] }, null, 'input', /^No tool call found for function call output with call_id c1\.$/],
  ];
  for (const [body, code, param, message] of refusals) {
    it(`refuses ${JSON.stringify(body).slice(0, 90)}`, () => {
      const refused = refusal(() => chat(body));
      assert.deepEqual([refused.status, refused.code, refused.param], [400, code, param]);
      assert.match(refused.message, message);
    });
  }
});

describe('inputItemsOf', () => {
  const input = [
    user('Hi'),
    { role: 'assistant', content: 'Hello' },
    {
      type: 'message',
      id: 'msg_own',
      role: 'user',
      content: [{ type: 'input_image', image_url: PIXEL, detail: 'auto' }],
    },
    { type: 'reasoning', id: 'rs_own', summary: [] },
    call('c1'),
    output('c1'),
    { type: 'custom_tool_call', call_id: 'c2', name: 'sh', input: 'ls' },
    { type: 'custom_tool_call_output', call_id: 'c2', output: 'a' },
  ];

  it('gives each item an id, a status and its content in parts', async () => {
    const items = await inputItemsOf(read({}), 'resp_1');
    assert.match(String(items[0]?.id), /^msg_[0-9a-f]{48}$/);
    assert.deepEqual(items, [
      {
        id: items[0]?.id,
        type: 'message',
        status: 'completed',
        content: [{ type: 'input_text', text: 'Hi' }],
        role: 'user',
      },
    ]);
    const ids = (await inputItemsOf(read({ input }), 'resp_1')).map(({ id }) => String(id));
    assert.equal(new Set(ids).size, input.length);
    assert.deepEqual(
      ids.map((id) => id.split('_')[0]),
      ['msg', 'msg', 'msg', 'rs', 'fc', 'fco', 'ctc', 'ctco'],
    );
    assert.deepEqual([ids[2], ids[3]], ['msg_own', 'rs_own']);
  });

  it('is what OpenAI describes', { skip: specIsMissing }, async () => {
    const check = specChecker();
    for (const item of await inputItemsOf(read({ input }), 'resp_1')) check('ItemResource', item);
  });

  it('says the same when it is given back', async () => {
    const priorItems = await inputItemsOf(read({ input }), 'resp_1');
    const { messages: direct } = chat({ input });
    assert.deepEqual(chat({ input: [], previous_response_id: 'resp_1' }, { priorItems }).messages, direct);
  });
});
