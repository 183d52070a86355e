import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonObject } from '../../src/base/json.js';
import { chatCompletion, chatHead, readFinishReason } from '../../src/wire/chat/answer.js';
import { collectChunks } from '../../src/wire/chat/collect-chunks.js';
import { DeltaCompleter } from '../../src/wire/chat/complete-deltas.js';
import { completedResponse, responseHead } from '../../src/wire/responses/object.js';
import { readResponsesRequest } from '../../src/wire/responses/request.js';
import { TranslatedStream } from '../../src/wire/responses/translated-stream.js';

const NOW = 1_770_000_000_000;
const HEAD = responseHead('req_1', readResponsesRequest({ model: 'm', input: 'Hi' }), NOW);
const CHAT_HEAD = chatHead('req_1', 'm', NOW);

/** What was said, in the order of the items. */
interface Said {
  readonly thoughts: string;
  readonly text: string;
  readonly refusal: string;
  readonly calls: readonly (readonly [name: string, text: string])[];
}

function saidIn({ output }: JsonObject): Said {
  const said = { thoughts: '', text: '', refusal: '', calls: [] as [string, string][] };
  for (const item of JSON.parse(JSON.stringify(output))) {
    if (item.type === 'function_call') said.calls.push([item.name, item.arguments]);
    else if (item.type === 'custom_tool_call') said.calls.push([item.name, item.input]);
    else
      for (const part of item.content) {
        if (part.type === 'reasoning_text') said.thoughts += part.text;
        else if (part.type === 'refusal') said.refusal += part.refusal;
        else said.text += part.text;
      }
  }
  return said;
}

const wholeOf = (message: JsonObject, more: JsonObject = {}): Said =>
  saidIn(completedResponse(HEAD, { choices: [{ index: 0, message, finish_reason: 'stop', ...more }] }, NOW));

const chunksOf = (deltas: readonly JsonObject[]): JsonObject[] => [
  ...deltas.map((delta) => ({ choices: [{ index: 0, delta, finish_reason: null }] })),
  { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
];

function streamOf(deltas: readonly JsonObject[]): Said {
  const stream = new TranslatedStream(HEAD);
  stream.encodeStart();
  for (const chunk of chunksOf(deltas)) stream.encodeChunk(chunk);
  return saidIn(stream.encodeEnd(undefined, NOW).response);
}

async function collectedOf(deltas: readonly JsonObject[]): Promise<Said> {
  const answer = chatCompletion(await collectChunks(chunksOf(deltas), CHAT_HEAD, 1e6));
  return saidIn(completedResponse(HEAD, answer, NOW));
}

async function completedOf(deltas: readonly JsonObject[]): Promise<Said> {
  const completer = new DeltaCompleter(CHAT_HEAD, { includeUsage: false });
  const chunks = [...deltas.flatMap((delta) => completer.completePiece(delta)), ...completer.completeEnd()];
  return saidIn(completedResponse(HEAD, chatCompletion(await collectChunks(chunks, CHAT_HEAD, 1e6)), NOW));
}

const NOTHING: Said = { thoughts: '', text: '', refusal: '', calls: [] };

/** Forms in which servers tell the same. Mistral, Magistral: docs.mistral.ai/capabilities/reasoning. */
const WORDS: Readonly<Record<string, readonly [JsonObject, Partial<Said>]>> = {
  'thinking and text in a list': [
    {
      content: [
        { type: 'thinking', thinking: [{ type: 'text', text: 'Hm' }] },
        { type: 'text', text: 'Yes' },
      ],
    },
    { thoughts: 'Hm', text: 'Yes' },
  ],
  'thinking as a text': [
    {
      content: [
        { type: 'thinking', thinking: 'Hm', signature: 'abc' },
        { type: 'text', text: 'Yes' },
      ],
    },
    { thoughts: 'Hm', text: 'Yes' },
  ],
  'a list of texts': [{ content: ['Ye', 's'] }, { text: 'Yes' }],
  'one part': [{ content: { type: 'text', text: 'Yes', annotations: [{ title: 'No' }] } }, { text: 'Yes' }],
  'parts of responses': [
    {
      content: [
        { type: 'output_text', text: 'Yes' },
        { type: 'refusal', refusal: 'No' },
      ],
    },
    { text: 'Yes', refusal: 'No' },
  ],
  'reasoning beside content': [
    { reasoning: 'Hm', content: 'Yes' },
    { thoughts: 'Hm', text: 'Yes' },
  ],
  'the same thoughts twice': [
    { reasoning_content: 'Hm', reasoning: 'Hm', content: 'Yes' },
    { thoughts: 'Hm', text: 'Yes' },
  ],
  'details of reasoning': [
    { reasoning_details: [{ type: 'reasoning.text', text: 'Hm', id: 'r1', format: 'f' }], content: 'Yes' },
    { thoughts: 'Hm', text: 'Yes' },
  ],
  'blocks of thinking': [
    { thinking_blocks: [{ type: 'thinking', thinking: 'Hm', signature: 's' }], content: 'Yes' },
    { thoughts: 'Hm', text: 'Yes' },
  ],
  'a legacy call': [{ content: null, function_call: { name: 'f', arguments: '{}' } }, { calls: [['f', '{}']] }],
  'words in a member that nobody knows': [{ answer: { value: 'Yes' }, id: 'x' }, { text: 'Yes' }],
};

describe('words of a model', () => {
  for (const [form, [message, said]] of Object.entries(WORDS)) {
    it(`are in a translated response: ${form}`, () => {
      const expected = { ...NOTHING, ...said };
      assert.deepEqual(wholeOf({ role: 'assistant', ...message }), expected, 'whole');
      assert.deepEqual(streamOf([{ role: 'assistant' }, message]), expected, 'streamed');
    });
  }

  it('are in a stored stream, and in the stream of a function, where they came in parts', async () => {
    const deltas = [
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'H' }] }] },
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'm' }] }] },
      { content: [{ type: 'text', text: 'Yes' }] },
    ];
    const expected = { ...NOTHING, thoughts: 'Hm', text: 'Yes' };
    assert.deepEqual(await collectedOf(deltas), expected);
    assert.deepEqual(await completedOf(deltas), expected);
  });

  it('are read where a choice has no message', () => {
    assert.equal(
      saidIn(completedResponse(HEAD, { choices: [{ text: 'Yes', finish_reason: 'stop' }] }, NOW)).text,
      'Yes',
    );
    assert.equal(saidIn(completedResponse(HEAD, { choices: [{ delta: { content: 'Yes' } }] }, NOW)).text, 'Yes');
  });
});

