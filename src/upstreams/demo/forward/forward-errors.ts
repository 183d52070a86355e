import { GatewayError } from '../../../errors.js';

/** A 404 for an object that is not there. @param param the parameter of the path, or `null` where OpenAI names none. */
export const notFound = (message: string, param: string | null = null): GatewayError =>
  new GatewayError({ status: 404, message, param, shouldRetry: false });

/** What OpenAI says of an unknown file or upload. @param what such as `File`. */
export const noSuchObject = (what: string, id: string): GatewayError => notFound(`No such ${what} object: ${id}`, 'id');

/** A 400 with that code. */
export const refused = (message: string, param: string | null = null, code: string | null = null): GatewayError =>
  new GatewayError({ status: 400, message, param, code, shouldRetry: false });

/** A choice out of a list, in the words of OpenAI's older endpoints. */
export const notOneOf = (param: string, got: string, choices: readonly string[]): GatewayError =>
  refused(`'${got}' is not one of [${choices.map((choice) => `'${choice}'`).join(', ')}] - '${param}'`, param);

/** The demo is full. Waiting does not help, deleting does. @param what such as `64 MiB of files`. */
export const storageFull = (what: string): GatewayError =>
  refused(`The demo keeps at most ${what}. Delete some and try again.`, null, 'storage_limit_exceeded');

/** A body that is not what the endpoint reads. */
export const malformedForm = (reason: string): GatewayError =>
  refused(`We could not parse the multipart form of your request: ${reason}.`, null, 'invalid_multipart');

/** Said where OpenAI expects `multipart/form-data`. */
export const notAForm = (contentType: string): GatewayError =>
  refused(
    `Unsupported content type: '${contentType}'. This API method only accepts 'multipart/form-data' requests.`,
    null,
    'unsupported_content_type',
  );
