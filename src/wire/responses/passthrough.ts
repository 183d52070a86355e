import { isJsonObject, type Json } from '../../base/json.js';
import { type JsonOutline, outlinedByteLength } from '../../base/json-document.js';
import { estimateTokens, TOKENS_PER_IMAGE } from '../estimate.js';
import { checkDecimals, type ModelRequest, readCeiling, readModel, readStream } from '../model-request.js';

/**
 * What a call of `/v1/responses` asks for that is passed on as it came.
 * @throws {GatewayError} 400 for what a gateway must not pass on.
 */
export function readPassedResponse(outline: JsonOutline): ModelRequest {
  const { body } = outline;
  const model = readModel(outline);
  const { stream } = readStream({ stream: body.stream ?? null });
  checkDecimals(body);
  return { model, stream, includeUsage: false, maxOutputTokens: readCeiling(body, 'max_output_tokens'), n: 1 };
}

/** Input tokens of what stands in the request itself; what was said before only the upstream knows. */
export function estimateResponseInput(outline: JsonOutline): number {
  const { input, instructions, tools, text } = outline.body;
  return [input, instructions, tools, text].reduce<number>((sum, value) => sum + tokensOf(outline, value), 0);
}

function tokensOf(outline: JsonOutline, value: Json | undefined): number {
  if (typeof value === 'string') return estimateTokens(outlinedByteLength(outline, value));
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + tokensOf(outline, item), 0);
  if (!isJsonObject(value)) return 0;
  if (value.type === 'input_image') return TOKENS_PER_IMAGE;
  return Object.entries(value).reduce(
    (sum, [name, member]) => sum + estimateTokens(name.length) + tokensOf(outline, member),
    0,
  );
}
