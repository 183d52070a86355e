import { unavailable } from '../base/errors.js';
import type { Upstream } from './upstream.js';

/** Stands in for a missing upstream: every call is a 503 that says so. */
export function unconfigured(): Upstream {
  return {
    name: 'unconfigured',
    send: async () => {
      throw unavailable('upstream_unavailable', 'No upstream is configured on this server.');
    },
  };
}
