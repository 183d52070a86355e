import type { Json, JsonObject } from '../base/json.js';
import { type JsonOutline, outlinedText } from '../base/json-document.js';
import { optionalBoolean, optionalDecimal, optionalInteger, optionalObject } from './members.js';
import { invalidType, missingModel, streamOptionsWithoutStream } from './request-errors.js';

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

/** Longer ones are no model's, and have no place in a ledger. */
export const MAX_MODEL_LENGTH = 256;
/** OpenAI's own bound. */
const MAX_N = 128;
/** Keeps sums of tokens far inside the safe integers. */
const MAX_OUTPUT_TOKENS = 1_000_000_000;

/** Ranges of OpenAI's description. */
const DECIMALS = Object.entries({
  temperature: { min: 0, max: 2 },
  top_p: { min: 0, max: 1 },
  frequency_penalty: { min: -2, max: 2 },
  presence_penalty: { min: -2, max: 2 },
});

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
  return optionalInteger(name, body[name], { min, max: MAX_OUTPUT_TOKENS });
}

/** How many answers are asked for. */
export function readN({ n }: JsonObject): number {
  return optionalInteger('n', n, { min: 1, max: MAX_N }) ?? 1;
}

/** @throws {GatewayError} 400 for a temperature and its like beyond what OpenAI takes. */
export function checkDecimals(body: JsonObject): void {
  for (const [name, range] of DECIMALS) optionalDecimal(name, body[name], range);
}

function readIncludeUsage(value: Json | undefined, stream: boolean): boolean {
  const options = optionalObject('stream_options', value);
  if (options === undefined) return false;
  if (!stream) throw streamOptionsWithoutStream();
  return optionalBoolean('stream_options.include_usage', options.include_usage) ?? false;
}
