import { isJsonObject, type JsonObject, shownValue } from '../../base/json.js';
import { estimateTokens } from '../../wire/estimate.js';
import { optionalBoolean, optionalChoice, optionalString } from '../../wire/members.js';
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
/** A second of silence: 24,000 samples of 16 bits. */
const SILENCE = Buffer.alloc(48_000);
/** A WAV file of it: plain PCM, one channel, 24,000 samples or 48,000 bytes a second, two bytes to a sample. */
const WAV = Buffer.concat([
  Buffer.from(
    'RIFF\xa4\xbb\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\xc0\x5d\0\0\x80\xbb\0\0\x02\0\x10\0data\x80\xbb\0\0',
    'latin1',
  ),
  SILENCE,
]);
/** A frame of silence in MPEG-2 Layer III, 32 kbit/s, 24 kHz, mono: a header of 4 bytes, and nothing in 576 samples. */
const MP3_FRAME = Buffer.concat([Buffer.from([0xff, 0xf3, 0x44, 0xc0]), Buffer.alloc(92)]);
const MP3 = Buffer.alloc(42 * MP3_FRAME.length, MP3_FRAME);
const SPOKEN_TOKENS = 20;
/** First bytes of MP3, OGG, FLAC, WAV, WebM and, after four others, MP4. */
const SOUND = /^ID3|^\xff[\xe0-\xff]|^OggS|^fLaC|^RIFF....WAVE|^.E\xdf\xa3|^....ftyp/s;
/** Bytes in a second of a recording: 128 kbit, as most are compressed. */
const BYTES_PER_SECOND = 16_000;
const HEARD_TOKENS_PER_SECOND = 10;

/** `/audio`: speech is a second of silence, and of recordings the demo says that it cannot hear them. */
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
  const { voice = null } = body;
  if (voice === null) throw missingParameter('voice');
  // A custom voice is named by its id.
  const isVoice = isJsonObject(voice) ? typeof voice.id === 'string' : VOICES.some((name) => name === voice);
  if (!isVoice) throw invalidValue('voice', shownValue(voice).slice(0, 64), VOICES);
  const format = optionalChoice('response_format', body.response_format, SOUND_FORMATS) ?? 'mp3';
  const sound = soundOf(format);
  if (body.stream_format !== 'sse') return bytesReply(format === 'mp3' ? 'audio/mpeg' : `audio/${format}`, sound);
  const input = estimateTokens(Buffer.byteLength(text));
  const usage = { input_tokens: input, output_tokens: SPOKEN_TOKENS, total_tokens: input + SPOKEN_TOKENS };
  const delta = { type: 'speech.audio.delta', audio: sound.toString('base64') };
  return eventsReply([delta, { type: 'speech.audio.done', usage }], false);
}

function soundOf(format: (typeof SOUND_FORMATS)[number]): Buffer {
  switch (format) {
    case 'mp3':
      return MP3;
    case 'wav':
      return WAV;
    case 'pcm':
      return SILENCE;
    default: {
      const message = `The demo cannot make '${format}'. Use 'response_format': 'mp3', 'wav' or 'pcm'.`;
      throw unsupportedParameter(message, 'response_format');
    }
  }
}

function transcribe(fields: JsonObject, bytes: Buffer, task: 'transcribe' | 'translate'): ForwardReply | JsonObject {
  const model = filledString(fields, 'model', 256);
  findDemoModel(model, 'transcriptions');
  const language = optionalString('language', fields.language) ?? 'english';
  if (!/^[a-z]{2,3}(?:-[a-z]{2,4})?$|^english$/i.test(language)) {
    const message = `Invalid language '${language.slice(0, 64)}'. Language parameter must be specified in ISO-639-1 format.`;
    throw badRequest(message, 'invalid_language_format', 'language');
  }
  const format = optionalChoice('response_format', fields.response_format, TEXT_FORMATS) ?? 'json';
  if (!SOUND.test(bytes.toString('latin1', 0, 12))) {
    throw badRequest('Audio file might be corrupted or unsupported', 'invalid_value', 'file');
  }
  const seconds = Math.ceil(bytes.length / BYTES_PER_SECOND);
  const text = `The built-in demo model cannot hear this recording of ${bytes.length} bytes.`;
  const isWhisper = model.endsWith('whisper-1');
  // Whisper takes `stream` and does not stream.
  if (optionalBoolean('stream', fields.stream) === true && !isWhisper)
    return eventsReply(eventsOf(text, seconds), false);
  const end = new Date(seconds * 1_000).toISOString().slice(11, 19);
  const perSecond = { type: 'duration', seconds };
  switch (format) {
    case 'text':
      return bytesReply(TEXT_TYPE, Buffer.from(`${text}\n`));
    case 'srt':
      return bytesReply(TEXT_TYPE, Buffer.from(`1\n00:00:00,000 --> ${end},000\n${text}\n\n`));
    case 'vtt':
      return bytesReply(TEXT_TYPE, Buffer.from(`WEBVTT\n\n00:00:00.000 --> ${end}.000\n${text}\n\n`));
    case 'json':
      return task === 'translate' ? { text } : { text, usage: isWhisper ? perSecond : tokenUsage(text, seconds) };
    case 'verbose_json':
      return { task, language, duration: seconds, text, segments: [segmentOf(text, seconds)], usage: perSecond };
  }
}

function segmentOf(text: string, seconds: number): JsonObject {
  const numbers = { seek: 0, temperature: 0, avg_logprob: 0, compression_ratio: 1, no_speech_prob: 0 };
  return { id: 0, start: 0, end: seconds, text, tokens: [], ...numbers };
}

function tokenUsage(text: string, seconds: number): JsonObject {
  const input = seconds * HEARD_TOKENS_PER_SECOND;
  const output = estimateTokens(Buffer.byteLength(text));
  return {
    type: 'tokens',
    total_tokens: input + output,
    input_tokens: input,
    output_tokens: output,
    input_token_details: { text_tokens: 0, audio_tokens: input },
  };
}

function eventsOf(text: string, seconds: number): readonly JsonObject[] {
  const deltas = text.split(/(?= )/).map((delta) => ({ type: 'transcript.text.delta', delta }));
  return [...deltas, { type: 'transcript.text.done', text, usage: tokenUsage(text, seconds) }];
}
