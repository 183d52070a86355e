import type { AnswerHandler, TransportExchange, TransportRequest } from '../transport.js';
import type { RequestHead } from './request-head.js';

/** The one that has an exchange now: the queue of those that wait for a connection, or a connection. */
export interface ExchangeCarrier {
  abort(exchange: Exchange, error: Error): void;
  resume(exchange: Exchange): void;
}

/** One request and its answer, wherever they are on their way. */
export class Exchange implements TransportExchange {
  readonly givesReads = true;
  readonly head: RequestHead;
  readonly handler: AnswerHandler;
  /** `undefined` once the exchange has ended. */
  carrier: ExchangeCarrier | undefined = undefined;
  private request: TransportRequest | undefined;

  constructor(request: TransportRequest, head: RequestHead, handler: AnswerHandler) {
    this.request = request;
    this.head = head;
    this.handler = handler;
  }

  /** Hands the request over, to be sent. It is kept no longer: its body may be large, and the answer long. */
  takeRequest(): TransportRequest {
    const { request } = this;
    if (request === undefined) throw new Error('Expected a request to be sent once');
    this.request = undefined;
    return request;
  }

  abort(error: Error): void {
    this.carrier?.abort(this, error);
  }

  resume(): void {
    this.carrier?.resume(this);
  }
}
