import type { GatewayOptions } from 'megallm-middleware';
import { eventually, settleSockets } from './deadline.js';

/** Knows which clients are gone for the gateway, by the `x-client` header of their requests. */
export interface LeavingWatch extends Required<Pick<GatewayOptions, 'identify'>> {
  /** Resolves once the gateway knows that the client of that name is gone, and has done what it does at once. */
  gone(name: string): Promise<void>;
}

export function leavingWatch(): LeavingWatch {
  const gone = new Set<string>();
  return {
    identify({ headers, signal }) {
      const name = headers['x-client'];
      if (typeof name === 'string') signal.addEventListener('abort', () => gone.add(name));
      return undefined;
    },
    async gone(name) {
      await eventually(() => gone.has(name), `the gateway to know that client ${name} is gone`);
      await settleSockets();
    },
  };
}
