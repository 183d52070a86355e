import { randomUUID } from 'node:crypto';
import { isPending } from './awaitable.js';
import type { Call } from './call.js';
import { callModel } from './call-model.js';
import { modelIdNotFound, shuttingDown, unknownUrl } from './errors.js';
import { type Exchange, respondFailure } from './failure.js';
import { debugHeaders, NO_PHASES, startPhases } from './http/debug.js';
import type { GatewayRequest, GatewayResponse } from './http/exchange.js';
import { respondError, respondJson } from './http/respond.js';
import { findRoute, ownPath, type RouteMatch } from './http/routes.js';
import type { JsonObject } from './json.js';
import { authenticate } from './keys/authenticate.js';
import type { ApiKey } from './keys/key-store.js';
import { type Model, mayCall, modelNamed } from './models/model-table.js';
import { type Config, type GatewayOptions, resolveOptions } from './options.js';
import { callSender } from './upstreams/send.js';
import { MODEL_ENDPOINTS } from './wire/model-endpoint.js';
import { modelList, modelObject } from './wire/models.js';
import { usageReport } from './wire/usage-report.js';

/** An OpenAI-compatible API, free of any server: adapters bring it requests and write out its answers. */
export interface Gateway {
  /** Answers one request, or resolves to `undefined` when the path is not ours. Never rejects. */
  handle(request: GatewayRequest): Promise<GatewayResponse | undefined>;
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
  const shared = { config, sendCall: callSender(), running, closing: () => closed !== undefined };

  async function handle(request: GatewayRequest): Promise<GatewayResponse | undefined> {
    const path = ownPath(request.url, config.basePath);
    if (path === undefined) return undefined;
    const requestId = `req_${randomUUID().replaceAll('-', '')}`;
    const asksDebug = request.headers['x-debug']?.toString().toLowerCase() === 'true';
    const phases = asksDebug ? startPhases(config.clock) : NO_PHASES;
    let exchange: Exchange = { request, requestId, phases, showsDebug: asksDebug && config.debug };
    try {
      if (closed !== undefined) throw shuttingDown();
      const authenticated = authenticate(request, config);
      const key = isPending(authenticated) ? await authenticated : authenticated;
      phases.mark('auth');
      const keyed = { request, requestId, phases, showsDebug: asksDebug && (key.debug ?? config.debug), key };
      exchange = keyed;
      const route = findRoute(request.method, path);
      if (route.action === 'completeChat') return await callModel(keyed, shared, MODEL_ENDPOINTS['chat.completions']);
      return respondJson(JSON.stringify(await read(config, route, key)), {
        'x-request-id': requestId,
        ...(exchange.showsDebug ? debugHeaders({ requestId, keyId: key.id }, phases) : {}),
      });
    } catch (error) {
      return respondFailure(error, exchange, { hooks: config.hooks, facts: { requestId } });
    }
  }

  return {
    handle,
    close({ graceMs = DEFAULT_GRACE_MS } = {}) {
      closed ??= drain(config, running, graceMs);
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
  return respondError(unknownUrl(request.method, request.url.split('?', 1)[0] ?? ''), {});
}

/** Answers the routes that ask no upstream. */
async function read(config: Config, { action, rest }: RouteMatch, key: ApiKey): Promise<JsonObject> {
  if (action === 'listModels') return modelList(config.models.listed.flatMap((model) => namesFor(key, model)));
  if (action === 'retrieveModel') {
    const model = config.models.findListed(rest);
    if (model === undefined || !mayCall(key, model, rest)) throw modelIdNotFound(rest.slice(0, 256));
    return modelObject(modelNamed(model, rest));
  }
  const totals = await config.usage.totals?.(key.id);
  if (totals === undefined) throw unknownUrl('GET', '/v1/usage');
  return usageReport(totals);
}

/** The model under its id; for a key that may only call it by other names, under these. */
function namesFor(key: ApiKey, model: Model): Model[] {
  if (mayCall(key, model, model.id)) return [model];
  return model.aliases.filter((alias) => mayCall(key, model, alias)).map((alias) => modelNamed(model, alias));
}

/** Waits until every call is settled; at the end of the grace the rest is ended. */
async function drain({ clock }: Config, running: ReadonlySet<Call>, graceMs: number): Promise<void> {
  const cancelTimer = clock.setTimer(() => {
    for (const call of running) call.giveUp(shuttingDown());
  }, graceMs);
  while (running.size > 0) {
    await Promise.all([...running].map((call) => new Promise<void>((resolve) => call.onSettled(resolve))));
  }
  cancelTimer();
}
