import { randomUUID } from 'node:crypto';
import { isPending } from './base/awaitable.js';
import { holdProcess } from './base/clock.js';
import { shuttingDown, unknownUrl } from './base/errors.js';
import { noBackground } from './call/background.js';
import type { Call } from './call/call.js';
import { debugHeaders, NO_PHASES, startPhases } from './call/debug.js';
import { type Exchange, respondFailure } from './call/failure.js';
import type { KeyedExchange, Shared } from './call/open.js';
import { unsettledCalls } from './call/unsettled.js';
import { type GatewayOptions, resolveOptions } from './config/options.js';
import { type ExplainedRequest, type Explanation, explain } from './endpoints/explain.js';
import { findAdminRoute, findRoute, ownPath } from './endpoints/find-route.js';
import { batchMeter } from './endpoints/forward/batches.js';
import { forwardCall } from './endpoints/forward/forward.js';
import { LOCAL_ROUTES } from './endpoints/local-routes.js';
import { callModel } from './endpoints/model/model-call.js';
import { answerOnce, isRepeatable } from './endpoints/replay.js';
import { answerAdmin } from './endpoints/reports/admin.js';
import { answerAboutResponse, countResponseInput } from './endpoints/responses/routes.js';
import { type CorsOptions, crossOrigin, preflight } from './http/cors.js';
import type { GatewayRequest, GatewayResponse } from './http/exchange.js';
import { respondError, respondJson } from './http/respond.js';
import { pathOf, queryOf, searchOf } from './http/url.js';
import { authenticate } from './keys/authenticate.js';
import type { ApiKey } from './keys/key-store.js';
import { callSender } from './upstreams/send.js';
import { MODEL_ENDPOINTS } from './wire/model-endpoint.js';

/** An OpenAI-compatible API, free of any server: adapters bring it requests and write out its answers. */
export interface Gateway {
  /** Answers one request, or resolves to `undefined` when the path is not ours. Never rejects. */
  handle(request: GatewayRequest): Promise<GatewayResponse | undefined>;
  /** Whether a call of that key would be admitted now, and if not, why and when. Nothing is taken. Never rejects for a refusal. */
  explain(key: ApiKey, request: ExplainedRequest): Promise<Explanation>;
  /**
   * Refuses new calls with 503, lets running ones end, and resolves when all are recorded. `graceMs`: after this,
   * running calls are ended with an error. @default 30_000
   */
  close(options?: { readonly graceMs?: number }): Promise<void>;
}

const DEFAULT_GRACE_MS = 30_000;

/**
 * Makes a gateway. Everything it holds is its own: two in one process never meet.
 * @throws {TypeError} for options that cannot be right.
 */
export function createGateway(options?: GatewayOptions): Gateway {
  const config = resolveOptions(options);
  const running = new Set<Call>();
  let closed: Promise<void> | undefined;
  const shared: Shared = {
    config,
    sendCall: callSender(),
    batches: batchMeter(config),
    running,
    drains: { count: 0 },
    unsettled: unsettledCalls(config),
    background: noBackground(),
    closing: () => closed !== undefined,
  };

  function handle(request: GatewayRequest): Promise<GatewayResponse | undefined> {
    const path = ownPath(request.url, config);
    if (path === undefined) return Promise.resolve(undefined);
    return config.cors === undefined ? answer(request, path) : answerCrossOrigin(request, path, config.cors);
  }

  async function answerCrossOrigin(request: GatewayRequest, path: string, cors: CorsOptions): Promise<GatewayResponse> {
    return crossOrigin(preflight(request) ?? (await answer(request, path)), request, cors);
  }

  async function answer(request: GatewayRequest, path: string): Promise<GatewayResponse> {
    const requestId = `req_${randomUUID().replaceAll('-', '')}`;
    const asksDebug = request.headers['x-debug']?.toString().toLowerCase() === 'true';
    const phases = asksDebug ? startPhases(config.clock) : NO_PHASES;
    let exchange: Exchange = { request, requestId, phases, showsDebug: asksDebug && config.debug };
    try {
      if (closed !== undefined) throw shuttingDown();
      const action = findAdminRoute(path);
      if (action !== undefined) {
        const report = await answerAdmin(request, config, { action, path });
        return respondJson(JSON.stringify(report), ['x-request-id', requestId]);
      }
      const authenticated = authenticate(request, config);
      const key = isPending(authenticated) ? await authenticated : authenticated;
      phases.mark('auth');
      const keyed = { request, requestId, phases, showsDebug: asksDebug && (key.debug ?? config.debug), key };
      exchange = keyed;
      const { rule, id, rest } = findRoute(request.method, path);
      if (rule.kind === 'model' || rule.kind === 'forward') {
        const ask = (given: KeyedExchange): Promise<GatewayResponse> =>
          rule.kind === 'model'
            ? callModel(given, shared, MODEL_ENDPOINTS[rule.operation])
            : forwardCall(given, shared, { rule, id, path: path + searchOf(request.url) });
        if (!isRepeatable(request)) return await ask(keyed);
        return await answerOnce(keyed, shared, { path: path + searchOf(request.url), answer: ask });
      }
      if (rule.kind === 'count-response-input') return await countResponseInput(keyed, shared, path);
      if (rule.kind === 'response') {
        const about = { action: rule.action, id, path: path + searchOf(request.url), query: queryOf(request.url) };
        return await answerAboutResponse(keyed, shared, about);
      }
      const body = await LOCAL_ROUTES[rule.action]({ exchange: keyed, config, id, rest, query: queryOf(request.url) });
      return respondJson(JSON.stringify(body), [
        'x-request-id',
        requestId,
        ...(keyed.showsDebug ? debugHeaders({ requestId, keyId: key.id }, phases) : []),
      ]);
    } catch (error) {
      return respondFailure(error, exchange, { hooks: config.hooks, facts: { requestId } });
    }
  }

  return {
    handle,
    explain: (key, request) => explain(key, request, shared),
    close({ graceMs = DEFAULT_GRACE_MS } = {}) {
      closed ??= drain(shared, graceMs);
      return closed;
    },
  };
}

/** The gateway itself, or a new one of these options: what adapters take. */
export function gatewayOf(given?: GatewayOptions | Gateway): Gateway {
  return given !== undefined && 'handle' in given ? given : createGateway(given);
}

/** The answer to a path that nobody has, for hosts without routes of their own. */
export function respondNotFound(request: GatewayRequest): GatewayResponse {
  return respondError(unknownUrl(request.method, pathOf(request.url)), []);
}

/** Waits until every call is settled and kept; at the end of the grace the rest is ended. */
async function drain({ config, running, background, unsettled }: Shared, graceMs: number): Promise<void> {
  const endsAt = config.clock.steadyMs() + graceMs;
  // Nothing else may keep the process alive while a store is being waited for.
  const release = holdProcess();
  const cancelTimer = config.clock.setTimer(() => {
    for (const call of running) call.giveUp(shuttingDown());
  }, graceMs);
  while (running.size > 0 || background.all().length > 0) {
    const settled = [...running].map((call) => new Promise<void>((resolve) => call.onSettled(() => resolve())));
    // What was made in the background is kept after it is settled.
    await Promise.all([...settled, ...background.all().map(({ over }) => over)]);
  }
  cancelTimer();
  await unsettled.drained(Math.max(0, endsAt - config.clock.steadyMs()));
  release();
}
