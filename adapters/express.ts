import type { NextFunction, Request, Response } from 'express';
import { type Gateway, type GatewayOptions, gatewayOf } from '../src/adapter.js';
import { readRequest, releaseRequest, writeResponse } from './node-io.js';

/** Express middleware, for Express 4 and 5, at any mount point. */
export interface ExpressMiddleware {
  (req: Request, res: Response, next: NextFunction): Promise<void>;
  readonly gateway: Gateway;
}

/** Makes middleware for `app.use` of options or of an existing gateway. Paths that are not ours go to `next`. */
export function megallm(options?: GatewayOptions<Request> | Gateway): ExpressMiddleware {
  const gateway = gatewayOf(options);
  const handle = async (req: Request, res: Response, next: NextFunction): Promise<void> => {
    const request = readRequest(req, res, {
      url: req.url,
      originalUrl: req.originalUrl,
      parsedBody: req.body,
      native: req,
      address: () => req.ip,
    });
    const response = await gateway.handle(request);
    if (response === undefined) {
      releaseRequest(res);
      return next();
    }
    await writeResponse(req, res, response, gateway.lingering);
  };
  return Object.assign(handle, { gateway });
}
