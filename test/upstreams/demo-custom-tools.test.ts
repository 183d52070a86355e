import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/base/errors.js';
import type { Json, JsonObject } from '../../src/base/json.js';
import { demo } from '../../src/upstreams/demo/demo.js';
import { ChatStream } from '../../src/wire/chat/stream.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { SECRET } from '../helpers/gateway-options.js';
import { joinedChunks } from '../helpers/openai-shapes.js';
import { onBareHost } from '../helpers/scene.js';
import { callWith, wholeBody } from '../helpers/upstream-call.js';

interface Call {
  readonly index?: number;
  readonly id?: string;
  readonly type?: string;
  readonly function?: { readonly name?: string; readonly arguments: string };
  readonly custom?: { readonly name?: string; readonly input: string };
}
interface Choice {
  readonly message: JsonObject & { readonly content: string | null; readonly tool_calls?: readonly Call[] };
  readonly delta: JsonObject & { readonly tool_calls?: readonly Call[] };
  readonly finish_reason: string | null;
}

async function answered(body: JsonObject): Promise<JsonObject[]> {
  const reply = await demo().send(callWith(body));
  if (reply.kind === 'whole') return [wholeBody(reply)];
  const chunks: JsonObject[] = [];
  if (reply.kind === 'chunks') for await (const chunk of reply.chunks) chunks.push(chunk);
  return chunks;
}

const choicesOf = (body: JsonObject | undefined): Choice[] => JSON.parse(JSON.stringify(body?.choices ?? []));

async function choiceOf(body: JsonObject): Promise<Choice> {
  const [choice] = choicesOf((await answered(body))[0]);
  assert.ok(choice !== undefined);
  return choice;
}

async function callsOf(body: JsonObject): Promise<readonly Call[]> {
  return (await choiceOf(body)).message.tool_calls ?? [];
}

async function refusal(body: JsonObject): Promise<GatewayError> {
  const error = await answered(body).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof GatewayError, `Expected a refusal, got ${String(error)}`);
  return error;
}

const ask = (rest: JsonObject): JsonObject => ({
  model: 'gpt-5',
  messages: [{ role: 'user', content: 'go' }],
  ...rest,
});
const custom = (name: string, rest: JsonObject = {}): JsonObject => ({ type: 'custom', custom: { name, ...rest } });
const grammar = (syntax: string, definition: string): JsonObject =>
  custom('g', { format: { type: 'grammar', grammar: { syntax, definition } } });
const inputFor = async (tool: JsonObject): Promise<string | undefined> =>
  (await callsOf(ask({ tools: [tool] })))[0]?.custom?.input;

const run = custom('run_code', { description: 'Runs code' });
const note = custom('note', { format: { type: 'text' } });
const ping = { type: 'function', function: { name: 'ping' } };
const tools = [run, ping, note];

