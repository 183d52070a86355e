import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { isJsonObject, type Json, type JsonObject } from '../../src/base/json.js';
import { sampleSchema, schemaBudget } from '../../src/upstreams/demo/schema.js';
import { demoClient, growsWithItsInput, refuses } from '../helpers/demo-client.js';
import { runs } from '../helpers/depth.js';
import { joinedChunks } from '../helpers/openai-shapes.js';

interface Call {
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
  readonly custom: { readonly name: string; readonly input: string };
}
interface Choice {
  readonly message: {
    readonly content: string | null;
    readonly tool_calls?: readonly Call[];
    readonly function_call?: { readonly name: string; readonly arguments: string };
  };
  readonly finish_reason: string;
}

const { whole, streamed } = demoClient();
const ajv = new Ajv2020({ strict: false, validateFormats: false });

const weather = {
  type: 'object',
  properties: { city: { type: 'string' }, unit: { enum: ['c', 'f'] } },
  required: ['city', 'unit'],
  additionalProperties: false,
};
const offer = (name: string, parameters?: JsonObject) => ({
  type: 'function',
  function: { name, ...(parameters && { parameters }) },
});
const custom = (name: string, format?: JsonObject) => ({ type: 'custom', custom: { name, ...(format && { format }) } });
const tools = [offer('get_weather', weather), offer('find_flights'), offer('write')];

function ask(content: Json, rest: JsonObject = { tools }): JsonObject {
  return { model: 'gpt-4o', messages: [{ role: 'user', content }], ...rest };
}
async function choiceOf(body: JsonObject): Promise<Choice> {
  const [choice] = JSON.parse(JSON.stringify((await whole(body)).choices));
  return choice;
}
/** The names of the tools that are called. */
async function called(body: JsonObject): Promise<readonly string[]> {
  return ((await choiceOf(body)).message.tool_calls ?? []).map((call) => (call.function ?? call.custom).name);
}

