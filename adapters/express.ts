import type { NextFunction, Request, Response } from 'express';
import { type Gateway, type GatewayOptions, gatewayOf } from '../src/adapter.js';
import { readRequest, releaseRequest, writeAnswer } from './node-io.js';

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
    const request = readRequest(req, res, {
      url: req.url,
      originalUrl: req.originalUrl,
      parsedBody: req.body,
      native: req,
      address: () => req.ip,
    });
    return gateway.handle(request).then((response) => {
      if (response !== undefined) return writeAnswer(req, res, response, gateway.lingering);
      releaseRequest(res);
      return next();
    });
  };
  return Object.assign(handle, { gateway });
}
