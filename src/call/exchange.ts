import { AsyncResource } from 'node:async_hooks';
import { type Awaitable, isPending } from '../base/awaitable.js';
import type { Cancellation } from '../base/cancellation.js';
import type { Clock } from '../base/clock.js';
import { there, Waiting, type Work } from '../base/work.js';
import type { GatewayRequest } from '../http/exchange.js';
import { type BodyHolder, type BodyReader, collectBody, readBody } from '../http/read-body.js';
import type { ApiKey } from '../keys/key-store.js';
import type { KeyPlan } from '../limits/key-plan.js';
import type { Slot } from '../limits/limiter-store.js';
import { refusalError } from '../limits/refusal.js';
import { checkRequest } from './admit.js';
import type { Running } from './running.js';
import type { GatewayState } from './state.js';

/** Milliseconds each phase of a request took, in order. */
export interface Phases {
  /** Ends the phase that runs; the next begins. */
  mark(phase: string): void;
  readonly done: readonly (readonly [phase: string, durationMs: number])[];
}

function startPhases(clock: Clock): Phases {
  let since = clock.steadyMs();
  const done: [string, number][] = [];
  return {
    mark(phase) {
      const now = clock.steadyMs();
      done.push([phase, now - since]);
      since = now;
    },
    done,
  };
}

/** A place tells nobody when it comes free: a second, as with the limiter's. */
const PLACE_WAIT_MS = 1_000;

/** Largest body that is counted by its bytes alone. */
const COUNTED_ONCE_BYTES = 262_144;

/** Largest body that is read before the limiter is asked: to ask it twice costs more. */
const SMALL_BYTES = 1_048_576;

function mayBeLarge({ headers }: GatewayRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > SMALL_BYTES;
}

/** One request and its answer to be. */
export class Exchange implements BodyHolder, BodyReader {
  readonly request: GatewayRequest;
  readonly state: GatewayState;
  readonly requestId: string;
  /** The host's asynchronous context, in which its hooks and stores are called: sockets and timers have that of whoever came first. */
  readonly context = new AsyncResource('MEGALLM_REQUEST');
  /** Path below `/v1`, with its query. */
  readonly path: string;
  /** Told to a caller who debugs; `undefined` where nobody asked for them. */
  readonly phases: Phases | undefined;
  /** The key that opened the route; `undefined` before it is known, and where the admin's secret opens it. */
  key: ApiKey | undefined = undefined;
  private keyPlan: KeyPlan | undefined = undefined;
  /** The text in place of the `{id}` of the route's path, decoded. */
  id = '';
  /** The text in place of the `*` of the route's path, decoded. */
  rest = '';
  /** Told of the call as soon as it is admitted. */
  onCall: ((call: Running) => void) | undefined = undefined;
  private readonly asksDebug: boolean;
  /** Whether a call of this request is running: it needs the body. */
  isCalled = false;
  /** Whether the answer was made, or has begun; and whether nothing is held any more. One field, as each costs every call eight bytes. */
  private stage: 'open' | 'answered' | 'let-go' = 'open';
  private bytes: Awaitable<Uint8Array> | undefined = undefined;
  private heldBytes = 0;
  /** The reader of the body that is on its way. */
  private reader: Waiting<Uint8Array> | undefined = undefined;
  /** Places that the request has. */
  private slots: readonly Slot[] | undefined = undefined;

  constructor(request: GatewayRequest, path: string, state: GatewayState) {
    this.request = request;
    this.state = state;
    this.path = path;
    this.requestId = state.nextRequestId();
    this.asksDebug = request.headers['x-debug']?.toString().toLowerCase() === 'true';
    this.phases = this.asksDebug ? startPhases(state.config.clock) : undefined;
  }

  /** The key that opened the route. */
  get caller(): ApiKey {
    if (this.key === undefined) throw new Error('Expected the route to be opened by a key');
    return this.key;
  }

  /** The caller's owner, tier and limits, as they were when they were first asked for. */
  get plan(): KeyPlan {
    this.keyPlan ??= this.state.planOf(this.caller);
    return this.keyPlan;
  }

  /** Whether the caller sees the facts that `X-Debug: true` shows. */
  get showsDebug(): boolean {
    return this.asksDebug && (this.key?.debug ?? this.state.config.debug);
  }

  /** The body's bytes, read once however often they are asked for. @throws {GatewayError} as `readBody` does, or 429. */
  body(): Awaitable<Uint8Array> {
    this.bytes ??= this.readBody();
    return this.bytes;
  }