describe('tools that are offered to the demo', () => {
  const orders: readonly (readonly [said: string, names: readonly string[]])[] = [
    ['Say hello', []],
    ['What is the weather in Paris?', []],
    ['Please write a poem about tools', []],
    ['How do I call a function twice in JavaScript?', []],
    ['My code must get the weather by a function', []],
    ["Don't use any tools. And do not call get_weather.", []],
    ['', []],
    ['Call get_weather for Paris', ['get_weather']],
    ['get weather, please', ['get_weather']],
    ['I need `getWeather` and "find flights"', ['get_weather', 'find_flights']],
    ['Now use write', ['write']],
    ['Take the write tool', ['write']],
    ['Use a tool', ['get_weather']],
    ['Hello. Can you use the flights tool?', ['find_flights']],
    ['Please call a function', ['get_weather']],
    ['I want you to use your tools now!', ['get_weather', 'find_flights', 'write']],
  ];
  for (const [said, names] of orders) {
    it(`are ${names.length === 0 ? 'left alone' : 'called'} after ${JSON.stringify(said)}`, async () => {
      for (const rest of [{ tools }, { tools, tool_choice: 'auto' }]) {
        assert.deepEqual(await called(ask(said, rest)), names);
        assert.deepEqual(await called(ask([{ type: 'text', text: said }], rest)), names);
      }
      if (names.length === 0) assert.notEqual((await choiceOf(ask(said))).message.content, null);
    });
  }

  it('are not called again after their results, nor for what was said before', async () => {
    const first = await choiceOf(ask('Use get_weather and find_flights'));
    const ids = (first.message.tool_calls ?? []).map(({ id }) => id);
    assert.equal(new Set(ids).size, 2);
    for (const id of ids) assert.match(id, /^call_[A-Za-z0-9]{24}$/);
    const results = ids.map((id, index) => ({ role: 'tool', tool_call_id: id, content: `use get_weather ${index}` }));
    const user = { role: 'user', content: 'Use get_weather and find_flights' };
    const history: readonly Json[] = [user, JSON.parse(JSON.stringify(first.message)), ...results];
    for (const tool_choice of ['auto', 'required']) {
      const { message, finish_reason } = await choiceOf({ model: 'gpt-4o', tools, tool_choice, messages: history });
      assert.equal(finish_reason, 'stop');
      assert.match(message.content ?? '', /get_weather: use get_weather 0; find_flights: use get_weather 1/);
    }
    const later = (content: string) => ({ model: 'gpt-4o', tools, messages: [...history, { role: 'user', content }] });
    assert.deepEqual(await called(later('Thanks')), []);
    const again = await choiceOf(later('get weather again'));
    assert.notEqual(again.message.tool_calls?.[0]?.id, ids[0]);
  });

  it('are called as the client chooses: all, one, by name, of those allowed, or none', async () => {
    const all = ['get_weather', 'find_flights', 'write'];
    assert.deepEqual(await called(ask('go', { tools, tool_choice: 'required' })), all);
    assert.deepEqual(await called(ask('go', { tools, tool_choice: 'required', parallel_tool_calls: false })), [
      'get_weather',
    ]);
    assert.deepEqual(await called(ask('Use get_weather', { tools, tool_choice: 'none' })), []);
    const named = await choiceOf(ask('go', { tools, tool_choice: { type: 'function', function: { name: 'write' } } }));
    assert.deepEqual(
      named.message.tool_calls?.map((call) => call.function),
      [{ name: 'write', arguments: '{}' }],
    );
    assert.equal(named.finish_reason, 'stop');
    const allowed = { mode: 'required', tools: [{ type: 'function', function: { name: 'write' } }] };
    assert.deepEqual(
      await called(ask('go', { tools, tool_choice: { type: 'allowed_tools', allowed_tools: allowed } })),
      ['write'],
    );
    const unknown = { tools, tool_choice: { type: 'function', function: { name: 'constructor' } } };
    await refuses(whole(ask('go', unknown)), /no function named 'constructor'/, { param: 'tool_choice' });
    await refuses(whole(ask('go', { tools, tool_choice: 'maybe' })), /Invalid value: 'maybe'/);
    await refuses(whole(ask('go', { tools: [{ type: 'web_search' }] })), /Invalid value: 'web_search'/);
  });

  it('get arguments that satisfy their schema, cut at the ceiling when it is low', async () => {
    const required = { tools, tool_choice: 'required' };
    const { message, finish_reason } = await choiceOf(ask('go', required));
    assert.deepEqual([message.content, finish_reason], [null, 'tool_calls']);
    assert.ok(ajv.validate(weather, JSON.parse(message.tool_calls?.[0]?.function.arguments ?? '')));
    const cut = await whole(ask('go', { ...required, max_tokens: 12 }));
    assert.match(JSON.stringify(cut), /"finish_reason":"length"/);
    assert.ok(isJsonObject(cut.usage) && Number(cut.usage.completion_tokens) <= 12);
  });

  it('of old are called in the old way', async () => {
    const functions = [{ name: 'get_weather', parameters: weather }, { name: 'g' }];
    assert.equal((await choiceOf(ask('Hello', { functions }))).message.function_call, undefined);
    const { message, finish_reason } = await choiceOf(ask('get weather', { functions }));
    assert.equal(finish_reason, 'function_call');
    assert.equal(message.function_call?.name, 'get_weather');
    assert.ok(ajv.validate(weather, JSON.parse(message.function_call?.arguments ?? '')));
    const named = await choiceOf(ask('go', { functions, function_call: { name: 'g' } }));
    assert.equal(named.message.function_call?.name, 'g');
    const messages = [
      { role: 'user', content: 'go' },
      { role: 'function', name: 'g', content: '21 degrees' },
    ];
    assert.match((await choiceOf({ model: 'gpt-4o', functions, messages })).message.content ?? '', /g: 21 degrees/);
  });

  it('that are custom get a text; a grammar is refused only where it would have to be followed', async () => {
    const grammar = { type: 'grammar', grammar: { syntax: 'lark', definition: 'start: "a"' } };
    const offered = [custom('run_code'), custom('apply_patch', grammar)];
    const { message } = await choiceOf(ask('Use run_code', { tools: offered }));
    assert.deepEqual(
      message.tool_calls?.map(({ type, custom: { name } }) => [type, name]),
      [['custom', 'run_code']],
    );
    assert.match(message.tool_calls?.[0]?.custom.input ?? '', /demo/);
    assert.deepEqual(
      joinedChunks(await streamed(ask('Use run_code', { tools: offered }))).tool_calls,
      message.tool_calls,
    );
    assert.deepEqual(await called(ask('Hello', { tools: offered })), []);
    await refuses(whole(ask('Use apply_patch', { tools: offered })), /cannot follow grammars/, {
      param: 'tools[1].custom.format',
    });
  });
});

