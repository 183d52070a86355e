import { GatewayError } from './errors.js';

// 400: the request itself.

export const invalidJson = (): GatewayError =>
  new GatewayError({
    status: 400,
    message:
      "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
    code: 'invalid_json',
    shouldRetry: false,
  });

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

export const missingModel = (): GatewayError => badRequest('you must provide a model parameter', null);

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

export const unsupportedParameter = (message: string, param: string): GatewayError =>
  badRequest(message, 'unsupported_parameter', param);

export const streamOptionsWithoutStream = (): GatewayError =>
  badRequest("The 'stream_options' parameter is only allowed when 'stream' is enabled.", null, 'stream_options');

export const jsonModeWithoutTheWord = (): GatewayError =>
  badRequest(
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
    null,
    'messages',
  );

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

export const maxTokensTooLarge = (param: string, max: number, got: number): GatewayError =>
  badRequest(
    `${param} is too large: ${got}. This model supports at most ${max} completion tokens, whereas you provided ${got}.`,
    'invalid_value',
    param,
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

function badRequest(message: string, code: string | null, param: string | null = null): GatewayError {
  return new GatewayError({ status: 400, message, code, param, shouldRetry: false });
}

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

// 400, of single parameters of chat completions.

/** A value the API has, but this model has not. */
export const unsupportedValue = (param: string, got: unknown): GatewayError =>
  badRequest(
    `Unsupported value: '${param}' does not support ${JSON.stringify(got)} with this model. Only the default (1) value is supported.`,
    'unsupported_value',
    param,
  );

export const patternMismatch = (param: string, pattern: string): GatewayError =>
  badRequest(
    `Invalid '${param}': string does not match pattern. Expected a string that matches the pattern '${pattern}'.`,
    'invalid_value',
    param,
  );

/** @param needs the parameter without which this one means nothing. */
export const onlyAllowedWith = (param: string, needs: string): GatewayError =>
  badRequest(`Invalid value for '${param}': '${param}' is only allowed when '${needs}' are specified.`, null, param);

export const topLogprobsWithoutLogprobs = (): GatewayError =>
  badRequest("The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", null, 'top_logprobs');

export const toolChoiceNotFound = (param: 'tool_choice' | 'function_call', name: string): GatewayError =>
  badRequest(`Invalid value for '${param}': no function named '${name}' was specified.`, null, param);

/** @param where the schema's parameter. @param what such as `function 'f'`. @param reason from `In context=` on. */
export const invalidStrictSchema = (where: string, what: string, reason: string): GatewayError =>
  badRequest(
    `Invalid schema for ${what}: ${reason}`,
    where === 'response_format' ? 'invalid_json_schema' : 'invalid_function_parameters',
    where,
  );

/** @param index of the message where the answers should have been. */
export const toolCallsUnanswered = (index: number, ids: readonly string[]): GatewayError =>
  badRequest(
    `An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: ${ids.join(', ')}`,
    null,
    `messages.[${index}].role`,
  );

export const toolMessageWithoutCall = (index: number): GatewayError =>
  badRequest(
    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
    null,
    `messages.[${index}].role`,
  );

export const toolCallIdNotFound = (index: number, id: string): GatewayError =>
  badRequest(
    `Invalid parameter: 'tool_call_id' of '${id}' not found in 'tool_calls' of previous message.`,
    null,
    `messages.[${index}].tool_call_id`,
  );

export const imageOutsideUserMessage = (index: number, role: string): GatewayError =>
  badRequest(
    `Invalid 'messages[${index}]'. Image URLs are only allowed for messages with role 'user', but this message with role '${role}' contains an image URL.`,
    'invalid_value',
    `messages[${index}]`,
  );

export const imagesNotSupported = (param: string): GatewayError =>
  badRequest('Invalid content type. image_url is only supported by certain models.', null, param);
