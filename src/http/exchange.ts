import type { Cancellation } from '../base/cancellation.js';
import type { Pieces, StepStream } from '../base/steps.js';

/** One HTTP request as the core sees it. Adapters build it and do nothing else to it. @typeParam Native the host framework's own request. */
export interface GatewayRequest<Native = unknown> {
  readonly method: string;
  /** Path and query below the host's mount point, such as `/v1/models?limit=2`. */
  readonly url: string;
  /** Path that the host cut off before `url`, such as `/ai`; empty or absent where it cut off none. */
  readonly mountPath?: string | undefined;
  /** Header names in lower case, as Node gives them. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Aborts, with an `Error` as reason, when the client goes away: an `AbortSignal`, or a cheaper `createCancellation()`. */
  readonly signal: Cancellation;
  /**
   * The bytes as they arrive, or `{ parsed }` when the host's body parser read them first. Any async iterable will do; one
   * that is a `StepSource` too is read by calls, without a promise for each piece. Read at most once, a piece at a time;
   * leaving early keeps the connection open for the answer.
   */
  readonly body: Pieces<Uint8Array> | { readonly parsed: unknown };
  /** The host framework's own request (Express `req`, Koa `ctx`), for `identify` only. */
  readonly native: Native;
  /** The client's address, as the host knows it. */
  readonly address?: string | undefined;
}

/** The core's answer. Adapters write it out and add nothing. */
export interface GatewayResponse {
  readonly status: number;
  /** Names in lower case and values in turn, as `writeHead` takes them; a name may recur. A whole body has its `content-length`. */
  readonly headers: readonly string[];
  /** A whole body, or pieces to write as they come. */
  readonly body: string | Uint8Array | AnswerStream;
}

/**
 * An answer in pieces, to be iterated or, cheaper, read by calls. A stream of events tells an error in its last piece. Any other
 * answer has no words for one and fails: an adapter cuts the connection then, so that what was sent does not look complete.
 */
export type AnswerStream = StepStream<string | Uint8Array> & {
  /** Whether the piece that is being handed over is the last one. @default only the end tells */
  readonly isLast?: boolean | undefined;
};
