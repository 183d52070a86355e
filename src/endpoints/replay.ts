import { createHash } from 'node:crypto';
import { guarded } from '../base/awaitable.js';
import { causeOf, idempotencyConflict, idempotencyKeyReused, unavailable } from '../base/errors.js';
import { done, there, type Work } from '../base/work.js';
import { checkRoom } from '../call/admit.js';
import type { Exchange } from '../call/exchange.js';
import type { GatewayResponse } from '../http/exchange.js';
import { isEmpty } from '../http/read-body.js';
import type { IdempotentRequest } from '../stores/answer-store.js';
import { answerKeeper, respondAgain } from './replay-keeper.js';
import type { Route } from './route.js';

/** How long a claim outlasts the longest call. */
const CLAIM_MARGIN_MS = 30_000;

/** Runs the route, or repeats its answer to a POST with a known `Idempotency-Key`. */
export function replayed(exchange: Exchange, route: Route): Work<GatewayResponse> {
  const { method, headers } = exchange.request;
  const name = headers['idempotency-key'];
  if (name === undefined || name === '' || route.counts !== 'call') return route.answer(exchange);
  // A form passes as it comes: nobody knows whether it is the same.
  const isForm = /^multipart\//i.test(headers['content-type']?.toString() ?? '');
  return method === 'POST' && !isForm ? there(answerOnce(exchange, route)) : route.answer(exchange);
}

/**
 * Answers a request once, whoever of those who know the same key sends it again: the second time it gets the answer of the
 * first time, and asks nobody. An answer that failed, broke off or is larger than 1 MB is not kept, and may be tried again.
 * @throws {GatewayError} 409 while it is being answered, 422 for another request, 503 when the store fails, and as `readBody` does.
 */
async function answerOnce(exchange: Exchange, route: Route): Promise<GatewayResponse> {
  const { request, requestId, state, caller } = exchange;
  const { config } = state;
  checkRoom(state);
  const body = isEmpty(request) ? Buffer.alloc(0) : await exchange.body();
  const asked = identityOf(exchange, body);
  const claimMs = config.timeoutMs + CLAIM_MARGIN_MS;
  const claim = await guarded(
    () => config.idempotency.claim(asked, config.clock.steadyMs(), claimMs),
    (error) => {
      const message = 'Whether this request was answered before cannot be checked right now. Please retry.';
      throw unavailable('idempotency_unavailable', message, causeOf(error));
    },
  );
  if (claim.kind === 'in-flight') throw idempotencyConflict();
  if (claim.kind === 'other-request') throw idempotencyKeyReused();
  if (claim.kind === 'answered') return respondAgain(claim.answer, requestId);

  const context = { requestId, keyId: caller.id };
  const keeper = answerKeeper(config, asked, context, (bytes) => exchange.holdMore(bytes));
  exchange.onCall = keeper.watch;
  try {
    return await keeper.keep(await done(route.answer(exchange)));
  } catch (error) {
    await keeper.giveBack();
    throw error;
  }
}

function identityOf({ request, path, caller, plan }: Exchange, body: Uint8Array): IdempotentRequest {
  const name = JSON.stringify([caller.id, request.headers['idempotency-key']]);
  return {
    id: createHash('sha256').update(name).digest('hex'),
    fingerprint: createHash('sha256').update(`${request.method} ${path}\n`).update(body).digest('hex'),
    owner: plan.owner,
  };
}
