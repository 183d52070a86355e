import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { GatewayOptions } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import type { HostHooks, HostKind, RunningHost } from '../hosts.js';
import { HOST_ERROR_PAGE, listen } from './listen.js';

export const bareHost: HostKind = { name: 'node:http', start: (options, hooks) => start(options, hooks ?? {}) };

function start(options: GatewayOptions, hooks: HostHooks): Promise<RunningHost> {
  const hostErrors: unknown[] = [];
  const middleware = megallm(options);

  function fail(error: unknown, res: ServerResponse): void {
    hostErrors.push(error);
    hooks.onHostError?.(error);
    if (!res.headersSent) res.writeHead(500, { 'content-type': 'text/plain' });
    res.end(HOST_ERROR_PAGE);
  }

  async function hostRoutes(req: IncomingMessage, res: ServerResponse): Promise<void> {
    if (req.url === '/boom') throw new Error('boom');
    if (req.method === 'POST' && req.url === '/echo') {
      res.setHeader('content-type', 'application/json');
      res.end(await text(req));
    } else if (req.method === 'GET' && req.url === '/after') res.end('after');
    else res.writeHead(404).end('no such page');
  }

  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    if (req.method === 'GET' && req.url === '/host') {
      res.end('host');
      return;
    }
    middleware(req, res, (error?: unknown) => {
      if (error === undefined) hostRoutes(req, res).catch((thrown) => fail(thrown, res));
      else fail(error, res);
    });
  };
  return listen({ listener, gateway: middleware.gateway, hostErrors, mountPath: '' });
}
