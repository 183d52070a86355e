import { createHash } from 'node:crypto';
import { guarded } from '../base/awaitable.js';
import { causeOf, idempotencyConflict, idempotencyKeyReused, unavailable } from '../base/errors.js';
import { checkRoom, type KeyedExchange, type Shared } from '../call/open.js';
import type { GatewayRequest, GatewayResponse } from '../http/exchange.js';
import { readBody } from '../http/read-body.js';
import type { IdempotentRequest } from '../stores/answer-store.js';
import { isEmpty } from './forward/body.js';
import { respondAgain } from './kept-answer.js';
import { answerKeeper } from './replay-keeper.js';

/** A request that may come again. */
export interface Repeatable {
  /** Below `/v1`, with its query. */
  readonly path: string;
  /** Answers it the first time. */
  readonly answer: (exchange: KeyedExchange) => Promise<GatewayResponse>;
}

/** What a claim outlasts the longest call by. */
const CLAIM_MARGIN_MS = 30_000;

/** Whether a client says how its request is to be known again. A form passes as it comes: nobody knows whether it is the same. */
export function isRepeatable({ method, headers }: GatewayRequest): boolean {
  const name = headers['idempotency-key'];
  if (name === undefined || name === '') return false;
  return method === 'POST' && !/^multipart\//i.test(headers['content-type']?.toString() ?? '');
}

/**
 * Answers a request once, whoever of those who know the same key sends it again: the second time it gets what was answered
 * the first time, and asks nobody. What failed, broke off or is larger than 1 MB is not kept, and may be tried again.
 * @throws {GatewayError} 409 while it is being answered, 422 for another request, 503 when the store fails, and as `readBody` does.
 */
export async function answerOnce(
  exchange: KeyedExchange,
  shared: Shared,
  { path, answer }: Repeatable,
): Promise<GatewayResponse> {
  const { request, requestId, key } = exchange;
  const { config } = shared;
  checkRoom(shared);
  const body = isEmpty(request) ? Buffer.alloc(0) : await readBody(request, config);
  const asked = identityOf(exchange, path, body);
  const claimMs = config.timeoutMs + CLAIM_MARGIN_MS;
  const claim = await guarded(
    () => config.idempotency.claim(asked, config.clock.wallMs(), claimMs),
    (error) => {
      const message = 'Whether this request was answered before cannot be checked right now. Please retry.';
      throw unavailable('idempotency_unavailable', message, causeOf(error));
    },
  );
  if (claim.kind === 'in-flight') throw idempotencyConflict();
  if (claim.kind === 'other-request') throw idempotencyKeyReused();
  if (claim.kind === 'answered') return respondAgain(claim.answer, requestId);

  const keeper = answerKeeper(config, asked, { requestId, keyId: key.id });
  // What has been read is there to be read again.
  const parsed = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const first = 'parsed' in request.body ? request : { ...request, body: { parsed } };
  try {
    return await keeper.keep(await answer({ ...exchange, request: first, onCall: keeper.watch }));
  } catch (error) {
    await keeper.giveBack();
    throw error;
  }
}

function identityOf({ request, key }: KeyedExchange, path: string, body: Uint8Array): IdempotentRequest {
  const name = JSON.stringify([key.id, request.headers['idempotency-key']]);
  return {
    id: createHash('sha256').update(name).digest('hex'),
    fingerprint: createHash('sha256').update(`${request.method} ${path}\n`).update(body).digest('hex'),
  };
}
