import type { Awaitable } from '../../base/awaitable.js';
import { errorBody, type GatewayError } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import type { UsageRecord } from '../../usage/usage-store.js';
import { DONE_EVENT, sseEvent } from '../../wire/sse.js';
import type { WatchedStream } from '../../wire/watched-stream.js';

type Piece = string | Uint8Array;

/** How the client sees an answer, where that is not the answer itself; made anew for each call. */
export interface Presentation {
  /** The stream has begun: what is known of it grows as its pieces come. */
  begin?(stream: WatchedStream): void;
  /** A whole answer, before it is given away. */
  whole(body: Piece): Awaitable<Piece>;
  /** Some whole events of a stream; `undefined` when nothing is to be shown of them. */
  piece(piece: Piece): Awaitable<Piece | undefined>;
  /** What ends a good stream. */
  end(record: UsageRecord): Awaitable<string>;
  /** What ends any other. @param debug what `X-Debug` shows */
  error(error: GatewayError, debug: object | undefined): Awaitable<string>;
  /**
   * The call is made in the background, and the client is answered with this.
   * @throws {GatewayError} 503 when it could not come back for it.
   */
  queued?(body: JsonObject): Awaitable<void>;
  /** There is no answer, and nobody waits for it: the call was made in the background. */
  failed?(error: GatewayError): Awaitable<void>;
  /** Nothing more is to be kept of the call; resolves when nothing is. */
  drop?(): Awaitable<void>;
}

/** Chat completions and their like as they are. */
export const AS_IT_IS: Presentation = {
  whole: (body) => body,
  piece: (piece) => piece,
  end: () => DONE_EVENT,
  error(error, debug) {
    const body = errorBody(error);
    return sseEvent(debug === undefined ? body : { error: { ...body.error, debug } });
  },
};
