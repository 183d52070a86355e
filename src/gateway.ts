import { isPending } from './base/awaitable.js';
import { holdProcess, inTime } from './base/clock.js';
import { GatewayError, shuttingDown, unavailable, unknownUrl } from './base/errors.js';
import { done, there, type Work } from './base/work.js';
import { Exchange } from './call/exchange.js';
import { respondFailure } from './call/failure.js';
import { followInterrupted } from './call/settle.js';
import { type GatewayState, gatewayState } from './call/state.js';
import type { GatewayOptions } from './config/config.js';
import { resolveOptions } from './config/options.js';
import { type ExplainedRequest, type Explanation, explain } from './endpoints/explain.js';
import { batchMeter } from './endpoints/forward/batches.js';
import { replayed } from './endpoints/replay.js';
import { checkAdmin } from './endpoints/reports/admin.js';
import { findRoute, methodsOf, ownPaths } from './endpoints/routes.js';
import { type CorsOptions, crossOrigin, preflight } from './http/cors.js';
import type { GatewayRequest, GatewayResponse } from './http/exchange.js';
import { type ClosingLingering, countLingering, type Lingering } from './http/lingering.js';
import { respondError, respondMethods, withoutBody } from './http/respond.js';
import { pathOf } from './http/url.js';
import { authenticate } from './keys/authenticate.js';
import { countGuesses } from './keys/guesses.js';
import type { ApiKey } from './keys/key-store.js';

/** An OpenAI-compatible API, free of any server: adapters bring it requests and write out its answers. */
export interface Gateway {
  /** Answers one request, or resolves to `undefined` when the path is not ours. Never rejects. */
  handle(request: GatewayRequest): Promise<GatewayResponse | undefined>;
  /** Tells whether a call of that key would be admitted now, and if not, why and when. Nothing is taken. Never rejects for a refusal. */
  explain(key: ApiKey, request: ExplainedRequest): Promise<Explanation>;
  /** Connections that were answered early and still send, for `writeResponse`. */
  readonly lingering: Lingering;
  /**
   * Refuses new calls with 503, lets running ones end, and resolves when all are recorded. `graceMs`: after this,
   * running calls are ended with an error. @default 30_000
   */
  close(options?: { readonly graceMs?: number | undefined }): Promise<void>;
}

const DEFAULT_GRACE_MS = 30_000;

/**
 * Makes a gateway. Everything it holds is its own: two in one process never meet.
 * @throws {TypeError} for options that cannot be right.
 */
export function createGateway<Native = unknown>(options?: GatewayOptions<Native>): Gateway {
  const config = resolveOptions(options);
  const state = gatewayState(config, batchMeter(config));
  const pathOfRequest = ownPaths(config);
  const stopFollowing = followInterrupted(state);
  const lingering = countLingering(config.lingering);
  const guesses = countGuesses(config.clock, config.hooks.onNotice, config.wrongKeysPerMinute);

  function handle(request: GatewayRequest): Promise<GatewayResponse | undefined> {
    const path = pathOfRequest(request);
    if (path === undefined) return Promise.resolve(undefined);
    return config.cors === undefined ? answerAny(request, path) : answerCrossOrigin(request, path, config.cors);
  }

  function answerAny(request: GatewayRequest, path: string): Promise<GatewayResponse> {
    return request.method === 'HEAD' || request.method === 'OPTIONS'
      ? answerAbout(request, path)
      : answer(request, path);
  }

  /** Answers questions about a path: `HEAD` as `GET` without its body, `OPTIONS` with its methods and without a key. */
  async function answerAbout(request: GatewayRequest, path: string): Promise<GatewayResponse> {
    const methods = methodsOf(path);
    if (methods !== undefined && request.method === 'OPTIONS') return respondMethods(methods.join(', '));
    if (request.method === 'OPTIONS') return answer(request, path);
    const isAnswered = methods?.includes('GET') === true;
    return withoutBody(await answer(isAnswered ? asGet(request) : request, path));
  }

  async function answerCrossOrigin(request: GatewayRequest, path: string, cors: CorsOptions): Promise<GatewayResponse> {
    return crossOrigin(preflight(request) ?? (await answerAny(request, path)), request, cors);
  }

  function answer(request: GatewayRequest, path: string): Promise<GatewayResponse> {
    return done(answering(request, path));
  }

  function* answering(request: GatewayRequest, path: string): Work<GatewayResponse> {
    const exchange = new Exchange(request, path, state);
    try {
      if (state.closed !== undefined) throw shuttingDown();
      const route = findRoute(exchange);
      if (route.opens === 'admin') checkAdmin(exchange);
      else {
        const authenticating = authenticate(request, config);
        exchange.key = isPending(authenticating)
          ? yield* there(inTime(authenticating, config.callDeadlines, keysTooLate))
          : authenticating;
      }
      if (exchange.key !== undefined) exchange.phases?.mark('auth');
      return held(yield* replayed(exchange, route), exchange);
    } catch (error) {
      // Only wrong secrets are guesses: a missing one has no `code`.
      const isGuess = exchange.key === undefined && error instanceof GatewayError && error.code === 'invalid_api_key';
      const waiting = isGuess && state.closed === undefined ? guesses.failed(request.address) : undefined;
      if (waiting !== undefined) yield* there(waiting);
      return held(respondFailure(error, exchange), exchange);
    }
  }

  return {
    handle,
    lingering,
    explain: (key, request) => explain(key, request, state),
    close({ graceMs = DEFAULT_GRACE_MS } = {}) {
      guesses.release();
      stopFollowing();
      state.closed ??= drain(state, lingering, graceMs);
      return state.closed;
    },
  };
}

