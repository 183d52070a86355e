import { GatewayError } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import { badRequest } from '../request-errors.js';

/** 400 for a tool that OpenAI runs itself: the upstream runs none. @param type such as `web_search`. */
export const hostedToolNotSupported = (type: string, model: string, param: 'tools' | 'tool_choice'): GatewayError =>
  badRequest(`Hosted tool '${type}' is not supported with ${model}.`, null, param);

/** 400 for a choice that demands a tool where none is given. */
export const toolChoiceWithoutTools = (choice: string): GatewayError =>
  badRequest(`Tool choice '${choice}' must be specified with 'tools' parameter.`, null, 'tool_choice');

/** 400 for a chosen tool that is not among the given ones. */
export const toolChoiceNotAmongTools = (name: string): GatewayError =>
  badRequest(`Tool choice '${name}' not found in 'tools' parameter.`, null, 'tool_choice');

/** 400 for a call in the conversation that nobody answered. @param kind such as `function call`. */
export const toolCallWithoutOutput = (kind: string, callId: string): GatewayError =>
  badRequest(`No tool output found for ${kind} ${callId}.`, null, 'input');

/** 400 for an answer to a call that nobody made. @param kind such as `function call`. */
export const toolOutputWithoutCall = (kind: string, callId: string): GatewayError =>
  badRequest(`No tool call found for ${kind} output with call_id ${callId}.`, null, 'input');

/** 404 for a reference to an item that is not stored, as OpenAI answers. */
export const itemNotFound = (id: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `Item with id '${id}' not found.`,
    param: 'input',
    shouldRetry: false,
  });

/** 400 for a response in the background that is not to be stored: nobody could fetch it. */
export const backgroundWithoutStore = (): GatewayError =>
  badRequest("The 'background' parameter is only allowed when 'store' is enabled.", null, 'background');

/** 400 for JSON mode in a conversation that does not mention JSON: the model may write blanks without end. */
export const responsesJsonModeWithoutTheWord = (): GatewayError =>
  badRequest(
    "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.",
    null,
    'text.format',
  );

/** The members of an error inside OpenAI's envelope. */
export interface ResponseFailure {
  readonly message: string;
  readonly type: string;
  readonly code: string | null;
  readonly param: string | null;
}

/** The last events of a stream, and the response in the state in which it is to be kept. */
export interface EndedResponse {
  readonly text: string;
  readonly response: JsonObject;
}

/** OpenAI's `ResponseErrorCode`, a closed list. */
const RESPONSE_ERROR_CODES = new Set(
  `server_error rate_limit_exceeded invalid_prompt data_residency_mismatch bio_policy vector_store_timeout invalid_image
   invalid_image_format invalid_base64_image invalid_image_url image_too_large image_too_small image_parse_error
   image_content_policy_violation invalid_image_mode image_file_too_large unsupported_image_media_type empty_image_file
   failed_to_download_image image_file_not_found`.split(/\s+/),
);

/** Types of errors that tell of a limit. */
const LIMIT_TYPES = new Set(['requests', 'tokens', 'concurrency', 'insufficient_quota', 'rate_limit_error']);

/** One event of a response's stream. Its `type` comes first, then its number. */
export function responsesEvent(type: string, sequenceNumber: number, members: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequenceNumber, ...members })}\n\n`;
}

/**
 * Writes the end of a stream that broke off: the error in both of the shapes that SDKs look for (wire.md §1.8), then the
 * failed response.
 * @param sequenceNumber the first free number. @param response the latest snapshot.
 */
export function failureEvents(sequenceNumber: number, response: JsonObject, failure: ResponseFailure): EndedResponse {
  const { message, type, code, param } = failure;
  const failed = failedResponse(response, failure);
  const nested = { type, code, message, param };
  const error = responsesEvent('error', sequenceNumber, { error: nested, code, message, param });
  return {
    text: error + responsesEvent('response.failed', sequenceNumber + 1, { response: failed }),
    response: failed,
  };
}

/** The same response with the status `failed`. */
export function failedResponse(response: JsonObject, failure: ResponseFailure): JsonObject {
  const error = { code: responseErrorCode(failure), message: failure.message };
  return { ...response, status: 'failed', completed_at: null, error, incomplete_details: null };
}

/** The nearest code among those that responses have. */
function responseErrorCode({ type, code }: ResponseFailure): string {
  if (code !== null && RESPONSE_ERROR_CODES.has(code)) return code;
  if (LIMIT_TYPES.has(type)) return 'rate_limit_exceeded';
  return type === 'invalid_request_error' ? 'invalid_prompt' : 'server_error';
}
