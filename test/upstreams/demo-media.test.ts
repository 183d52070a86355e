import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inflateSync } from 'node:zlib';
import type { JsonObject } from '../../src/base/json.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { type Answer, demoClient, eventsOf, type FormValue, jsonOf, refuses } from '../helpers/demo-client.js';

const client = demoClient();

interface Pictures {
  readonly data: readonly { readonly b64_json?: string; readonly url?: string; readonly revised_prompt?: string }[];
  readonly usage: { readonly input_tokens: number; readonly output_tokens: number; readonly total_tokens: number };
}
const post = (path: string, body: JsonObject): Promise<Answer> =>
  client.raw('POST', path, Buffer.from(JSON.stringify(body)), { 'content-type': 'application/json' });
const pictures = async (body: JsonObject): Promise<Pictures> =>
  JSON.parse(JSON.stringify(jsonOf(await post('/images/generations', { prompt: 'A cat', ...body }))));

/** The width, height and rows of a PNG with one byte a pixel, having checked its parts. */
function readPng(base64 = ''): { readonly width: number; readonly height: number; readonly rows: number } {
  const bytes = Buffer.from(base64, 'base64');
  assert.equal(bytes.toString('latin1', 0, 8), '\x89PNG\r\n\x1a\n');
  const parts = new Map<string, Buffer>();
  for (let at = 8; at < bytes.length; ) {
    const size = bytes.readUInt32BE(at);
    parts.set(bytes.toString('latin1', at + 4, at + 8), bytes.subarray(at + 8, at + 8 + size));
    at += size + 12;
  }
  assert.deepEqual([...parts.keys()], ['IHDR', 'IDAT', 'IEND']);
  const [width = 0, height = 0] = [0, 4].map((at) => parts.get('IHDR')?.readUInt32BE(at));
  return { width, height, rows: inflateSync(parts.get('IDAT') ?? '').length / (width + 1) };
}

describe('images of the demo', () => {
  it('are a PNG, as often as asked, with usage that adds up', async () => {
    const { data, usage } = await pictures({ n: 3 });
    assert.equal(data.length, 3);
    assert.deepEqual(readPng(data[0]?.b64_json), { width: 64, height: 64, rows: 64 });
    assert.deepEqual([usage.output_tokens, usage.total_tokens], [3 * 1_056, usage.input_tokens + usage.output_tokens]);
  });

  it('come as URLs where DALL·E gives them', async () => {
    const { data } = await pictures({ model: 'dall-e-3' });
    assert.match(data[0]?.url ?? '', /^data:image\/png;base64,/);
    assert.equal(data[0]?.revised_prompt, 'A cat');
    const { data: encoded } = await pictures({ model: 'dall-e-2', response_format: 'b64_json' });
    assert.equal(readPng(encoded[0]?.b64_json).width, 64);
  });

  it('stream partly, then whole', async () => {
    const events = eventsOf(await post('/images/generations', { prompt: 'A cat', stream: true, partial_images: 2 }));
    const types = ['partial_image', 'partial_image', 'completed'].map((type) => `image_generation.${type}`);
    assert.deepEqual(
      events.map(({ type }) => type),
      types,
    );
  });

  it('are edited and varied, when they are images', async () => {
    const { data } = await pictures({});
    const image = { bytes: Buffer.from(data[0]?.b64_json ?? '', 'base64'), filename: 'a.png' };
    const edited = jsonOf(
      await client.form('/images/edits', [
        ['prompt', 'x'],
        ['n', '2'],
        ['image[]', image],
        ['image[]', image],
      ]),
    );
    assert.equal(Object(edited.data).length, 2);
    assert.equal(Object(edited.usage).input_tokens_details.image_tokens, 2 * 194);
    assert.equal(Object(jsonOf(await client.form('/images/variations', [['image', image]])).data).length, 1);
    const references = { prompt: 'x', images: [{ image_url: 'https://example.com/a.png' }] };
    assert.equal(Object(await client.json('POST', '/images/edits', references)).data.length, 1);
    const text = { bytes: Buffer.from('no image'), filename: 'a.png' };
    await refuses(
      client.form('/images/edits', [
        ['prompt', 'x'],
        ['image', text],
      ]),
      /Invalid image file/,
    );
    await refuses(client.form('/images/edits', [['prompt', 'x']]), /parameter: 'image'/);
  });

  it('are found in parts that have no filename, as clients that stream write them', async () => {
    const image = Buffer.from((await pictures({})).data[0]?.b64_json ?? '', 'base64');
    for (const name of ['image', 'image[]']) {
      const part = `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n`;
      const prompt = '\r\n--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nA cat\r\n--b--\r\n';
      const body = Buffer.concat([Buffer.from(part), image, Buffer.from(prompt)]);
      const type = { 'content-type': 'multipart/form-data; boundary=b' };
      assert.equal(Object(jsonOf(await client.raw('POST', '/images/edits', body, type)).data).length, 1);
    }
  });

  it('are refused to made-up models, and in other formats', async () => {
    for (const model of ['no-such-image-model', 'gpt-image-99', 'gpt-4o-paint']) {
      await refuses(pictures({ model }), /does not exist/, { status: 404, code: 'model_not_found' });
    }
    await refuses(pictures({ model: 'gpt-4o' }), /cannot be used for images/);
    for (const model of ['gpt-image-1-mini', 'dall-e-2', 'black-forest-labs/flux-1:schnell']) await pictures({ model });
    await refuses(pictures({ output_format: 'webp' }), /PNG images only/);
    await refuses(pictures({ prompt: '' }), /parameter: 'prompt'/);
  });

  it('are what OpenAI describes', { skip: specIsMissing }, async () => {
    const check = specChecker();
    check('ImagesResponse', await pictures({}));
    check('ImagesResponse', await pictures({ model: 'dall-e-3' }));
    for (const event of eventsOf(
      await post('/images/generations', { prompt: 'A cat', stream: true, partial_images: 1 }),
    ))
      check('ImageGenStreamEvent', event);
  });
});

