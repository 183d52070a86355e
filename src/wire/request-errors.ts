import { GatewayError } from '../base/errors.js';

/** 400 for a request that fails again if it is sent again. */
export const badRequest = (message: string, code: string | null = null, param: string | null = null): GatewayError =>
  new GatewayError({ status: 400, message, code, param, shouldRetry: false });

/** 400 for a body that is not a JSON object. */
export const invalidJson = (): GatewayError =>
  badRequest(
    "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)",
    'invalid_json',
  );

/** 400 for a body with too many levels of nesting. */
export const jsonTooDeep = (maxDepth: number): GatewayError =>
  badRequest(`The JSON body is nested too deeply. At most ${maxDepth} levels are allowed.`, 'json_too_deep');

/** 400 for a body with too many members or items in all. */
export const jsonTooManyKeys = (): GatewayError =>
  badRequest('The JSON body has too many members.', 'json_too_many_keys');

/** 400 for a body that is not JSON where only JSON is accepted. */
export const unsupportedContentType = (contentType: string): GatewayError =>
  badRequest(
    `Unsupported content type: '${contentType}'. This API method only accepts 'application/json' requests, but you specified the header 'Content-Type: ${contentType}'. Please try again with a supported content type.`,
    'unsupported_content_type',
  );

/** 400 for a member that stands twice in one body: parsers disagree about which of the two counts. */
export const duplicateMember = (name: string): GatewayError =>
  badRequest(`Duplicate parameter: '${name}'. Each parameter may be given once.`, 'invalid_request', name);

/** 400 with the code `invalid_request`, for cases in which OpenAI has no code of its own. */
export const invalidRequest = (message: string, param: string | null = null): GatewayError =>
  badRequest(message, 'invalid_request', param);

/** 400 for a call that names no model. */
export const missingModel = (): GatewayError => badRequest('you must provide a model parameter');

/** 400 for a required member that is absent or null. */
export const missingParameter = (param: string): GatewayError =>
  badRequest(`Missing required parameter: '${param}'.`, 'missing_required_parameter', param);

/**
 * 400 for a value of the wrong JSON type.
 * @param expected such as `an integer` or `one of a string or array of objects`.
 */
export const invalidType = (param: string, expected: string, got: unknown): GatewayError =>
  badRequest(
    `Invalid type for '${param}': expected ${expected}, but got ${jsonTypeOf(got)} instead.`,
    'invalid_type',
    param,
  );

/** 400 for a text that is not among the supported ones. */
export const invalidValue = (param: string, got: string, supported: readonly string[]): GatewayError =>
  badRequest(`Invalid value: '${got}'. Supported values are: ${listOf(supported)}.`, 'invalid_value', param);

/** 400 for a number above its range. */
export const numberAboveMax = (param: string, kind: 'integer' | 'decimal', max: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': ${kind} above maximum value. Expected a value <= ${max}, but got ${got} instead.`,
    `${kind}_above_max_value`,
    param,
  );

/** 400 for a number below its range. */
export const numberBelowMin = (param: string, kind: 'integer' | 'decimal', min: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': ${kind} below minimum value. Expected a value >= ${min}, but got ${got} instead.`,
    `${kind}_below_min_value`,
    param,
  );

/** 400 for an array that needs at least one item. */
export const emptyArray = (param: string): GatewayError =>
  badRequest(
    `Invalid '${param}': empty array. Expected an array with minimum length 1, but got an empty array instead.`,
    'empty_array',
    param,
  );

/** 400 for an array with more items than OpenAI accepts. */
export const arrayAboveMaxLength = (param: string, max: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': array too long. Expected an array with maximum length ${max}, but got an array with length ${got} instead.`,
    'array_above_max_length',
    param,
  );

/** 400 for a text longer than OpenAI accepts. */
export const stringAboveMaxLength = (param: string, max: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': string too long. Expected a string with maximum length ${max}, but got a string with length ${got} instead.`,
    'string_above_max_length',
    param,
  );

/** 400 for an object with more members than OpenAI accepts. */
export const objectAboveMaxProperties = (param: string, max: number, got: number): GatewayError =>
  badRequest(
    `Invalid '${param}': too many properties. Expected an object with at most ${max} properties, but got an object with ${got} properties instead.`,
    'object_above_max_properties',
    param,
  );

/** 400 for a parameter that the model or the gateway cannot honour. */
export const unsupportedParameter = (message: string, param: string): GatewayError =>
  badRequest(message, 'unsupported_parameter', param);

/** 400 for `stream_options` in a call whose answer is not streamed. */
export const streamOptionsWithoutStream = (): GatewayError =>
  badRequest("The 'stream_options' parameter is only allowed when 'stream' is enabled.", null, 'stream_options');

/**
 * 400 for a call that does not fit into the context of its model.
 * @param outputTokens the ceiling that the client asked for; `undefined` when it named none.
 */
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

/** 403 for a model that the API key may not use. */
export const modelNotAllowed = (model: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key does not have access to model \`${model}\`.`,
    code: 'model_not_found',
    shouldRetry: false,
  });

/** 403 for a member that names further models, in a call of a key that is held to named ones. */
export const otherModelsNotAllowed = (member: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key may call named models only: \`${member.slice(0, 64)}\`, which names further ones, is not allowed.`,
    param: member.slice(0, 64),
    code: 'model_not_found',
    shouldRetry: false,
  });