const named = (id: string | undefined, name: string, text: string, more: JsonObject = {}): JsonObject => ({
  ...(id === undefined ? {} : { id }),
  type: 'function',
  function: { name, arguments: text },
  ...more,
});
const later = (text: string, more: JsonObject = {}): JsonObject => ({ function: { arguments: text }, ...more });

/** Deltas of two calls, `a` with 1 and `b` with 2, as servers number them. */
const TWO_CALLS: Readonly<Record<string, readonly (readonly JsonObject[])[]>> = {
  'without index, both at once': [[named('call_1', 'a', '{"x":1}'), named('call_2', 'b', '{"x":2}')]],
  'without index, one after the other': [[named('call_1', 'a', '{"x":1}')], [named('call_2', 'b', '{"x":2}')]],
  'without index and id': [[named(undefined, 'a', '{"x":1}')], [named(undefined, 'b', '{"x":2}')]],
  'without index, arguments in pieces': [
    [named('call_1', 'a', '{"x"')],
    [later(':1}')],
    [named('call_2', 'b', '{"x"')],
    [later(':2}')],
  ],
  'without index, pieces that take turns and say whose they are': [
    [named('call_1', 'a', '{"x"'), named('call_2', 'b', '{"x"')],
    [later(':2}', { id: 'call_2' }), later(':1}', { id: 'call_1' })],
  ],
  'all of index 0': [
    [named('call_1', 'a', '{"x":1}', { index: 0 })],
    [named('call_2', 'b', '{"x"', { index: 0 })],
    [later(':2}', { index: 0 })],
  ],
  'with an index of null': [
    [named('call_1', 'a', '{"x":1}', { index: null })],
    [named('call_2', 'b', '{"x":2}', { index: null })],
  ],
  'numbered from 1': [[named('call_1', 'a', '{"x":1}', { index: 1 })], [named('call_2', 'b', '{"x":2}', { index: 2 })]],
  'numbered, with id and name in each piece': [
    [named('call_1', 'a', '{"x"', { index: 0 }), named('call_2', 'b', '{"x"', { index: 1 })],
    [named('call_1', 'a', ':1}', { index: 0 }), named('call_2', 'b', ':2}', { index: 1 })],
  ],
};

