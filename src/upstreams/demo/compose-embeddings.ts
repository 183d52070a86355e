import { orAborted } from '../../base/cancellation.js';
import type { JsonObject } from '../../base/json.js';
import type { DemoContext, DemoReply } from './demo-context.js';
import { embedder } from './embed-text.js';
import { type EmbeddingsRequest, readEmbeddings } from './read-embeddings.js';
import type { TextInput } from './read-text-inputs.js';
import { inputTooLong, tooManyTokens } from './text-errors.js';
import { fairTurns } from './turns.js';

/** OpenAI's own bound of all inputs of a call together. */
const MAX_TOKENS_PER_REQUEST = 300_000;
/** What the numbers of a vector cost beside its text, in characters. */
const WORK_PER_VECTOR = 2_000;

/**
 * Answers `/v1/embeddings`. The same input always gets the same vector, and texts with words in common are near each
 * other; what they mean, the demo does not know.
 * @throws {GatewayError} 400, 403 or 404, in OpenAI's wording
 */
export async function composeEmbeddings(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const request = readEmbeddings(body);
  const tokens = await countTokens(request, context);
  const vectors = await vectorsOf(request, context);
  return {
    kind: 'whole',
    body: {
      object: 'list',
      data: vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: request.base64 ? base64Of(vector) : vector,
      })),
      model: request.modelId,
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    },
  };
}

async function countTokens(request: EmbeddingsRequest, context: DemoContext): Promise<number> {
  const tokenizer = await orAborted(context.tokenizerOf('cl100k_base'), context.signal);
  const turn = fairTurns(context.signal);
  let total = 0;
  for (const input of request.inputs) {
    const tokens = typeof input === 'string' ? tokenizer.count([input]) : input.length;
    if (tokens > request.maxTokens) throw inputTooLong(request.maxTokens);
    total += tokens;
    await turn(input.length);
  }
  if (total > MAX_TOKENS_PER_REQUEST) throw tooManyTokens(MAX_TOKENS_PER_REQUEST, total);
  return total;
}

async function vectorsOf(request: EmbeddingsRequest, context: DemoContext): Promise<readonly (readonly number[])[]> {
  const { embedText, embedTokens } = embedder(request.modelId, request.dimensions);
  const isTokens = typeof request.inputs[0] !== 'string';
  const decode = isTokens ? await orAborted(context.decoder(), context.signal) : undefined;
  const turn = fairTurns(context.signal);
  const vectors: (readonly number[])[] = [];
  const vectorOf = (input: TextInput): readonly number[] => {
    if (typeof input === 'string') return embedText(input);
    const text = decode?.(input);
    return text === undefined ? embedTokens(input) : embedText(text);
  };
  for (const input of request.inputs) {
    vectors.push(vectorOf(input));
    await turn(input.length + WORK_PER_VECTOR);
  }
  return vectors;
}

/** Little-endian float32, in standard base64. */
function base64Of(vector: readonly number[]): string {
  const bytes = Buffer.allocUnsafe(vector.length * 4);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, index * 4);
  return bytes.toString('base64');
}
