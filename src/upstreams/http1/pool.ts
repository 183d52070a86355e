import { type Clock, deadlines, holdingTimer } from '../../base/clock.js';
import { young } from '../../base/young.js';
import type { ServerAddress } from '../server-address.js';
import type { AnswerHandler, Transport, TransportRequest } from '../transport.js';
import { type Authorities, Connector } from './connect.js';
import { Connection, type ConnectionOwner } from './connection.js';
import { Exchange, type ExchangeCarrier } from './exchange.js';
import { type RequestHead, RequestHeads } from './request-head.js';

/** Bounds of the connections to one server. */
export interface PoolBounds {
  readonly connections: number;
  readonly connectTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
}

/** Largest read of a socket. */
const READ_BYTES = 65_536;
/** Longest rest of a connection whose server does not say how long it keeps it: many close after 5 s. */
const IDLE_MS = 4_000;
/** Longest rest of any connection. */
const MAX_IDLE_MS = 600_000;
/** Time by which a connection is given up before its server closes it: a request may be on its way then. */
const IDLE_MARGIN_MS = 1_000;
/** Age from which a connection serves no more: a name may have got another address. */
const MAX_AGE_MS = 600_000;
/** Time between two looks for connections that have rested too long. */
const SWEEP_MS = 1_000;

/** Connections over HTTP/1.1 to one server. Those that have served are kept for a while; the newest serves first, so that the others can go. */
export class Http1Transport implements Transport, ConnectionOwner, ExchangeCarrier {
  readonly connector: Connector;
  readonly buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  readonly connectTimes;
  readonly headTimes;
  readonly bodyTimes;
  private readonly clock: Clock;
  private readonly heads: RequestHeads;
  private readonly connections: number;
  private opened = 0;
  /** Those that are gone stay among them until the next look. */
  private resting: Connection[] = [];
  private readonly waiting = new Set<Exchange>();
  private isSweeping = false;
  /** Connections that carry something: while there are any, the timer holds the process. */
  private carrying = 0;
  private hold: NodeJS.Timeout | undefined = undefined;

  /** @throws {TypeError} for authorities that are no certificates. */
  constructor(address: ServerAddress, ca: Authorities | undefined, bounds: PoolBounds, clock: Clock) {
    this.clock = clock;
    this.connector = new Connector(address, ca);
    this.heads = new RequestHeads(address.host);
    this.connections = bounds.connections;
    this.connectTimes = deadlines(clock, bounds.connectTimeoutMs);
    this.headTimes = deadlines(clock, bounds.headersTimeoutMs);
    this.bodyTimes = deadlines(clock, bounds.bodyTimeoutMs);
  }

  dispatch(request: TransportRequest, handler: AnswerHandler): void {
    const exchange = this.begin(request, handler);
    if (exchange === undefined) return;
    // Those that wait come first.
    const connection = this.waiting.size > 0 ? undefined : this.takeResting();
    if (connection !== undefined) connection.carry(exchange);
    else if (this.opened < this.connections) this.open(exchange);
    else this.waiting.add(exchange);
  }

  dispatchFresh(request: TransportRequest, handler: AnswerHandler): void {
    const exchange = this.begin(request, handler);
    if (exchange !== undefined) this.open(exchange);
  }

  abort(exchange: Exchange, error: Error): void {
    this.waiting.delete(exchange);
    exchange.carrier = undefined;
    exchange.handler.onFailed('broken', error);
  }

  resume(): void {
    // Nothing has come that could have been paused.
  }

  onFree(connection: Connection): void {
    const now = this.clock.steadyMs();
    const { keepAliveMs, openedAt } = connection;
    const restMs = keepAliveMs === undefined ? IDLE_MS : Math.min(MAX_IDLE_MS, keepAliveMs - IDLE_MARGIN_MS);
    if (restMs <= 0 || now - openedAt > MAX_AGE_MS) {
      connection.close();
      return;
    }
    connection.restsUntil = now + restMs;
    this.resting.push(connection);
    this.sweepLater();
    // Not in this turn: bytes behind the answer may be there already, which must be nobody's.
    if (this.waiting.size > 0) setImmediate(this.serveNext);
  }

  /** Hands a connection that rests to the one that has waited longest. */
  private readonly serveNext = young((): void => {
    const connection = this.waiting.size > 0 ? this.takeResting() : undefined;
    if (connection === undefined) return;
    // A look at the others may have opened a connection for it.
    const [next] = this.waiting;
    if (next === undefined) {
      this.resting.push(connection);
      return;
    }
    this.waiting.delete(next);
    connection.carry(next);
  });

  onGone(): void {
    this.opened -= 1;
    if (this.opened === 0) {
      clearInterval(this.hold);
      this.hold = undefined;
    }
    const [next] = this.waiting;
    if (next === undefined || this.opened >= this.connections) return;
    this.waiting.delete(next);
    this.open(next);
  }

  onBusy(): void {
    this.carrying += 1;
    if (this.carrying > 1) return;
    this.hold ??= holdingTimer();
    this.hold.ref();
  }

  onIdle(): void {
    this.carrying -= 1;
    if (this.carrying === 0) this.hold?.unref();
  }

  /** @returns The exchange, unless it has ended already. */
  private begin(request: TransportRequest, handler: AnswerHandler): Exchange | undefined {
    let head: RequestHead;
    try {
      head = this.heads.headOf(request);
    } catch (error) {
      handler.onFailed('broken', error instanceof Error ? error : new Error('The request has no head.'));
      return undefined;
    }
    const exchange = new Exchange(request, head, handler);
    exchange.carrier = this;
    handler.onStart(exchange);
    // An abort within has left it to nobody.
    return exchange.carrier === this ? exchange : undefined;
  }

  private open(exchange: Exchange): void {
    try {
      const connection = new Connection(this, exchange);
      connection.openedAt = this.clock.steadyMs();
      this.opened += 1;
    } catch (error) {
      exchange.carrier = undefined;
      exchange.handler.onFailed('broken', error instanceof Error ? error : new Error('No socket was opened.'));
    }
  }

  private takeResting(): Connection | undefined {
    if (this.resting.length === 0) return undefined;
    const now = this.clock.steadyMs();
    for (let newest = this.resting.pop(); newest !== undefined; newest = this.resting.pop()) {
      if (newest.isAlive && newest.restsUntil > now) return newest;
      newest.close();
    }
    return undefined;
  }

  /** One timer for all connections, and none while nothing rests. */
  private sweepLater(): void {
    if (this.isSweeping) return;
    this.isSweeping = true;
    this.clock.setTimer(() => {
      this.isSweeping = false;
      this.sweep();
      if (this.resting.length > 0) this.sweepLater();
    }, SWEEP_MS);
  }

  /** Closes what has rested too long, and forgets what is closed: once for all, as thousands may have come to rest together. */
  private sweep(): void {
    const now = this.clock.steadyMs();
    const over: Connection[] = [];
    this.resting = this.resting.filter((connection) => {
      const { isAlive, restsUntil } = connection;
      const stays = isAlive && restsUntil > now;
      if (!stays) over.push(connection);
      return stays;
    });
    for (const connection of over) connection.close();
  }
}
