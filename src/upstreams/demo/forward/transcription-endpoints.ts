import type { JsonObject } from '../../../base/json.js';
import { optionalBoolean, optionalChoice, optionalString, stringsIn } from '../../../wire/members.js';
import { badRequest, missingParameter } from '../../../wire/request-errors.js';
import type { ForwardCall, ForwardReply } from '../../upstream.js';
import type { DemoStorage } from './demo-storage.js';
import type { Endpoints } from './endpoints.js';
import { filledString } from './read-objects.js';
import { bytesReply, eventsReply, jsonReply } from './replies.js';
import { coerced, readForm } from './request-body.js';
import { hear, SAMPLE_RATE } from './tones.js';
import { durationUsage, srt, type Transcript, tokenUsage, verboseBody, vtt } from './transcript-formats.js';
import { readWav, samplesOf } from './wav.js';

const FORMATS = ['json', 'text', 'srt', 'verbose_json', 'vtt'] as const;
const TEXT_TYPE = 'text/plain; charset=utf-8';
/** Of compressed sound whose length the demo cannot read: 128 kbit in a second. */
const COMPRESSED_BYTES_PER_SECOND = 16_000;

interface Task {
  readonly task: 'transcribe' | 'translate';
  readonly model: string;
  readonly format: (typeof FORMATS)[number];
  readonly language: string | undefined;
  readonly granularities: readonly string[];
  readonly stream: boolean;
}

/**
 * `/audio/transcriptions` and `/audio/translations`: give back what `/audio/speech` of the demo spoke, in the language
 * it was spoken in. Of any other recording they say that the demo cannot hear it.
 */
export function transcriptionEndpoints({ bounds }: DemoStorage): Endpoints {
  const answered = async (kind: Task['task'], call: ForwardCall): Promise<ForwardReply> => {
    const form = await readForm(call, bounds.maxFileBytes);
    const [file] = form.files('file');
    if (file === undefined) throw missingParameter('file');
    const task = readTask(kind, coerced(form.fields, ['stream']));
    if (file.bytes.length === 0)
      throw badRequest('Audio file might be corrupted or unsupported', 'invalid_value', 'file');
    return reply(task, await transcriptOf(file.bytes, call.signal), call.signal);
  };
  return {
    'POST /audio/transcriptions': ({ call }) => answered('transcribe', call),
    'POST /audio/translations': ({ call }) => answered('translate', call),
  };
}

function readTask(task: Task['task'], fields: JsonObject): Task {
  const model = filledString(fields, 'model', 256);
  const language = optionalString('language', fields.language);
  if (language !== undefined && !/^[a-z]{2,3}(?:-[a-z]{2,4})?$/i.test(language)) {
    const message = `Invalid language '${language.slice(0, 64)}'. Language parameter must be specified in ISO-639-1 format.`;
    throw badRequest(message, 'invalid_language_format', 'language');
  }
  return {
    task,
    model,
    format: optionalChoice('response_format', fields.response_format, FORMATS) ?? 'json',
    language,
    granularities: stringsIn('timestamp_granularities', fields.timestamp_granularities, 2),
    // Whisper takes `stream` and does not stream.
    stream:
      (optionalBoolean('stream', fields.stream) ?? false) && !model.startsWith('whisper') && task === 'transcribe',
  };
}

async function transcriptOf(bytes: Buffer, signal: AbortSignal): Promise<Transcript> {
  const wav = readWav(bytes);
  // What is not WAV may be the demo's own `pcm`.
  const recording = wav ?? { samples: samplesOf(bytes), sampleRate: SAMPLE_RATE, seconds: undefined };
  const { samples, sampleRate } = recording;
  const text = samples === undefined || sampleRate !== SAMPLE_RATE ? undefined : await hear(samples, signal);
  if (text !== undefined) return { text, seconds: recording.seconds ?? (samples?.length ?? 0) / SAMPLE_RATE };
  const length = wav === undefined ? `${bytes.length} bytes` : `${Math.ceil(wav.seconds)} seconds`;
  return {
    text: `The demo cannot hear this recording of ${length}: it understands only what it spoke itself.`,
    seconds: wav?.seconds ?? bytes.length / COMPRESSED_BYTES_PER_SECOND,
  };
}

function reply(task: Task, transcript: Transcript, signal: AbortSignal): ForwardReply {
  const { text } = transcript;
  if (task.stream) return eventsReply(transcriptEvents(transcript), { signal, named: false });
  switch (task.format) {
    case 'text':
      return bytesReply(TEXT_TYPE, Buffer.from(`${text}\n`));
    case 'srt':
      return bytesReply(TEXT_TYPE, Buffer.from(srt(transcript)));
    case 'vtt':
      return bytesReply(TEXT_TYPE, Buffer.from(vtt(transcript)));
    case 'verbose_json':
      return jsonReply(verboseBody(transcript, { ...task, language: task.language ?? 'english' }));
    case 'json':
      return jsonReply(task.task === 'translate' ? { text } : { text, usage: usageOf(task, transcript) });
  }
}

function usageOf({ model }: Task, transcript: Transcript): JsonObject {
  return /^gpt-.*transcribe/.test(model) ? tokenUsage(transcript) : durationUsage(transcript);
}

async function* transcriptEvents(transcript: Transcript): AsyncGenerator<JsonObject, void, undefined> {
  for (const [delta] of transcript.text.matchAll(/\s*\S+|\s+$/g)) yield { type: 'transcript.text.delta', delta };
  yield { type: 'transcript.text.done', text: transcript.text, usage: tokenUsage(transcript) };
}