describe('custom tools of the demo', () => {
  it('are called beside functions, whole', async () => {
    const choice = await choiceOf(ask({ tools }));
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.equal(choice.message.content, null);
    const [first, second, third] = choice.message.tool_calls ?? [];
    assert.deepEqual(Object.keys(first ?? {}), ['id', 'type', 'custom']);
    assert.deepEqual(Object.keys(first?.custom ?? {}), ['name', 'input']);
    assert.match(first?.id ?? '', /^call_[A-Za-z0-9]{24}$/);
    assert.deepEqual([first?.type, first?.custom?.name], ['custom', 'run_code']);
    assert.ok((first?.custom?.input ?? '').length > 0);
    assert.deepEqual(second, { id: second?.id, type: 'function', function: { name: 'ping', arguments: '{}' } });
    assert.equal(third?.custom?.name, 'note');
    assert.deepEqual(await choiceOf(ask({ tools })), choice);
  });

  it('are whole as OpenAI describes them', { skip: specIsMissing }, async () => {
    const check = specChecker();
    const [body] = await answered(ask({ tools }));
    check('CreateChatCompletionResponse', body);
    for (const call of choicesOf(body)[0]?.message.tool_calls ?? []) {
      check(call.type === 'custom' ? 'ChatCompletionMessageCustomToolCall' : 'ChatCompletionMessageToolCall', call);
    }
  });

  for (const rest of [
    {},
    { n: 2 },
    { max_completion_tokens: 30 },
    { logprobs: true },
    { parallel_tool_calls: false },
  ]) {
    it(`stream to the same calls: ${JSON.stringify(rest)}`, async () => {
      const model = { model: 'gpt-4o' };
      const [whole] = await answered(ask({ tools, ...model, ...rest }));
      const options = { stream: true, stream_options: { include_usage: true } };
      const chunks = await answered(ask({ tools, ...model, ...rest, ...options }));
      for (const [index, choice] of choicesOf(whole).entries())
        assert.deepEqual(joinedChunks(chunks, index).tool_calls, choice.message.tool_calls);
      assert.deepEqual(chunks.at(-1)?.usage, whole?.usage);
    });
  }

  it('say their id, type and name once in a stream', async () => {
    const chunks = await answered(ask({ tools: [run], stream: true }));
    const deltas = chunks.flatMap(choicesOf).flatMap(({ delta }) => delta.tool_calls ?? []);
    const [first, ...rest] = deltas;
    assert.deepEqual(first, { index: 0, id: first?.id, type: 'custom', custom: { name: 'run_code', input: '' } });
    assert.ok(rest.length > 1);
    for (const delta of rest) assert.deepEqual(delta, { index: 0, custom: { input: delta.custom?.input } });
  });

  it('are called as the client chooses', async () => {
    const names = async (rest: JsonObject): Promise<unknown[]> =>
      (await callsOf(ask({ tools, ...rest }))).map((call) => call.custom?.name ?? call.function?.name);
    assert.deepEqual(await names({ tool_choice: 'auto' }), ['run_code', 'ping', 'note']);
    assert.deepEqual(await names({ tool_choice: 'required' }), ['run_code', 'ping', 'note']);
    assert.deepEqual(await names({ tool_choice: 'none' }), []);
    assert.deepEqual(await names({ parallel_tool_calls: false }), ['run_code']);
    assert.deepEqual(await names({ tool_choice: custom('note') }), ['note']);
    assert.deepEqual(await names({ tool_choice: ping }), ['ping']);
    const allowed = (...offers: Json[]) => ({
      tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: offers } },
    });
    assert.deepEqual(await names(allowed(custom('note'), ping)), ['ping', 'note']);
    const both = [custom('same'), { type: 'function', function: { name: 'same' } }];
    const [one, ...more] = await callsOf(ask({ tools: both, ...allowed(custom('same')) }));
    assert.deepEqual([one?.type, more.length], ['custom', 0]);
    assert.equal((await choiceOf(ask({ tools, tool_choice: custom('note') }))).finish_reason, 'stop');
  });

  it('get words for their results, so that the loop ends', async () => {
    const user = { role: 'user', content: 'go' };
    const { message } = await choiceOf(ask({ tools }));
    const results = (message.tool_calls ?? []).map(({ id }, index) => ({
      role: 'tool',
      tool_call_id: String(id),
      content: `result ${index}`,
    }));
    for (const tool_choice of ['auto', 'required']) {
      const choice = await choiceOf(ask({ tools, tool_choice, messages: [user, message, ...results] }));
      assert.equal(choice.finish_reason, 'stop');
      assert.match(String(choice.message.content), /run_code: result 0; ping: result 1; note: result 2/);
    }
    const unanswered = await refusal(ask({ tools, messages: [user, message, ...results.slice(1)] }));
    assert.match(unanswered.message, /must be followed by tool messages/);
    const other = { role: 'tool', tool_call_id: 'call_other', content: 'x' };
    assert.match((await refusal(ask({ tools, messages: [user, message, other] }))).message, /not found/);
  });

  onBareHost(
    'go through the gateway, whole and streamed',
    () => ({ upstream: demo() }),
    async ({ host }) => {
      for (const stream of [false, true]) {
        const response = await fetch(`${host.baseUrl}/chat/completions`, {
          method: 'POST',
          headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json' },
          body: JSON.stringify(ask({ tools, stream })),
          signal: AbortSignal.timeout(10_000),
        });
        const text = await response.text();
        assert.equal(response.status, 200);
        assert.match(text, /"type":"custom","custom":\{"name":"run_code","input":/);
        if (stream) assert.match(text, /data: \[DONE\]\n\n$/);
      }
    },
  );

  it('are chunks that the relay takes for what they are', async () => {
    const watched = {
      hideUsage: true,
      awaitsUsage: false,
      showModel: 'mine',
      n: 1,
      maxEventBytes: 65_536,
      gives: 'text',
    } as const;
    const stream = new ChatStream(watched);
    for (const chunk of await answered(ask({ tools, stream: true }))) {
      const event = stream.watchPiece(chunk);
      assert.equal(JSON.parse(String(event).slice('data: '.length)).model, 'mine');
    }
    assert.ok(stream.finished);
    assert.equal(stream.failure, undefined);
  });
});

