import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { everyAnswer } from '../conformance/every-answer.js';
import { eventually } from './deadline.js';

/** A request as it arrives, whole or cut off. */
export interface Arrival {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they stood on the wire. */
  readonly rawHeaders: readonly string[];
  /** What has arrived of the body so far. */
  body(): Buffer;
  /** Whether all of it arrived. */
  isWhole(): boolean;
  /** Whether its connection is gone. */
  isGone(): boolean;
}

export interface HttpUpstream {
  readonly origin: string;
  /** `origin` with `/v1`. */
  readonly baseUrl: string;
  /** Requests in the order in which their heads arrived. */
  readonly arrivals: readonly Arrival[];
  /** The arrival of that index, arrived or still to come. */
  arrival(index: number): Promise<Arrival>;
  answerWith(answer: Answer): void;
  close(): Promise<void>;
}

/** Called when a request has arrived whole; with `atOnce` already at its head. */
export type Answer = ((arrival: Arrival, res: ServerResponse) => unknown) & { readonly atOnce?: boolean };

/** A server on Node's own HTTP, where exact bytes of answers do not matter and bodies are large, binary or cut off. */
export async function httpUpstream(firstAnswer: Answer): Promise<HttpUpstream> {
  let answer = firstAnswer;
  const arrivals: Arrival[] = [];

  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    const pieces: Buffer[] = [];
    let whole = false;
    let gone = false;
    const arrival: Arrival = {
      method: req.method ?? '',
      url: req.url ?? '',
      headers: req.headers,
      rawHeaders: req.rawHeaders,
      body: () => Buffer.concat(pieces),
      isWhole: () => whole,
      isGone: () => gone,
    };
    arrivals.push(arrival);
    req.on('data', (piece: Buffer) => void pieces.push(piece));
    req.on('error', () => {});
    res.on('error', () => {});
    res.on('close', () => {
      gone = !res.writableFinished;
    });
    req.on('end', () => {
      whole = true;
      if (answer.atOnce !== true) answer(arrival, res);
    });
    if (answer.atOnce === true) answer(arrival, res);
  };
  const server = createServer(everyAnswer.overheard(listener));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const origin = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    origin,
    baseUrl: `${origin}/v1`,
    arrivals,
    async arrival(index) {
      await eventually(() => arrivals.length > index, `request ${index} to reach the upstream`);
      const found = arrivals[index];
      if (found === undefined) throw new Error('It was there a moment ago');
      return found;
    },
    answerWith(next) {
      answer = next;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** An answer with JSON. */
export function jsonAnswer(res: ServerResponse, body: unknown, status = 200): void {
  const text = JSON.stringify(body);
  res.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  res.end(text);
}

/** An error in OpenAI's shape. */
export function errorAnswer(res: ServerResponse, status: number, message: string): void {
  jsonAnswer(res, { error: { message, type: 'invalid_request_error', param: null, code: null } }, status);
}
