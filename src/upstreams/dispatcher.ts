import type { AnswerHandler, AnswerHead, Transport, TransportFailure, TransportRequest } from './transport.js';

/** The part of undici's `Dispatcher`, of version 7 or 8, that is used: of an `Agent`, `Pool`, `ProxyAgent`, `MockAgent` and so on. */
export interface HttpDispatcher {
  /** Sends one request: `headers` are names and values in turn, `body` is `null`, bytes or pieces of bytes. */
  dispatch(
    options: {
      readonly origin?: unknown;
      readonly path: string;
      readonly method: string;
      readonly headers?: unknown;
      readonly body?: unknown;
      readonly headersTimeout?: number | null | undefined;
      readonly bodyTimeout?: number | null | undefined;
    },
    handler: {
      onRequestStart(controller: DispatchController, context: unknown): void;
      onResponseStart(controller: DispatchController, status: number, headers: DispatchedHeaders): void;
      onResponseData(controller: DispatchController, piece: Buffer): void;
      onResponseEnd(controller: DispatchController, trailers: unknown): void;
      onResponseError(controller: DispatchController, error: Error): void;
    },
  ): boolean;
}

/** The way to one request that a dispatcher has sent. */
export interface DispatchController {
  abort(reason: Error): void;
  pause(): void;
  resume(): void;
}

/** Header values by names in lower case. */
export type DispatchedHeaders = Readonly<Record<string, string | readonly string[] | undefined>>;

type DispatchHandler = Parameters<HttpDispatcher['dispatch']>[1];

/** Longest waits, which are told to the dispatcher with each request. */
interface DispatchTimes {
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
}

/** Sends requests to one server over the host's dispatcher. Connections, and whether anything is tried again, are the dispatcher's. */
export function dispatcherTransport(dispatcher: HttpDispatcher, origin: string, times: DispatchTimes): Transport {
  function dispatch({ method, path, headers, body }: TransportRequest, handler: AnswerHandler): void {
    const request = { origin, method, path, headers: [...headers], body: body ?? null };
    const timeouts = { headersTimeout: times.headersTimeoutMs, bodyTimeout: times.bodyTimeoutMs };
    const receiver = new DispatchReceiver(handler);
    try {
      dispatcher.dispatch({ ...request, ...timeouts }, receiver);
    } catch (error) {
      receiver.fail(error);
    }
  }
  return { dispatch, dispatchFresh: dispatch };
}

class DispatchReceiver implements DispatchHandler {
  private readonly handler: AnswerHandler;
  private isOver = false;

  constructor(handler: AnswerHandler) {
    this.handler = handler;
  }

  onRequestStart(controller: DispatchController): void {
    this.handler.onStart(controller);
  }

  onResponseStart(_controller: DispatchController, status: number, headers: DispatchedHeaders): void {
    if (status >= 200) this.handler.onHead(new DispatchedHead(status, headers));
  }

  onResponseData(controller: DispatchController, piece: Buffer): void {
    if (piece.length > 0 && !this.handler.onData(piece)) controller.pause();
  }

  onResponseEnd(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.handler.onEnd();
  }

  onResponseError(_controller: DispatchController, error: Error): void {
    this.fail(error);
  }

  fail(thrown: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    const error = thrown instanceof Error ? thrown : new Error('The dispatcher failed.', { cause: thrown });
    this.handler.onFailed(failureOf(error), error);
  }
}

class DispatchedHead implements AnswerHead {
  readonly status: number;
  private readonly headers: DispatchedHeaders;

  constructor(status: number, headers: DispatchedHeaders) {
    this.status = status;
    this.headers = headers;
  }

  get contentLength(): number | undefined {
    const value = this.get('content-length');
    return value === undefined ? undefined : Number(value);
  }

  get isCoded(): boolean {
    return this.get('content-encoding') !== undefined;
  }

  get(name: string): string | undefined {
    const value = this.headers[name];
    return typeof value === 'object' ? value[0] : value;
  }

  fields(): readonly string[] {
    return Object.entries(this.headers).flatMap(([name, value = []]) => [value].flat().flatMap((one) => [name, one]));
  }
}

/** Kinds of failure by undici's codes. Whether a connection was used before cannot be told from outside, so none is `stale`. */
function failureOf(error: Error): TransportFailure {
  const code: unknown = Reflect.get(error, 'code');
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'silent';
  return code === 'UND_ERR_CONNECT_TIMEOUT' ? 'unreachable' : 'broken';
}
