import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Gateway, type GatewayOptions, gatewayOf, respondNotFound } from '../src/adapter.js';
import { readRequest, releaseRequest, writeResponse } from './node-io.js';

export { type RequestContext, readRequest, releaseRequest, writeResponse } from './node-io.js';

/** A request listener. With `next`, paths that are not ours go there; without, they are a 404. */
export interface NodeHandler {
  (req: IncomingMessage, res: ServerResponse, next?: () => void): Promise<void>;
  readonly gateway: Gateway;
}

/** Makes a listener for `http.createServer` of options or of an existing gateway. */
export function megallm(options?: GatewayOptions<IncomingMessage> | Gateway): NodeHandler {
  const gateway = gatewayOf(options);
  const handle = async (req: IncomingMessage, res: ServerResponse, next?: () => void): Promise<void> => {
    const request = readRequest(req, res, { url: req.url ?? '/', parsedBody: undefined, native: req });
    const response = await gateway.handle(request);
    if (response === undefined && next !== undefined) {
      releaseRequest(res);
      return next();
    }
    await writeResponse(req, res, response ?? respondNotFound(request), gateway.lingering);
  };
  return Object.assign(handle, { gateway });
}
