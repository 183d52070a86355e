import { abortSignalOf, type Cancellation } from '../base/cancellation.js';
import { deeplyFrozen, type JsonObject, objectOf } from '../base/json.js';
import type { ModelOperation } from '../wire/operations.js';
import type { UpstreamCall } from './upstream.js';

/** The facts of a call, before anybody asks for its object or its signal. */
export interface UpstreamCallFields {
  readonly keyId: string;
  readonly tier: string;
  readonly requestId: string;
  readonly operation: ModelOperation;
  readonly bytes: Uint8Array;
  readonly stream: boolean;
  readonly maxResponseBytes: number;
  readonly cancellation: Cancellation;
}

/** Makes the call that an upstream gets. */
export function upstreamCall(fields: UpstreamCallFields): UpstreamCall {
  return new LazyCall(fields);
}

/** The same call with another body: what a wrapper passes on that changes it. */
export function withBody(call: UpstreamCall, body: JsonObject): UpstreamCall {
  const { keyId, tier, requestId, operation, maxResponseBytes } = call;
  const bytes = Buffer.from(JSON.stringify(body));
  const stream = body.stream === true;
  const cancellation = cancellationOf(call);
  return new LazyCall({ keyId, tier, requestId, operation, bytes, stream, maxResponseBytes, cancellation });
}

/** Tells when a call is to stop, without the price of an `AbortSignal` where there is none yet. */
export function cancellationOf(call: Pick<UpstreamCall, 'signal' | 'cancellation'>): Cancellation {
  return call.cancellation ?? call.signal;
}

/**
 * Users write `{ ...call, signal }` and `({ body, signal }) => …`: the signal is a property of the object itself, with a
 * getter that all calls share, and `body` needs no `this`. The cancellation stays behind on the prototype, so that a
 * signal which somebody put in place of ours is the one that counts.
 */
class LazyCall implements UpstreamCall {
  readonly keyId: string;
  readonly tier: string;
  readonly requestId: string;
  readonly operation: ModelOperation;
  readonly bytes: Uint8Array;
  readonly stream: boolean;
  readonly maxResponseBytes: number;
  readonly body: () => JsonObject;
  declare readonly signal: AbortSignal;
  readonly #cancellation: Cancellation;
  #parsed: JsonObject | undefined;
  #signal: AbortSignal | undefined;

  static readonly #SIGNAL: PropertyDescriptor & ThisType<LazyCall> = {
    enumerable: true,
    get() {
      this.#signal ??= abortSignalOf(this.#cancellation);
      return this.#signal;
    },
  };

  constructor(fields: UpstreamCallFields) {
    this.keyId = fields.keyId;
    this.tier = fields.tier;
    this.requestId = fields.requestId;
    this.operation = fields.operation;
    this.bytes = fields.bytes;
    this.stream = fields.stream;
    this.maxResponseBytes = fields.maxResponseBytes;
    this.body = () => {
      this.#parsed ??= deeplyFrozen(objectOf(this.bytes));
      return this.#parsed;
    };
    this.#cancellation = fields.cancellation;
    Object.defineProperty(this, 'signal', LazyCall.#SIGNAL);
  }

  get cancellation(): Cancellation {
    return this.#cancellation;
  }
}
