import type { Cancellation } from '../base/cancellation.js';
import { positiveInteger, unexpected } from '../base/checks.js';
import type { JsonObject } from '../base/json.js';
import type { Pieces } from '../base/steps.js';
import type { ForwardOperation, ModelOperation } from '../wire/operations.js';

/** What an upstream that says nothing of it may be asked for. */
export const DEFAULT_OPERATIONS: readonly ModelOperation[] = ['chat.completions'];

/** Something that answers model calls. Wrappers such as `queued` take an upstream and are one. */
export interface Upstream {
  /** For logs and usage records; not secret. */
  readonly name: string;
  /**
   * What becomes of a call whose client leaves. `cancel`: the upstream stops at once, for upstreams that charge what they
   * have made until then. `drain`: the answer is read to its end, for its usage, by upstreams that charge all of it anyhow;
   * with bounds, no longer than that. @default 'cancel'
   */
  readonly onAbort?: AbortPolicy;
  /** What `send` may be asked for; anything else is refused before it gets here. @default ['chat.completions'] */
  readonly operations?: readonly ModelOperation[];
  /**
   * Makes one call and does not retry. Resolves once the answer has begun well: after this the gateway can no longer
   * go to another upstream.
   * @throws {GatewayError} to choose what the client sees; anything else becomes a 502.
   */
  send(call: UpstreamCall): Promise<UpstreamReply>;
  /**
   * Passes one request on and does not retry. Resolves at the head of a good answer. Absent: the upstream has no files,
   * images and so on.
   * @throws {GatewayError} to choose what the client sees, also for every answer that is not a 2xx; anything else becomes a 502.
   */
  forward?(call: ForwardCall): Promise<ForwardReply>;
}

/** What becomes of a call whose client leaves. */
export type AbortPolicy = 'cancel' | 'drain' | Partial<DrainBounds>;

/** How far an answer that nobody waits for is read. */
export interface DrainBounds {
  /** @default 30_000 */
  readonly maxMs: number;
  /** Of a stream; a whole answer is read as far as any. @default 16_777_216 */
  readonly maxBytes: number;
}

/** The bounds of a policy; `undefined`: it does not drain. */
export function drainBounds(policy: AbortPolicy = 'cancel'): DrainBounds | undefined {
  if (policy === 'cancel') return undefined;
  const bounds = policy === 'drain' ? {} : policy;
  return { maxMs: bounds.maxMs ?? 30_000, maxBytes: bounds.maxBytes ?? 16_777_216 };
}

/** A host's choice, to be spread into an upstream. @throws {TypeError} for what is no policy. */
export function abortPolicy(onAbort: AbortPolicy | undefined): Pick<Upstream, 'onAbort'> {
  if (onAbort === undefined) return {};
  if (onAbort === 'cancel' || onAbort === 'drain') return { onAbort };
  if (typeof onAbort !== 'object' || onAbort === null) {
    throw unexpected('onAbort', "to be 'cancel', 'drain' or the bounds of a drain", onAbort);
  }
  const { maxMs, maxBytes, ...more } = onAbort;
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) throw new TypeError(`Unknown bound \`onAbort.${unknown}\``);
  if (maxMs !== undefined) positiveInteger('onAbort.maxMs', maxMs);
  if (maxBytes !== undefined) positiveInteger('onAbort.maxBytes', maxBytes);
  return { onAbort };
}

/** Who is calling, and until when. */
export interface CallContext {
  /** Who is calling, for wrappers that must not mix callers, such as a cache. */
  readonly keyId: string;
  /** The calling key's tier, for wrappers that serve some before others. */
  readonly tier: string;
  readonly requestId: string;
  /** Aborts when the client goes away or time is up. The upstream must stop its work then. Made when first asked for. */
  readonly signal: AbortSignal;
  /** The same for who only listens, which costs less; absent where somebody put a signal of their own into the call. */
  readonly cancellation?: Cancellation;
}

/** One call as an upstream gets it. */
export interface UpstreamCall extends CallContext {
  readonly operation: ModelOperation;
  /** The JSON object to be sent, in UTF-8: the client's own bytes, unknown fields and all, with `model` set to the upstream's own id. */
  readonly bytes: Uint8Array;
  /**
   * The same as an object, parsed when first asked for and frozen throughout. A wrapper that wants another body passes on
   * `withBody(call, { ...call.body(), … })`; one that does not ask keeps the speed of what it wraps.
   */
  body(): JsonObject;
  /** Whether the client asked for a stream of events. */
  readonly stream: boolean;
  /** Largest whole answer that the gateway takes. */
  readonly maxResponseBytes: number;
}

/**
 * A whole answer, as an object or as the bytes of one; chunks of an answer in OpenAI's wire shape; or the bytes of an HTTP
 * answer as they come, to pass on as they are. Chunks and bytes that are a `StepSource`, too, are read by calls, and fail
 * with the signal's reason as soon as it aborts; of those that are only iterable the gateway sees to that itself.
 */
export type UpstreamReply =
  | { readonly kind: 'whole'; readonly body: JsonObject | Uint8Array }
  | { readonly kind: 'chunks'; readonly chunks: Pieces<JsonObject> }
  | { readonly kind: 'bytes'; readonly contentType: string; readonly body: Pieces<Uint8Array> };

/** One request of another endpoint as an upstream gets it. */
export interface ForwardCall extends CallContext {
  readonly operation: ForwardOperation;
  readonly method: string;
  /** Below `/v1`, with its query, such as `/files?limit=2`. */
  readonly path: string;
  /** In lower case, and only those that say something about the body or the wanted answer. Never a credential. */
  readonly headers: Readonly<Record<string, string>>;
  /** To be read at most once, as slowly as the upstream takes it; `undefined`: the request has none. */
  readonly body: AsyncIterable<Uint8Array> | undefined;
}

/** The head of a good answer, and its body as it comes. */
export interface ForwardReply {
  /** 200 to 299. */
  readonly status: number;
  /** In lower case, such as `content-type`. What does not describe the body is not passed on. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
}
