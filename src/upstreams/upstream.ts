import type { JsonObject } from '../json.js';

/** What can be asked of an upstream, named as OpenAI's SDKs name their methods. */
export type Operation = 'chat.completions';

/** Something that answers model calls. Wrappers such as `queued` take an upstream and are one. */
export interface Upstream {
  /** For logs and usage records; not secret. */
  readonly name: string;
  /**
   * Makes one call and does not retry. Resolves once the answer has begun well: after this the gateway can no longer
   * go to another upstream.
   * @throws {GatewayError} to choose what the client sees; anything else becomes a 502.
   */
  send(call: UpstreamCall): Promise<UpstreamReply>;
}

/** One call as an upstream gets it. */
export interface UpstreamCall {
  readonly operation: Operation;
  /**
   * The client's body, unknown fields and all, with `model` set to the upstream's own id. A wrapper that wants another
   * body passes on a new object; this one must not be written to.
   */
  readonly body: JsonObject;
  /** Who is calling, for wrappers that must not mix callers, such as a cache. */
  readonly keyId: string;
  /** The calling key's tier, for wrappers that serve some before others. */
  readonly tier: string;
  readonly requestId: string;
  /** Aborts when the client goes away or time is up. The upstream must stop its work then. */
  readonly signal: AbortSignal;
}

/** A whole answer, chunks of one in OpenAI's wire shape, or the bytes of an HTTP answer to pass on as they are. */
export type UpstreamReply =
  | { readonly kind: 'whole'; readonly body: JsonObject }
  | { readonly kind: 'chunks'; readonly chunks: AsyncIterable<JsonObject> }
  | { readonly kind: 'bytes'; readonly contentType: string; readonly body: AsyncIterable<Uint8Array> };
