import type { Socket } from 'node:net';
import { bufferOf } from '../../base/bytes.js';
import type { Deadlines, Timed } from '../../base/clock.js';
import { young } from '../../base/young.js';
import type { TransportFailure } from '../transport.js';
import type { Http1Head } from './answer-head.js';
import { AnswerParser, type AnswerParts } from './answer-parser.js';
import { BodySender, type SendingWatch } from './body-sender.js';
import type { Connector, SocketReader } from './connect.js';
import type { Exchange, ExchangeCarrier } from './exchange.js';

/** The one that connections belong to. */
export interface ConnectionOwner {
  readonly connector: Connector;
  /** Memory for the reads of all connections: each read is over before the next begins. */
  readonly buffer: Buffer;
  readonly connectTimes: Deadlines;
  readonly headTimes: Deadlines;
  readonly bodyTimes: Deadlines;
  /** A connection carries something: the process must live for it. */
  onBusy(): void;
  /** It carries nothing any more. */
  onIdle(): void;
  /** The connection has served, and can serve again. */
  onFree(connection: Connection): void;
  /** A connection serves nobody any more. */
  onGone(): void;
}

/** Requests below this size go out in one write, head and body; latin1 has a character for every byte. */
const ONE_WRITE_BYTES = 16_384;

/** Full reads in a row after which others have their turn: Node would go on with 32 of them, two megabytes, before anybody else. */
const MAX_FULL_READS = 2;

/** Codes of a connection that the other side closed. */
const CLOSED_CODES = new Set<unknown>([undefined, 'ECONNRESET', 'EPIPE']);

/** One connection, which carries one exchange at a time. */
export class Connection implements SocketReader, AnswerParts, SendingWatch, ExchangeCarrier, Timed {
  readonly buffer: Buffer;
  /** Time for which the server keeps it when idle, as far as it said. */
  keepAliveMs: number | undefined = undefined;
  openedAt = 0;
  /** Time at which it is given up, if it still rests then. */
  restsUntil = 0;
  dueAt = 0;
  older: Timed | undefined = undefined;
  newer: Timed | undefined = undefined;
  private readonly owner: ConnectionOwner;
  private readonly socket: Socket;
  private readonly parser = new AnswerParser(this);
  private exchange: Exchange | undefined;
  private sender: BodySender | undefined = undefined;
  private head: Http1Head | undefined = undefined;
  private runningTimes: Deadlines | undefined = undefined;
  private isLate = false;
  private isOpen = false;
  private isGone = false;
  private isPaused = false;
  private fullReads = 0;
  /** Whether an answer had come before the present exchange, and whether a byte has come since it began. */
  private hasServed = false;
  private hasAnswer = false;

  /** Opens a connection, for that exchange first. */
  constructor(owner: ConnectionOwner, exchange: Exchange) {
    this.owner = owner;
    this.buffer = owner.buffer;
    this.exchange = exchange;
    this.socket = owner.connector.open(this, () => this.onOpen(exchange));
    this.socket.on('end', () => this.onEnd());
    this.socket.on('error', (error) => this.onClosed(error));
    this.socket.on('close', () => this.onClosed(new Error('The connection closed.')));
    this.socket.on('drain', () => this.sender?.onDrain());
    exchange.carrier = this;
    owner.onBusy();
    this.start(owner.connectTimes);
  }

  /** Whether it can carry a request. A socket is destroyed before it tells its error; its end is heard by `onEnd`. */
  get isAlive(): boolean {
    return !this.isGone && !this.socket.destroyed;
  }

  /** Carries the exchange. To be called of a connection that is free. */
  carry(exchange: Exchange): void {
    exchange.carrier = this;
    this.exchange = exchange;
    this.owner.onBusy();
    this.send(exchange);
  }

  /** Ends a connection that carries nothing. */
  close(): void {
    if (this.isGone) return;
    this.destroy();
    this.owner.onGone();
  }

  abort(exchange: Exchange, error: Error): void {
    if (this.exchange === exchange) this.fail('broken', error);
  }

  resume(exchange: Exchange): void {
    if (this.exchange !== exchange || !this.isPaused) return;
    this.isPaused = false;
    this.start(this.owner.bodyTimes);
    this.socket.resume();
  }

  onRead(size: number): boolean {
    const { exchange, parser } = this;
    if (exchange === undefined) {
      // Nobody asked for these bytes, so nobody may take them for an answer.
      this.close();
      return false;
    }
    this.hasAnswer = true;
    const read = this.sender?.isUnsent === true ? 'an answer before the request' : this.read(size);
    if (this.exchange !== exchange) return false;
    if (typeof read === 'string') {
      this.fail('malformed', new Error(`The server sent ${read}.`));
      return false;
    }
    if (parser.isOver) {
      this.finish(exchange, read === size);
      return !this.isGone;
    }
    if (this.isPaused) this.stop();
    else if (this.head !== undefined) this.start(this.owner.bodyTimes);
    return !this.isPaused && !this.givesTurn(size);
  }

