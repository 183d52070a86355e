import Koa from 'koa';
import bodyParser from 'koa-bodyparser';
import mount from 'koa-mount';
import type { GatewayOptions } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/koa';
import type { HostHooks, HostKind, RunningHost } from '../hosts.js';
import { HOST_ERROR_PAGE, listen } from './listen.js';

interface Kind {
  readonly mountPath: string;
  /** koa-bodyparser for the whole application, before us. */
  readonly parserFirst: boolean;
}

export const koaRoot = kind('Koa', { mountPath: '', parserFirst: false });
export const koaBelow = kind('Koa below /ai, behind koa-bodyparser', { mountPath: '/ai', parserFirst: true });

function kind(name: string, settings: Kind): HostKind {
  return { name, start: (options, hooks) => start(settings, options, hooks ?? {}) };
}

function start({ mountPath, parserFirst }: Kind, options: GatewayOptions, hooks: HostHooks): Promise<RunningHost> {
  const hostErrors: unknown[] = [];
  const app = new Koa();
  const middleware = megallm(options);
  app.on('error', (error: unknown) => {
    hostErrors.push(error);
    hooks.onHostError?.(error);
  });
  app.use(async (ctx, next) => {
    try {
      await next();
    } catch (error) {
      ctx.status = 500;
      ctx.body = HOST_ERROR_PAGE;
      ctx.app.emit('error', error, ctx);
    }
  });
  app.use((ctx, next) => {
    if (ctx.method !== 'GET' || ctx.path !== '/host') return next();
    ctx.body = 'host';
    return undefined;
  });
  if (parserFirst) app.use(bodyParser());
  app.use(mountPath === '' ? middleware : mount(mountPath, middleware));
  app.use(bodyParser());
  app.use((ctx) => {
    if (ctx.path === '/boom') throw new Error('boom');
    if (ctx.method === 'POST' && ctx.path === '/echo') ctx.body = ctx.request.body;
    if (ctx.method === 'GET' && ctx.path === `${mountPath}/after`) ctx.body = 'after';
  });
  return listen({ listener: app.callback(), gateway: middleware.gateway, hostErrors, mountPath });
}