/** Schemas of OpenAI's strict mode, with values to satisfy them. */
const strictSchemas = fc.letrec<{ schema: JsonObject }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({ type: fc.constant('string') }),
    fc.nat({ max: 30 }).map((min) => ({ type: 'string', minLength: min, maxLength: min + 3 })),
    fc.constantFrom('date-time', 'email', 'uuid', 'ipv4', 'date').map((format) => ({ type: 'string', format })),
    fc
      .tuple(fc.integer({ min: -9, max: 9 }), fc.nat({ max: 9 }))
      .map(([minimum, more]) => ({ type: 'integer', minimum, maximum: minimum + more })),
    fc
      .double({ min: -5, max: 5, noNaN: true })
      .map((low) => ({ type: 'number', exclusiveMinimum: low, exclusiveMaximum: low + 0.5 })),
    fc.constantFrom(0.5, 2, 7).map((multipleOf) => ({ type: 'number', multipleOf, minimum: 3 })),
    fc.constantFrom({ type: 'boolean' }, { type: 'null' }, { type: ['integer', 'null'] }),
    fc
      .uniqueArray(fc.oneof(fc.string(), fc.integer(), fc.constant(null)), { minLength: 1 })
      .map((values) => ({ enum: values })),
    fc.jsonValue({ maxDepth: 1 }).map((value) => ({ const: value as Json })),
    fc.tuple(tie('schema'), fc.nat({ max: 3 })).map(([items, minItems]) => ({ type: 'array', items, minItems })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
    fc.dictionary(fc.string(), tie('schema'), { maxKeys: 4 }).map((properties) => ({
      type: 'object',
      properties,
      required: Object.keys(properties),
      additionalProperties: false,
    })),
  ),
}));

