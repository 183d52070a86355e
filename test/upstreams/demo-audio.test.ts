import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonObject } from '../../src/base/json.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import { type Answer, eventsOf, type FormValue, forwardClient, jsonOf, refuses } from '../helpers/demo-forward.js';
import { shapeOf } from '../helpers/openai-shapes.js';

const client = forwardClient();

function speak(input: string, rest: JsonObject = {}): Promise<Answer> {
  const body = { model: 'gpt-4o-mini-tts', voice: 'alloy', input, ...rest };
  const headers = { 'content-type': 'application/json' };
  return client.raw('POST', '/audio/speech', Buffer.from(JSON.stringify(body)), headers);
}

function transcribe(
  bytes: Uint8Array,
  fields: Readonly<Record<string, string>> = {},
  path = '/audio/transcriptions',
): Promise<Answer> {
  const values: (readonly [string, FormValue])[] = Object.entries({ model: 'whisper-1', ...fields });
  return client.form(path, [...values, ['file', { bytes, filename: 'speech.wav' }]]);
}

/** A WAV file of silence. */
function silence(seconds: number): Buffer {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0);
  header.write('WAVEfmt ', 8);
  header.set([16, 0, 0, 0, 1, 0, 1, 0, 0x40, 0x1f, 0, 0, 0x80, 0x3e, 0, 0, 2, 0, 16, 0], 16);
  header.write('data', 36);
  header.writeUInt32LE(0xffffffff, 40);
  return Buffer.concat([header, Buffer.alloc(16_000 * seconds)]);
}

