import type { NextFunction, Request, Response } from 'express';
import { type Gateway, type GatewayOptions, gatewayOf } from '../src/adapter.js';
import { IncomingRequest } from './incoming-request.js';
import { type RequestContext, writeAnswer } from './node-io.js';

/** Express middleware, for Express 4 and 5, at any mount point. */
export interface ExpressMiddleware {
  (req: Request, res: Response, next: NextFunction): Promise<void>;
  readonly gateway: Gateway;
}

/** Makes middleware for `app.use` of options or of an existing gateway. Paths that are not ours go to `next`. */
export function megallm(options?: GatewayOptions<Request> | Gateway): ExpressMiddleware {
  const gateway = gatewayOf(options);
  // By `then`: an async function would make two promises more for each request.
  const handle = (req: Request, res: Response, next: NextFunction): Promise<void> => {
    const request = new IncomingRequest(req, res, new ExpressContext(req));
    return gateway.handle(request).then((response) => {
      if (response !== undefined) return writeAnswer(req, res, response, gateway.lingering, request);
      request.handBack();
      return next();
    });
  };
  return Object.assign(handle, { gateway });
}

/**
 * Facts of Express about a request, looked up when asked for. Express changes the prototypes of `req` and `res`; each property added after
 * that gives them a hidden class of their own, which V8's caches do not know: few names are asked for.
 */
class ExpressContext implements RequestContext {
  readonly url: string;
  readonly native: Request;

  constructor(req: Request) {
    this.url = req.url;
    this.native = req;
  }

  get originalUrl(): string {
    return this.native.originalUrl;
  }

  get parsedBody(): unknown {
    return this.native.body;
  }

  address(): string | undefined {
    return this.native.ip;
  }
}
