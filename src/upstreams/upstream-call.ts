import { abortSignalOf, type Cancellation } from '../base/cancellation.js';
import { deeplyFrozen, type JsonObject, objectOf } from '../base/json.js';
import { young } from '../base/young.js';
import type { ModelOperation } from '../wire/operations.js';
import type { Upstream, UpstreamCall } from './upstream.js';

/** Facts of which a call is made. */
interface UpstreamCallFields {
  readonly keyId: string;
  readonly tier: string;
  readonly requestId: string;
  readonly operation: ModelOperation;
  readonly bytes: Uint8Array;
  readonly stream: boolean;
  readonly maxResponseBytes: number;
  /** @default false */
  readonly isBackground?: boolean;
  readonly cancellation: Cancellation;
  /** The object that the bytes are, where it is known already. */
  readonly object?: JsonObject | undefined;
  /** Whether the call may be copied. @default true */
  readonly isCopyable?: boolean;
}

/** Makes the call that a wrapper passes on in place of `call`, with another body. Does not keep or change `body`. */
export function withBody(call: UpstreamCall, body: JsonObject): UpstreamCall {
  const { keyId, tier, requestId, operation, maxResponseBytes, isBackground = false } = call;
  const bytes = Buffer.from(JSON.stringify(body));
  const stream = body.stream === true;
  const cancellation = cancellationOf(call);
  const fields = { keyId, tier, requestId, operation, bytes, stream, maxResponseBytes, isBackground, cancellation };
  return new LazyCall(fields);
}

/** The cheapest sign of a call's end: its cancellation, or the signal that somebody put in its place. */
export function cancellationOf(call: Pick<UpstreamCall, 'signal' | 'cancellation'>): Cancellation {
  return call.cancellation ?? call.signal;
}

/** By identity and not by a property, which a wrapper may take over: a proxy has it, and tracers copy it. */
const COPYING_NO_CALL = new WeakSet<Upstream['send']>();

/** Marks a `send` that only reads the call that it gets. A wrapper's own `send` is another one, without the mark. */
export function copyingNoCall<Send extends Upstream['send']>(send: Send): Send {
  COPYING_NO_CALL.add(send);
  return send;
}

/** Whether the upstream may copy a call. */
export function mayCopy({ send }: Upstream): boolean {
  return !COPYING_NO_CALL.has(send);
}

/**
 * The call that an upstream gets. It may be copied or destructured, unless it was said that nobody does: `signal` is an own property
 * and goes along; `cancellation` is on the prototype and does not, so that a copy's own `signal` decides. `body` needs no `this`.
 */
export class LazyCall implements UpstreamCall {
  readonly keyId: string;
  readonly tier: string;
  readonly requestId: string;
  readonly operation: ModelOperation;
  readonly bytes: Uint8Array;
  readonly stream: boolean;
  readonly maxResponseBytes: number;
  readonly isBackground: boolean;
  readonly body: () => JsonObject;
  declare readonly signal: AbortSignal;
  readonly #cancellation: Cancellation;
  readonly #object: JsonObject | undefined;
  #parsed: JsonObject | undefined;
  #signal: AbortSignal | undefined;

  static readonly #SIGNAL: PropertyDescriptor & ThisType<LazyCall> = {
    enumerable: true,
    get() {
      this.#signal ??= abortSignalOf(this.#cancellation);
      return this.#signal;
    },
  };

  static {
    Object.defineProperty(LazyCall.prototype, 'signal', LazyCall.#SIGNAL);
  }

  constructor(fields: UpstreamCallFields) {
    this.keyId = fields.keyId;
    this.tier = fields.tier;
    this.requestId = fields.requestId;
    this.operation = fields.operation;
    this.bytes = fields.bytes;
    this.stream = fields.stream;
    this.maxResponseBytes = fields.maxResponseBytes;
    this.isBackground = fields.isBackground ?? false;
    this.body = young(() => {
      this.#parsed ??= deeplyFrozen(this.#object ?? objectOf(this.bytes));
      return this.#parsed;
    });
    this.#cancellation = fields.cancellation;
    this.#object = fields.object;
    // As dear as all else of the call together.
    if (fields.isCopyable !== false) Object.defineProperty(this, 'signal', LazyCall.#SIGNAL);
  }

  get cancellation(): Cancellation {
    return this.#cancellation;
  }
}