describe('speech of the demo', () => {
  it('is a WAV whose header is right', async () => {
    const { bytes, type } = await speak('Hello, world!', { response_format: 'wav' });
    assert.equal(type, 'audio/wav');
    assert.equal(bytes.toString('latin1', 0, 4), 'RIFF');
    assert.equal(bytes.readUInt32LE(4), bytes.length - 8);
    assert.equal(bytes.toString('latin1', 8, 16), 'WAVEfmt ');
    const format = [20, 22, 32, 34].map((at) => bytes.readUInt16LE(at));
    assert.deepEqual(format, [1, 1, 2, 16], 'PCM, mono, 2 bytes a frame, 16 bits');
    assert.deepEqual([bytes.readUInt32LE(24), bytes.readUInt32LE(28)], [24_000, 48_000]);
    assert.equal(bytes.toString('latin1', 36, 40), 'data');
    assert.equal(bytes.readUInt32LE(40), bytes.length - 44);
  });

  const texts = ['Hello, world!', 'Привет, мир. Как дела?', 'Rocket 🚀 and family 👨‍👩‍👧!', 'x', 'a\nb  c'];
  for (const text of texts) {
    it(`is heard again: ${JSON.stringify(text)}`, async () => {
      const wav = await speak(text);
      assert.equal(wav.type, 'audio/wav', 'also when nothing was asked for');
      assert.equal(jsonOf(await transcribe(wav.bytes)).text, text);
      const pcm = await speak(text, { response_format: 'pcm' });
      assert.equal(pcm.type, 'audio/pcm');
      assert.deepEqual(pcm.bytes, wav.bytes.subarray(44));
      assert.equal(jsonOf(await transcribe(pcm.bytes)).text, text);
    });
  }

  it('is faster or slower as asked, and heard all the same, quieter and after silence too', async () => {
    const text = 'As fast as you like';
    const usual = (await speak(text)).bytes.length;
    for (const speed of [0.25, 0.9, 1.37, 4]) {
      const { bytes } = await speak(text, { speed });
      assert.equal(bytes.length < usual, speed > 1, `speed ${speed}`);
      assert.equal(jsonOf(await transcribe(bytes)).text, text, `speed ${speed}`);
    }
    const pcm = (await speak(text, { response_format: 'pcm' })).bytes;
    const quiet = Buffer.alloc(pcm.length);
    for (let at = 0; at < pcm.length; at += 2) quiet.writeInt16LE(Math.round(pcm.readInt16LE(at) / 20), at);
    assert.equal(jsonOf(await transcribe(Buffer.concat([Buffer.alloc(10_000), quiet]))).text, text);
  });

  it('of the longest text is heard within seconds', async () => {
    const text = 'Ж'.repeat(4_096);
    const { bytes } = await speak(text);
    assert.equal(jsonOf(await transcribe(bytes)).text, text);
    await refuses(speak(`${text}!`), 400, /string too long/);
  });

  it('streams as events', async () => {
    const answer = await speak('Hello', { stream_format: 'sse', response_format: 'pcm' });
    assert.match(answer.bytes.toString(), /^data: \{"type":"speech.audio.delta","audio":"[^"]+"\}\r\n\r\n/);
    const events = eventsOf(answer);
    const done = events.pop();
    assert.equal(done?.type, 'speech.audio.done');
    const sound = Buffer.concat(events.map(({ audio }) => Buffer.from(String(audio), 'base64')));
    assert.equal(jsonOf(await transcribe(sound)).text, 'Hello');
  });

  it('refuses what it cannot make', async () => {
    const bad: [JsonObject, RegExp][] = [
      [{ response_format: 'mp3' }, /cannot make 'mp3'. Use 'response_format': 'wav' or 'pcm'/],
      [{ response_format: 'ogg' }, /Invalid value: 'ogg'/],
      [{ speed: 5 }, /decimal above maximum/],
      [{ speed: 0 }, /decimal below minimum/],
      [{ voice: null }, /Missing required parameter: 'voice'/],
      [{ input: '' }, /Missing required parameter: 'input'/],
    ];
    for (const [body, message] of bad) await refuses(speak('x', body), 400, message);
  });

  it('stops with the signal, speaking and hearing', async () => {
    const controller = new AbortController();
    const body = (text: string) =>
      (async function* () {
        yield Buffer.from(JSON.stringify({ model: 'tts-1', voice: 'alloy', input: text }));
      })();
    const signal = controller.signal;
    const reply = await client.call({ method: 'POST', path: '/audio/speech', body: body('x'.repeat(500)), signal });
    await assert.rejects(async () => {
      for await (const _ of reply.body) controller.abort(new Error('gone'));
    }, /gone/);
  });
});

describe('transcriptions of the demo', () => {
  const text = 'Hello, world! This is a test.';

  it('come in every format', async () => {
    const { bytes } = await speak(text);
    const seconds = (bytes.length - 44) / 48_000;
    const json = jsonOf(await transcribe(bytes));
    assert.deepEqual(json, { text, usage: { type: 'duration', seconds: Math.ceil(seconds) } });
    const plain = await transcribe(bytes, { response_format: 'text' });
    assert.deepEqual([plain.type, plain.bytes.toString()], ['text/plain; charset=utf-8', `${text}\n`]);
    const srt = (await transcribe(bytes, { response_format: 'srt' })).bytes.toString();
    assert.match(
      srt,
      /^1\n00:00:00,000 --> 00:00:00,\d{3}\nHello, world!\n\n2\n00:00:00,\d{3} --> 00:00:0\d,\d{3}\nThis/,
    );
    const vtt = (await transcribe(bytes, { response_format: 'vtt' })).bytes.toString();
    assert.match(vtt, /^WEBVTT\n\n00:00:00.000 --> 00:00:00.\d{3}\nHello, world!\n\n/);
    const fields = { response_format: 'verbose_json', 'timestamp_granularities[]': 'word', language: 'en' };
    const verbose = jsonOf(await transcribe(bytes, fields));
    assert.deepEqual([verbose.text, verbose.language, verbose.segments], [text, 'en', undefined]);
    const words: { word: string; start: number; end: number }[] = Object(verbose.words);
    assert.deepEqual(
      words.map(({ word }) => word),
      text.split(' '),
    );
    assert.ok(words.every(({ start, end }, index) => start < end && start >= (words[index - 1]?.end ?? 0)));
    const translated = await transcribe(bytes, {}, '/audio/translations');
    assert.deepEqual(jsonOf(translated), { text });
  });

  it('stream, save those of Whisper', async () => {
    const { bytes } = await speak(text);
    const events = eventsOf(await transcribe(bytes, { model: 'gpt-4o-transcribe', stream: 'true' }));
    const done = events.pop();
    assert.equal(events.map(({ delta }) => delta).join(''), text);
    assert.equal(done?.text, text);
    assert.equal(Object(done?.usage).type, 'tokens');
    assert.equal(jsonOf(await transcribe(bytes, { stream: 'true' })).text, text);
  });

  it('are honest about what was not spoken by the demo', async () => {
    const first = jsonOf(await transcribe(silence(3)));
    assert.match(String(first.text), /^The demo cannot hear this recording of 3 seconds/);
    assert.deepEqual(first.usage, { type: 'duration', seconds: 3 });
    assert.deepEqual(jsonOf(await transcribe(silence(3))), first);
    const mp3 = jsonOf(await transcribe(Buffer.from('ID3 not really sound')));
    assert.match(String(mp3.text), /recording of 20 bytes/);
    const broken = (await speak(text)).bytes;
    broken.fill(0x55, 20_000, 30_000);
    assert.match(String(jsonOf(await transcribe(broken)).text), /cannot hear/);
    assert.match(String(jsonOf(await transcribe(broken.subarray(0, 20_000))).text), /cannot hear/);
  });

  it('refuse what OpenAI refuses', async () => {
    const error = await refuses(
      transcribe(silence(1), { language: 'this should cause an error' }),
      400,
      /^Invalid language 'this should cause an error'. Language parameter must be specified in ISO-639-1 format.$/,
    );
    assert.deepEqual([error.code, error.param], ['invalid_language_format', 'language']);
    await refuses(transcribe(silence(1), { response_format: 'xml' }), 400, /Invalid value: 'xml'/);
    await refuses(transcribe(Buffer.alloc(0)), 400, /corrupted or unsupported/);
    await refuses(client.form('/audio/transcriptions', [['model', 'whisper-1']]), 400, /parameter: 'file'/);
    const small = forwardClient({ maxFileBytes: 1_000 });
    const file = { bytes: silence(1), filename: 'a.wav' };
    await refuses(small.form('/audio/transcriptions', [['file', file]]), 413, /limit \(1000\)/);
  });

  it('take WAV files that are none, and end', async () => {
    for (const hex of [
      '52494646',
      '5249464600000000574156',
      '52494646000000005741564566',
      `52494646ffffffff57415645${'64617461ffffffff'}`,
    ])
      assert.match(String(jsonOf(await transcribe(Buffer.from(hex, 'hex'))).text), /cannot hear/);
  });
});

describe('audio against OpenAI', () => {
  it('is what its description says', { skip: specIsMissing }, async () => {
    const check = specChecker();
    const { bytes } = await speak('Hello. World.');
    check('CreateTranscriptionResponseJson', jsonOf(await transcribe(bytes)));
    check('CreateTranscriptionResponseJson', jsonOf(await transcribe(bytes, { model: 'gpt-4o-transcribe' })));
    const verbose = { response_format: 'verbose_json' };
    check('CreateTranscriptionResponseVerboseJson', jsonOf(await transcribe(bytes, verbose)));
    check('CreateTranslationResponseVerboseJson', jsonOf(await transcribe(bytes, verbose, '/audio/translations')));
    for (const event of eventsOf(await transcribe(bytes, { model: 'gpt-4o-transcribe', stream: 'true' })))
      check('CreateTranscriptionResponseStreamEvent', event);
    for (const event of eventsOf(await speak('x', { stream_format: 'sse' })))
      check('CreateSpeechResponseStreamEvent', event);
  });

  it('has the shape of recordings', { skip: recordingsAreMissing }, async () => {
    const { bytes } = await speak('Hello. World.');
    const [recorded] = recordedAnswers('POST /v1/audio/transcriptions 200 application/json');
    assert.deepEqual(shapeOf(jsonOf(await transcribe(bytes))), shapeOf(recorded));
  });
});
