import { toGatewayError } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import { readToEnd } from '../../base/steps.js';
import { reportCause } from '../../call/failure.js';
import { headersOfBegun } from '../../call/headers.js';
import { type KeyedExchange, type Shared, settleFailed } from '../../call/open.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { respondJson } from '../../http/respond.js';
import { ownerOf } from '../../keys/key-store.js';
import { answerCall, type Target } from '../model/answer.js';
import type { PreparedCall } from '../model/read-call.js';

/** One call that does not end with its client. `exchange` must not abort when the client leaves. */
export async function answerInBackground(
  exchange: KeyedExchange,
  shared: Shared,
  prepared: PreparedCall,
  target: Target,
): Promise<GatewayResponse> {
  const { queued } = prepared;
  if (prepared.asks.stream) return streamed(exchange, shared, prepared, target);
  // What an upstream makes in its own background it answers at once.
  if (queued === undefined) return answerCall(exchange, shared, prepared, target);
  await prepared.presentation.queued?.(queued);
  const over = answerCall(exchange, shared, prepared, target)
    .then(() => {})
    .catch((thrown: unknown) => fail(exchange, shared, { prepared, target, thrown }))
    .catch((error: unknown) =>
      shared.config.hooks.onError(error, { requestId: exchange.requestId, keyId: exchange.key.id }),
    );
  note(exchange, shared, { prepared, target, queued, over });
  return respondJson(JSON.stringify(queued), headersOfBegun(exchange, target));
}

/** The client watches the work as it is done, and may leave. */
async function streamed(
  exchange: KeyedExchange,
  shared: Shared,
  prepared: PreparedCall,
  target: Target,
): Promise<GatewayResponse> {
  const { queued } = prepared;
  const response = await answerCall(exchange, shared, prepared, target);
  if (typeof response.body === 'string' || response.body instanceof Uint8Array) return response;
  if (queued !== undefined) await prepared.presentation.queued?.(queued);
  const { stream, over } = readToEnd(response.body);
  if (queued !== undefined) note(exchange, shared, { prepared, target, queued, over });
  return { ...response, body: stream };
}

interface Noted {
  readonly prepared: PreparedCall;
  readonly target: Target;
  readonly queued: JsonObject;
  readonly over: Promise<void>;
}

/** From now on the response can be cancelled, and the gateway waits for it when it closes. */
function note({ key }: KeyedExchange, { background }: Shared, { prepared, target, queued, over }: Noted): void {
  background.add(ownerOf(key), String(queued.id), {
    over,
    saw() {},
    async drop(reason) {
      const kept = prepared.presentation.drop?.();
      target.call.giveUp(reason);
      await kept;
    },
  });
}

/** There is no answer, and nobody to tell of it but who asks later. */
async function fail(
  { requestId, key }: KeyedExchange,
  { config }: Shared,
  { prepared, target, thrown }: { readonly prepared: PreparedCall; readonly target: Target; readonly thrown: unknown },
): Promise<void> {
  const error = toGatewayError(thrown);
  await settleFailed(target.call, error);
  reportCause(error, config.hooks, { requestId, keyId: key.id });
  await prepared.presentation.failed?.(error);
}
