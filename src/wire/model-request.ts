import { isJsonObject, type Json, type JsonObject } from '../json.js';
import { type JsonOutline, outlinedText } from '../json-document.js';
import {
  invalidType,
  missingModel,
  numberAboveMax,
  numberBelowMin,
  streamOptionsWithoutStream,
} from '../request-errors.js';

/** The few fields of a call to a model that we act on. Everything else is the upstream's to judge. */
export interface ModelRequest {
  readonly model: string;
  readonly stream: boolean;
  /** Whether the client asked for the usage chunk of a stream. */
  readonly includeUsage: boolean;
  /** Most tokens of one answer; `undefined`: the client named no ceiling. */
  readonly maxOutputTokens: number | undefined;
  /** Answers asked for at once. */
  readonly n: number;
}

const MAX_MODEL_LENGTH = 256;
/** OpenAI's own bound. */
const MAX_N = 128;
/** Keeps sums of tokens far inside the safe integers. */
const MAX_OUTPUT_TOKENS = 1_000_000_000;

/** Ranges of OpenAI's description; JSON has no NaN, but `1e400` is read as Infinity. */
const DECIMALS = [
  ['temperature', 0, 2],
  ['top_p', 0, 1],
  ['frequency_penalty', -2, 2],
  ['presence_penalty', -2, 2],
] as const;

/** @throws {GatewayError} 400 when there is none. */
export function readModel(outline: JsonOutline): string {
  const { model } = outline.body;
  if (model === undefined || model === null || model === '') throw missingModel();
  if (typeof model !== 'string') throw invalidType('model', 'a string', model);
  if (model.length > MAX_MODEL_LENGTH) throw invalidType('model', 'a shorter string', model);
  return outlinedText(outline, model);
}

/** Whether the answer is to be streamed, and with usage. */
export function readStream({ stream, stream_options }: JsonObject): Pick<ModelRequest, 'stream' | 'includeUsage'> {
  const isStream = optionalBoolean('stream', stream) ?? false;
  return { stream: isStream, includeUsage: readIncludeUsage(stream_options, isStream) };
}

/** The ceiling of that name; `undefined`: none is named. */
export function readCeiling(body: JsonObject, name: string, min = 1): number | undefined {
  return optionalInteger(name, body[name], min, MAX_OUTPUT_TOKENS);
}

/** How many answers are asked for. */
export function readN({ n }: JsonObject): number {
  return optionalInteger('n', n, 1, MAX_N) ?? 1;
}

/** @throws {GatewayError} 400 for a temperature and its like beyond what OpenAI takes. */
export function checkDecimals(body: JsonObject): void {
  for (const [name, min, max] of DECIMALS) checkDecimal(name, body[name], min, max);
}

function readIncludeUsage(options: Json | undefined, stream: boolean): boolean {
  if (options === undefined || options === null) return false;
  if (!isJsonObject(options)) throw invalidType('stream_options', 'an object', options);
  if (!stream) throw streamOptionsWithoutStream();
  return optionalBoolean('stream_options.include_usage', options.include_usage) ?? false;
}

function optionalBoolean(param: string, value: Json | undefined): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'boolean') throw invalidType(param, 'a boolean', value);
  return value;
}

function optionalInteger(param: string, value: Json | undefined, min: number, max: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || (Number.isFinite(value) && !Number.isInteger(value))) {
    throw invalidType(param, 'an integer', value);
  }
  if (value < min) throw numberBelowMin(param, 'integer', min, value);
  if (value > max) throw numberAboveMax(param, 'integer', max, value);
  return value;
}

function checkDecimal(param: string, value: Json | undefined, min: number, max: number): void {
  if (value === undefined || value === null) return;
  if (typeof value !== 'number') throw invalidType(param, 'a decimal', value);
  if (value < min) throw numberBelowMin(param, 'decimal', min, value);
  if (value > max) throw numberAboveMax(param, 'decimal', max, value);
}
