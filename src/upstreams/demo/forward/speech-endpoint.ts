import type { JsonObject } from '../../../base/json.js';
import { estimateTokens } from '../../../wire/estimate.js';
import { optionalChoice, optionalDecimal } from '../../../wire/members.js';
import { invalidType, missingParameter, unsupportedParameter } from '../../../wire/request-errors.js';
import { nextTurn } from '../turns.js';
import type { Endpoints } from './endpoints.js';
import { filledString } from './read-objects.js';
import { eventsReply, streamReply } from './replies.js';
import { readJson } from './request-body.js';
import { SAMPLE_RATE, speak, spokenSamples } from './tones.js';
import { wavHeader } from './wav.js';

interface Speech {
  readonly text: Buffer;
  readonly speed: number;
  readonly format: 'wav' | 'pcm';
  readonly asEvents: boolean;
}

const MAX_JSON_BYTES = 1024 * 1024;
const MAX_INPUT_LENGTH = 4_096;
const FORMATS = ['mp3', 'opus', 'aac', 'flac', 'wav', 'pcm'] as const;
/** What OpenAI was seen to count is near this. */
const AUDIO_TOKENS_PER_SECOND = 20;

/**
 * `/audio/speech`: the text in tones, from which `/audio/transcriptions` has it back. It makes `wav` and `pcm` of 24 kHz;
 * when no format is asked for, for which OpenAI would give mp3, it gives WAV and says so in its content type.
 */
export function speechEndpoint(): Endpoints {
  return {
    'POST /audio/speech': async ({ call }) => {
      const speech = readSpeech(await readJson(call, MAX_JSON_BYTES));
      const { signal } = call;
      if (speech.asEvents) return eventsReply(speechEvents(speech, signal), { signal, named: false });
      return streamReply(`audio/${speech.format}`, soundOf(speech, signal));
    },
  };
}

function readSpeech(body: JsonObject): Speech {
  filledString(body, 'model', 256);
  const text = Buffer.from(filledString(body, 'input', MAX_INPUT_LENGTH));
  const { voice } = body;
  if (voice === undefined || voice === null) throw missingParameter('voice');
  if (typeof voice !== 'string' && typeof voice !== 'object') throw invalidType('voice', 'a string', voice);
  const format = optionalChoice('response_format', body.response_format, FORMATS) ?? 'wav';
  if (format !== 'wav' && format !== 'pcm') {
    const message = `The demo cannot make '${format}'. Use 'response_format': 'wav' or 'pcm'.`;
    throw unsupportedParameter(message, 'response_format');
  }
  const speed = optionalDecimal('speed', body.speed, { min: 0.25, max: 4 }) ?? 1;
  const asEvents = optionalChoice('stream_format', body.stream_format, ['audio', 'sse']) === 'sse';
  return { text, speed, format, asEvents };
}

async function* soundOf({ text, speed, format }: Speech, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  if (format === 'wav') yield wavHeader(spokenSamples(text.length, speed), SAMPLE_RATE);
  for (const sound of speak(text, speed)) {
    await nextTurn(signal);
    yield sound;
  }
}

async function* speechEvents(speech: Speech, signal: AbortSignal): AsyncGenerator<JsonObject, void, undefined> {
  for await (const sound of soundOf(speech, signal))
    yield { type: 'speech.audio.delta', audio: sound.toString('base64') };
  const input = estimateTokens(speech.text.length);
  const seconds = spokenSamples(speech.text.length, speech.speed) / SAMPLE_RATE;
  const output = Math.ceil(seconds * AUDIO_TOKENS_PER_SECOND);
  const usage = { input_tokens: input, output_tokens: output, total_tokens: input + output };
  yield { type: 'speech.audio.done', usage };
}
