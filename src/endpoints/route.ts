import type { Work } from '../base/work.js';
import type { Exchange } from '../call/exchange.js';
import type { GatewayResponse } from '../http/exchange.js';
import type { ForwardOperation, ObjectKind } from '../wire/operations.js';

/** Answers a request whose route is found and whose caller is known. */
export type RouteHandler = (exchange: Exchange) => Work<GatewayResponse>;

/** The rule for a route: its credential, its counting, its answer. */
export interface Route {
  /** The credential that opens it: a key, or the admin's secret, which opens nothing else. */
  readonly opens: 'key' | 'admin';
  /**
   * How the handler meters it. `call`: limited by requests, tokens and money, recorded, and repeated for an `Idempotency-Key`.
   * `question`, about work that was paid for: limited and recorded, but at no tokens. `nothing`: the gateway answers by itself.
   */
  readonly counts: 'call' | 'question' | 'nothing';
  readonly answer: RouteHandler;
}

/** One row of the route table. */
export interface RouteRow extends Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Segments below `/v1`. `{id}` takes one; a last `*` takes all that follow, slashes and all: model ids may hold them. */
  readonly segments: readonly string[];
}

/** A request that is passed on, and whose objects it may touch. */
export interface ForwardRule {
  readonly operation: ForwardOperation;
  /** Kind of the object that the `{id}` of the path names: the caller's own, or it is not there. */
  readonly owned?: ObjectKind;
  /**
   * `list`: only the caller's own are shown. `object`: the objects that the answer tells of are the caller's from then on.
   * `delete`: no longer. `bytes`: nothing of the kind, the answer passes unread.
   */
  readonly answer: 'list' | 'object' | 'delete' | 'bytes';
  /** Kind of the listed or created objects. */
  readonly makes?: ObjectKind;
}