/** Lets go of the request, and holds its answer until the client has it. */
function held(response: GatewayResponse, exchange: Exchange): GatewayResponse {
  const { state, key } = exchange;
  exchange.answered();
  const answer = state.held.holdAnswer(response, key?.id ?? '');
  // A connection that is kept alive would hold up the host's own end.
  return state.closed === undefined ? answer : { ...answer, headers: [...answer.headers, 'connection', 'close'] };
}

function asGet({ url, mountPath, headers, signal, body, native, address }: GatewayRequest): GatewayRequest {
  return { method: 'GET', url, mountPath, headers, signal, body, native, address };
}

/** The gateway itself, or a new one of these options: what adapters take. */
export function gatewayOf<Native = unknown>(given?: GatewayOptions<Native> | Gateway): Gateway {
  return typeof given === 'object' && given !== null && 'handle' in given ? given : createGateway(given);
}

/** The answer to a path that nobody has, for hosts without routes of their own. */
export function respondNotFound(request: GatewayRequest): GatewayResponse {
  return respondError(unknownUrl(request.method, pathOf(request.url)), []);
}

function keysTooLate(): GatewayError {
  const cause = new Error('`identify` or the key store did not answer within `timeoutMs`');
  return unavailable('keys_unavailable', 'API keys cannot be checked right now. Please retry.', cause);
}

/** How long the ends of calls may take that were ended at the end of the grace. */
const LAST_MS = 5_000;
/** How long clients that were refused may still send, once all calls have ended. */
const LINGER_MS = 1_000;

/**
 * Waits until every call is settled and kept; at the end of the grace the rest is ended. A store that does not answer then
 * holds it five seconds longer.
 */
async function drain(
  { config, running, background, unsettled }: GatewayState,
  lingering: ClosingLingering,
  graceMs: number,
): Promise<void> {
  const { clock, hooks } = config;
  const endsAt = clock.steadyMs() + graceMs;
  // Nothing else may keep the process alive while a store is being waited for.
  const release = holdProcess();
  let isOver = false;
  let cancelTimer = (): void => {};
  const over = new Promise<void>((resolve) => {
    cancelTimer = clock.setTimer(() => {
      for (const call of running) call.giveUp(shuttingDown());
      cancelTimer = clock.setTimer(() => {
        isOver = true;
        resolve();
      }, LAST_MS);
    }, graceMs);
  });
  while (!isOver && (running.size > 0 || background.all().length > 0)) {
    const settled = [...running].map((call) => new Promise<void>((resolve) => call.onSettled(() => resolve())));
    // A response made in the background is kept after its call is settled.
    await Promise.race([over, Promise.all([...settled, ...background.all().map((work) => work.over)])]);
  }
  cancelTimer();
  if (isOver) {
    const error = new Error(`${running.size} calls have not been settled: a store does not answer`);
    hooks.onError(error, { requestId: undefined, keyId: undefined });
  }
  const restMs = Math.max(0, endsAt - clock.steadyMs());
  await Promise.all([unsettled.drained(restMs), lingering.close(clock, Math.min(restMs, LINGER_MS))]);
  release();
}
