// @ts-check
/** The scenarios of ../SCENARIOS.md with the official SDK for JavaScript. */
import assert from 'node:assert/strict';
import { setTimeout as wait } from 'node:timers/promises';
import OpenAI, { toFile } from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

/** @typedef {import('openai/resources/chat/completions').ChatCompletionMessageParam} Message */

const MODEL = 'gpt-4o-mini';
const EMBEDDING_MODEL = 'text-embedding-3-small';
const DEADLINE_MS = 30_000;
const RED_PIXEL =
  'data:image/png;base64,' +
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';

const client = new OpenAI();

async function models() {
  const listed = [];
  for await (const model of client.models.list()) listed.push(model);
  assert.ok(
    listed.some(({ id }) => id === MODEL),
    `${MODEL} is not among ${listed.length} models`,
  );
  for (const model of listed) {
    const whole = model.id !== '' && model.object === 'model' && Number.isInteger(model.created);
    assert.ok(whole, `not a model: ${JSON.stringify(model)}`);
  }
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
  const error = await failureOf(client.models.retrieve('no-such-model'), OpenAI.NotFoundError);
  assert.equal(error.code, 'model_not_found');
}

async function chat() {
  const completion = await client.chat.completions.create({ model: MODEL, messages: [user('Say hello')] });
  const { choices, usage } = completion;
  assert.equal(completion.object, 'chat.completion');
  assert.equal(choices.length, 1);
  assert.equal(choices[0]?.message.role, 'assistant');
  assert.ok(choices[0].message.content, 'no content');
  assert.equal(choices[0].finish_reason, 'stop');
  assert.ok(usage && usage.prompt_tokens > 0 && usage.completion_tokens > 0, 'no usage');
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
}

async function stream() {
  const chunks = [];
  const events = await client.chat.completions.create({
    model: MODEL,
    messages: [user('Say one two three')],
    stream: true,
    stream_options: { include_usage: true },
  });
  for await (const chunk of events) chunks.push(chunk);
  const choices = chunks.flatMap((chunk) => chunk.choices);
  const last = chunks.at(-1);
  assert.ok(choices.map(({ delta }) => delta.content ?? '').join(''), 'the deltas make no text');
  assert.deepEqual(
    choices.flatMap(({ finish_reason }) => finish_reason ?? []),
    ['stop'],
  );
  assert.ok(last?.choices.length === 0 && last.usage, `the last chunk is ${JSON.stringify(last)}`);
  assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
  assert.ok(
    chunks.slice(0, -1).every(({ usage }) => usage === null),
    'usage before the last chunk',
  );
  assert.equal(new Set(chunks.map(({ id }) => id)).size, 1, 'the chunks differ in their ids');
}

async function tools() {
  const offered = {
    get_weather: z.object({ city: z.string(), unit: z.enum(['celsius', 'fahrenheit']) }),
    find_flights: z.object({ destination: z.string(), passengers: z.int(), direct: z.boolean() }),
  };
  /** @type {Message[]} */
  const messages = [user('Should I fly to Lisbon this week? Use get_weather and find_flights.')];
  const called = [];
  for (let round = 0; round < 5; round += 1) {
    const completion = await client.chat.completions
      .stream({
        model: MODEL,
        messages,
        tools: Object.entries(offered).map(([name, parameters]) => zodFunction({ name, parameters })),
      })
      .finalChatCompletion();
    const [choice] = completion.choices;
    assert.ok(choice, 'no choice');
    const calls = choice.message.tool_calls ?? [];
    if (calls.length === 0) {
      assert.equal(choice.finish_reason, 'stop');
      assert.ok(choice.message.content, 'no words at the end');
      assert.deepEqual(called[0], Object.keys(offered).sort(), 'called together');
      return;
    }
    assert.equal(choice.finish_reason, 'tool_calls');
    assert.equal(new Set(calls.map(({ id }) => id)).size, calls.length, 'two calls of one id');
    for (const { function: call } of calls) {
      const schema = Object.entries(offered).find(([name]) => name === call.name)?.[1];
      assert.deepEqual(schema?.parse(JSON.parse(call.arguments)), call.parsed_arguments);
    }
    called.push(calls.map((call) => call.function.name).sort());
    messages.push(choice.message);
    for (const { id, function: call } of calls) {
      messages.push({ role: 'tool', tool_call_id: id, content: JSON.stringify({ answer: call.name }) });
    }
  }
  assert.fail('the loop did not end with words');
}

async function structured() {
  const Recipe = z.object({
    title: z.string(),
    difficulty: z.enum(['easy', 'hard']),
    vegan: z.boolean(),
    ingredients: z.array(z.object({ name: z.string(), grams: z.number() })),
  });
  const completion = await client.chat.completions.parse({
    model: MODEL,
    messages: [user('A recipe for bread')],
    response_format: zodResponseFormat(Recipe, 'recipe'),
  });
  const message = completion.choices[0]?.message;
  assert.ok(message?.parsed, `parsed nothing from ${message?.content}`);
  assert.deepEqual(Object.keys(message.parsed).sort(), ['difficulty', 'ingredients', 'title', 'vegan']);
  assert.equal(message.refusal, null);
}