describe('values that the demo makes', () => {
  const made = (schema: JsonObject): Json => sampleSchema(schema, 'response_format', schemaBudget());

  it('satisfy strict schemas of all kinds, and are always the same', () => {
    fc.assert(
      fc.property(strictSchemas.schema, (schema) => {
        const value = made(schema);
        assert.ok(ajv.validate(schema, value), `${JSON.stringify(schema)}: ${JSON.stringify(value)}`);
        assert.deepEqual(made(schema), value);
      }),
      runs(30),
    );
  });

  const node: JsonObject = {
    type: 'object',
    properties: {
      name: { type: 'string' },
      children: { type: 'array', items: { $ref: '#/$defs/node' } },
      next: { anyOf: [{ $ref: '#' }, { type: 'null' }] },
    },
    required: ['name', 'children', 'next'],
    additionalProperties: false,
  };
  const schemas: Readonly<Record<string, JsonObject>> = {
    'that refer to themselves': { ...node, $defs: { node } },
    'with definitions': { $ref: '#/$defs/a~1b', $defs: { 'a/b': weather } },
    'of no type': {
      properties: { a: { minimum: 3 }, b: { items: { maxLength: 1 } }, c: {} },
      required: ['a', 'b', 'c'],
    },
    'with optional members beyond the subset': {
      type: 'object',
      properties: { a: { pattern: '^x$' }, b: true },
      required: ['b'],
    },
    'with members named like those of every object': {
      type: 'object',
      properties: {},
      required: ['__proto__', 'constructor'],
    },
    'with annotations': {
      title: 'T',
      description: 'd',
      default: 1,
      examples: [2],
      type: 'integer',
      format: 'int32',
      minimum: 0,
    },
    'of an enum of 400,000': { enum: Array.from({ length: 400_000 }, (_, index) => index), type: 'integer' },
  };
  for (const [name, schema] of Object.entries(schemas)) {
    it(`satisfy schemas ${name}`, () => assert.ok(ajv.validate(schema, made(schema)), JSON.stringify(made(schema))));
  }

  it('have the formats that are asked for, and bounds that floating point survives', () => {
    assert.ok(!Number.isNaN(Date.parse(String(made({ type: 'string', format: 'date-time' })))));
    assert.match(String(made({ type: 'string', format: 'email' })), /^\w+@\w+\.\w+$/);
    for (const schema of [
      { type: 'number', multipleOf: 0.1, minimum: 0.25 },
      { type: 'integer', exclusiveMinimum: 2.5, maximum: 3 },
    ]) {
      assert.ok(ajv.validate(schema, made(schema)), JSON.stringify(made(schema)));
    }
  });

  const ref = { $ref: '#' };
  const impossible: readonly (readonly [name: string, schema: JsonObject, why: RegExp])[] = [
    ['a pattern', { type: 'string', pattern: '^a+$' }, /'pattern' is not supported/],
    ['allOf', { allOf: [weather] }, /'allOf' is not supported/],
    ['oneOf deep inside', { anyOf: [{ oneOf: [] }] }, /'oneOf' is not supported/],
    ['a choice beside anyOf', { anyOf: [weather], enum: [3] }, /stand alone/],
    ['members beside anyOf', { anyOf: [weather], properties: {} }, /no value fits/],
    ['an elsewhere', { $ref: 'https://example.com/schema' }, /must point into the schema/],
    ['a reference to nothing', { $ref: '#/$defs/x' }, /is not there/],
    ['endless references', ref, /nested more than 64 levels/],
    ['endless references in all ways', { anyOf: [ref, ref, ref] }, /too large or too many/],
    ['members without end', { type: 'object', properties: { a: ref }, required: ['a'] }, /nested more than 64 levels/],
    ['a hundred million items', { type: 'array', minItems: 1e8 }, /'minItems' of 100000000 is too large/],
    ['a text of 200 million', { type: 'string', minLength: 2e8 }, /'minLength' of 200000000 is too large/],
    [
      'items in items',
      { type: 'array', minItems: 1_000, items: { type: 'array', minItems: 1_000 } },
      /too large or too many/,
    ],
    ['several different items', { type: 'array', minItems: 2, uniqueItems: true }, /'uniqueItems'/],
    ['bounds with nothing between', { type: 'integer', minimum: 3, maximum: 2 }, /no value fits/],
    ['an enum of another type', { type: 'string', enum: [1, 2] }, /no value fits/],
    ['nothing at all', { type: 'object', properties: { a: false }, required: ['a'] }, /allows nothing/],
    ['an unknown type', { type: 'banana' }, /'banana' is unknown/],
  ];
  for (const [name, schema, why] of impossible) {
    it(`are refused where they cannot be made: ${name}`, async () => {
      const response_format = { type: 'json_schema', json_schema: { name: 'x', schema } };
      await refuses(whole(ask('go', { response_format })), why, {
        code: 'invalid_json_schema',
        param: 'response_format',
      });
      if (schema.type !== undefined) return;
      await refuses(whole(ask('go', { tools: [offer('f', schema)], tool_choice: 'required' })), why, {
        param: 'tools[0].function.parameters',
      });
    });
  }

  it('are refused for bounds that no JSON has', () => {
    assert.throws(() => made({ type: 'number', minimum: Number.POSITIVE_INFINITY }), /no value fits/);
  });

  it('cost what their schema is long', async () => {
    const properties = (size: number) =>
      Object.fromEntries(Array.from({ length: size }, (_, at) => [`m${at}`, { type: 'null' }]));
    await growsWithItsInput(async (size) => made({ type: 'object', properties: properties(size) }), 1_000);
    const list = { properties: { a: { type: 'array', minItems: 500 } }, required: ['a'] };
    const many = Array.from({ length: 128 }, (_, at) => offer(`f_${at}`, list));
    await refuses(whole(ask('go', { tools: many, tool_choice: 'required' })), /too large or too many/);
  });

  const strict = (parameters: JsonObject) =>
    whole(ask('go', { tools: [{ type: 'function', function: { name: 'f', strict: true, parameters } }] }));
  it('are promised to schemas that are strict: closed, and with all members required', async () => {
    await refuses(
      strict({ type: 'object', properties: {} }),
      /^Invalid schema for function 'f': In context=\(\), 'additionalProperties' is required/,
      {
        code: 'invalid_function_parameters',
        param: 'tools[0].function.parameters',
      },
    );
    await refuses(strict({ ...weather, required: ['city'] }), /including every key in properties. Missing 'unit'/);
    const inner = { ...weather, properties: { city: { type: 'object' }, unit: {} } };
    await refuses(strict(inner), /In context=\('properties', 'city'\)/);
    await strict(weather);
    const json_schema = { name: 'user', strict: true, schema: { type: 'object' } };
    await refuses(
      whole(ask('go', { response_format: { type: 'json_schema', json_schema } })),
      /response_format 'user'/,
      { code: 'invalid_json_schema' },
    );
  });
});