/** 404 for an unknown model in the body of a call. */
export const modelNotFound = (model: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `The model \`${model}\` does not exist or you do not have access to it.`,
    code: 'model_not_found',
    shouldRetry: false,
  });

/** 404 for an unknown model in the path of `GET /v1/models/{id}`, where OpenAI words it differently. */
export const modelIdNotFound = (model: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `The model '${model}' does not exist`,
    code: 'model_not_found',
    param: 'model',
    shouldRetry: false,
  });

/** 404 for an operation that the model's upstream does not offer. */
export const unsupportedOperation = (operation: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `This model, or the upstream behind it, does not offer ${operation}.`,
    code: 'unsupported_operation',
    shouldRetry: false,
  });

const noSuch = (what: string) => (id: string) => ({ message: `No such ${what} object: ${id}`, param: 'id' });

/** OpenAI's words for a missing object of each kind, and the parameter that they blame. */
const MISSING_OBJECTS = {
  file: noSuch('File'),
  response: (id: string) => ({ message: `Response with id '${id}' not found.` }),
  'chat.completion': (id: string) => ({
    message: `Completion ${id} not found`,
    param: 'completion_id',
    code: 'not_found',
  }),
  upload: noSuch('Upload'),
  part: noSuch('Part'),
  batch: (id: string) => ({ message: `No batch found with id '${id}'.` }),
  container: (id: string) => ({ message: `Container with id '${id}' not found.` }),
  vector_store: (id: string) => ({ message: `No vector store found with id '${id}'.` }),
};

/** 404 for an object that does not exist or belongs to another owner: the answer does not tell which. */
export const objectNotFound = (kind: keyof typeof MISSING_OBJECTS, id: string): GatewayError =>
  new GatewayError({ status: 404, ...MISSING_OBJECTS[kind](id), shouldRetry: false });

/** 400 for a `previous_response_id` that does not exist or belongs to another owner. */
export const previousResponseNotFound = (id: string): GatewayError =>
  badRequest(`Previous response with id '${id}' not found.`, 'previous_response_not_found', 'previous_response_id');

/** 400 for cancelling a response that has ended or never ran in the background. */
export const responseNotCancellable = (isBackground: boolean): GatewayError =>
  badRequest(isBackground ? 'Cannot cancel a completed response.' : 'Cannot cancel a synchronous response.');

/** 400 that ends the work on a response after its client cancelled or deleted it. */
export const responseWithdrawn = (how: 'cancelled' | 'deleted'): GatewayError =>
  badRequest(`The response was ${how}.`, `response_${how}`);

/** 429 for a key whose requests and unread answers fill the memory that it may have. */
export const tooManyBytes = (): GatewayError =>
  new GatewayError({
    status: 429,
    message:
      'Too many bytes of this key wait at once: bodies of requests, and answers that were not read. Please retry.',
    type: 'requests',
    code: 'rate_limit_exceeded',
    retryAfterMs: 1_000,
    shouldRetry: true,
  });

/** 429 for a budget that is used up, or whose rest is too small. Nothing is refunded before its period ends. */
export const quotaExceeded = (message: string): GatewayError =>
  new GatewayError({
    status: 429,
    message,
    type: 'insufficient_quota',
    code: 'insufficient_quota',
    shouldRetry: false,
  });

/**
 * 403 for a key with a budget, in a call whose cost is unknown beforehand.
 * @param reason a clause such as `the price of the model is unknown`.
 */
export const notPriced = (reason: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key has a budget in US dollars, and ${reason}. It can only be used for calls whose cost is known in advance.`,
    code: 'model_not_allowed',
    shouldRetry: false,
  });

/** 400 for a service tier that the model has not, or whose price nobody knows where money is limited. */
export const unsupportedServiceTier = (tier: string, model: string): GatewayError =>
  badRequest(
    `Unsupported value: 'service_tier' does not support '${tier.slice(0, 64)}' with the model '${model}'.`,
    'unsupported_value',
    'service_tier',
  );

/** 403 for a service tier that the API key may not use. */
export const serviceTierNotAllowed = (tier: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key may not use the service tier '${tier.slice(0, 64)}'.`,
    code: 'service_tier_not_allowed',
    param: 'service_tier',
    shouldRetry: false,
  });

/** 403 for a key with a budget whose model accepts no output ceiling from us, so that a reservation could not bound it. */
export const ceilingNotTaken = (model: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key has a budget in US dollars, and \`${model}\` accepts no limit on its output from the gateway.`,
    code: 'model_not_allowed',
    shouldRetry: false,
  });

/** 403 for an upstream that takes no bound of its tool calls, for a key with a budget. */
export const toolCallsNotBounded = (model: string): GatewayError =>
  new GatewayError({
    status: 403,
    message: `This API key has a budget in US dollars, and \`${model}\` accepts no limit on the calls of its tools from the gateway.`,
    code: 'model_not_allowed',
    shouldRetry: false,
  });

/** 400 for a prompt that leaves no room for an answer; the ceiling that was too much was not the client's. */
export const noRoomForAnswer = (cause: unknown): GatewayError =>
  new GatewayError({
    status: 400,
    message: 'The messages leave no room for an answer in the context of this model. Please reduce their length.',
    code: 'context_length_exceeded',
    param: 'messages',
    shouldRetry: false,
    cause,
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
