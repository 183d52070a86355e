import { createServer, type RequestListener } from 'node:http';
import type { Gateway } from 'megallm-middleware';
import { everyAnswer } from '../../conformance/every-answer.js';
import { within } from '../deadline.js';
import type { RunningHost } from '../hosts.js';

/** What a client of a `/boom` route is told by the host's own error page. */
export const HOST_ERROR_PAGE = 'host error page';

interface Application {
  readonly listener: RequestListener;
  readonly gateway: Gateway;
  readonly hostErrors: unknown[];
  /** Where the gateway is mounted: `''` or a path. */
  readonly mountPath: string;
}

/** Serves the application on a free port of the loopback interface. What the gateway answers is validated at the end. */
export async function listen({ listener, gateway, hostErrors, mountPath }: Application): Promise<RunningHost> {
  const server = createServer(everyAnswer.watched(listener, mountPath));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  const origin = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    origin,
    baseUrl: `${origin}${mountPath}/v1`,
    gateway,
    hostErrors,
    close: async () => {
      await within(gateway.close({ graceMs: 2_000 }), 'the gateway to close');
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await within(closed, 'the server to close');
    },
  };
}
