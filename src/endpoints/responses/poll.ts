import { GatewayError } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import { objectIn } from '../../call/answer-view.js';
import type { Call, CallEnd } from '../../call/call.js';
import type { BackgroundWork } from '../../call/later-work.js';
import { readWhole, type WholeAnswer } from '../../upstreams/read-whole.js';
import { passOn } from '../../upstreams/send.js';
import { readToolCalls } from '../../wire/hosted-tools.js';
import { isEnded } from '../../wire/responses/retold.js';
import { readServiceTier, readUsage, type TokenUsage } from '../../wire/usage.js';
import { claimResponse } from './stored.js';

/** How often an upstream is asked how far it has come. */
const POLL_MS = 2_000;

/** A response that an upstream makes in its own background, and is paid for only when it is done. */
export interface FollowedResponse {
  /** The client is being told of the response: from now on it is followed to its end. */
  begin(): void;
}

/**
 * The response that the upstream has only begun to make; `undefined`: it is done. The call stays open, with all it reserved,
 * until the upstream says what it took; where it cannot be asked, nobody knows.
 */
export async function followedResponse(call: Call, { body }: WholeAnswer): Promise<FollowedResponse | undefined> {
  const begun = await objectIn(body, call.answerBounds);
  const { id } = begun;
  return isEnded(begun) || typeof id !== 'string' ? undefined : new Poll(call, id);
}

class Poll implements FollowedResponse, BackgroundWork {
  readonly over: Promise<void>;
  private readonly call: Call;
  private readonly id: string;
  private isSettled = false;
  private cancelTimer: (() => void) | undefined = undefined;

  constructor(call: Call, id: string) {
    this.call = call;
    this.id = id;
    this.over = new Promise((resolve) => call.onSettled(() => resolve()));
  }

  begin(): void {
    const { call } = this;
    // Should time be up, nobody knows how much was used.
    this.tell(undefined);
    if (call.upstream.forward === undefined) {
      this.end('ok');
      return;
    }
    call.exchange.state.background.add(call.plan.owner, this.id, this);
    call.onSettled(() => {
      this.isSettled = true;
      this.cancelTimer?.();
    });
    this.schedule();
  }

  saw(response: JsonObject): void {
    if (!isEnded(response) || this.call.aborted) return;
    void this.claim(response);
    this.tell(readUsage(response.usage), response);
    this.end(endOf(response));
  }

  async drop(reason: Error): Promise<void> {
    this.call.stop(reason, 'left');
    await this.over;
  }

  /** The one end of the call. */
  private end(how: CallEnd): void {
    void this.call.end(how);
  }

  private tell(usage: TokenUsage | undefined, response: JsonObject = {}): void {
    const [serviceTier, toolCalls] = [readServiceTier(response), readToolCalls(response)];
    this.call.follow({ usage, deliveredTokens: () => undefined, serviceTier, toolCalls });
  }

  /** Notes the items of the response, which are known now. */
  private async claim(response: JsonObject): Promise<void> {
    const { exchange, plan, asks, requestId, keyId } = this.call;
    const { config } = exchange.state;
    try {
      await claimResponse(config, plan.owner, response, asks.model);
    } catch (error) {
      config.hooks.onError(error, { requestId, keyId });
    }
  }

  /** Asks every now and then, until the call is settled: by an answer, or because its time is up. */
  private schedule(): void {
    if (this.isSettled) return;
    this.cancelTimer = this.call.exchange.state.config.clock.setTimer(() => void this.ask(), POLL_MS);
  }

  private async ask(): Promise<void> {
    try {
      this.saw(await this.snapshot());
    } catch (error) {
      // It may be there again the next time, unless it is gone.
      if (error instanceof GatewayError && error.status === 404) this.end('refused');
    }
    this.schedule();
  }

  /** The response as the upstream has it now. */
  private async snapshot(): Promise<JsonObject> {
    const path = `/responses/${encodeURIComponent(this.id)}`;
    const request = { operation: 'responses', method: 'GET', path, headers: {}, body: undefined } as const;
    const { headers, body } = await passOn(this.call, request);
    const { exchange } = this.call;
    const before = exchange.held;
    const whole = await readWhole(this.call, { kind: 'bytes', contentType: headers['content-type'] ?? '', body });
    const snapshot = await objectIn(whole.body, this.call.answerBounds);
    // The next one takes its place.
    exchange.holdMore(before - exchange.held);
    return snapshot;
  }
}

function endOf({ status }: JsonObject): CallEnd {
  if (status === 'cancelled') return 'left';
  return status === 'failed' ? 'failed' : 'ok';
}
