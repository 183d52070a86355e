import type { Context, Next } from 'koa';
import { type Gateway, type GatewayOptions, gatewayOf } from '../src/adapter.js';
import { IncomingRequest } from './incoming-request.js';
import { writeAnswer } from './node-io.js';

/** Koa middleware, at the root or below `koa-mount`. */
export interface KoaMiddleware {
  (ctx: Context, next: Next): Promise<void>;
  readonly gateway: Gateway;
}

/** Makes middleware for `app.use` of options or of an existing gateway. Paths that are not ours go to `next`. */
export function megallm(options?: GatewayOptions<Context> | Gateway): KoaMiddleware {
  const gateway = gatewayOf(options);
  // By `then`: an async function would make two promises more for each request.
  const handle = (ctx: Context, next: Next): Promise<void> => {
    const parsedBody: unknown = Reflect.get(ctx.request, 'body');
    const request = new IncomingRequest(ctx.req, ctx.res, {
      url: ctx.url,
      originalUrl: ctx.originalUrl,
      parsedBody,
      native: ctx,
      address: () => ctx.ip,
    });
    // Koa watches the socket too, and would report a client that reset its connection.
    const report = ctx.onerror;
    const reportOthers: typeof report = (error) => error !== ctx.req.socket.errored && report.call(ctx, error);
    // A constant first: V8 takes a function that is written behind the `=` of a property for one that lives long.
    ctx.onerror = reportOthers;
    return gateway.handle(request).then((response) => {
      if (response === undefined) {
        ctx.onerror = report;
        request.handBack();
        return next();
      }
      // Written past Koa: a stream as `ctx.body` makes an application error of every client that leaves early.
      ctx.respond = false;
      ctx.status = response.status;
      return writeAnswer(ctx.req, ctx.res, response, gateway.lingering, request);
    });
  };
  return Object.assign(handle, { gateway });
}
