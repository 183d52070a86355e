import type { JsonObject } from '../../base/json.js';
import { readModel } from '../../wire/model-request.js';
import { modelFor } from './model-for.js';
import { readTextInputs, type TextInput } from './read-text-inputs.js';
import {
  dimensionsNotSupported,
  dimensionsTooLarge,
  emptyInput,
  lessThanMinimum,
  notAnEmbeddingModel,
  notOfType,
  notOneOf,
} from './text-errors.js';

/** A request for embeddings, every parameter of which has been looked at. */
export interface EmbeddingsRequest {
  readonly modelId: string;
  readonly inputs: readonly TextInput[];
  readonly dimensions: number;
  /** Vectors as text, which is what most SDKs ask for; else as numbers. */
  readonly base64: boolean;
  /** Most tokens of one input. */
  readonly maxTokens: number;
}

const FORMATS = ['float', 'base64'];
const DIMENSIONS = 1_536;
const LARGE_DIMENSIONS = 3_072;

/** Reads a request for embeddings as strictly as OpenAI does. @throws {GatewayError} 400, 403 or 404 */
export function readEmbeddings(body: JsonObject): EmbeddingsRequest {
  const modelId = readModel({ body, isDecoded: true });
  const model = modelFor('embeddings', modelId);
  if (model === undefined) throw notAnEmbeddingModel();
  const inputs = readTextInputs('input', body.input);
  if (inputs.includes('')) throw emptyInput();
  const format = body.encoding_format ?? 'float';
  if (typeof format !== 'string' || !FORMATS.includes(format)) throw notOneOf('encoding_format', format, FORMATS);
  const user = body.user ?? '';
  if (typeof user !== 'string') throw notOfType('user', user, 'string');
  return {
    modelId,
    inputs,
    dimensions: readDimensions(body, model.id),
    base64: format === 'base64',
    maxTokens: model.contextLength ?? Number.POSITIVE_INFINITY,
  };
}

function readDimensions({ dimensions }: JsonObject, model: string): number {
  const max = model === 'text-embedding-3-large' ? LARGE_DIMENSIONS : DIMENSIONS;
  if (dimensions === undefined || dimensions === null) return max;
  if (typeof dimensions !== 'number' || !Number.isInteger(dimensions)) {
    throw notOfType('dimensions', dimensions, 'integer');
  }
  if (dimensions < 1) throw lessThanMinimum('dimensions', dimensions, 1);
  if (model === 'text-embedding-ada-002') throw dimensionsNotSupported();
  if (dimensions > max) throw dimensionsTooLarge(max, dimensions);
  return dimensions;
}
