import { GatewayError, shownCode, toGatewayError, upstreamInterrupted, upstreamStalled } from '../base/errors.js';
import type { AllHooks } from '../config/hooks.js';
import type { GatewayResponse } from '../http/exchange.js';
import { respondError } from '../http/respond.js';
import { pathOf } from '../http/url.js';
import { ownerOf } from '../keys/key-store.js';
import { lookQuietly } from './admit.js';
import type { Call } from './call.js';
import { type DebugFacts, debugFacts, debugReport } from './debug.js';
import type { Exchange } from './exchange.js';
import { limitHeaders } from './headers.js';

/** Turns anything thrown into the client's answer; the part that is not for the client goes to `hooks.onError`. */
export function respondFailure(
  thrown: unknown,
  exchange: Exchange,
  {
    facts = { requestId: exchange.requestId, keyId: exchange.key?.id },
    headers = [],
    call,
  }: { readonly facts?: DebugFacts; readonly headers?: readonly string[]; readonly call?: Call } = {},
): GatewayResponse {
  const { request, requestId, phases, state, showsDebug } = exchange;
  const error = request.signal.aborted ? clientGone() : toGatewayError(thrown);
  reportCause(error, state.config.hooks, facts);
  reportRefusal(error, exchange, call);
  const own = shownCode(error) === error.code ? {} : { code: error.code };
  const debug = showsDebug ? { ...debugReport(facts, phases), ...own } : undefined;
  return respondError(error, ['x-request-id', requestId, ...headers], debug);
}

/** Makes the client's answer of a call that failed, settled and with the limits as they are then. */
export async function failCall(call: Call, error: unknown): Promise<GatewayResponse> {
  const { exchange, plan } = call;
  const { access, config } = exchange.state;
  let { remaining } = call;
  let facts = debugFacts(call);
  if (call.isRecorded) {
    facts = debugFacts(call, await call.endFailed(error));
    remaining = call.remainingAfter();
  } else if (call.start !== undefined) {
    await call.withdraw();
    remaining = undefined;
  }
  const ceilings = call.ceilings.length > 0 ? call.ceilings : plan.ceilingsAt(config.clock.wallMs());
  // A limiter that has just failed is not asked again: the client would wait for it once more.
  const isLimiterDown = error instanceof GatewayError && error.code === 'limiter_unavailable';
  if (!isLimiterDown) remaining ??= await lookQuietly(access, ceilings);
  const headers = remaining === undefined ? [] : limitHeaders({ ceilings, remaining });
  return respondFailure(call.view.inClientsWords?.(toGatewayError(error)) ?? error, exchange, { facts, headers, call });
}

/** Tells the host of a request that is refused. A client that left was not. */
function reportRefusal({ status, code }: GatewayError, exchange: Exchange, call: Call | undefined): void {
  if (status >= 499 && status !== 503) return;
  const { key, request, requestId, path } = exchange;
  const isChosen = call !== undefined && call.state !== 'new' && call.state !== 'taken';
  exchange.state.config.hooks.onRefused({
    requestId,
    keyId: key?.id,
    owner: key && ownerOf(key),
    status,
    code: code ?? undefined,
    method: request.method,
    path: pathOf(path),
    model: call?.asks.model || undefined,
    upstream: isChosen ? call.upstream.name : undefined,
    address: request.address,
  });
}

/** Reports the cause of an error, which is the operator's to know. */
export function reportCause(
  error: GatewayError,
  hooks: AllHooks,
  { requestId, keyId }: Pick<DebugFacts, 'requestId' | 'keyId'>,
): void {
  if (error.cause === undefined) return;
  hooks.onError(error.cause, { requestId, keyId });
}

/** The reason for which a stream broke off, in the words for streams: the client already has a status of 200. */
export function brokenStream(thrown: unknown): GatewayError {
  const error = toGatewayError(thrown);
  if (error.code === 'upstream_timeout') return upstreamStalled(error.cause);
  return error.code === 'upstream_error' || error.code === 'internal_error' ? upstreamInterrupted(error.cause) : error;
}

/** Nobody will read it; logs of the host show the status that nginx made known for this. */
function clientGone(): GatewayError {
  return new GatewayError({ status: 499, message: 'The client closed the connection.', type: 'invalid_request_error' });
}
