import assert from 'node:assert/strict';
import type OpenAI from 'openai';
import { reply, streamEvents, streamReply, wholeChat } from '../helpers/chat-answers.js';
import { within } from '../helpers/deadline.js';
import { MODEL, onBareHost } from '../helpers/scene.js';
import type { SeenRequest, Step } from '../helpers/scripted-upstream.js';

const CALLS = [
  { id: 'call_aaaaaaaaaaaaaaaaaaaaaaaa', name: 'weather', arguments: '{"city":"Oslo","unit":"°C"}' },
  { id: 'call_bbbbbbbbbbbbbbbbbbbbbbbb', name: 'time', arguments: '{"zone":"Europe/Oslo"}' },
];

/** Both calls, their arguments in turns and in small pieces, as models that call in parallel send them. */
const DELTAS: Record<string, unknown>[] = [
  ...CALLS.map(({ id, name }, index) => ({
    tool_calls: [{ index, id, type: 'function', function: { name, arguments: '' } }],
  })),
  ...[0, 4, 8, 12, 16, 20, 24].flatMap((at) =>
    CALLS.map((call, index) => ({
      tool_calls: [{ index, function: { arguments: call.arguments.slice(at, at + 4) } }],
    })),
  ),
];

const TOOLS: OpenAI.ChatCompletionTool[] = CALLS.map(({ name }) => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties: {}, additionalProperties: true } },
}));

/** Calls both tools; once it has what they said, says it. */
function answer(request: SeenRequest): Step[] {
  const { messages, stream } = request.json();
  assert.ok(Array.isArray(messages));
  const said = messages.filter((message) => message.role === 'tool').map((message) => message.content);
  if (said.length === 0) {
    return stream === true
      ? streamReply(streamEvents([], { deltas: DELTAS, finishReason: 'tool_calls' }))
      : reply(wholeChat(null, { message: { tool_calls: CALLS.map(wireCall) }, finishReason: 'tool_calls' }));
  }
  const text = `It is ${said.join(' and ')}.`;
  return stream === true ? streamReply(streamEvents([text])) : reply(wholeChat(text));
}

function wireCall({ id, name, arguments: text }: (typeof CALLS)[number]): Record<string, unknown> {
  return { id, type: 'function', function: { name, arguments: text } };
}

onBareHost(
  'parallel tool calls over a stream are put together by the client’s own helper, and the loop that answers them ends',
  () => ({ script: answer }),
  async ({ client, upstream, setup }) => {
    const openai = client();
    const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'user', content: 'Weather and time in Oslo?' }];
    const first = openai.chat.completions.stream({ model: MODEL, messages, tools: TOOLS });
    const asked = (await within(first.finalChatCompletion(), 'the stream to end')).choices[0];
    assert.equal(asked?.finish_reason, 'tool_calls');
    assert.deepEqual(
      asked?.message.tool_calls?.map((call) => [call.id, call.function.name, call.function.arguments]),
      CALLS.map((call) => [call.id, call.name, call.arguments]),
    );
    messages.push({ role: 'assistant', content: null, tool_calls: asked?.message.tool_calls ?? [] });
    messages.push({ role: 'tool', tool_call_id: CALLS[0]?.id ?? '', content: '-3 °C' });
    messages.push({ role: 'tool', tool_call_id: CALLS[1]?.id ?? '', content: '12:00' });
    const second = openai.chat.completions.stream({ model: MODEL, messages, tools: TOOLS });
    assert.equal(await within(second.finalContent(), 'the stream to end'), 'It is -3 °C and 12:00.');
    assert.deepEqual((await upstream.request(1)).json().messages, JSON.parse(JSON.stringify(messages)));
    assert.deepEqual((await upstream.request(1)).json().tools, TOOLS);
    assert.equal(setup.records.length, 2);
  },
);

onBareHost(
  'the client’s own tool runner gets through to the last answer, whole and streamed',
  () => ({ script: answer }),
  async ({ client, upstream }) => {
    const given = {
      model: MODEL,
      messages: [{ role: 'user' as const, content: 'Weather and time in Oslo?' }],
      tools: [runnable('weather', '-3 °C'), runnable('time', '12:00')],
    };
    const { completions } = client().chat;
    for (const runner of [completions.runTools(given), completions.runTools({ ...given, stream: true })]) {
      assert.equal(await within(runner.finalContent(), 'the runner to end'), 'It is -3 °C and 12:00.');
    }
    assert.equal(upstream.requests.length, 4);
  },
);

function runnable(name: string, result: string): RunnableTool {
  return { type: 'function', function: { name, description: name, parameters: {}, function: () => result } };
}

interface RunnableTool {
  readonly type: 'function';
  readonly function: {
    readonly name: string;
    readonly description: string;
    readonly parameters: object;
    readonly function: () => string;
  };
}
