import { isJsonObject, type JsonObject } from '../../base/json.js';
import { estimateTokens } from '../../wire/estimate.js';
import { optionalBoolean, optionalChoice, optionalDecimal, optionalString, stringsIn } from '../../wire/members.js';
import { badRequest, invalidValue, missingParameter, unsupportedParameter } from '../../wire/request-errors.js';
import type { ForwardCall, ForwardReply } from '../upstream.js';
import { filledString, readForm, readJson } from './forms.js';
import { findDemoModel } from './models.js';
import { bytesReply, type Endpoints, eventsReply } from './replies.js';
import type { DemoStore } from './store.js';

const MAX_INPUT_LENGTH = 4_096;
const VOICES = 'alloy ash ballad cedar coral echo fable marin nova onyx sage shimmer verse'.split(' ');
const SOUND_FORMATS = ['mp3', 'opus', 'aac', 'flac', 'wav', 'pcm'] as const;
const TEXT_FORMATS = ['json', 'text', 'srt', 'verbose_json', 'vtt'] as const;
const TEXT_TYPE = 'text/plain; charset=utf-8';
const SAMPLE_RATE = 24_000;
/** About as many letters as are spoken in a second. */
const LETTERS_PER_SECOND = 15;
const TOKENS_PER_SECOND = 20;
/** Bytes in a second of compressed sound, whose length the demo cannot read: 128 kbit. */
const COMPRESSED_BYTES_PER_SECOND = 16_000;
/** Silence in MPEG-2 Layer III, 32 kbit/s, 24 kHz, mono: a header of 4 bytes, and nothing in 576 samples. */
const MP3_FRAME = Buffer.concat([Buffer.from([0xff, 0xf3, 0x44, 0xc0]), Buffer.alloc(92)]);
const MP3_FRAMES_PER_SECOND = SAMPLE_RATE / 576;
/** First bytes of MP3, OGG, FLAC and, after four others, MP4. */
const SOUND = /^ID3|^\xff[\xe0-\xff]|^OggS|^fLaC|^....ftyp/s;
const WEBM = Buffer.from([0x1a, 0x45, 0xdf, 0xa3]);

/** `/audio`: speech is silence of a plausible length, and of recordings the demo says that it cannot hear them. */
export function audioEndpoints({ maxFileBytes }: DemoStore): Endpoints {
  const transcripts = async (call: ForwardCall, task: 'transcribe' | 'translate') => {
    const { fields, files } = await readForm(call, maxFileBytes);
    return transcribe(fields, files('file')[0].bytes, task);
  };
  return {
    'POST /audio/speech': async ({ call }) => speak(await readJson(call)),
    'POST /audio/transcriptions': ({ call }) => transcripts(call, 'transcribe'),
    'POST /audio/translations': ({ call }) => transcripts(call, 'translate'),
  };
}

function speak(body: JsonObject): ForwardReply {
  findDemoModel(filledString(body, 'model', 256), 'speech');
  const text = filledString(body, 'input', MAX_INPUT_LENGTH);
  const { voice } = body;
  if (voice === undefined || voice === null) throw missingParameter('voice');
  // A custom voice is named by its id.
  const isVoice = isJsonObject(voice) ? typeof voice.id === 'string' : VOICES.some((name) => name === voice);
  if (!isVoice) throw invalidValue('voice', String(voice).slice(0, 64), VOICES);
  const format = optionalChoice('response_format', body.response_format, SOUND_FORMATS) ?? 'mp3';
  const speed = optionalDecimal('speed', body.speed, { min: 0.25, max: 4 }) ?? 1;
  const seconds = Math.max(0.5, text.length / LETTERS_PER_SECOND / speed);
  const sound = soundOf(format, seconds);
  if (optionalChoice('stream_format', body.stream_format, ['audio', 'sse']) !== 'sse') {
    return bytesReply(format === 'mp3' ? 'audio/mpeg' : `audio/${format}`, sound);
  }
  const input = estimateTokens(Buffer.byteLength(text));
  const output = Math.ceil(seconds * TOKENS_PER_SECOND);
  const usage = { input_tokens: input, output_tokens: output, total_tokens: input + output };
  const delta = { type: 'speech.audio.delta', audio: sound.toString('base64') };
  return eventsReply([delta, { type: 'speech.audio.done', usage }], false);
}

function soundOf(format: (typeof SOUND_FORMATS)[number], seconds: number): Buffer {
  if (format === 'mp3') return Buffer.alloc(Math.ceil(seconds * MP3_FRAMES_PER_SECOND) * MP3_FRAME.length, MP3_FRAME);
  if (format !== 'wav' && format !== 'pcm') {
    const message = `The demo cannot make '${format}'. Use 'response_format': 'mp3', 'wav' or 'pcm'.`;
    throw unsupportedParameter(message, 'response_format');
  }
  const samples = Buffer.alloc(2 * Math.ceil(seconds * SAMPLE_RATE));
  return format === 'pcm' ? samples : Buffer.concat([wavHeader(samples.length), samples]);
}

