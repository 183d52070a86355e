import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Gateway, type GatewayOptions, gatewayOf, respondNotFound } from '../src/adapter.js';
import { IncomingRequest } from './incoming-request.js';
import { writeAnswer } from './node-io.js';

export { type RequestContext, readRequest, releaseRequest, writeResponse } from './node-io.js';

/** A request listener. With `next`, paths that are not ours go there; without, they are a 404. */
export interface NodeHandler {
  (req: IncomingMessage, res: ServerResponse, next?: () => void): Promise<void>;
  readonly gateway: Gateway;
}

/** Makes a listener for `http.createServer` of options or of an existing gateway. */
export function megallm(options?: GatewayOptions<IncomingMessage> | Gateway): NodeHandler {
  const gateway = gatewayOf(options);
  // By `then`: an async function would make two promises more for each request.
  const handle = (req: IncomingMessage, res: ServerResponse, next?: () => void): Promise<void> => {
    const request = new IncomingRequest(req, res, { url: req.url ?? '/', parsedBody: undefined, native: req });
    return gateway.handle(request).then((response) => {
      if (response === undefined && next !== undefined) {
        request.handBack();
        return next();
      }
      return writeAnswer(req, res, response ?? respondNotFound(request), gateway.lingering, request);
    });
  };
  return Object.assign(handle, { gateway });
}
