import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memoryObjects, type ObjectKind } from 'megallm-middleware';
import { isJsonObject, type Json, type JsonObject } from '../../src/base/json.js';
import { reply, streamReply } from '../helpers/chat-answers.js';
import { SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST } from '../helpers/hosts.js';
import { type RawResponse, rawExchange, rawRequest } from '../helpers/raw-client.js';
import { withHost } from '../helpers/scene.js';
import { type SeenRequest, type Step, scriptedUpstream } from '../helpers/scripted-upstream.js';
import { everyAnswer } from './every-answer.js';
import {
  itForEachRecording,
  type RecordedGroup,
  type Recording,
  recordedEvents,
  recordedGroups,
  recordingsAreMissing,
} from './recordings.js';

/** What came of a recording. */
interface Replayed {
  readonly group: RecordedGroup;
  readonly recording: Recording;
  readonly answer: RawResponse;
  /** What the upstream wrote as its body. */
  readonly sent: Buffer;
  /** What reached the upstream. */
  readonly requests: readonly SeenRequest[];
}

interface Plan {
  /** What the caller already owns. */
  readonly owned?: (recording: Recording) => readonly { kind: ObjectKind; id: string; body?: JsonObject }[];
  /** What stands in the path for the name in braces. */
  readonly id?: (recording: Recording) => string;
  readonly query?: string;
  readonly check: (replayed: Replayed) => void;
}

const idOf = ({ response }: Recording): string => (isJsonObject(response) ? String(response.id) : '');
const itemsOf = ({ response }: Recording): readonly JsonObject[] => {
  const data = isJsonObject(response) && Array.isArray(response.data) ? response.data : [];
  return data.filter(isJsonObject);
};

/** Of recorded lists only the first items are left, so their `last_id` is that of one that is not. */
const lastIdOf = (recording: Recording): Json | null => itemsOf(recording).at(-1)?.id ?? null;

/** The client has the very bytes, under the very status and content type. */
const unchanged: Plan = {
  check({ group, recording, answer, sent, requests }) {
    assert.equal(requests.length, 1);
    assert.equal(answer.status, group.status);
    assert.equal(answer.headers['content-type'], headersOf(recording)['content-type']);
    assert.equal(withoutAddedUsage(answer.body, sent.toString('utf8')), sent.toString('utf8'));
  },
};