/** The head of a WAV file of 16-bit mono. */
function wavHeader(dataBytes: number): Buffer {
  const header = Buffer.from('RIFF____WAVEfmt ____________________data____', 'latin1');
  header.writeUInt32LE(36 + dataBytes, 4);
  header.writeUInt32LE(16, 16);
  // Plain PCM, and one channel.
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(SAMPLE_RATE, 24);
  header.writeUInt32LE(SAMPLE_RATE * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.writeUInt32LE(dataBytes, 40);
  return header;
}

function transcribe(fields: JsonObject, bytes: Buffer, task: 'transcribe' | 'translate'): ForwardReply | JsonObject {
  const model = filledString(fields, 'model', 256);
  findDemoModel(model, 'transcriptions');
  const language = optionalString('language', fields.language) ?? 'english';
  if (!/^(?:english|[a-z]{2,3})$|^[a-z]{2,3}-[a-z]{2,4}$/i.test(language)) {
    const message = `Invalid language '${language.slice(0, 64)}'. Language parameter must be specified in ISO-639-1 format.`;
    throw badRequest(message, 'invalid_language_format', 'language');
  }
  const format = optionalChoice('response_format', fields.response_format, TEXT_FORMATS) ?? 'json';
  const isByWord = stringsIn('timestamp_granularities', fields.timestamp_granularities, 2).includes('word');
  const seconds = secondsOf(bytes);
  if (seconds === undefined) throw badRequest('Audio file might be corrupted or unsupported', 'invalid_value', 'file');
  const text = `The built-in demo model cannot hear this recording of ${Math.ceil(seconds)} seconds.`;
  const perSecond = { type: 'duration', seconds: Math.ceil(seconds) };
  const isWhisper = model.endsWith('whisper-1');
  // Whisper takes `stream` and does not stream.
  if (optionalBoolean('stream', fields.stream) === true && !isWhisper)
    return eventsReply(eventsOf(text, seconds), false);
  switch (format) {
    case 'text':
      return bytesReply(TEXT_TYPE, Buffer.from(`${text}\n`));
    case 'srt':
      return bytesReply(TEXT_TYPE, Buffer.from(`1\n00:00:00,000 --> ${clockTime(seconds, ',')}\n${text}\n\n`));
    case 'vtt':
      return bytesReply(TEXT_TYPE, Buffer.from(`WEBVTT\n\n00:00:00.000 --> ${clockTime(seconds, '.')}\n${text}\n\n`));
    case 'json':
      return task === 'translate' ? { text } : { text, usage: isWhisper ? perSecond : tokenUsage(text, seconds) };
    case 'verbose_json':
      return { task, language, text, ...timings(text, seconds, isByWord), usage: perSecond };
  }
}

/** The length of a recording; `undefined`: it is none. */
function secondsOf(bytes: Buffer): number | undefined {
  const head = bytes.toString('latin1', 0, 12);
  if (SOUND.test(head) || bytes.indexOf(WEBM) === 0) return bytes.length / COMPRESSED_BYTES_PER_SECOND;
  const bytesPerSecond = /^RIFF....WAVE/s.test(head) && bytes.length >= 44 ? bytes.readUInt32LE(28) : 0;
  return bytesPerSecond === 0 ? undefined : (bytes.length - 44) / bytesPerSecond;
}

/** The text as one segment, or its words, each as long as the others. */
function timings(text: string, seconds: number, isByWord: boolean): JsonObject {
  const words = text.split(' ');
  const at = (index: number): number => Math.round((seconds * index * 100) / words.length) / 100;
  const timed = words.map((word, index) => ({ word, start: at(index), end: at(index + 1) }));
  const numbers = { seek: 0, temperature: 0, avg_logprob: 0, compression_ratio: 1, no_speech_prob: 0 };
  const segment = { id: 0, start: 0, end: at(words.length), text, tokens: [], ...numbers };
  return { duration: at(words.length), ...(isByWord ? { words: timed } : { segments: [segment] }) };
}

function clockTime(seconds: number, decimal: string): string {
  return new Date(Math.round(seconds * 1000)).toISOString().slice(11, 23).replace('.', decimal);
}

function tokenUsage(text: string, seconds: number): JsonObject {
  const [input, output] = [Math.ceil(seconds * 10), estimateTokens(Buffer.byteLength(text))];
  const total = { total_tokens: input + output, input_tokens: input, output_tokens: output };
  return { type: 'tokens', ...total, input_token_details: { text_tokens: 0, audio_tokens: input } };
}

function* eventsOf(text: string, seconds: number): Generator<JsonObject, void> {
  for (const [index, word] of text.split(' ').entries()) {
    yield { type: 'transcript.text.delta', delta: index === 0 ? word : ` ${word}` };
  }
  yield { type: 'transcript.text.done', text, usage: tokenUsage(text, seconds) };
}