async function embeddings() {
  const answer = await client.embeddings.create({
    model: EMBEDDING_MODEL,
    input: ['The first text', 'Второй текст 🌍'],
  });
  assert.deepEqual(
    answer.data.map(({ index }) => index),
    [0, 1],
  );
  assert.ok(answer.usage.prompt_tokens > 0, 'no usage');
  const [first, second] = answer.data.map(({ embedding }) => embedding);
  const again = await client.embeddings.create({ model: EMBEDDING_MODEL, input: 'The first text' });
  const short = await client.embeddings.create({ model: EMBEDDING_MODEL, input: 'The first text', dimensions: 256 });
  assertUnitVector(first, 1536);
  assertUnitVector(second, 1536);
  assertUnitVector(short.data[0]?.embedding, 256);
  assert.notDeepEqual(first, second, 'two texts have one vector');
  assert.deepEqual(again.data[0]?.embedding, first, 'the same text has another vector');
}

async function responses() {
  const response = await client.responses.create({ model: MODEL, input: 'Say hello' });
  const { usage } = response;
  assert.ok(response.output_text, 'no output text');
  assert.equal(response.status, 'completed');
  assert.ok(usage && usage.input_tokens > 0 && usage.output_tokens > 0, 'no usage');
  assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
  const following = await client.responses.create({
    model: MODEL,
    input: 'And once more',
    previous_response_id: response.id,
  });
  assert.ok(following.output_text, 'no output text of the follow-up');
  assert.equal(following.status, 'completed');
  assert.notEqual(following.id, response.id);
  assert.equal(following.previous_response_id, response.id);
}

async function responsesStream() {
  const events = [];
  const running = client.responses.stream({ model: MODEL, input: 'Say one two three' });
  for await (const event of running) events.push(event);
  const response = await running.finalResponse();
  assert.equal(events[0]?.type, 'response.created');
  assert.equal(events.at(-1)?.type, 'response.completed');
  assert.deepEqual(
    events.map(({ sequence_number }) => sequence_number),
    [...events.keys()],
  );
  const text = events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join('');
  assert.ok(text, 'the deltas make no text');
  assert.equal(text, response.output_text);
}

async function vision() {
  const completion = await client.chat.completions.create({
    model: MODEL,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Which colour is this?' },
          { type: 'image_url', image_url: { url: RED_PIXEL, detail: 'low' } },
        ],
      },
    ],
  });
  assert.ok(completion.choices[0]?.message.content, 'no answer');
}

async function files() {
  const line = { custom_id: 'привет 🌍', method: 'POST', url: '/v1/chat/completions', body: { model: MODEL } };
  const row = Buffer.from(`${JSON.stringify(line)}\n`);
  const content = Buffer.concat(Array(Math.ceil((100 * 1024) / row.length)).fill(row));
  const uploaded = await client.files.create({ file: await toFile(content, 'requests.jsonl'), purpose: 'batch' });
  assert.equal(uploaded.bytes, content.length);
  assert.equal(uploaded.filename, 'requests.jsonl');
  assert.equal(uploaded.purpose, 'batch');
  const ids = [];
  for await (const { id } of client.files.list()) ids.push(id);
  assert.ok(ids.includes(uploaded.id), 'the file is not in the list');
  assert.equal((await client.files.retrieve(uploaded.id)).bytes, content.length);
  const downloaded = Buffer.from(await (await client.files.content(uploaded.id)).arrayBuffer());
  assert.ok(downloaded.equals(content), 'other bytes came back');
  assert.ok((await client.files.delete(uploaded.id)).deleted, 'not deleted');
  await failureOf(client.files.retrieve(uploaded.id), OpenAI.NotFoundError);
}

async function error400() {
  const call = client.chat.completions.create({ model: 'fault-400', messages: [user('Hello')], temperature: 1 });
  const error = await failureOf(call, OpenAI.BadRequestError);
  assert.match(error.message, /temperature/);
  assert.equal(error.code, 'invalid_value');
  assert.equal(error.param, 'temperature');
  assert.equal(error.type, 'invalid_request_error');
  assert.ok(error.requestID, 'no request id');
}

async function error401() {
  const stranger = client.withOptions({ apiKey: 'sk-wrong' });
  const call = stranger.chat.completions.create({ model: MODEL, messages: [user('Hello')] });
  assert.equal((await failureOf(call, OpenAI.AuthenticationError)).code, 'invalid_api_key');
}

async function error404() {
  const call = client.chat.completions.create({ model: 'no-such-model', messages: [user('Hello')] });
  assert.equal((await failureOf(call, OpenAI.NotFoundError)).code, 'model_not_found');
}

async function error429() {
  assert.equal(await callsUntil('fault-429', OpenAI.RateLimitError), 1 + client.maxRetries);
}

