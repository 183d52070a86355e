import { createServer, type Server, type Socket } from 'node:net';
import type { AnswerHead, Transport, TransportFailure } from '../../src/upstreams/transport.js';
import { eventually, settleSockets, within } from './deadline.js';
import type { SeenAnswer } from './node-client.js';

/** An answer as our client saw it, and the connection it came over. */
export interface OwnAnswer extends Omit<SeenAnswer, 'isReusable'> {
  /** Absent where the answer was whole. */
  readonly failure: TransportFailure | undefined;
  /** Which connection it came over, counted from 0. */
  readonly connection: number;
}

/** Answers one request after the other with pieces of bytes, whatever they are, each in a read of its own. */
export class WireServer {
  readonly port: number;
  private readonly server: Server;
  private readonly sockets: Socket[] = [];
  private pieces: readonly Uint8Array[] = [];
  private onServed: (connection: number) => void = () => {};

  private constructor(server: Server) {
    this.server = server;
    const address = server.address();
    this.port = typeof address === 'object' && address !== null ? address.port : 0;
    server.on('connection', (socket) => {
      const connection = this.sockets.push(socket) - 1;
      socket.setNoDelay(true);
      socket.on('error', () => socket.destroy());
      socket.on('data', (request) => {
        if (request.includes('\r\n\r\n')) void this.serve(connection, socket);
      });
    });
  }

  static async start(): Promise<WireServer> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new WireServer(server);
  }

  /** Asks once over a transport to here, and answers with those pieces; then the connection ends, unless the answer did. */
  async seenBy(transport: Transport, method: string, pieces: readonly Uint8Array[]): Promise<OwnAnswer> {
    this.pieces = pieces;
    const served = new Promise<number>((resolve) => {
      this.onServed = resolve;
    });
    const view = new OwnView(transport, method);
    const connection = await within(served, 'the pieces to be sent');
    if (!view.isOver) this.sockets[connection]?.end();
    await within(view.over, 'the end of the answer');
    return view.seen(connection);
  }

  /** Rejects unless that connection is gone. */
  async isGone(connection: number): Promise<void> {
    await eventually(() => this.sockets[connection]?.destroyed !== false, `connection ${connection} to be closed`);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }

  private async serve(connection: number, socket: Socket): Promise<void> {
    for (const piece of this.pieces) {
      if (piece.length > 0) socket.write(piece);
      await settleSockets(2);
    }
    await settleSockets(1);
    this.onServed(connection);
  }
}

class OwnView {
  isOver = false;
  readonly over: Promise<void>;
  private head: AnswerHead | undefined;
  private readonly pieces: Buffer[] = [];
  private failure: TransportFailure | undefined;
  private reason = '';

  constructor(transport: Transport, method: string) {
    this.over = new Promise((resolve) => {
      const end = (): void => {
        if (this.isOver) throw new Error('An answer ended twice');
        this.isOver = true;
        resolve();
      };
      const request = { method, path: '/', headers: [], body: method === 'HEAD' ? undefined : new Uint8Array(0) };
      transport.dispatch(request, {
        onStart: () => {},
        onHead: (head) => {
          this.head = head;
        },
        onData: (piece) => {
          if (this.isOver) throw new Error('Bytes came after the end of an answer');
          this.pieces.push(Buffer.from(piece));
          return true;
        },
        onEnd: end,
        onFailed: (failure, error) => {
          this.failure = failure;
          this.reason = error.message;
          end();
        },
      });
    });
  }

  seen(connection: number): OwnAnswer {
    const { head, failure, reason } = this;
    const fields = head?.fields() ?? [];
    const headers = Array.from(
      { length: fields.length / 2 },
      (_, at) => [fields[2 * at] ?? '', fields[2 * at + 1] ?? ''] as const,
    );
    const end = failure === undefined ? 'whole' : head === undefined ? 'none' : 'cut';
    return { end, status: head?.status ?? 0, headers, body: Buffer.concat(this.pieces), failure, reason, connection };
  }
}
