import type { IncomingMessage } from 'node:http';
import { it } from 'node:test';
import type { Request } from 'express';
import type { Context } from 'koa';
import { createGateway, type GatewayOptions, type Identify } from 'megallm-middleware';
import { megallm as onExpress } from 'megallm-middleware/express';
import { megallm as onKoa } from 'megallm-middleware/koa';
import { megallm as onNode } from 'megallm-middleware/node';

const quiet = { environment: {}, hooks: { onNotice() {} } };

it('`identify` gets the request of its host, by type', () => {
  onExpress({
    ...quiet,
    identify({ native }) {
      const request: Request = native;
      // @ts-expect-error: an Express request has no `ctx`
      void native.ctx;
      return request.header('x-user') !== undefined && { id: 'ann' };
    },
  });
  onKoa({
    ...quiet,
    identify({ native }) {
      const ctx: Context = native;
      return ctx.state.user === undefined ? null : { id: 'ann' };
    },
  });
  onNode({
    ...quiet,
    async identify({ native }) {
      const message: IncomingMessage = native;
      return message.headers.cookie === undefined ? undefined : { id: 'ann' };
    },
  });
  createGateway({
    ...quiet,
    identify({ native }) {
      // @ts-expect-error: nobody knows the host here
      void native.headers;
      return undefined;
    },
  });
  const any: Identify = () => undefined;
  const options: GatewayOptions = { ...quiet, identify: any };
  onExpress(options);
  onKoa(options);
  const ofKoa: Identify<Context> = () => undefined;
  // @ts-expect-error: of another host
  onExpress({ ...quiet, identify: ofKoa });
});
