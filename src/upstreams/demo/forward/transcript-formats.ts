import type { JsonObject } from '../../../base/json.js';
import { estimateTokens } from '../../../wire/estimate.js';

/** What was heard. */
export interface Transcript {
  readonly text: string;
  readonly seconds: number;
}

interface Span {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** The parts of a text that a pattern finds, with their share of the time. */
export function spansOf({ text, seconds }: Transcript, pattern: RegExp): readonly Span[] {
  const at = (index: number): number => Math.round((index / text.length) * seconds * 100) / 100;
  return [...text.matchAll(pattern)].map((match) => ({
    text: match[0].trim(),
    start: at(match.index),
    end: at(match.index + match[0].length),
  }));
}

export const WORDS = /\S+/g;
const SENTENCES = /[^.!?…\n]*[.!?…\n]+|[^.!?…\n]+$/g;

/** Subtitles as SubRip has them. */
export function srt(transcript: Transcript): string {
  return `${cues(transcript, ',')
    .map((cue, index) => `${index + 1}\n${cue}`)
    .join('')}\n`;
}

/** Subtitles as browsers take them. */
export function vtt(transcript: Transcript): string {
  return `WEBVTT\n\n${cues(transcript, '.').join('')}`;
}

/** The `verbose_json`. */
export function verboseBody(transcript: Transcript, { task, language, granularities }: VerboseOptions): JsonObject {
  const { text, seconds } = transcript;
  return {
    task,
    language,
    duration: Math.round(seconds * 100) / 100,
    text,
    ...(granularities.includes('word')
      ? { words: spansOf(transcript, WORDS).map(({ text: word, start, end }) => ({ word, start, end })) }
      : {}),
    ...(granularities.length === 0 || granularities.includes('segment')
      ? {
          segments: spansOf(transcript, SENTENCES)
            .filter((span) => span.text !== '')
            .map(segmentBody),
        }
      : {}),
    usage: durationUsage(transcript),
  };
}

/** What a `verbose_json` says beside what was heard. */
export interface VerboseOptions {
  readonly task: 'transcribe' | 'translate';
  readonly language: string;
  readonly granularities: readonly string[];
}

/** Usage as models have it that are paid by the minute: seconds, begun ones counted. */
export function durationUsage({ seconds }: Transcript): JsonObject {
  return { type: 'duration', seconds: Math.ceil(seconds) };
}

/** Usage as models have it that are paid by the token. */
export function tokenUsage({ text, seconds }: Transcript): JsonObject {
  const input = Math.ceil(seconds * 10);
  const output = estimateTokens(Buffer.byteLength(text));
  return {
    type: 'tokens',
    total_tokens: input + output,
    input_tokens: input,
    input_token_details: { text_tokens: 0, audio_tokens: input },
    output_tokens: output,
  };
}

function cues(transcript: Transcript, decimal: ',' | '.'): readonly string[] {
  return spansOf(transcript, SENTENCES)
    .filter(({ text }) => text !== '')
    .map(({ text, start, end }) => `${clock(start, decimal)} --> ${clock(end, decimal)}\n${text}\n\n`);
}

function clock(seconds: number, decimal: ',' | '.'): string {
  const digits = (value: number, length = 2): string => String(value).padStart(length, '0');
  const ms = Math.round(seconds * 1000);
  const time = [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60].map((value) => digits(Math.floor(value)));
  return `${time.join(':')}${decimal}${digits(ms % 1000, 3)}`;
}

function segmentBody({ text, start, end }: Span, id: number): JsonObject {
  return {
    id,
    seek: 0,
    start,
    end,
    text,
    tokens: [],
    temperature: 0,
    avg_logprob: 0,
    compression_ratio: 1,
    no_speech_prob: 0,
  };
}
