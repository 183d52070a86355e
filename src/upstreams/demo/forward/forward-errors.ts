import { GatewayError } from '../../../base/errors.js';
import { badRequest } from '../../../wire/request-errors.js';

/** A 404 for an object that is not there. @param param the parameter of the path, or `null` where OpenAI names none. */
export const notFound = (message: string, param: string | null = null): GatewayError =>
  new GatewayError({ status: 404, message, param, shouldRetry: false });

/** The demo is full. Waiting does not help, deleting does. @param what such as `64 MiB of files`. */
export const storageFull = (what: string): GatewayError =>
  badRequest(`The demo keeps at most ${what}. Delete some and try again.`, 'storage_limit_exceeded');

/** A body that is not what the endpoint reads. */
export const malformedForm = (reason: string): GatewayError =>
  badRequest(`We could not parse the multipart form of your request: ${reason}.`, 'invalid_multipart');

/** Said where OpenAI expects `multipart/form-data`. */
export const notAForm = (contentType: string): GatewayError =>
  badRequest(
    `Unsupported content type: '${contentType}'. This API method only accepts 'multipart/form-data' requests.`,
    'unsupported_content_type',
  );