/** An answer without the usage that its client asked for and that the recorded stream lacks, as its end is cut off. */
function withoutAddedUsage(body: string, sent: string): string {
  return sent.includes('"usage":{') ? body : body.replace(/data: \{[^\n]*"choices":\[\],"usage":\{[^\n]*\n\n/, '');
}

const owned = (kind: ObjectKind): Plan => ({
  ...unchanged,
  id: idOf,
  owned: (recording) => [{ kind, id: idOf(recording), body: {} }],
});

/** Responses that an upstream keeps: known here are only the model and whose they are. */
const ownedResponse = (id: Plan['id'] = idOf): Plan => ({
  ...unchanged,
  id,
  owned: (recording) => [{ kind: 'response', id: id(recording), body: { model: 'gpt-4o-mini', items: [] } }],
});

/** Lists are made anew of what is the caller's own: equal where all is. */
const ownList = (kind: ObjectKind): Plan => ({
  owned: (recording) => itemsOf(recording).map(({ id }) => ({ kind, id: String(id) })),
  check({ recording, answer }) {
    assert.equal(answer.status, 200);
    const { data, has_more, ...rest } = bodyOf(answer);
    assert.ok(isJsonObject(recording.response));
    assert.equal(JSON.stringify(data), JSON.stringify(recording.response.data));
    // Whether there is more depends on what of it is the caller's: all is there.
    assert.equal(has_more, false);
    assert.deepEqual(rest, { object: 'list', first_id: recording.response.first_id, last_id: lastIdOf(recording) });
  },
});

/** An error in four members, as the upstream said it; what stands beside `error` is not passed on. */
const sameError: Plan = {
  check({ group, recording, answer, requests }) {
    assert.equal(requests.length, 1);
    checkError(group, recording, answer);
  },
};

/** The error is ours, word for word; nobody else was asked. */
const ownError = (id?: (message: string) => string): Plan => ({
  ...(id === undefined ? {} : { id: (recording) => id(errorOf(recording.response).message) }),
  check({ group, recording, answer, requests }) {
    assert.equal(requests.length, 0);
    checkError(group, recording, answer);
  },
});

/** That our own key is wrong is nothing that the client can mend, and nothing it should read about. */
const gatewaysOwnKey: Plan = {
  check({ answer }) {
    assert.equal(answer.status, 502);
    const message = 'The upstream refused the gateway.';
    assert.deepEqual(bodyOf(answer), { error: { message, type: 'server_error', param: null, code: 'upstream_error' } });
    assert.equal(answer.headers['x-should-retry'], 'false');
  },
};

/** Not offered. The path belongs to something else, so it is the method that is wrong. */
const notOffered = (allow: string): Plan => ({
  check({ group: { method, path }, answer, requests }) {
    assert.equal(requests.length, 0);
    assert.equal(answer.status, 405);
    assert.equal(answer.headers.allow, allow);
    const message = `Not allowed to ${method} on /v1${path}. (HINT: Perhaps you meant to use a different HTTP method?)`;
    assert.deepEqual(bodyOf(answer), { error: { message, type: 'invalid_request_error', param: null, code: null } });
  },
});

const completionOf = (body: JsonObject, messages: readonly JsonObject[] = []) => ({
  kind: 'chat.completion' as const,
  id: String(body.id),
  body: { id: body.id ?? null, completion: body, messages },
});

/** Completions are kept here: nobody else is asked, and they come back as they were. */
const kept = (check: (answer: JsonObject, recorded: JsonObject, recording: Recording) => void): Plan => ({
  id: idOf,
  owned: ({ response }) => (isJsonObject(response) ? [completionOf(everyAnswer.upstreamSays(response))] : []),
  check({ recording, answer, requests }) {
    assert.equal(requests.length, 0);
    assert.equal(answer.status, 200);
    assert.ok(isJsonObject(recording.response));
    check(bodyOf(answer), recording.response, recording);
  },
});

const COMPLETION = 'chatcmpl-of-the-messages';

const PLANS: Readonly<Record<string, Plan>> = {
  'POST /v1/files 200 application/json': unchanged,
  'POST /v1/files 400 application/json': sameError,
  'GET /v1/files 200 application/json': ownList('file'),
  'GET /v1/files/{file_id} 200 application/json': owned('file'),
  'DELETE /v1/files/{file_id} 200 application/json': owned('file'),
  'DELETE /v1/files/fake_id 404 application/json': ownError(),
  'GET /v1/files/fake_id 404 application/json': ownError(),
  'GET /v1/files/fake_id/content 404 application/json': ownError(),

  'POST /v1/batches 200 application/json': {
    ...unchanged,
    owned: ({ request }) => (isJsonObject(request) ? [{ kind: 'file', id: String(request.input_file_id) }] : []),
  },
  'GET /v1/batches/{batch_id} 200 application/json': owned('batch'),
  'POST /v1/batches/{batch_id}/cancel 200 application/json': owned('batch'),
  'GET /v1/batches 200 application/json': ownList('batch'),

  'POST /v1/chat/completions 200 application/json': unchanged,
  'POST /v1/chat/completions 200 text/event-stream': unchanged,
  'POST /v1/chat/completions 400 application/json': sameError,
  'POST /v1/chat/completions 401 application/json': gatewaysOwnKey,
  'GET /v1/chat/completions 200 application/json': {
    ...kept((answer, recorded, recording) => {
      assert.equal(JSON.stringify(answer.data), JSON.stringify(recorded.data));
      assert.equal(answer.first_id, recorded.first_id);
      assert.equal(answer.last_id, lastIdOf(recording));
    }),
    owned: (recording) => {
      everyAnswer.upstreamSays(recording.response);
      return itemsOf(recording).map((completion) => completionOf(completion));
    },
  },
  'GET /v1/chat/completions/{chatcmpl_id} 200 application/json': kept((answer, recorded) =>
    assert.equal(JSON.stringify(answer), JSON.stringify(recorded)),
  ),
  'POST /v1/chat/completions/{chatcmpl_id} 200 application/json': kept((answer, recorded, { request }) => {
    assert.ok(isJsonObject(request));
    assert.equal(JSON.stringify(answer), JSON.stringify({ ...recorded, metadata: request.metadata }));
  }),
  'DELETE /v1/chat/completions/{chatcmpl_id} 200 application/json': kept((answer, recorded) =>
    assert.equal(JSON.stringify(answer), JSON.stringify(recorded)),
  ),
  'GET /v1/chat/completions/{chatcmpl_id}/messages 200 application/json': {
    ...kept((answer, recorded) => assert.deepEqual(answer, recorded)),
    id: () => COMPLETION,
    owned: (recording) => [completionOf({ id: COMPLETION }, itemsOf(recording))],
  },
  'GET /v1/chat/completions/{chatcmpl_id}/messages 404 application/json': ownError((said) => said.split(' ')[1] ?? ''),
  'GET /v1/chat/completions/{chatcmpl_id} 404 application/json': ownError((said) => said.split(' ')[1] ?? ''),
  'GET /v1/chat/completions/{comp_id}/messages 404 application/json': ownError((said) => said.split(' ')[1] ?? ''),

  'POST /v1/embeddings 200 application/json': unchanged,
  'POST /v1/embeddings 400 application/json': sameError,
  'POST /v1/moderations 200 application/json': unchanged,

  'POST /v1/audio/speech 200 audio/mpeg': unchanged,
  'POST /v1/audio/speech 200 audio/aac': unchanged,
  'POST /v1/audio/speech 200 audio/flac': unchanged,
  'POST /v1/audio/speech 200 audio/opus': unchanged,
  'POST /v1/audio/speech 200 audio/pcm': unchanged,
  'POST /v1/audio/speech 200 audio/wav': unchanged,
  'POST /v1/audio/speech 200 text/event-stream': unchanged,
  'POST /v1/audio/transcriptions 200 application/json': unchanged,
  'POST /v1/audio/transcriptions 200 text/plain': unchanged,
  'POST /v1/audio/transcriptions 200 text/event-stream': unchanged,
  'POST /v1/audio/transcriptions 400 application/json': sameError,
  'POST /v1/images/edits 200 application/json': unchanged,
  'POST /v1/images/edits 401 application/json': gatewaysOwnKey,
  'POST /v1/images/generations 200 application/json': unchanged,
  'POST /v1/images/generations 401 application/json': gatewaysOwnKey,

  // Calls to any name are passed on, as long as the host names no models; what the upstream would say of it, a call hears.
  'GET /v1/models/fake_id 404 application/json': {
    check({ answer, requests }) {
      assert.equal(requests.length, 0);
      assert.equal(answer.status, 200);
      assert.equal(bodyOf(answer).id, 'fake_id');
    },
  },
  'GET /v1/models/gpt-4o-mini 200 application/json': {
    check({ recording, answer, requests }) {
      assert.equal(requests.length, 0);
      assert.ok(isJsonObject(recording.response));
      // OpenAI's four members and their values, then more.
      const { id, object, created, owned_by, ...more } = bodyOf(answer);
      const { owned_by: owner, ...recorded } = recording.response;
      assert.deepEqual({ id, object, created }, recorded);
      assert.equal(typeof owned_by, typeof owner);
      assert.ok(Object.keys(more).length > 0);
    },
  },
  'GET /v1/models 200 application/json': {
    check({ answer, requests }) {
      assert.equal(requests.length, 0);
      // Which models there are is the host's to say: the shape is OpenAI's.
      const { object, data, ...more } = bodyOf(answer);
      assert.equal(object, 'list');
      assert.ok(Array.isArray(data) && data.length > 0);
      assert.deepEqual(more, {});
    },
  },
  'DELETE /v1/models/fake_id 404 application/json': notOffered('GET'),

  'POST /v1/responses 200 application/json': unchanged,
  'POST /v1/responses 200 text/event-stream': unchanged,
  'GET /v1/responses/{resp_id} 200 application/json': ownedResponse(),
  'GET /v1/responses/{resp_id} 200 text/event-stream': {
    ...ownedResponse(() => 'resp_0a5004ef5dc3564c0069845a9c82c481938b9b7c975a6f56b1'),
    query: '?stream=true&starting_after=1',
  },
  'GET /v1/responses/{resp_id}/input_items 200 application/json': ownedResponse(() => 'resp_whose_input_it_is'),
  'POST /v1/responses/{resp_id}/cancel 200 application/json': ownedResponse(),
  'DELETE /v1/responses/{resp_id} 200 application/json': ownedResponse(),
  'GET /v1/responses/{resp_id} 404 application/json': ownError((said) => /'(.*)'/.exec(said)?.[1] ?? ''),
  'POST /v1/responses/input_tokens 200 application/json': unchanged,
  'POST /v1/responses/compact 200 application/json': notOffered('GET, DELETE'),
};

describe('what OpenAI said once, a client gets as it was said', { skip: recordingsAreMissing }, () => {
  it('has a plan for all that is recorded', () => {
    assert.deepEqual(
      Object.keys(PLANS).sort(),
      recordedGroups()
        .map(({ name }) => name)
        .sort(),
    );
  });
  itForEachRecording(replay);
});

async function replay(group: RecordedGroup, recording: Recording): Promise<void> {
  const plan = PLANS[group.name];
  assert.ok(plan !== undefined);
  const sent = recordedBody(group, recording);
  const objects = memoryObjects();
  for (const { kind, id, body = {} } of plan.owned?.(recording) ?? [])
    await objects.put({ owner: 'key:key_test', kind, id, createdAt: 1_700_000_000_000, body });
  const start = () =>
    scriptedUpstream(({ path }) => (isLookAtLines(group, path) ? reply(LINE) : answerSteps(group, recording, sent)));
  await withHost(BARE_HOST, { start, objects, broken: group.status === 401 }, async ({ host, upstream }) => {
    const path = `/v1${group.path.replace(/\{\w+\}/, plan.id?.(recording) ?? '')}${plan.query ?? ''}`;
    const { headers, body } = requestBody(group, recording);
    const request = rawRequest(group.method, path, { authorization: `Bearer ${SECRET}`, ...headers }, body);
    const answer = await rawExchange(host.origin, request);
    checkHead(answer);
    const requests = upstream.requests.filter(({ path: asked }) => !isLookAtLines(group, asked));
    plan.check({ group, recording, answer, sent, requests });
  });
}

/** A batch's lines, of which the recordings have none, are looked at before it is made. */
const LINE = { custom_id: '1', method: 'POST', url: '/v1/chat/completions', body: { model: 'gpt-4o-mini' } };
const isLookAtLines = ({ path }: RecordedGroup, asked: string): boolean =>
  path === '/batches' && /\/files\/[^/]+\/content$/.test(asked);

/** What every answer has, and what of the upstream's head nobody sees. */
function checkHead({ headers }: RawResponse): void {
  assert.match(headers['x-request-id'] ?? '', /^req_[0-9a-f]{32}$/);
  assert.equal(headers['x-content-type-options'], 'nosniff');
  for (const name of ['openai-organization', 'openai-project', 'server', 'set-cookie', 'x-openai-proxy-wasm'])
    assert.equal(headers[name], undefined, name);
}

/** The recorded request; of a form the recordings have only its beginning, so another one with what is asked for. */
function requestBody(
  { method, path, mediaType }: RecordedGroup,
  { request }: Recording,
): { readonly headers: Record<string, string>; readonly body: string } {
  if (isJsonObject(request)) return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(request) };
  if (method !== 'POST' || path.endsWith('/cancel')) return { headers: {}, body: '' };
  const fields = {
    model: 'a-model',
    purpose: 'assistants',
    ...(mediaType === 'text/event-stream' && { stream: 'true' }),
  };
  const parts = Object.entries(fields).map(
    ([name, value]) => `--of-form\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const file = '--of-form\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nBytes\r\n';
  return {
    headers: { 'content-type': 'multipart/form-data; boundary=of-form' },
    body: `${parts.join('')}${file}--of-form--\r\n`,
  };
}

/** The answer's body, as OpenAI writes it. */
function recordedBody({ path, mediaType }: RecordedGroup, recording: Recording): Buffer {
  const { response } = recording;
  if (mediaType === 'application/json') return Buffer.from(`${JSON.stringify(response, null, 2)}\n`);
  if (typeof response === 'string') return Buffer.from(response.replace('…', ''), 'base64');
  if (mediaType !== 'text/event-stream') return Buffer.from(Array.isArray(response) ? response.join('') : '');
  const events = recordedEvents(recording);
  if (path.startsWith('/audio'))
    return Buffer.from(events.map((event) => `data: ${JSON.stringify(event)}\r\n\r\n`).join(''));
  if (path.startsWith('/responses')) return Buffer.from([...events, completed(events)].map(namedEvent).join(''));
  const last = { ...events.at(-1), choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: null };
  return Buffer.from(
    `${[...events, last].map((event) => `data: ${JSON.stringify(event)}\n\n`).join('')}data: [DONE]\n\n`,
  );
}

/** The recordings have only the beginnings of streams, and these must end somehow. */
function completed(events: readonly JsonObject[]): JsonObject {
  const last = events.at(-1) ?? {};
  const response = { ...(isJsonObject(last.response) ? last.response : {}), status: 'completed' };
  return { type: 'response.completed', sequence_number: Number(last.sequence_number ?? 0) + 1, response };
}

const namedEvent = (event: JsonObject): string => `event: ${String(event.type)}\ndata: ${JSON.stringify(event)}\n\n`;

function answerSteps({ status, mediaType }: RecordedGroup, recording: Recording, body: Buffer): Step[] {
  if (mediaType === 'text/event-stream') return streamReply([body]);
  // `reply` takes texts; sounds are no texts.
  const [head] = reply('', { status, headers: { ...headersOf(recording), 'content-length': String(body.length) } });
  return head === undefined ? [] : [head, { kind: 'send', bytes: body }];
}

/** The recorded head, less what belongs to its connection; values that were blanked are made up. */
function headersOf({ responseHeaders }: Recording): Record<string, string> {
  const headers = Object.entries(responseHeaders).map(([name, value]): [string, string] => [name.toLowerCase(), value]);
  const connections = ['connection', 'content-length', 'transfer-encoding', 'content-encoding', 'date'];
  return Object.fromEntries(headers.filter(([name]) => !connections.includes(name)));
}

function checkError({ status }: RecordedGroup, { response }: Recording, answer: RawResponse): void {
  assert.equal(answer.status, status);
  assert.equal(answer.headers['content-type'], 'application/json');
  const { message, type, param, code } = errorOf(response);
  assert.deepEqual(bodyOf(answer), { error: { message, type, param, code } });
}

function errorOf(response: unknown): { message: string; type: unknown; param: unknown; code: unknown } {
  const error = isJsonObject(response) && isJsonObject(response.error) ? response.error : {};
  return { message: String(error.message), type: error.type, param: error.param, code: error.code };
}

function bodyOf({ body }: RawResponse): JsonObject {
  const value: unknown = JSON.parse(body);
  assert.ok(isJsonObject(value));
  return value;
}
