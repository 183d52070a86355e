import type { IncomingMessage, ServerResponse } from 'node:http';
import type { GatewayOptions } from 'megallm-middleware';
import { megallm } from 'megallm-middleware/node';
import { type Setup, testSetup } from './gateway-options.js';
import { listen } from './hosts/listen.js';

export type Middleware = (req: IncomingMessage, res: ServerResponse) => void;

/** Runs `play` at a bare host whose `before` has each request first. */
export async function behind(
  before: Middleware,
  given: Partial<GatewayOptions>,
  play: (origin: string, setup: Setup) => Promise<void>,
): Promise<void> {
  const setup = testSetup(given);
  const llm = megallm(setup.options);
  const listener: Middleware = (req, res) => {
    before(req, res);
    void llm(req, res);
  };
  const host = await listen({ listener, gateway: llm.gateway, hostErrors: [], mountPath: '' });
  try {
    await play(host.origin, setup);
    await setup.finish();
  } finally {
    await host.close();
  }
}
