import type { Json } from '../base/json.js';
import { type JsonDocument, type JsonOutline, outlinedByteLength } from '../base/json-document.js';
import { estimateTokens } from './estimate.js';
import { checkDecimals, type ModelRequest, readCeiling, readModel, readN, readStream } from './model-request.js';
import { arrayAboveMaxLength, emptyArray, invalidType, missingParameter } from './request-errors.js';

/** What OpenAI generates where a legacy completion names no ceiling. */
const DEFAULT_COMPLETION_TOKENS = 16;

/** OpenAI's own bound of the inputs of one call. */
const MAX_INPUTS = 2_048;

/** What OpenAI moderates with when no model is named. */
const DEFAULT_MODERATION_MODEL = 'omni-moderation-latest';

/**
 * What a legacy completion asks for: an answer, or `n`, for each prompt.
 * @throws {GatewayError} 400
 */
export function readCompletionRequest(outline: JsonOutline): ModelRequest {
  const { body } = outline;
  const model = readModel(outline);
  const { stream, includeUsage } = readStream(body);
  const prompts = body.prompt === undefined || body.prompt === null ? 1 : inputCount('prompt', body.prompt);
  const maxOutputTokens = readCeiling(body, 'max_tokens', 0) ?? DEFAULT_COMPLETION_TOKENS;
  const n = Math.max(readN(body), readCeiling(body, 'best_of') ?? 1) * prompts;
  checkDecimals(body);
  return { model, stream, includeUsage, maxOutputTokens, n };
}

/**
 * What an embedding asks for: no output.
 * @throws {GatewayError} 400
 */
export function readEmbeddingRequest(outline: JsonOutline): ModelRequest {
  const model = readModel(outline);
  if (outline.body.input === undefined || outline.body.input === null) throw missingParameter('input');
  inputCount('input', outline.body.input);
  return withoutOutput(model);
}

/**
 * What a moderation asks for: no output, and no model but if it names one.
 * @throws {GatewayError} 400
 */
export function readModerationRequest(outline: JsonOutline): ModelRequest {
  const { model, input } = outline.body;
  const named = model === undefined || model === null ? DEFAULT_MODERATION_MODEL : readModel(outline);
  if (input === undefined || input === null) throw missingParameter('input');
  return withoutOutput(named);
}

/** Input tokens of texts and token arrays, on the safe side. */
export function estimateTextInput(name: 'prompt' | 'input'): (outline: JsonOutline, document: JsonDocument) => number {
  return (outline) => tokensOf(outline, outline.body[name]);
}

function tokensOf(outline: JsonOutline, value: Json | undefined): number {
  if (typeof value === 'string') return estimateTokens(outlinedByteLength(outline, value));
  if (typeof value === 'number') return 1;
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + tokensOf(outline, item), 0);
  return value === undefined || value === null ? 0 : estimateTokens(JSON.stringify(value).length);
}

function withoutOutput(model: string): ModelRequest {
  return { model, stream: false, includeUsage: false, maxOutputTokens: 0, n: 1 };
}

/** Texts or token arrays are many inputs; a text or a token array is one. */
function inputCount(name: string, value: Json): number {
  if (typeof value === 'string') return 1;
  if (!Array.isArray(value)) throw invalidType(name, 'one of a string or array', value);
  if (value.length === 0) throw emptyArray(name);
  if (typeof value[0] === 'number') return 1;
  if (value.length > MAX_INPUTS) throw arrayAboveMaxLength(name, MAX_INPUTS, value.length);
  return value.length;
}
