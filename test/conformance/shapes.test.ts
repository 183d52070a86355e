import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { demo } from 'megallm-middleware';
import { isJsonObject, type Json, type JsonObject } from '../../src/base/json.js';
import { SECRET, testSetup, UNKNOWN_SECRET } from '../helpers/gateway-options.js';
import { BARE_HOST, type RunningHost } from '../helpers/hosts.js';
import { eventsOf } from '../helpers/stream-client.js';
import {
  itForEachRecording,
  type RecordedGroup,
  type Recording,
  recordedEvents,
  recordingsAreMissing,
} from './recordings.js';

/** Where an answer of the demo is not of the shape that was recorded, and why. Each must be met with. */
const DIFFERENCES: readonly (readonly [difference: RegExp, why: string])[] = [
  [/ 4\d\d \S+ \.(?:detail|usage): missing$/, 'errors have four members and nothing beside them'],
  [
    /GET \/v1\/models\S* .*\.(?:capabilities|context_length|created_at|display_name|max_output_tokens|pricing|type): added$/,
    'the service that we are compatible with has more to say of models (service.md §8.1)',
  ],
  [
    /\/v1\/chat\/completions\S* .*message\.(?:annotations|refusal): added$/,
    'completions are kept as they were answered, which is with these',
  ],
  [
    /\/v1\/chat\/completions\S* .*message\.(?:function_call|tool_calls): missing$/,
    'completions are kept as they were answered, which is without members that are null',
  ],
  [/\/v1\/chat\/completions\S* .*usage\.\w+_tokens_details: added$/, 'completions are kept as they were answered'],
  [/text\/event-stream 1\.choices\[\]\.delta\.audio: missing$/, 'the demo writes, and says nothing aloud'],
  [
    /\/v1\/responses\S* .*\.(?:completed_at|frequency_penalty|presence_penalty|prompt_cache_retention): added$/,
    'the description has them, and later recordings: these are of 2025',
  ],
  [/\/v1\/responses\S* .*\.cache_write_tokens: added$/, 'the description requires it: the recordings are older'],
  [/\/v1\/responses\S* .*\.billing: missing$/, 'in one recording alone, and about an account that we have none of'],
  [/\/v1\/audio\/transcriptions 200 application\/json \.segments: missing$/, 'the demo does not tell speakers apart'],
];

/** Recorded, and not to be had of the demo. */
const NOT_ASKED: Readonly<Record<string, string>> = {
  'DELETE /v1/models/fake_id 404 application/json': 'not offered: see replay.test.ts',
  'POST /v1/responses/compact 200 application/json': 'not offered: see replay.test.ts',
  'GET /v1/responses/{resp_id} 200 text/event-stream': 'what is translated is not kept as a stream',
  'POST /v1/audio/speech 200 audio/aac': 'the demo makes mp3, wav and pcm only',
  'POST /v1/audio/speech 200 audio/flac': 'the demo makes mp3, wav and pcm only',
  'POST /v1/audio/speech 200 audio/opus': 'the demo makes mp3, wav and pcm only',
  'POST /v1/audio/transcriptions 200 text/event-stream': 'recorded of speakers, whom the demo does not tell apart',
};

interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly body?: unknown;
  readonly secret?: string;
}

/** A client of a gateway with the demo behind it. */
interface Client {
  ask(path: string, ask?: Ask): Promise<Response>;
  json(path: string, ask?: Ask): Promise<JsonObject>;
  /** The id of something new. */
  made(path: string, body: unknown): Promise<string>;
}

/** What to ask for, where it is not the recorded request at the recorded path. */
type Recipe = (client: Client, recording: Recording) => Promise<Ask>;

const CHAT = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'Hello, world!' }] };

const form = (fields: Readonly<Record<string, string | Blob>>): FormData => {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.append(name, value);
  return data;
};
const file = (client: Client, text = 'some bytes'): Promise<string> =>
  client.made('/files', form({ purpose: 'batch', file: new File([text], 'a.jsonl') }));
const LINE = JSON.stringify({ custom_id: '1', method: 'POST', url: '/v1/chat/completions', body: CHAT });
const batch = async (client: Client): Promise<string> => {
  return client.made('/batches', {
    input_file_id: await file(client, `${LINE}\n`),
    endpoint: '/v1/chat/completions',
    completion_window: '24h',
    metadata: { testMetadataKey: 'test metadata value' },
  });
};
const completion = (client: Client): Promise<string> =>
  client.made('/chat/completions', { ...CHAT, store: true, metadata: { my_metadata_key: 'my_metadata_value' } });
const response = (client: Client, more: JsonObject = {}): Promise<string> =>
  client.made('/responses', {
    model: 'gpt-4o-mini',
    input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Item 1' }] }],
    ...more,
  });

