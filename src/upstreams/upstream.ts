import type { Cancellation } from '../base/cancellation.js';
import { positiveInteger, unexpected } from '../base/checks.js';
import type { JsonObject } from '../base/json.js';
import type { Pieces } from '../base/steps.js';
import type { ForwardOperation, ModelOperation } from '../wire/operations.js';

/** Operations of an upstream that names none. */
export const DEFAULT_OPERATIONS: readonly ModelOperation[] = ['chat.completions'];

/** Something that answers model calls. Wrappers such as `queued` take an upstream and are one. */
export interface Upstream {
  /** For logs and usage records; not secret. */
  readonly name: string;
  /**
   * Treatment of a call whose client leaves. `cancel`: the upstream stops at once, for upstreams that charge for what they
   * have made until then. `drain`: the answer is read to its end, for its usage, by upstreams that charge all of it anyhow;
   * with bounds, no longer than that. @default 'cancel'
   */
  readonly onAbort?: AbortPolicy | undefined;
  /** Operations that `send` takes; any other is refused before it gets here. @default ['chat.completions'] */
  readonly operations?: readonly ModelOperation[] | undefined;
  /**
   * Name under which it takes a chat completion's output ceiling, where that is known. @default the newest, until answers show that the
   * upstream refuses or ignores it
   */
  readonly ceiling?: CeilingName | undefined;
  /** Bounds of waiting for the parts of a stream. @default no others than its transport's */
  readonly patience?: StreamPatience | undefined;
  /**
   * Tells whether calls to that model have an answer, for who looks a model up that the gateway passes on without knowing
   * it. Absent: taken for granted.
   */
  hasModel?(name: string): boolean | Promise<boolean>;
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

/** Waiting for the parts of a stream whose upstream sends comments meanwhile, which say nothing. */
export interface StreamPatience {
  /** Longest time from the head of an answer to its first event. */
  readonly firstTokenTimeoutMs?: number | undefined;
  /** Longest time between two events. */
  readonly tokenTimeoutMs?: number | undefined;
  /**
   * Time of comments alone after which the client gets the head of its answer, and a comment. An error that follows can then be no more
   * than an event. Absent: the head waits for the first event.
   */
  readonly openHeadAfterMs?: number | undefined;
}

/** Names of the output ceiling of a chat completion. */
export type CeilingName = 'max_completion_tokens' | 'max_tokens';

/** Treatment of a call whose client leaves. */
export type AbortPolicy =
  | 'cancel'
  | 'drain'
  | { readonly [Bound in keyof DrainBounds]?: DrainBounds[Bound] | undefined };

/** Bounds of reading an answer that nobody waits for. */
export interface DrainBounds {
  /** @default 30_000 */
  readonly maxMs: number;
  /** Bound of a stream; a whole answer is read as far as any other. @default 16_777_216 */
  readonly maxBytes: number;
}

/** The bounds of a policy; `undefined` if it does not drain. */
export function drainBounds(policy: AbortPolicy = 'cancel'): DrainBounds | undefined {
  if (policy === 'cancel') return undefined;
  const bounds = policy === 'drain' ? {} : policy;
  return { maxMs: bounds.maxMs ?? 30_000, maxBytes: bounds.maxBytes ?? 16_777_216 };
}

/** Checks a host's choice, to be spread into an upstream. @throws {TypeError} for a value that is no policy. */
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

/** The caller, and the time until which it waits. */
export interface CallContext {
  /** Id of the calling key, for wrappers that must not mix callers, such as a cache. */
  readonly keyId: string;
  /** The calling key's tier, for wrappers that serve some before others. */
  readonly tier: string;
  readonly requestId: string;
  /** Aborts when the client goes away or time is up; the upstream must stop its work then. Made when first asked for. */
  readonly signal: AbortSignal;
  /** A cheaper form of the signal, for code that only listens. Absent where a wrapper put its own signal into the call. */
  readonly cancellation?: Cancellation | undefined;
}

/** One call as an upstream gets it. */
export interface UpstreamCall extends CallContext {
  readonly operation: ModelOperation;
  /** The JSON object to send, in UTF-8: the client's own bytes with unknown fields and all, and the upstream's own id as `model`. */
  readonly bytes: Uint8Array;
  /**
   * Parses the bytes when first asked, and returns the object, frozen throughout. A wrapper that wants another body passes
   * on `withBody(call, { ...call.body(), … })`; a wrapper that does not ask keeps the speed of what it wraps.
   */
  body(): JsonObject;
  /** Whether the client asked for a stream of events. */
  readonly stream: boolean;
  /** Largest whole answer that the gateway takes. */
  readonly maxResponseBytes: number;
  /** Whether the answer is for a response in the background, whose client comes back for it. @default false */
  readonly isBackground?: boolean | undefined;
}

/**
 * A whole answer, as an object or as its bytes; chunks of an answer in OpenAI's wire shape; or the bytes of an HTTP answer,
 * to pass on as they come. Chunks and bytes that are a `StepSource` as well are read by calls: then the source itself must
 * fail with the signal's reason as soon as the signal aborts. With any other iterable the gateway sees to that.
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
  /** Headers about the body or the wanted answer alone, in lower case. Never a credential. */
  readonly headers: Readonly<Record<string, string>>;
  /** Pieces to be read at most once, as slowly as the upstream takes them; `undefined` if the request has no body. */
  readonly body: AsyncIterable<Uint8Array> | undefined;
}

/** The head of a good answer, and its body as it comes. */
export interface ForwardReply {
  /** 200 to 299. */
  readonly status: number;
  /** Names in lower case, such as `content-type`. Headers that do not describe the body are not passed on. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AsyncIterable<Uint8Array>;
}
