import type { Dispatcher } from 'undici';
import type { AnswerHandler, AnswerHead, Transport, TransportFailure, TransportRequest } from './transport.js';

/** Bounds of the connections to one server. */
interface UndiciBounds {
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
}

/** Opens connections to one server over undici, which takes 160 ms to load: in the background, and only where it is used. */
export async function undiciTransport(origin: string, bounds: UndiciBounds): Promise<Transport> {
  const undici = await import('undici');
  const connector = undici.buildConnector({ timeout: bounds.connectTimeoutMs });
  const options = {
    pipelining: 1,
    headersTimeout: bounds.headersTimeoutMs,
    bodyTimeout: bounds.bodyTimeoutMs,
    connect: ((given, onConnected) =>
      connector(given, (...result: Parameters<typeof onConnected>) => {
        const [, socket] = result;
        if (socket !== null && socket !== undefined) markUse(socket);
        onConnected(...result);
      })) satisfies typeof connector,
  };
  const pool = new undici.Pool(origin, { ...options, connections: bounds.connections });
  return {
    dispatch(request, handler) {
      pool.dispatch(optionsOf(request), new UndiciHandler(handler));
    },
    dispatchFresh(request, handler) {
      const client = new undici.Client(origin, options);
      client.dispatch(optionsOf(request), new UndiciHandler(handler));
      void client.close().catch(() => {});
    },
  };
}

function optionsOf({ method, path, headers, body }: TransportRequest): Dispatcher.DispatchOptions {
  // undici takes iterables too; its types do not say so.
  return {
    method,
    path,
    headers: [...headers],
    body: (body ?? null) as NonNullable<Dispatcher.DispatchOptions['body']> | null,
  };
}

/** Bytes of TLS itself that may come after the handshake, before any answer: tickets for later sessions. */
const MAX_TICKET_BYTES = 4_096;

/** The part of a socket that tells whether it was used. */
interface UsedSocket {
  readonly bytesRead: number;
  /** True of TLS. */
  readonly encrypted?: boolean;
  prependListener(name: 'error', listener: (error: Error) => void): unknown;
}

/** Lets the error of a connection tell whether an answer had come over it before. */
function markUse(socket: UsedSocket): void {
  const unused = socket.encrypted === true ? socket.bytesRead + MAX_TICKET_BYTES : 0;
  socket.prependListener('error', (error) => Reflect.set(error, 'isReused', socket.bytesRead > unused));
}

/** Passes undici's older kind of handler on: the newer costs a wrapper and an object of headers for each call. */
class UndiciHandler implements Dispatcher.DispatchHandler {
  private readonly handler: AnswerHandler;

  constructor(handler: AnswerHandler) {
    this.handler = handler;
  }

  private resumeAnswer: (() => void) | undefined = undefined;

  onConnect(abort: (error?: Error) => void): void {
    this.handler.onStart({ abort, resume: () => this.resumeAnswer?.() });
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    if (status < 200) return true;
    this.resumeAnswer = resume;
    this.handler.onHead(new RawHead(status, raw));
    return true;
  }

  onData(piece: Buffer): boolean {
    return this.handler.onData(piece);
  }

  onComplete(): void {
    this.handler.onEnd();
  }

  onError(error: Error): void {
    this.handler.onFailed(failureOf(error), error);
  }
}

/** Headers in undici's own form, looked up one by one without making an object of all. */
class RawHead implements AnswerHead {
  readonly status: number;
  private readonly raw: readonly Buffer[];

  constructor(status: number, raw: readonly Buffer[]) {
    this.status = status;
    this.raw = raw;
  }

  get(name: string): string | undefined {
    for (let at = 0; at + 1 < this.raw.length; at += 2) {
      const found = this.raw[at];
      if (found?.length !== name.length || found.toString('latin1').toLowerCase() !== name) continue;
      return this.raw[at + 1]?.toString('latin1');
    }
    return undefined;
  }

  fields(): readonly string[] {
    return this.raw.map((bytes, at) =>
      at % 2 === 0 ? bytes.toString('latin1').toLowerCase() : bytes.toString('latin1'),
    );
  }
}

/** Codes of a connection that the other side closed. */
const CLOSED_CODES = new Set<unknown>(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

function failureOf(error: Error): TransportFailure {
  const code: unknown = Reflect.get(error, 'code');
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'silent';
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return 'unreachable';
  return CLOSED_CODES.has(code) && Reflect.get(error, 'isReused') === true ? 'stale' : 'broken';
}
