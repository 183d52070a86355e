import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { eventually } from './deadline.js';

/** A server that says on each connection what a test says, when it says so. */
export interface RawServer {
  readonly port: number;
  /** Connections in the order in which they were made. */
  readonly sockets: readonly Socket[];
  /** What came over each of them so far, without what came after a megabyte, one character for each byte. */
  readonly heard: readonly string[];
  /** The connection of that index, made or still to come. */
  connection(index: number): Promise<Socket>;
  close(): Promise<void>;
}

/** Called with each connection, and with each piece that comes over it. */
export interface RawBehaviour {
  onConnection?(socket: Socket, index: number): void;
  /** @param heard All that came over the connection so far, one character for each byte. */
  onData?(socket: Socket, heard: string, index: number): void;
}

/** So much of a connection is kept, and what comes in one read with it. */
const MAX_HEARD = 1_000_000;

/** Begins a server, by default of connections that stay half open when the other side ends them. */
export async function rawServer(
  behaviour: RawBehaviour,
  where: ListenOptions = { port: 0, host: '127.0.0.1' },
  server: Server = createServer({ allowHalfOpen: true, noDelay: true }),
  event: 'connection' | 'secureConnection' = 'connection',
): Promise<RawServer> {
  const sockets: Socket[] = [];
  const heard: string[] = [];
  server.on(event, (socket: Socket) => {
    const index = sockets.push(socket) - 1;
    heard.push('');
    socket.on('error', () => {});
    socket.on('data', (piece: Buffer) => {
      if ((heard[index]?.length ?? 0) < MAX_HEARD) heard[index] += piece.toString('latin1');
      behaviour.onData?.(socket, heard[index] ?? '', index);
    });
    behaviour.onConnection?.(socket, index);
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(where, resolve));
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    sockets,
    heard,
    async connection(index) {
      await eventually(() => sockets.length > index, `connection ${index}`);
      const found = sockets[index];
      if (found === undefined) throw new Error('It was there a moment ago');
      return found;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
