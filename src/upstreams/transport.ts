/** Connections to one server, over which requests go. */
export interface Transport {
  /** Sends one request and tells its handler how that ended, once. Never throws: what cannot be sent has failed. */
  dispatch(request: TransportRequest, handler: AnswerHandler): void;
  /** Sends as `dispatch` does, over a connection that nobody has used before, where the transport can tell. */
  dispatchFresh(request: TransportRequest, handler: AnswerHandler): void;
}

/** One request as a transport takes it. */
export interface TransportRequest {
  readonly method: string;
  /** Path and query, from the first slash. */
  readonly path: string;
  /**
   * Names and values in turn. The transport adds the host, and tells where the body ends; a `content-length` among them is that of
   * pieces whose sum is known.
   */
  readonly headers: readonly string[];
  /** Bytes, or pieces that are read at most once and as slowly as the server takes them. They must not change before the answer's end. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array> | undefined;
}

/** The way to one request that was dispatched. Once the request has ended, its methods do nothing. */
export interface TransportExchange {
  /** Whether each `onData` brings all that one read of the connection brought, so that no more comes in the same turn. @default false */
  readonly givesReads?: boolean;
  /** Ends the exchange; its connection is given up unless it can serve another. The handler hears `onFailed` with that error. */
  abort(error: Error): void;
  /** Reads on after `onData` returned false. */
  resume(): void;
}

/** The receiver of one answer. Each answer ends with one call of `onEnd` or `onFailed`, and nothing comes after it. */
export interface AnswerHandler {
  /** Hands over the way to the request; again for a request that is dispatched again. Called within `dispatch`, or once there is a connection. */
  onStart(exchange: TransportExchange): void;
  /** The head of the final answer; those of 1xx are kept from the handler. */
  onHead(head: AnswerHead): void;
  /**
   * The next bytes of the body, never none, without the framing. They are good until `onData` returns: who keeps them makes a copy.
   * @returns Whether more may come before `resume`; a little more may come all the same.
   */
  onData(piece: Buffer): boolean;
  /** The body has come to its proper end. */
  onEnd(): void;
  /** The request could not be sent, or there is no whole answer. */
  onFailed(failure: TransportFailure, error: Error): void;
}

/**
 * Kinds of failure. `stale`: a connection that had served before ended without a byte of this answer, as servers end those that were
 * idle, so that the request may never have arrived. `unreachable`: no connection in time. `silent`: no head, or nothing more of the
 * body, in time. `malformed`: not clean HTTP. `broken`: all else, an abort as well.
 */
export type TransportFailure = 'stale' | 'unreachable' | 'silent' | 'malformed' | 'broken';

/** The head of an answer. Its fields are read when they are asked for. */
export interface AnswerHead {
  readonly status: number;
  /** Bytes of the body, as the head tells them. */
  readonly contentLength: number | undefined;
  /** Whether there is a `content-encoding`. */
  readonly isCoded: boolean;
  /** The first value of a name that is given in lower case. */
  get(name: string): string | undefined;
  /** Names, in lower case, and values in turn. */
  fields(): readonly string[];
}