describe('parallel calls', () => {
  for (const [form, lists] of Object.entries(TWO_CALLS)) {
    it(`stay two: ${form}`, async () => {
      const deltas = lists.map((tool_calls) => ({ tool_calls }));
      const expected = [
        ['a', '{"x":1}'],
        ['b', '{"x":2}'],
      ];
      assert.deepEqual(streamOf(deltas).calls, expected, 'translated');
      assert.deepEqual((await collectedOf(deltas)).calls, expected, 'stored');
      assert.deepEqual((await completedOf(deltas)).calls, expected, 'completed');
    });
  }

  it('of 20,000 unnumbered deltas are sorted in no more than linear time', async () => {
    const calls = Array.from({ length: 20_000 }, (_, at) => named(`call_${at}`, 'f', '{}'));
    assert.equal((await collectedOf([{ tool_calls: calls }])).calls.length, calls.length);
  });
});

describe('finish reasons', () => {
  it('of other vendors are read as what they mean', () => {
    const read = ['STOP', 'end_turn', 'MAX_TOKENS', 'max_tokens', 'tool_use', 'SAFETY', 'eos_token', 'odd', 'toString'];
    assert.deepEqual(read.map(readFinishReason), [
      'stop',
      'stop',
      'length',
      'length',
      'tool_calls',
      'content_filter',
      'stop',
      undefined,
      undefined,
    ]);
  });
});

/** The base64 of a response's pictures. */
const drawnIn = ({ output }: JsonObject): readonly unknown[] =>
  JSON.parse(JSON.stringify(output)).flatMap(({ type, result }: Record<string, unknown>) =>
    type === 'image_generation_call' ? [result] : [],
  );

describe('pictures in a chat answer', () => {
  const part = (base64: string): JsonObject => ({
    type: 'image_url',
    image_url: { url: `data:image/png;base64,${base64}` },
  });
  const forms: Readonly<Record<string, readonly JsonObject[]>> = {
    'as images': [{ images: [part('AAAA')] }, { content: 'and', images: [part('BBBB')] }],
    'as parts': [{ content: [part('AAAA'), { type: 'text', text: 'and' }] }, { content: [part('BBBB')] }],
    'as base64': [{ images: [{ b64_json: 'AAAA' }, { type: 'image', b64_json: 'BBBB' }] }],
  };
  for (const [form, deltas] of Object.entries(forms)) {
    it(`are shown ${form}: streamed, collected and completed`, async () => {
      const stream = new TranslatedStream(HEAD);
      stream.encodeStart();
      for (const chunk of chunksOf(deltas)) stream.encodeChunk(chunk);
      const collected = chatCompletion(await collectChunks(chunksOf(deltas), CHAT_HEAD, 1e6));
      const completer = new DeltaCompleter(CHAT_HEAD, { includeUsage: false });
      const chunks = [...deltas.flatMap((delta) => completer.completePiece(delta)), ...completer.completeEnd()];
      const completed = chatCompletion(await collectChunks(chunks, CHAT_HEAD, 1e6));
      for (const response of [
        stream.encodeEnd(undefined, NOW).response,
        completedResponse(HEAD, collected, NOW),
        completedResponse(HEAD, completed, NOW),
      ]) {
        assert.deepEqual(drawnIn(response), ['AAAA', 'BBBB']);
      }
    });
  }

  it('are not taken for words, nor what is no picture for one', () => {
    const given = {
      content: [part('AAAA')],
      images: [null, 7, {}, { image_url: 5 }, { url: '' }, 'data:text/plain,x'],
    };
    const choices = [{ index: 0, message: given, finish_reason: 'stop' }];
    const response = completedResponse(HEAD, { choices }, NOW);
    assert.deepEqual(
      [drawnIn(response), JSON.stringify(response.output).match(/"text":"[^"]*"/g)],
      [['AAAA'], ['"text":"data:text/plain,x"']],
    );
  });
});
