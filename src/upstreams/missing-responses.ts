import { type Clock, systemClock } from '../base/clock.js';
import { GatewayError, unavailable } from '../base/errors.js';
import type { OutgoingCall } from './answer.js';
import { DEFAULT_OPERATIONS, type Upstream } from './upstream.js';
import { saidIn, statusIn } from './upstream-failure.js';
import { ROUTE_UNKNOWN, ROUTE_UNKNOWN_INSIDE } from './upstream-words.js';

/** Looked for again after a day: servers are updated. */
const MISSING_MS = 86_400_000;

/** Upstreams that offer `responses` and turned out to have no such route: theirs are translated to chat completions. */
export class MissingResponses {
  private readonly until = new WeakMap<Upstream, number>();
  private readonly clock: Pick<Clock, 'steadyMs'>;

  constructor(clock: Pick<Clock, 'steadyMs'> = systemClock) {
    this.clock = clock;
  }

  has(upstream: Upstream): boolean {
    const until = this.until.get(upstream);
    return until !== undefined && until > this.clock.steadyMs();
  }

  /**
   * Notes an upstream that knows no responses. Returns the error for the call that found out, which its client may send again: it was
   * counted as what it was; any other error as it is.
   */
  note({ endpoint, upstream, model }: OutgoingCall, error: unknown): unknown {
    const { operations = DEFAULT_OPERATIONS } = upstream;
    const isLeft = endpoint.operation === 'responses' && model.responses === undefined;
    if (!isLeft || !operations.includes('chat.completions') || !isUnknownRoute(error)) return error;
    if (this.has(upstream)) return retryTranslated(undefined);
    this.until.set(upstream, this.clock.steadyMs() + MISSING_MS);
    return retryTranslated(error);
  }
}

function retryTranslated(error: unknown): GatewayError {
  const cause = new Error(
    'The upstream has no /responses. Calls are translated to chat completions from now on; say so by `responses: "translate"` of the model.',
    { cause: error },
  );
  return unavailable(
    'upstream_unavailable',
    'The upstream has no responses of its own; they are made of chat completions from now on. Please retry.',
    error === undefined ? undefined : cause,
  );
}

/** A 404 or the like that is about the path, and not about the model or anything that the request names. */
function isUnknownRoute(error: unknown): boolean {
  if (!(error instanceof GatewayError)) return false;
  const status = statusIn(error);
  if (status === 405 || status === 501) return true;
  const text = saidIn(error).toLowerCase();
  if (status === 502 && text.includes(ROUTE_UNKNOWN_INSIDE)) return true;
  if (status !== 404) return false;
  return !text.includes('model') && ROUTE_UNKNOWN.some((words) => text.includes(words));
}
