import { GatewayError } from '../base/errors.js';
import { badRequest } from './request-errors.js';

// 400, 404, 500: what is passed on, and kept.

const noSuch = (what: string) => (id: string) => ({ message: `No such ${what} object: ${id}`, param: 'id' });

/** What each kind of object is called in OpenAI's words for one that is not there, and the parameter they blame. */
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

/** An object that is not there, or another's: nobody can tell which. */
export const objectNotFound = (kind: keyof typeof MISSING_OBJECTS, id: string): GatewayError =>
  new GatewayError({ status: 404, ...MISSING_OBJECTS[kind](id), shouldRetry: false });

/** The model's upstream has nothing of the kind. */
export const unsupportedOperation = (operation: string): GatewayError =>
  new GatewayError({
    status: 404,
    message: `This model, or the upstream behind it, does not offer ${operation}.`,
    code: 'unsupported_operation',
    shouldRetry: false,
  });

/** The host's own parser took a body that was to be passed on as it comes. */
export const bodyReadByHost = (): GatewayError =>
  new GatewayError({
    status: 500,
    message:
      'A body parser of this server (such as multer) read the upload before megallm could pass it on. Mount megallm before that parser.',
    code: 'body_read_by_host',
    shouldRetry: false,
    cause: new Error('A multipart body was read before it reached megallm. Mount megallm before the parser.'),
  });

/** A response to go on from that is not there, or another's. */
export const previousResponseNotFound = (id: string): GatewayError =>
  badRequest(`Previous response with id '${id}' not found.`, 'previous_response_not_found', 'previous_response_id');

/** Only what goes on in the background can be cancelled. */
export const responseNotCancellable = (isBackground: boolean): GatewayError =>
  badRequest(isBackground ? 'Cannot cancel a completed response.' : 'Cannot cancel a synchronous response.');

/** What ends the work on a response whose client does not want it any more. */
export const responseWithdrawn = (how: 'cancelled' | 'deleted'): GatewayError =>
  badRequest(`The response was ${how}.`, `response_${how}`);
