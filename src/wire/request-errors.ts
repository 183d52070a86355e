import { GatewayError } from '../base/errors.js';

// 400: the request itself.

/** What is wrong with a request, and will be again. */
export const badRequest = (message: string, code: string | null = null, param: string | null = null): GatewayError =>
  new GatewayError({ status: 400, message, code, param, shouldRetry: false });

export const invalidJson = (): GatewayError =>
  badRequest(
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
    'invalid_json',
  );

export const jsonTooDeep = (maxDepth: number): GatewayError =>
  badRequest(`The JSON body is nested too deeply. At most ${maxDepth} levels are allowed.`, 'json_too_deep');

export const jsonTooManyKeys = (): GatewayError =>
  badRequest('The JSON body has too many members.', 'json_too_many_keys');

export const invalidRequest = (message: string, param: string | null = null): GatewayError =>
  badRequest(message, 'invalid_request', param);

export const duplicateMember = (name: string): GatewayError =>
  badRequest(`Duplicate parameter: '${name}'. Each parameter may be given once.`, 'invalid_request', name);

export const unsupportedContentType = (contentType: string): GatewayError =>
  badRequest(
    `Unsupported content type: '${contentType}'. This API method only accepts 'application/json' requests, but you specified the header 'Content-Type: ${contentType}'. Please try again with a supported content type.`,
    'unsupported_content_type',
  );

export const missingModel = (): GatewayError => badRequest('you must provide a model parameter');

export const missingParameter = (param: string): GatewayError =>
  badRequest(`Missing required parameter: '${param}'.`, 'missing_required_parameter', param);

/** @param expected such as `an integer` or `one of a string or array of objects`. */
export const invalidType = (param: string, expected: string, got: unknown): GatewayError =>
  badRequest(
    `Invalid type for '${param}': expected ${expected}, but got ${jsonTypeOf(got)} instead.`,
    'invalid_type',
    param,
  );

export const invalidValue = (param: string, got: string, supported: readonly string[]): GatewayError =>
  badRequest(`Invalid value: '${got}'. Supported values are: ${listOf(supported)}.`, 'invalid_value', param);

export const numberAboveMax = (param: string, kind: 'integer' | 'decimal', max: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': ${kind} above maximum value. Expected a value <= ${max}, but got ${got} instead.`,
    `${kind}_above_max_value`,
    param,
  );

export const numberBelowMin = (param: string, kind: 'integer' | 'decimal', min: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': ${kind} below minimum value. Expected a value >= ${min}, but got ${got} instead.`,
    `${kind}_below_min_value`,
    param,
  );

export const emptyArray = (param: string): GatewayError =>
  badRequest(
    `Invalid '${param}': empty array. Expected an array with minimum length 1, but got an empty array instead.`,
    'empty_array',
    param,
  );

export const arrayAboveMaxLength = (param: string, max: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': array too long. Expected an array with maximum length ${max}, but got an array with length ${got} instead.`,
    'array_above_max_length',
    param,
  );

/** A text longer than OpenAI takes. */
export const stringAboveMaxLength = (param: string, max: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': string too long. Expected a string with maximum length ${max}, but got a string with length ${got} instead.`,
    'string_above_max_length',
    param,
  );

/** An object with more members than OpenAI takes. */
export const objectAboveMaxProperties = (param: string, max: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': too many properties. Expected an object with at most ${max} properties, but got an object with ${got} properties instead.`,
    'object_above_max_properties',
    param,
  );

export const unsupportedParameter = (message: string, param: string): GatewayError =>
  badRequest(message, 'unsupported_parameter', param);

export const streamOptionsWithoutStream = (): GatewayError =>
  badRequest("The 'stream_options' parameter is only allowed when 'stream' is enabled.", null, 'stream_options');

/** @param outputTokens the ceiling the client asked for, or `undefined` when it named none. */
export const contextLengthExceeded = (
  contextLength: number,
  inputTokens: number,
  outputTokens: number | undefined,
): GatewayError =>
  badRequest(
    outputTokens === undefined
      ? `This model's maximum context length is ${contextLength} tokens. However, your messages resulted in ${inputTokens} tokens. Please reduce the length of the messages.`
      : `This model's maximum context length is ${contextLength} tokens. However, you requested ${inputTokens + outputTokens} tokens (${inputTokens} in the messages, ${outputTokens} in the completion). Please reduce the length of the messages or completion.`,
    'context_length_exceeded',
    'messages',
  );

// 408, 413, 415: how it was sent.

export const requestTimeout = (): GatewayError =>
  new GatewayError({
    status: 408,
    message: 'The request body did not arrive in time.',
    code: 'request_timeout',
    shouldRetry: true,
  });

export const bodyTooLarge = (maxBytes: number): GatewayError =>
  new GatewayError({
    status: 413,
    message: `Maximum content size limit (${maxBytes}) exceeded`,
    type: 'invalid_request_error',
    code: 'request_too_large',
    shouldRetry: false,
  });

export const unsupportedContentEncoding = (encoding: string): GatewayError =>
  new GatewayError({
    status: 415,
    message: `Unsupported content encoding: '${encoding}'. Please send the body without compression.`,
    code: 'unsupported_content_encoding',
    shouldRetry: false,
  });

function jsonTypeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (Number.isInteger(value)) return 'an integer';
  if (typeof value === 'number') return 'a decimal number';
  if (typeof value === 'boolean') return 'a boolean';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function listOf(names: readonly string[]): string {
  const quoted = names.map((name) => `'${name}'`);
  if (quoted.length < 2) return quoted.join('');
  return `${quoted.slice(0, -1).join(', ')}, and ${quoted.at(-1)}`;
}

// 409, 422: a request that was sent before.

export const idempotencyConflict = (): GatewayError =>
  new GatewayError({
    status: 409,
    message: 'A request with this Idempotency-Key is still being answered. Please retry.',
    code: 'idempotency_conflict',
    shouldRetry: true,
  });

export const idempotencyKeyReused = (): GatewayError =>
  new GatewayError({
    status: 422,
    message: 'This Idempotency-Key was sent before, with another request. A new request needs a new key.',
    code: 'idempotency_key_reused',
    shouldRetry: false,
  });