  /** Whether to read on in a later turn. */
  private givesTurn(size: number): boolean {
    this.fullReads = size < this.buffer.length ? 0 : this.fullReads + 1;
    if (this.fullReads < MAX_FULL_READS) return false;
    this.fullReads = 0;
    setImmediate(this.readOn);
    return true;
  }

  private readonly readOn = young((): void => {
    if (!this.isGone && !this.isPaused) this.socket.resume();
  });

  onHead(head: Http1Head): void {
    this.head = head;
    this.exchange?.handler.onHead(head);
  }

  onBody(piece: Buffer): void {
    // Over TLS several reads may follow one that paused: whatever is said of those, nothing more is read before `resume`.
    if (this.exchange?.handler.onData(piece) === false) this.isPaused = true;
  }

  onServerSlow(isSlow: boolean): void {
    if (this.head !== undefined) return;
    if (isSlow) this.start(this.owner.headTimes);
    else this.stop();
  }

  onSent(): void {
    this.sender = undefined;
    if (this.head === undefined) this.start(this.owner.headTimes);
  }

  onBroken(error: Error): void {
    this.fail('broken', error);
  }

  /** Its time is up, unless it was this process that was late: bytes that have come meanwhile are read first. */
  ring(): void {
    this.runningTimes = undefined;
    this.isLate = true;
    setImmediate(() => {
      if (!this.isLate) return;
      const failure = this.isOpen ? 'silent' : 'unreachable';
      this.fail(failure, new Error(this.isOpen ? 'The server was silent too long.' : 'No connection in time.'));
    });
  }

  private onOpen(exchange: Exchange): void {
    this.isOpen = true;
    // Its owner holds the process while anything is carried: a word to the socket for every exchange costs more.
    this.socket.unref();
    if (this.exchange === exchange) this.send(exchange);
  }

  private send(exchange: Exchange): void {
    const { socket } = this;
    const { head } = exchange;
    const { method, body } = exchange.takeRequest();
    const { text } = head;
    this.head = undefined;
    this.hasAnswer = false;
    this.isPaused = false;
    this.parser.begin(method);
    if (body === undefined) socket.write(`${text}\r\n`, 'latin1');
    else if (!(body instanceof Uint8Array)) {
      this.stop();
      this.sender = new BodySender(socket, head, body, this);
      this.sender.start();
      return;
    } else if (body.byteLength < ONE_WRITE_BYTES) {
      socket.write(`${text}\r\n${bufferOf(body).toString('latin1')}`, 'latin1');
    } else {
      socket.cork();
      socket.write(`${text}\r\n`, 'latin1');
      socket.write(body);
      socket.uncork();
    }
    this.start(this.owner.headTimes);
  }

  /** Reads the bytes that have come. A handler that throws is no reason to lose the connection, or the process. */
  private read(size: number): number | string {
    try {
      return this.parser.read(this.buffer, size);
    } catch (error) {
      this.fail('broken', error instanceof Error ? error : new Error('The answer was not taken.', { cause: error }));
      return size;
    }
  }

  /** The server says no more: the end of an answer that has no other end. */
  private onEnd(): void {
    const { exchange } = this;
    if (exchange !== undefined && this.hasAnswer && this.parser.end()) this.finish(exchange, false);
    else this.onClosed(new Error('The server closed the connection.'));
  }

  private onClosed(error: Error): void {
    const isStale = this.hasServed && !this.hasAnswer && CLOSED_CODES.has(Reflect.get(error, 'code'));
    if (this.exchange === undefined) this.close();
    else this.fail(isStale ? 'stale' : 'broken', error);
  }

  /** The answer has come to its end. What it leaves behind decides whether the connection can be used again. */
  private finish(exchange: Exchange, isClean: boolean): void {
    const { framing } = this.head ?? {};
    const isFree =
      isClean && framing?.closes === false && this.sender === undefined && this.socket.writableLength === 0;
    this.keepAliveMs = framing?.keepAliveMs;
    this.hasServed = true;
    this.letGo(exchange);
    if (isFree) {
      // The end may have come behind a read that paused, and nobody else would read on.
      if (this.isPaused) this.socket.resume();
      this.owner.onFree(this);
    } else this.destroy();
    exchange.handler.onEnd();
    if (!isFree) this.owner.onGone();
  }

  private fail(failure: TransportFailure, error: Error): void {
    const { exchange } = this;
    if (exchange === undefined) return;
    this.letGo(exchange);
    this.destroy();
    exchange.handler.onFailed(failure, error);
    this.owner.onGone();
  }

  private letGo(exchange: Exchange): void {
    this.stop();
    this.owner.onIdle();
    exchange.carrier = undefined;
    this.exchange = undefined;
    this.sender?.leave();
    this.sender = undefined;
  }

  private destroy(): void {
    this.isGone = true;
    this.socket.destroy();
  }

  private start(times: Deadlines): void {
    this.stop();
    this.runningTimes = times;
    times.start(this);
  }

  private stop(): void {
    this.runningTimes?.cancel(this);
    this.runningTimes = undefined;
    this.isLate = false;
  }
}