describe('the input of a custom tool', () => {
  const patterns: [rust: string, checked?: RegExp][] = [
    ['^[a-z]{3}-\\d+$'],
    ['(?P<year>\\d{4})-(?P<month>0[1-9]|1[0-2])', /^(?:\d{4})-(?:0[1-9]|1[0-2])$/],
    ['(?i)select [a-z]+', /^select [a-z]+$/i],
    ['(?i:abc)\\z', /^abc$/i],
    ['\\Ax\\x{41}+', /^xA+$/],
    ['[]a]+', /^[\]a]+$/],
    ['\\(\\?=[?=(]', /^\(\?=[?=(]$/],
    ['a*'],
    ['(?:add|remove) \\w+ to (?:cart|list)'],
  ];
  for (const [pattern, checked = new RegExp(`^(?:${pattern})$`, 'u')] of patterns) {
    it(`matches its regular expression ${pattern}`, async () => {
      const input = await inputFor(grammar('regex', pattern));
      assert.match(String(input), checked);
      assert.notEqual(input, '');
    });
  }

  const larks: [name: string, definition: string, checked: RegExp][] = [
    ['a string', 'start: "hello"', /^hello$/],
    ['alternatives', 'start: "long one" | "short" -> it\n', /^short$/],
    [
      'rules that call each other',
      'start: expr\nexpr: term ("+" term)*\nterm: INT | "(" expr ")"\nINT: /[0-9]+/',
      /^\d+$/,
    ],
    ['what it must repeat', 'start: "a" ~ 3 B~2..4 C+\nB: "b"\nC: "c"', /^aaabbc$/],
    ['options and groups', 'start: "a"? ["b"] ("c" | "dd") "e"*', /^c$/],
    [
      'lines and comments',
      '// top\n?start.2: item\n  | pair // or\n# more\n!item: "x" "y"\npair: "long" "er"\n',
      /^xy$/,
    ],
    [
      'imports and what is ignored',
      'start: "SELECT" NAME "FROM" NAME\n%import common.CNAME -> NAME\n%import common.WS\n%ignore WS\n',
      /^SELECT \w+ FROM \w+$/,
    ],
    ['a list of imports', 'start: INT ESCAPED_STRING\n%import common (INT, ESCAPED_STRING)', /^\d+"[^"]*"$/],
    ['escapes', 'start: "\\"\\n\\x41\\u0042" /a\\/b/ "X"i', /^"\nABa\/bX$/],
    ['ranges', 'start: "a".."z" D\nD: "0".."9"', /^[a-z]\d$/],
    ['terminals without spaces in them', 'start: KEY KEY\nKEY: "k" /[0-9]/\nWS: /[ \\t]+/\n%ignore WS', /^k\d k\d$/],
    ['rules written from the bottom up', 'a: "x"\nb: a\nc: b | c c\nd: c\nstart: d', /^x$/],
  ];
  for (const [name, definition, checked] of larks) {
    it(`is of its Lark grammar: ${name}`, async () => {
      assert.match(String(await inputFor(grammar('lark', definition))), checked);
    });
  }

  it('is of a grammar that edits files', async () => {
    const definition = `
start: begin_patch hunk+ end_patch
begin_patch: "*** Begin Patch" LF
end_patch: "*** End Patch" LF?
hunk: add_hunk | delete_hunk | update_hunk
add_hunk: "*** Add File: " filename LF add_line+
delete_hunk: "*** Delete File: " filename LF
update_hunk: "*** Update File: " filename LF change_move? change?
filename: /(.+)/
add_line: "+" /(.*)/ LF -> line
change_move: "*** Move to: " filename LF
change: (change_context | change_line)+ eof_line?
change_context: ("@@" | "@@ " /(.+)/) LF
change_line: ("+" | "-" | " ") /(.*)/ LF
eof_line: "*** End of File" LF
%import common.LF`;
    const input = await inputFor(grammar('lark', definition));
    assert.match(
      String(input),
      /^\*\*\* Begin Patch\n\*\*\* (?:Add|Delete|Update) File: .+\n[\s\S]*\*\*\* End Patch\n?$/,
    );
  });
});

describe('the demo refuses of custom tools', () => {
  const format = (given: Json): JsonObject => ask({ tools: [custom('g', { format: given })] });
  const at = 'tools[0].custom';
  const rows: [name: string, body: JsonObject, param: string, message: RegExp][] = [
    ['none at all', ask({ tools: [{ type: 'custom' }] }), at, /Missing/],
    ['what is none', ask({ tools: [{ type: 'custom', custom: 'x' }] }), at, /expected an object/],
    ['no name', ask({ tools: [{ type: 'custom', custom: {} }] }), `${at}.name`, /Missing/],
    ['an odd name', ask({ tools: [custom('a b')] }), `${at}.name`, /pattern/],
    ['an odd description', ask({ tools: [custom('g', { description: 5 })] }), `${at}.description`, /a string/],
    ['a type nobody knows', ask({ tools: [{ type: 'magic' }] }), 'tools[0].type', /'function', and 'custom'/],
    ['a format that is none', format('text'), `${at}.format`, /an object/],
    ['a format of no type', format({}), `${at}.format.type`, /Missing/],
    ['a format nobody knows', format({ type: 'xml' }), `${at}.format.type`, /'text', and 'grammar'/],
    ['no grammar', format({ type: 'grammar' }), `${at}.format.grammar`, /Missing/],
    ['no syntax', format({ type: 'grammar', grammar: { definition: 'x' } }), `${at}.format.grammar.syntax`, /Missing/],
    ['an odd syntax', ask({ tools: [grammar('bnf', 'x')] }), `${at}.format.grammar.syntax`, /'lark', and 'regex'/],
    [
      'no definition',
      format({ type: 'grammar', grammar: { syntax: 'regex' } }),
      `${at}.format.grammar.definition`,
      /Missing/,
    ],
    ['the choice of an unknown one', ask({ tools, tool_choice: custom('ping') }), 'tool_choice', /'ping'/],
    ['a choice of no name', ask({ tools, tool_choice: { type: 'custom' } }), 'tool_choice.custom.name', /Missing/],
    ['an odd choice', ask({ tools, tool_choice: { type: 'magic' } }), 'tool_choice.type', /'custom'/],
    ...historyRows(),
  ];
  for (const [name, body, param, message] of rows) {
    it(name, async () => {
      const error = await refusal(body);
      assert.deepEqual([error.status, error.param], [400, param]);
      assert.match(error.message, message);
    });
  }

  const unread: [syntax: string, definition: string, what: RegExp][] = [
    ['regex', 'a(?=b)', /look-around/],
    ['regex', '(?<!a)b', /look-around/],
    ['regex', '(a)\\1', /back-reference/],
    ['regex', '(?x) a b', /flag x/],
    ['regex', '[a-z&&[^b]]', /class/],
    ['regex', '(a', /pattern/],
    ['regex', 'a)', /pattern/],
    ['regex', 'a'.repeat(5_000), /pattern/],
    ['lark', '', /no rule 'start'/],
    ['lark', 'a: "x"', /no rule 'start'/],
    ['lark', 'start: a\na: \n %import .. ( {', /closing bracket/],
    ['lark', 'start: nope', /'nope'/],
    ['lark', 'start: constructor', /'constructor'/],
    ['lark', 'start: start "x"', /end/],
    ['lark', 'start: _list{"a"}\n_list{x}: x', /'\{'/],
    ['lark', 'start: A\n%import python.NAME', /%import/],
    ['lark', 'start: A\n%import common.NOPE', /common\.NOPE/],
    ['lark', 'start: A\n%declare A', /%declare/],
    ['lark', 'start: "a', /'"a'/],
    ['lark', 'start: ("a"', /group/],
    ['lark', 'start: /a(?=b)/', /look-around/],
    ['lark', `start: ${'('.repeat(5_000)}`, /nest/],
    ['lark', 'start: "x"\n'.repeat(5_000), /characters/],
    [
      'lark',
      `start: a0\n${Array.from({ length: 40 }, (_, i) => `a${i}: a${i + 1} a${i + 1}`).join('\n')}\na40: "x"`,
      /end/,
    ],
  ];
  for (const [syntax, definition, what] of unread) {
    it(`a ${syntax} grammar that it cannot read: ${definition.slice(0, 40)}`, async () => {
      const error = await refusal(ask({ tools: [grammar(syntax, definition)] }));
      assert.deepEqual([error.status, error.param], [400, `${at}.format.grammar.definition`]);
      assert.match(error.message, /demo model/);
      assert.match(error.message, what);
    });
  }

  it('or answers whatever the grammar is, and never breaks', async () => {
    const words =
      'start : | ( ) [ ] ? * + ~ 2 .. -> . "a" "b /x+/ / A a %import common WS %ignore { , \n ?start ! \\'.split(' ');
    const larks = fc
      .array(fc.constantFrom(...words), { maxLength: 12 })
      .map((parts) => `start: a\na: ${parts.join(' ')}`);
    const patterns = fc.array(fc.constantFrom(...'()[]{}*+?|^$\\.-&:=!<>Pixab019'), { maxLength: 12 });
    const definitions = fc.oneof(
      larks.map((text) => ['lark', text] as const),
      patterns.map((parts) => ['regex', parts.join('')] as const),
    );
    const answering = fc.asyncProperty(definitions, async ([syntax, definition]) => {
      const body = ask({ tools: [grammar(syntax, definition)] });
      await answered(body).catch((error) =>
        assert.ok(error instanceof GatewayError && error.status === 400, String(error)),
      );
    });
    await fc.assert(answering, { numRuns: 1_000 });
  });

  it('no time, whatever the grammars are', async () => {
    await answered(ask({ tools }));
    const chain = Array.from({ length: 400 }, (_, i) => `a${i}: a${(i * 7 + 1) % 400} | a${(i * 3) % 400} "x"`).join(
      '\n',
    );
    const deep = `start: a0\n${chain}\nb: "y"`;
    const startedAt = performance.now();
    for (const definition of [
      deep,
      `start: ${'"a"? '.repeat(1_900)}`,
      'start: "a"~1000000000',
      `start: ${'('.repeat(20)}""${')~9999'.repeat(20)}`,
      `start: ${'"a"~9999 | '.repeat(800)}"b"`,
      `start: ${'"'.repeat(9_000)}`,
      `start: ${'"\\'.repeat(4_500)}`,
      `start: /${'\\x{'.repeat(3_000)}/`,
      `start: ${'/a{9}{9}{9}{9}/ '.repeat(500)}`,
    ]) {
      const many = Array.from({ length: 128 }, () => grammar('lark', definition));
      await answered(ask({ tools: many })).catch((error) => assert.ok(error instanceof GatewayError, String(error)));
    }
    assert.ok(performance.now() - startedAt < 4_000, `${performance.now() - startedAt} ms`);
  });
});

function historyRows(): [string, JsonObject, string, RegExp][] {
  const calling = (call: JsonObject): JsonObject =>
    ask({
      messages: [
        { role: 'user', content: 'go' },
        { role: 'assistant', tool_calls: [{ id: 'call_1', type: 'custom', ...call }] },
        { role: 'tool', tool_call_id: 'call_1', content: 'x' },
      ],
    });
  const at = 'messages[1].tool_calls[0].custom';
  return [
    ['a call without its tool', calling({}), at, /Missing/],
    ['a call without a name', calling({ custom: { input: 'x' } }), `${at}.name`, /Missing/],
    ['a call without input', calling({ custom: { name: 'x' } }), `${at}.input`, /Missing/],
    ['a call whose input is none', calling({ custom: { name: 'x', input: 5 } }), `${at}.input`, /a string/],
  ];
}
