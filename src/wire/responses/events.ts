import type { JsonObject } from '../../base/json.js';

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
 * Writes the end of a stream that broke off: the error, then the failed response. The error stands nested, as OpenAI's server
 * and most SDKs have it, and flat, as OpenAI's description and two SDKs have it.
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