const speak = (body: JsonObject = {}): Promise<Answer> =>
  post('/audio/speech', { model: 'gpt-4o-mini-tts', voice: 'alloy', input: 'Hello, world!', ...body });

describe('speech of the demo', () => {
  it('is MP3 by default: whole frames of silence', async () => {
    const { bytes, type } = await speak();
    assert.equal(type, 'audio/mpeg');
    assert.ok(bytes.length > 0 && bytes.length % 96 === 0);
    for (let at = 0; at < bytes.length; at += 96) {
      // Eleven bits of sync, MPEG-2, Layer III, no checksum; 32 kbit/s, 24 kHz, no padding; mono: 72 * 32,000 / 24,000 bytes.
      assert.deepEqual([...bytes.subarray(at, at + 4)], [0xff, 0xf3, 0x44, 0xc0]);
      assert.ok(bytes.subarray(at + 4, at + 96).every((byte) => byte === 0));
    }
  });

  it('is a WAV whose header is right, or its samples alone, where that is asked for', async () => {
    const { bytes, type } = await speak({ response_format: 'wav' });
    assert.equal(type, 'audio/wav');
    assert.match(bytes.toString('latin1', 0, 44), /^RIFF....WAVEfmt .{20}data....$/s);
    assert.equal(bytes.readUInt32LE(4), bytes.length - 8);
    assert.deepEqual(
      [20, 22, 32, 34].map((at) => bytes.readUInt16LE(at)),
      [1, 1, 2, 16],
    );
    assert.deepEqual([bytes.readUInt32LE(16), bytes.readUInt32LE(24), bytes.readUInt32LE(28)], [16, 24_000, 48_000]);
    assert.equal(bytes.readUInt32LE(40), bytes.length - 44);
    assert.deepEqual((await speak({ response_format: 'pcm' })).bytes, bytes.subarray(44));
  });

  it('streams as events', async () => {
    const [delta, done] = eventsOf(await speak({ stream_format: 'sse' }));
    assert.deepEqual(Buffer.from(String(delta?.audio), 'base64'), (await speak()).bytes);
    assert.equal(done?.type, 'speech.audio.done');
  });

  it('is refused to made-up models and voices, and in formats that the demo has not', async () => {
    await refuses(speak({ model: 'no-such-speech' }), /does not exist/, { status: 404 });
    await refuses(speak({ model: 'gpt-4o' }), /cannot be used for speech/);
    for (const model of ['tts-1', 'tts-1-hd', 'gpt-4o-mini-tts-2025-03-20', 'hexgrad/kokoro-82m'])
      await speak({ model });
    await refuses(speak({ voice: null }), /parameter: 'voice'/);
    await refuses(speak({ voice: 'nobody' }), /Invalid value: 'nobody'/, { param: 'voice' });
    await speak({ voice: { id: 'voice_1' } });
    await refuses(speak({ response_format: 'opus' }), /cannot make 'opus'/);
    await refuses(speak({ input: 'x'.repeat(4_097) }), /string too long/);
  });
});

