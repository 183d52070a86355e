import compression from 'compression';
import express, { type ErrorRequestHandler } from 'express';
import express4 from 'express4';
import type { Gateway, GatewayOptions } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/express';
import type { HostHooks, HostKind, RunningHost } from '../hosts.js';
import { HOST_ERROR_PAGE, listen } from './listen.js';

interface Kind {
  readonly create: typeof express;
  readonly mountPath: string;
  /** Body parser and compression for the whole application, before us. */
  readonly parsersFirst: boolean;
}

export const express5Root = kind('Express 5', { create: express, mountPath: '', parsersFirst: false });
export const express4Below = kind('Express 4 below /ai', { create: express4, mountPath: '/ai', parsersFirst: false });
export const express5Behind = kind('Express 5 behind json() and compression()', {
  create: express,
  mountPath: '',
  parsersFirst: true,
});

function kind(name: string, settings: Kind): HostKind {
  return { name, start: (options, hooks) => start(settings, options, hooks ?? {}) };
}

function start(
  { create, mountPath, parsersFirst }: Kind,
  options: GatewayOptions,
  hooks: HostHooks,
): Promise<RunningHost> {
  const hostErrors: unknown[] = [];
  const app = create();
  const middleware = megallm(options);
  const gateway: Gateway = middleware.gateway;
  app.get('/host', (_req, res) => void res.type('text').send('host'));
  if (parsersFirst) app.use(compression({ threshold: 0 }), create.json());
  if (mountPath === '') app.use(middleware);
  else app.use(mountPath, middleware);
  app.post('/echo', create.json(), (req, res) => void res.json(req.body));
  app.get('/boom', () => {
    throw new Error('boom');
  });
  app.get(`${mountPath}/after`, (_req, res) => void res.type('text').send('after'));
  const onError: ErrorRequestHandler = (error, _req, res, next) => {
    hostErrors.push(error);
    hooks.onHostError?.(error);
    if (res.headersSent) next(error);
    else res.status(500).type('text').send(HOST_ERROR_PAGE);
  };
  app.use(onError);
  return listen({ listener: app, gateway, hostErrors, mountPath });
}