async function error500() {
  assert.equal(await callsUntil('fault-500', OpenAI.InternalServerError), 1 + client.maxRetries);
}

async function errorMidStream() {
  let text = '';
  /** @type {string[]} */
  const reasons = [];
  const read = async () => {
    const events = await client.chat.completions.create({
      model: 'fault-mid-stream',
      messages: [user('Hello')],
      stream: true,
    });
    for await (const { choices } of events) {
      for (const { delta, finish_reason } of choices) {
        text += delta.content ?? '';
        if (finish_reason) reasons.push(finish_reason);
      }
    }
  };
  const error = await failureOf(read(), OpenAI.APIError);
  assert.ok(error.message, 'the error has no message');
  assert.deepEqual(text.trim().split(' '), ['one', 'two']);
  assert.deepEqual(reasons, []);
}

async function cancel() {
  const before = (await counts('slow-stream')).cancelled;
  const events = await client.chat.completions.create({
    model: 'slow-stream',
    messages: [user('Hello')],
    stream: true,
  });
  let deltas = 0;
  for await (const { choices } of events) {
    if (choices[0]?.delta.content) deltas += 1;
    if (deltas === 3) break;
  }
  assert.equal(deltas, 3);
  const deadline = Date.now() + 5_000;
  while ((await counts('slow-stream')).cancelled === before) {
    assert.ok(Date.now() < deadline, 'not cancelled within 5 s');
    await wait(50);
  }
}

async function longPrompt() {
  const line = 'Съешь же ещё этих мягких французских булок. 敏捷的棕色狐狸跳过了懒狗。 🦊🌍👩‍👩‍👧‍👦\n';
  const text = line.repeat(Math.ceil((100 * 1024) / Buffer.byteLength(line)));
  const completion = await client.chat.completions.create({
    model: MODEL,
    messages: [user(text), user('Say nothing')],
  });
  assert.ok(completion.choices[0]?.message.content, 'no answer');
  assert.ok((completion.usage?.prompt_tokens ?? 0) >= 10_000, `usage ${JSON.stringify(completion.usage)}`);
}

/** @type {Record<string, () => Promise<void>>} */
const scenarios = {
  models,
  chat,
  stream,
  tools,
  structured,
  embeddings,
  responses,
  'responses-stream': responsesStream,
  vision,
  files,
  'error-400': error400,
  'error-401': error401,
  'error-404': error404,
  'error-429': error429,
  'error-500': error500,
  'error-mid-stream': errorMidStream,
  cancel,
  'long-prompt': longPrompt,
};

/** @param {string} content @returns {Message} */
function user(content) {
  return { role: 'user', content };
}

/** @param {string} model @returns {Promise<{ calls: number, cancelled: number }>} */
async function counts(model) {
  const answer = await fetch(process.env.MEGALLM_COUNTS_URL ?? '');
  return /** @type {any} */ (await answer.json())[model];
}

/**
 * The error that it ends with, of that class.
 * @template {Error} E
 * @param {PromiseLike<unknown>} promise
 * @param {new (...args: any[]) => E} kind
 * @returns {Promise<E>}
 */
async function failureOf(promise, kind) {
  const outcome = await promise.then(
    () => undefined,
    (error) => error,
  );
  if (outcome instanceof kind) return outcome;
  throw outcome ?? new assert.AssertionError({ message: `no ${kind.name}` });
}

/**
 * How often the upstream is asked before the SDK gives up.
 * @param {string} model
 * @param {new (...args: any[]) => Error} kind
 */
async function callsUntil(model, kind) {
  const before = (await counts(model)).calls;
  await failureOf(client.chat.completions.create({ model, messages: [user('Hello')] }), kind);
  return (await counts(model)).calls - before;
}

/** @param {number[] | undefined} vector @param {number} dimension */
function assertUnitVector(vector, dimension) {
  assert.equal(vector?.length, dimension);
  const length = Math.hypot(...vector);
  assert.ok(Math.abs(length - 1) < 1e-3, `length ${length}`);
}

/** Why it failed, on one line. @param {() => Promise<void>} run */
async function failureOfScenario(run) {
  const hung = wait(DEADLINE_MS, `hung for ${DEADLINE_MS / 1000} s`);
  const outcome = run().then(
    () => undefined,
    (error) => {
      const place = /suite\.mjs:\d+/.exec(error?.stack ?? '')?.[0];
      return `${error?.constructor?.name}: ${error?.message ?? error} (${place ?? 'inside the SDK'})`.replace(
        /\s+/g,
        ' ',
      );
    },
  );
  return Promise.race([outcome, hung]);
}

let failed = false;
for (const [name, run] of Object.entries(scenarios)) {
  const failure = await failureOfScenario(run);
  failed ||= failure !== undefined;
  console.log(`SCENARIO ${name} ${failure === undefined ? 'ok' : `FAILED ${failure}`}`);
}
// What hung would keep the process alive.
process.exit(failed ? 1 : 0);