  /**
   * The bytes of a body that nobody else reads, in the request's context: without a promise where they come from the wire.
   * @throws {GatewayError} as `readBody` does.
   */
  takeBody(): Work<Uint8Array> {
    const { request, state } = this;
    const reader = new Waiting<Uint8Array>();
    if (this.bytes === undefined && !('parsed' in request.body) && this.key !== undefined && !mayBeLarge(request)) {
      this.takePlaces(this.plan);
      this.reader = reader;
      collectBody(request, { bounds: state.config, holder: this, reader: this });
      return reader;
    }
    const body = this.body();
    if (isPending(body)) return there(body);
    reader.onValue(body);
    return reader;
  }

  onBody(bytes: Uint8Array): void {
    const { reader } = this;
    this.reader = undefined;
    if (reader !== undefined) this.context.runInAsyncScope(reader.onValue, reader, bytes);
  }

  onFailure(reason: unknown): void {
    const { reader } = this;
    this.reader = undefined;
    if (reader !== undefined) this.context.runInAsyncScope(reader.onFailure, reader, reason);
  }

  private readBody(): Awaitable<Uint8Array> {
    const { request, state, requestId } = this;
    // A body that the host has read is there already.
    if ('parsed' in request.body || this.key === undefined) return readBody(request, state.config, this);
    const { plan } = this;
    this.takePlaces(plan);
    if (!mayBeLarge(request)) return readBody(request, state.config, this);
    return checkRequest(state.access, plan, requestId).then(() => readBody(request, state.config, this));
  }

  /** Takes a place before there is anything to keep in it. @throws {GatewayError} 429 when all are taken. */
  private takePlaces({ slots, subject }: KeyPlan): void {
    const { places, config } = this.state;
    const full = places.enter(slots);
    if (full === undefined) {
      this.slots = slots;
      return;
    }
    const reservation = { id: '', draws: [], slots: [full], ttlMs: 0 };
    const verdict = { granted: false, retryAfterMs: PLACE_WAIT_MS, remaining: [] };
    const wallMs = config.clock.wallMs();
    throw refusalError({ reservation, verdict, ceilings: [], model: 'requests', subject, wallMs });
  }

  checkRoom(bytes: number): void {
    this.state.held.check(this.key?.id ?? '', bytes);
  }

  hold(bytes: number): void {
    this.checkRoom(bytes);
    this.state.held.add(this.key?.id ?? '', bytes);
    this.heldBytes += bytes;
  }

  /**
   * Takes account of bytes of the answer; negative: that are there no longer. @throws {GatewayError} as `checkRoom` does.
   */
  holdMore(bytes: number): void {
    if (this.stage === 'let-go' || bytes === 0) return;
    if (bytes > 0) this.hold(bytes);
    else this.unhold(-bytes);
  }

  /** Takes account of bytes as soon as there is room for them. @throws {GatewayError} as `HeldBytes.addInTime` does. */
  holdInTime(bytes: number, cancellation: Cancellation): Awaitable<void> {
    if (this.stage === 'let-go' || bytes <= 0) return;
    return this.state.held.addInTime({
      keyId: this.key?.id ?? '',
      bytes,
      own: this.heldBytes,
      cancellation,
      clock: this.state.config.clock,
      onHeld: () => {
        this.heldBytes += bytes;
      },
    });
  }

  /**
   * Takes account of all that will be in memory of a large body, before it is there: who waits for room must not hold it.
   * @throws {GatewayError} as `HeldBytes.addInTime` does.
   */
  holdCopies({ byteLength }: Uint8Array, copies: number): Awaitable<void> {
    if (byteLength <= COUNTED_ONCE_BYTES) return;
    const { maxHeldBytesPerKey, maxHeldBytes } = this.state.config;
    // A body that was let in must find room.
    const bytes = Math.min(copies * byteLength, maxHeldBytesPerKey, maxHeldBytes);
    return this.holdInTime(bytes - this.heldBytes, this.request.signal);
  }

  /** Bytes that the request holds now. */
  get held(): number {
    return this.heldBytes;
  }

  /** The body is no longer needed by whoever has not got it yet. */
  forgetBody(): void {
    this.bytes = undefined;
  }

  /** Tells that the answer is on its way. */
  answered(): void {
    this.stage = 'answered';
    if (!this.isCalled) this.letGo();
  }

  /** Tells that the call of this request is over. */
  callOver(): void {
    this.isCalled = false;
    if (this.stage === 'answered') this.letGo();
  }

  /** Nobody needs the body any more, nor what was read of the answer. */
  private letGo(): void {
    this.stage = 'let-go';
    if (this.slots !== undefined) this.state.places.leave(this.slots);
    this.slots = undefined;
    this.unhold(this.heldBytes);
  }

  private unhold(bytes: number): void {
    if (bytes > 0) this.state.held.remove(this.key?.id ?? '', bytes);
    this.heldBytes -= bytes;
  }
}
