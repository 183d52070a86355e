import { guarded } from '../../base/awaitable.js';
import { abortSignalOf, orAborted } from '../../base/cancellation.js';
import { GatewayError } from '../../base/errors.js';
import { type JsonObject, objectOf } from '../../base/json.js';
import type { BackgroundWork } from '../../call/background.js';
import type { Call } from '../../call/call.js';
import type { KeyedExchange, Shared } from '../../call/open.js';
import { ownerOf } from '../../keys/key-store.js';
import type { ModelSend, WholeAnswer } from '../../upstreams/answer.js';
import { readWhole } from '../../upstreams/read-whole.js';
import type { Ending } from '../../usage/usage-store.js';
import { unsupportedOperation } from '../../wire/request-errors.js';
import { readUsage } from '../../wire/usage.js';
import { claimResponse } from './stored.js';

/** How often an upstream is asked how far it has come. */
const POLL_MS = 2_000;

/** What an upstream makes in its own background, and is paid for only when it is done. */
export interface FollowedResponse {
  /** The client is being told of it: from now on it is followed to its end. */
  begin(): void;
}

/** What following takes. */
interface Following {
  readonly exchange: KeyedExchange;
  readonly shared: Shared;
  readonly call: Call;
}

/**
 * The response that the upstream has only begun to make; `undefined`: it is done. The call stays open, with all it reserved,
 * until the upstream says what it took; where it cannot be asked, nobody knows.
 */
export function followedResponse(
  { body }: WholeAnswer,
  send: ModelSend,
  { exchange, shared, call }: Following,
): FollowedResponse | undefined {
  const begun = objectOf(body);
  const { id } = begun;
  if (isEnded(begun) || typeof id !== 'string') return undefined;
  const { config, background } = shared;
  const owner = ownerOf(exchange.key);

  function settle(ending: Pick<Ending, 'outcome' | 'usage'>): void {
    void call.settle({ ...ending, deliveredTokens: undefined });
  }

  /** Its items are known now. */
  function claim(response: JsonObject): void {
    void guarded(
      () => claimResponse(config, owner, response, send.asks.model),
      (error) => config.hooks.onError(error, { requestId: exchange.requestId, keyId: exchange.key.id }),
    );
  }

  const work: BackgroundWork = {
    over: new Promise((resolve) => call.onSettled(() => resolve())),
    saw(response) {
      if (!isEnded(response) || call.cancellation.aborted) return;
      claim(response);
      settle({ outcome: outcomeOf(response), usage: readUsage(response.usage) });
    },
    async drop(reason) {
      settle({ outcome: 'aborted', usage: undefined });
      call.abort(reason);
      await work.over;
    },
  };

  return {
    begin() {
      if (send.upstream.forward === undefined) return settle({ outcome: 'ok', usage: undefined });
      // Should time be up, nobody knows what was used.
      call.watch({ usage: undefined, deliveredTokens: () => undefined });
      background.add(owner, id, work);
      poll(send, id, { config, call, work });
    },
  };
}

/** Asks every now and then, until the call is settled: by what is seen, or because its time is up. */
function poll(
  send: ModelSend,
  id: string,
  { config, call, work }: { readonly config: Shared['config']; readonly call: Call; readonly work: BackgroundWork },
): void {
  let isSettled = false;
  let cancelTimer = schedule();
  call.onSettled(() => {
    isSettled = true;
    cancelTimer();
  });

  function schedule(): () => void {
    return config.clock.setTimer(() => void ask(), POLL_MS);
  }

  async function ask(): Promise<void> {
    try {
      work.saw(await snapshotOf(send, id));
    } catch (error) {
      // It may be there again the next time, but for what is gone.
      const isGone = error instanceof GatewayError && error.status === 404;
      if (isGone) void call.settle({ outcome: 'error', usage: undefined, deliveredTokens: undefined });
    }
    if (!isSettled) cancelTimer = schedule();
  }
}

/** The response as the upstream has it now. */
async function snapshotOf(send: ModelSend, id: string): Promise<JsonObject> {
  const { upstream, cancellation, call } = send;
  if (upstream.forward === undefined) throw unsupportedOperation('responses');
  const asked = upstream.forward({
    ...call,
    operation: 'responses',
    method: 'GET',
    path: `/responses/${encodeURIComponent(id)}`,
    headers: {},
    body: undefined,
    signal: abortSignalOf(cancellation),
  });
  const { headers, body } = await orAborted(asked, cancellation);
  const whole = await readWhole(send, { kind: 'bytes', contentType: headers['content-type'] ?? '', body });
  return objectOf(whole.body);
}

/** What names no status is done: nobody could tell when it were. */
function isEnded({ status }: JsonObject): boolean {
  return status !== 'queued' && status !== 'in_progress';
}

function outcomeOf({ status }: JsonObject): Ending['outcome'] {
  if (status === 'cancelled') return 'aborted';
  return status === 'failed' ? 'error' : 'ok';
}
