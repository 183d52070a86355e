import { X509Certificate } from 'node:crypto';
import { connect as connectPlain, isIP, type Socket } from 'node:net';
import { connect as connectSecure, createSecureContext, type SecureContext } from 'node:tls';
import type { ServerAddress } from '../server-address.js';

/** Certificates of authorities, in PEM. */
export type Authorities = string | Uint8Array | readonly (string | Uint8Array)[];

/** The receiver of all bytes that a socket reads. */
export interface SocketReader {
  /** Memory for every read, which is over when `onRead` returns. */
  readonly buffer: Buffer;
  /** @returns Whether to read on. */
  onRead(size: number): boolean;
}

const KEEP_ALIVE_PROBE_MS = 60_000;

/** Opens sockets to one server. Over TLS a session is resumed where the server allows it, which saves the check of certificates. */
export class Connector {
  private readonly address: ServerAddress;
  /** Made once: that takes milliseconds. */
  private readonly context: SecureContext | undefined;
  private session: Buffer | undefined = undefined;

  /** @param ca authorities that are trusted instead of those that Node trusts. @throws {TypeError} if they are no certificates. */
  constructor(address: ServerAddress, ca: Authorities | undefined) {
    this.address = address;
    this.context = address.isSecure ? createSecureContext(ca === undefined ? {} : { ca: checked(ca) }) : undefined;
  }

  /** @param onOpen called once the socket can be written to; if that fails, the socket's `error` tells. */
  open(reader: SocketReader, onOpen: () => void): Socket {
    const { hostname: host, port, socketPath } = this.address;
    const options = {
      ...(socketPath === undefined ? { host, port, autoSelectFamily: true } : { path: socketPath }),
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
      onread: { buffer: reader.buffer, callback: (size: number) => reader.onRead(size) },
    };
    if (this.context === undefined) return connectPlain(options, onOpen);
    const secure = {
      ...options,
      secureContext: this.context,
      // An address is no name for SNI; certificates are checked against it all the same.
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(this.session === undefined ? {} : { session: this.session }),
      ALPNProtocols: ['http/1.1'],
    };
    const socket = connectSecure(secure, onOpen);
    socket.on('session', (session: Buffer) => {
      this.session = session;
    });
    socket.once('error', () => {
      this.session = undefined;
    });
    return socket;
  }
}

function checked(ca: Authorities): string[] {
  const each: readonly unknown[] = Array.isArray(ca) ? ca : [ca];
  return each.map((one) => {
    const text = one instanceof Uint8Array ? Buffer.from(one).toString('latin1') : one;
    // Node takes any text for a list of certificates, and trusts nobody then.
    if (typeof text !== 'string' || !isCertificate(text))
      throw new TypeError('Expected `ca` to be certificates in PEM');
    return text;
  });
}

function isCertificate(text: string): boolean {
  try {
    new X509Certificate(text);
    return text.includes('-----BEGIN');
  } catch {
    return false;
  }
}
