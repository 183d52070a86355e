import { GatewayError, toGatewayError } from '../base/errors.js';
import type { Hooks } from '../config/hooks.js';
import type { GatewayRequest, GatewayResponse } from '../http/exchange.js';
import { respondError } from '../http/respond.js';
import { type DebugFacts, debugReport, type Phases } from './debug.js';

/** One request and what is known of it. */
export interface Exchange {
  readonly request: GatewayRequest;
  readonly requestId: string;
  readonly phases: Phases;
  readonly showsDebug: boolean;
}

/** Turns whatever was thrown into the client's answer; what the client is not told goes to `hooks.onError`. */
export function respondFailure(
  thrown: unknown,
  { request, requestId, phases, showsDebug }: Exchange,
  { hooks, facts, headers = [] }: { hooks: Required<Hooks>; facts: DebugFacts; headers?: readonly string[] },
): GatewayResponse {
  const error = request.signal.aborted ? clientGone() : toGatewayError(thrown);
  reportCause(error, hooks, facts);
  const debug = showsDebug ? debugReport(facts, phases) : undefined;
  return respondError(error, ['x-request-id', requestId, ...headers], debug);
}

/** What went wrong underneath is the operator's to know. */
export function reportCause(error: GatewayError, hooks: Required<Hooks>, facts: DebugFacts): void {
  if (error.cause === undefined) return;
  hooks.onError(error.cause, { requestId: facts.requestId, keyId: facts.keyId });
}

/** Nobody will read it; logs of the host show the status that nginx made known for this. */
function clientGone(): GatewayError {
  return new GatewayError({ status: 499, message: 'The client closed the connection.', type: 'invalid_request_error' });
}