describe('transcriptions of the demo', () => {
  const transcribe = (
    bytes: Uint8Array,
    fields: Readonly<Record<string, string>> = {},
    path = '/audio/transcriptions',
  ) => {
    const values: (readonly [string, FormValue])[] = Object.entries({ model: 'whisper-1', ...fields });
    return client.form(path, [...values, ['file', { bytes, filename: 'speech.wav' }]]);
  };
  const wav = async () => (await speak({ response_format: 'wav' })).bytes;
  const TEXT = 'The built-in demo model cannot hear this recording of 48044 bytes.';

  it('say in every format that the demo cannot hear, and how long the recording is', async () => {
    const bytes = await wav();
    assert.deepEqual(jsonOf(await transcribe(bytes)), { text: TEXT, usage: { type: 'duration', seconds: 4 } });
    assert.equal((await transcribe(bytes, { response_format: 'text' })).bytes.toString(), `${TEXT}\n`);
    const srt = (await transcribe(bytes, { response_format: 'srt' })).bytes.toString();
    assert.match(srt, /^1\n00:00:00,000 --> 00:00:04,000\nThe/);
    const vtt = (await transcribe(bytes, { response_format: 'vtt' })).bytes.toString();
    assert.match(vtt, /^WEBVTT\n\n00:00:00.000 --> 00:00:04.000\nThe/);
    const fields = { response_format: 'verbose_json', language: 'en' };
    const verbose = JSON.parse(JSON.stringify(jsonOf(await transcribe(bytes, fields))));
    assert.deepEqual([verbose.text, verbose.language, verbose.segments[0].end], [TEXT, 'en', 4]);
    assert.deepEqual(jsonOf(await transcribe(bytes, {}, '/audio/translations')), { text: TEXT });
    assert.match(JSON.stringify(jsonOf(await transcribe((await speak()).bytes))), /cannot hear/);
  });

  it('stream, save those of Whisper', async () => {
    const events = eventsOf(await transcribe(await wav(), { model: 'gpt-4o-transcribe', stream: 'true' }));
    const done = events.pop();
    assert.equal(events.map(({ delta }) => delta).join(''), TEXT);
    assert.deepEqual([done?.text, Object(done?.usage).type], [TEXT, 'tokens']);
    assert.equal(jsonOf(await transcribe(await wav(), { stream: 'true' })).text, TEXT);
  });

  it('are refused for what is no recording, and to made-up models', async () => {
    for (const bytes of [Buffer.from([1, 2, 3]), Buffer.alloc(0), Buffer.from('RIFF\0\0\0\0AVI ')]) {
      await refuses(transcribe(bytes), /corrupted or unsupported/, { param: 'file' });
    }
    await refuses(transcribe(await wav(), { model: 'whisper-99' }), /does not exist/, { status: 404 });
    await refuses(transcribe(await wav(), { language: 'this should cause an error' }), /^Invalid language/, {
      code: 'invalid_language_format',
    });
    await refuses(client.form('/audio/transcriptions', [['model', 'whisper-1']]), /parameter: 'file'/);
    const file = { bytes: await wav(), filename: 'a.wav' };
    await refuses(demoClient({}, { maxFileBytes: 1_000 }).form('/audio/transcriptions', [['file', file]]), /limit/, {
      status: 413,
    });
  });

  it('are what OpenAI describes, as speech is', { skip: specIsMissing }, async () => {
    const check = specChecker();
    const bytes = await wav();
    check('CreateTranscriptionResponseJson', jsonOf(await transcribe(bytes, { model: 'gpt-4o-transcribe' })));
    const verbose = { response_format: 'verbose_json' };
    check('CreateTranscriptionResponseVerboseJson', jsonOf(await transcribe(bytes, verbose)));
    check('CreateTranslationResponseVerboseJson', jsonOf(await transcribe(bytes, verbose, '/audio/translations')));
    for (const event of eventsOf(await transcribe(bytes, { model: 'gpt-4o-transcribe', stream: 'true' })))
      check('CreateTranscriptionResponseStreamEvent', event);
    for (const event of eventsOf(await speak({ stream_format: 'sse' })))
      check('CreateSpeechResponseStreamEvent', event);
  });
});