const at =
  (make: (client: Client) => Promise<string>, path: (id: string) => string): Recipe =>
  async (client) => ({ path: path(await make(client)) });
const missing =
  (path: string): Recipe =>
  async () => ({ path });
const transcription =
  (fields: Readonly<Record<string, string>>): Recipe =>
  async (client) => {
    const speech = await client.ask('/audio/speech', {
      method: 'POST',
      body: { model: 'tts-1', voice: 'alloy', input: 'Hello' },
    });
    return { body: form({ file: new File([Buffer.from(await speech.arrayBuffer())], 'a.wav'), ...fields }) };
  };
const picture = async (client: Client): Promise<FormData> => {
  const { data } = await client.json('/images/generations', {
    method: 'POST',
    body: { model: 'gpt-image-1', prompt: 'A room' },
  });
  const [first] = Array.isArray(data) ? data : [];
  const bytes = Buffer.from(isJsonObject(first) ? String(first.b64_json) : '', 'base64');
  return form({ model: 'gpt-image-1', prompt: 'A lamp', image: new File([bytes], 'a.png', { type: 'image/png' }) });
};

const RECIPES: Readonly<Record<string, Recipe>> = {
  'POST /v1/files 200 application/json': async () => ({
    body: form({ purpose: 'assistants', file: new File(['some bytes'], 'a.txt') }),
  }),
  'POST /v1/files 400 application/json': async () => ({
    body: form({ purpose: 'world_domination', file: new File(['some bytes'], 'a.txt') }),
  }),
  'GET /v1/files/{file_id} 200 application/json': at(file, (id) => `/files/${id}`),
  'DELETE /v1/files/{file_id} 200 application/json': at(file, (id) => `/files/${id}`),
  'GET /v1/files 200 application/json': at(file, () => '/files'),
  'POST /v1/batches 200 application/json': async (client, { request }) => ({
    body: { ...(isJsonObject(request) ? request : {}), input_file_id: await file(client, LINE) },
  }),
  'GET /v1/batches/{batch_id} 200 application/json': at(batch, (id) => `/batches/${id}`),
  'POST /v1/batches/{batch_id}/cancel 200 application/json': at(batch, (id) => `/batches/${id}/cancel`),
  'GET /v1/batches 200 application/json': at(batch, () => '/batches'),
  'GET /v1/chat/completions 200 application/json': at(completion, () => '/chat/completions'),
  'GET /v1/chat/completions/{chatcmpl_id} 200 application/json': at(completion, (id) => `/chat/completions/${id}`),
  'POST /v1/chat/completions/{chatcmpl_id} 200 application/json': async (client, { request }) => ({
    path: `/chat/completions/${await completion(client)}`,
    body: request,
  }),
  'DELETE /v1/chat/completions/{chatcmpl_id} 200 application/json': at(completion, (id) => `/chat/completions/${id}`),
  'GET /v1/chat/completions/{chatcmpl_id}/messages 200 application/json': at(
    completion,
    (id) => `/chat/completions/${id}/messages`,
  ),
  'GET /v1/chat/completions/{chatcmpl_id}/messages 404 application/json': missing(
    '/chat/completions/chatcmpl-x/messages',
  ),
  'GET /v1/chat/completions/{comp_id}/messages 404 application/json': missing('/chat/completions/comp_x/messages'),
  'GET /v1/chat/completions/{chatcmpl_id} 404 application/json': missing('/chat/completions/chatcmpl-x'),
  'POST /v1/chat/completions 401 application/json': async (_, { request }) => ({
    body: request,
    secret: UNKNOWN_SECRET,
  }),
  // A sound of the length of this one is no sound: the text alone is said.
  'POST /v1/chat/completions 200 text/event-stream': async () => ({
    body: { ...CHAT, stream: true, stream_options: { include_usage: true } },
  }),
  'POST /v1/audio/transcriptions 200 application/json': (client, recording) => {
    const { usage } = isJsonObject(recording.response) ? recording.response : {};
    const isOfTokens = isJsonObject(usage) && usage.type === 'tokens';
    return transcription({ model: isOfTokens ? 'gpt-4o-transcribe' : 'whisper-1' })(client, recording);
  },
  'POST /v1/audio/transcriptions 200 text/plain': transcription({ model: 'whisper-1', response_format: 'srt' }),
  'POST /v1/audio/transcriptions 400 application/json': transcription({ model: 'whisper-1', language: 'no such' }),
  'POST /v1/images/edits 200 application/json': async (client) => ({ body: await picture(client) }),
  'POST /v1/images/edits 401 application/json': async () => ({ body: form({ prompt: 'x' }), secret: UNKNOWN_SECRET }),
  'POST /v1/images/generations 401 application/json': async (_, { request }) => ({
    body: request,
    secret: UNKNOWN_SECRET,
  }),
  'GET /v1/responses/{resp_id} 200 application/json': at(response, (id) => `/responses/${id}`),
  'GET /v1/responses/{resp_id}/input_items 200 application/json': at(response, (id) => `/responses/${id}/input_items`),
  'POST /v1/responses/{resp_id}/cancel 200 application/json': at(
    (client) => response(client, { background: true }),
    (id) => `/responses/${id}/cancel`,
  ),
  'DELETE /v1/responses/{resp_id} 200 application/json': at(response, (id) => `/responses/${id}`),
  'GET /v1/responses/{resp_id} 404 application/json': missing('/responses/resp_x'),
};

