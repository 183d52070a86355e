import { createServer, type Server, type Socket } from 'node:net';
import { everyAnswer } from '../conformance/every-answer.js';
import { settleSockets } from './deadline.js';
import { incomingRequests, type ParsedRequest } from './incoming-requests.js';

/** One thing the upstream does with the connection. Bytes are literal: head, framing and all. */
export type Step =
  | { readonly kind: 'send'; readonly bytes: string | Uint8Array }
  | { readonly kind: 'wait'; readonly until: PromiseLike<unknown> }
  | { readonly kind: 'do'; readonly action: () => void }
  /** RST: what a crashed peer or a firewall does. */
  | { readonly kind: 'reset' }
  /** FIN: we say no more, and hear no more. */
  | { readonly kind: 'end' }
  /** Nothing more, until the peer gives up. */
  | { readonly kind: 'stall' };

export interface SeenRequest extends ParsedRequest {
  /** Which connection it came over, counted from 0. */
  readonly connection: number;
  /** Resolves when the connection it came over is gone. */
  readonly closed: Promise<void>;
  json(): Record<string, unknown>;
}

/** What to do with a request; `index` counts requests from 0. Steps may come one by one, as a generator gives them. */
export type Script = (request: SeenRequest, index: number) => Iterable<Step> | AsyncIterable<Step>;

export interface ScriptedUpstream {
  readonly origin: string;
  /** `origin` with `/v1`. */
  readonly baseUrl: string;
  readonly requests: readonly SeenRequest[];
  /** How many connections were ever made. */
  connections(): number;
  /** How many connections are open now. */
  openConnections(): number;
  /** From the next request on, this script instead. */
  answerWith(script: Script): void;
  /** Resolves with the request of that index, arrived or still to come. */
  request(index: number): Promise<SeenRequest>;
  close(): Promise<void>;
}

/** An HTTP/1.1 server over bare sockets that does to each request exactly what the script says. */
export async function scriptedUpstream(firstScript: Script): Promise<ScriptedUpstream> {
  let script = firstScript;
  const requests: SeenRequest[] = [];
  const waiting: { readonly index: number; readonly resolve: (request: SeenRequest) => void }[] = [];
  const sockets = new Set<Socket>();
  let connections = 0;

  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    const connection = connections;
    connections += 1;
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => {
        sockets.delete(socket);
        resolve();
      });
    });
    socket.on('error', () => socket.destroy());
    socket.once('end', () => socket.destroy());
    void serve(socket, connection, closed);
  });

  async function serve(socket: Socket, connection: number, closed: Promise<void>): Promise<void> {
    for await (const parsed of incomingRequests(socket)) {
      const seen: SeenRequest = { ...parsed, connection, closed, json: () => JSON.parse(parsed.body) };
      const index = requests.push(seen) - 1;
      for (const waiter of waiting.filter((one) => one.index === index)) waiter.resolve(seen);
      const said = everyAnswer.upstreamAnswers();
      for await (const step of script(seen, index)) {
        if (socket.destroyed) break;
        if (step.kind === 'send') said(step.bytes);
        await perform(step, socket, closed);
      }
    }
  }

  const port = await listen(server);
  const origin = `http://127.0.0.1:${port}`;
  return {
    origin,
    baseUrl: `${origin}/v1`,
    requests,
    connections: () => connections,
    openConnections: () => sockets.size,
    answerWith: (next) => {
      script = next;
    },
    request: (index) => {
      const there = requests[index];
      return there === undefined ? new Promise((resolve) => waiting.push({ index, resolve })) : Promise.resolve(there);
    },
    close: async () => {
      const gone = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await gone;
    },
  };
}

async function perform(step: Step, socket: Socket, closed: Promise<void>): Promise<void> {
  switch (step.kind) {
    case 'send':
      if (step.bytes.length === 0) return;
      await Promise.race([new Promise<void>((resolve) => socket.write(step.bytes, () => resolve())), closed]);
      // Each step's bytes reach the reader as a piece of their own.
      return settleSockets();
    case 'wait':
      await Promise.race([step.until, closed]);
      return;
    case 'do':
      step.action();
      return;
    case 'reset':
      socket.resetAndDestroy();
      return closed;
    case 'end':
      socket.end();
      return closed;
    case 'stall':
      return closed;
  }
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
}
