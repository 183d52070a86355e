import { GatewayError } from '../../base/errors.js';
import { badRequest } from '../../wire/request-errors.js';

// What OpenAI says on its endpoints of texts, most of which are older than the wording of chat completions.

/** Neither a text nor tokens nor an array of one of them. */
export const malformedInput = (param: string): GatewayError =>
  badRequest(
    `'$.${param}' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.`,
  );

export const emptyInput = (): GatewayError => badRequest("Invalid 'input': input cannot be an empty string.");

export const tooManyInputs = (param: string, max: number): GatewayError =>
  badRequest(`Invalid '${param}': array length must be ${max} or less.`);

export const inputTooLong = (maxTokens: number): GatewayError =>
  badRequest(`Invalid 'input': maximum input length is ${maxTokens} tokens.`);

/** Of all inputs of one call together. */
export const tooManyTokens = (max: number, got: number): GatewayError =>
  new GatewayError({
    status: 400,
    message: `Requested ${got} tokens, max ${max} tokens per request`,
    type: 'max_tokens_per_request',
    code: 'max_tokens_per_request',
    shouldRetry: false,
  });

export const notAnEmbeddingModel = (): GatewayError =>
  new GatewayError({
    status: 403,
    message: 'You are not allowed to generate embeddings from this model',
    shouldRetry: false,
  });

export const notAModerationModel = (model: string): GatewayError =>
  badRequest(`Invalid value for 'model' = ${model}. Please check the OpenAI documentation and try again.`);

export const notACompletionModel = (): GatewayError =>
  new GatewayError({
    status: 404,
    message:
      'This is a chat model and not supported in the v1/completions endpoint. Did you mean to use v1/chat/completions?',
    param: 'model',
    shouldRetry: false,
  });

/** A model that completes text or embeds, asked to chat. */
export const notAChatModel = (): GatewayError =>
  new GatewayError({
    status: 404,
    message:
      'This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?',
    param: 'model',
    shouldRetry: false,
  });

/** In the words of JSON Schema, as embeddings and files have it. @param got as it was sent */
export const notOneOf = (
  param: string,
  got: unknown,
  choices: readonly string[],
  blamed: string | null = null,
): GatewayError =>
  badRequest(`${quoted(got)} is not one of [${choices.map(quoted).join(', ')}] - '${param}'`, null, blamed);

export const notOfType = (param: string, got: unknown, type: string): GatewayError =>
  badRequest(`${quoted(got)} is not of type '${type}' - '${param}'`);

export const lessThanMinimum = (param: string, got: number, min: number): GatewayError =>
  badRequest(`${got} is less than the minimum of ${min} - '${param}'`);

export const dimensionsTooLarge = (max: number, got: number): GatewayError =>
  badRequest(`Invalid value for 'dimensions' = ${got}. Must be less than or equal to ${max}.`);

export const dimensionsNotSupported = (): GatewayError =>
  badRequest('This model does not support specifying dimensions.');

export const promptTooLong = (contextLength: number, promptTokens: number, completionTokens: number): GatewayError =>
  badRequest(
    `This model's maximum context length is ${contextLength} tokens, however you requested ${promptTokens + completionTokens} tokens (${promptTokens} in your prompt; ${completionTokens} for the completion). Please reduce your prompt; or completion length.`,
  );

export const suffixNotSupported = (): GatewayError => badRequest('Unrecognized request argument supplied: suffix');

export const echoWithLogprobs = (): GatewayError =>
  badRequest("Setting 'echo' and 'logprobs' at the same time is not supported for this model.");

export const bestOfBelowN = (n: number, bestOf: number): GatewayError =>
  badRequest(
    `You requested that the server return more choices than it will generate (HINT: you must set 'n' (currently ${n}) to be at most 'best_of' (currently ${bestOf}), or omit either parameter if you don't specifically want to use them.)`,
  );

function quoted(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : JSON.stringify(value);
}