describe('what the demo answers has the shape that was recorded', { skip: recordingsAreMissing }, () => {
  let host: RunningHost;
  const used = new Set<number>();
  before(async () => {
    host = await BARE_HOST.start(testSetup({ upstream: demo() }).options);
  });
  after(() => host.close());

  itForEachRecording(
    async (group, recording) => {
      const recipe: Recipe = RECIPES[group.name] ?? (async () => ({ body: recording.request ?? undefined }));
      const asked = await recipe(client(), recording);
      const answer = await client().ask(asked.path ?? group.path, { method: group.method, ...asked });
      const text = await answer.text();
      assert.equal(answer.status, group.status, text.slice(0, 500));
      assert.equal(answer.headers.get('content-type')?.split(';')[0], group.mediaType);
      for (const difference of differences(group, recording, text)) {
        const known = DIFFERENCES.findIndex(([pattern]) => pattern.test(`${group.name} ${difference}`));
        assert.notEqual(known, -1, `${group.name} ${difference}`);
        used.add(known);
      }
    },
    (name) => NOT_ASKED[name] !== undefined,
  );

  it('differs in all that is listed', () => {
    assert.deepEqual(
      DIFFERENCES.filter((_, index) => !used.has(index)).map(([, why]) => why),
      [],
    );
  });

  function client(): Client {
    const ask: Client['ask'] = (path, { method = 'GET', body, secret = SECRET } = {}) => {
      const isForm = body instanceof FormData;
      const headers = {
        authorization: `Bearer ${secret}`,
        ...(isForm || body === undefined ? {} : { 'content-type': 'application/json' }),
      };
      const content = isForm ? body : JSON.stringify(body);
      return fetch(`${host.baseUrl}${path}`, { method, headers, ...(content === undefined ? {} : { body: content }) });
    };
    const json: Client['json'] = async (path, asked) => {
      const value: unknown = await (await ask(path, asked)).json();
      assert.ok(isJsonObject(value));
      return value;
    };
    return { ask, json, made: async (path, body) => String((await json(path, { method: 'POST', body })).id) };
  }
});

function differences({ mediaType, path }: RecordedGroup, recording: Recording, text: string): readonly string[] {
  if (mediaType === 'application/json') return shapeDifferences(recording.response, JSON.parse(text));
  if (mediaType !== 'text/event-stream') return [];
  const events: Json[] = eventsOf(text)
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data));
  return recordedEvents(recording).flatMap((recorded, index) => {
    // Of chat chunks the first is held against the first; events with names against the first of their name.
    const ours =
      path === '/chat/completions'
        ? events[index]
        : events.find((event) => isJsonObject(event) && event.type === recorded.type);
    // Recorded events are cut: what only ours has may have stood behind the cut.
    return shapeDifferences(recorded, ours, String(recorded.type ?? index)).filter((one) => !one.endsWith(': added'));
  });
}

/** Members that only one of the two has, and values of other types; `null` is like anything, and lists go by their first item. */
function shapeDifferences(recorded: unknown, ours: unknown, place = ''): readonly string[] {
  if (recorded === null || ours === null) return [];
  if (Array.isArray(recorded) && Array.isArray(ours)) {
    return recorded.length === 0 || ours.length === 0 ? [] : shapeDifferences(recorded[0], ours[0], `${place}[]`);
  }
  if (!isJsonObject(recorded) || !isJsonObject(ours)) {
    const [one, other] = [typeOf(recorded), typeOf(ours)];
    return one === other ? [] : [`${place}: ${other} for ${one}`];
  }
  // The names in there are the caller's.
  if (place.endsWith('.metadata')) return [];
  const names = [...new Set([...Object.keys(recorded), ...Object.keys(ours)])];
  return names.flatMap((name) => {
    if (!Object.hasOwn(ours, name)) return [`${place}.${name}: missing`];
    if (!Object.hasOwn(recorded, name)) return [`${place}.${name}: added`];
    return shapeDifferences(recorded[name], ours[name], `${place}.${name}`);
  });
}

function typeOf(value: unknown): string {
  return Array.isArray(value) ? 'list' : typeof value;
}
