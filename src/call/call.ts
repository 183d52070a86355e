import { type Awaitable, guarded, isPending } from '../base/awaitable.js';
import { type AbortListener, AbortListeners, type Cancellation, reasonOf } from '../base/cancellation.js';
import type { Timed } from '../base/clock.js';
import { type GatewayError, shuttingDown, toGatewayError, upstreamTimeout } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import type { JsonDocument } from '../base/json-document.js';
import type { JsonBounds } from '../base/json-scan.js';
import { checkOffered, findModel } from '../config/models.js';
import { remainingAfter } from '../limits/admit.js';
import type { KeyPlan } from '../limits/key-plan.js';
import type { Admission, AdmitResult, Amounts, Ceiling, Demand, Reservation, Slot } from '../limits/limiter-store.js';
import { dearestToolCall, isByThePiece, type PricedUnits, worstCostNanoUsd } from '../models/pricing.js';
import type { OutgoingCall } from '../upstreams/answer.js';
import { type DrainBounds, drainBounds, type Upstream } from '../upstreams/upstream.js';
import { usageWith } from '../upstreams/upstream-failure.js';
import { usageRecord } from '../usage/record.js';
import type { UsageRecord, UsageStart } from '../usage/usage-store.js';
import type { ModelEndpoint } from '../wire/model-endpoint.js';
import type { ModelRequest } from '../wire/model-request.js';
import type { Operation } from '../wire/operations.js';
import { notPriced } from '../wire/request-errors.js';
import type { TokenUsage } from '../wire/usage.js';
import { recordStart, reserveCall, reserveShadow, usualOutputTokens } from './admit.js';
import { type AnswerView, AS_IT_IS } from './answer-view.js';
import type { Exchange } from './exchange.js';
import type { Running } from './running.js';
import { type AskedTier, reservedTier, settlementNotice } from './service-tier.js';
import {
  both,
  giveBack,
  giveBackLater,
  learnLength,
  settleLimits,
  settleRecord,
  settleShadow,
  usedAmounts,
} from './settle.js';
import { type CalledModel, type ChosenTerms, NO_MODEL, NOTHING_READ, type ReadCall } from './terms.js';

/** A call's place in its life. Settling may come at any time once the call is admitted; every other step comes in turn. */
export type CallState = 'new' | 'taken' | 'chosen' | 'admitted' | 'asked' | 'begun' | 'settled';

const NEXT = {
  new: 'taken',
  taken: 'chosen',
  chosen: 'admitted',
  admitted: 'asked',
  asked: 'begun',
  begun: 'settled',
} as const;

/**
 * How a call ends: well; `failed`, on the way; `refused`, by an upstream that used nothing; `given-up`, while nobody knows
 * what the upstream still does; `left`, by its client.
 */
export type CallEnd = 'ok' | 'failed' | 'refused' | 'given-up' | 'left';

/** Progress of an answer: the part of it that is known by now. */
export interface Progress {
  readonly usage: TokenUsage | undefined;
  /** Output that the client got; `undefined`: unknown, as nobody counted it or nothing came. */
  deliveredTokens(): number | undefined;
  /** The service tier that the answer names; `undefined`: it names none. */
  readonly serviceTier?: string | undefined;
  /** Calls of hosted tools by type. */
  readonly toolCalls?: Readonly<Record<string, number>> | undefined;
  /** Pieces that the answer tells; `undefined`: those that were asked for. */
  readonly units?: PricedUnits | undefined;
}

/** Most calls at once whose clients are gone and whose upstreams are read on; more are cancelled. */
const MAX_DRAINS = 50;
/** Output tokens between two notes in the ledger of how much was delivered. */
const TOKENS_PER_CHECKPOINT = 256;

const NOTHING_YET: Progress = { usage: undefined, deliveredTokens: () => 0 };
const NO_SLOTS: readonly Slot[] = [];
const NO_BYTES = Buffer.alloc(0);
/** The client of a call that does not end with it. */
const NOBODY: Cancellation = {
  aborted: false,
  reason: undefined,
  addEventListener() {},
  removeEventListener() {},
};

/**
 * One metered call, from its request to its settlement. Its methods come in the order of `CallState`. It is its own
 * cancellation: it aborts when the client goes away, time is up, or the gateway closes.
 */
export class Call implements OutgoingCall, Demand, Running, Timed {
  readonly exchange: Exchange;
  readonly plan: KeyPlan;
  readonly operation: Operation;
  state: CallState = 'new';
  /** Ends the call when it aborts. */
  client: Cancellation;

  // Taken.
  endpoint: ModelEndpoint;
  asks: ModelRequest = NOTHING_READ.asks;
  document: JsonDocument = NOTHING_READ.document;
  inputTokens = 0;
  mostInputTokens = 0;
  hasReferences = false;
  /** The body as an object, until the call is prepared. */
  body: JsonObject | undefined = undefined;

  // Chosen.
  model: CalledModel = NO_MODEL;
  upstream: Upstream;
  view: AnswerView = AS_IT_IS;
  /** Whether the call goes on when its client leaves. */
  isBackground = false;
  /** Whether the model reads more than the body: earlier responses and files, which the upstream keeps. */
  readsMore = false;
  addsToolBound = false;
  asksModel = true;
  /** Whether the call only asks about work that was paid for. */
  isFree = false;
  /** Whether this answer's length should be learned from. */
  learnsLength = true;
  private worstInputTokens: number | undefined = undefined;
  private usualOutputTokens: number | undefined = undefined;
  units: PricedUnits | undefined = undefined;
  /** The service tier at which the call is reserved; `undefined`: the provider's ordinary one. */
  private serviceTier: string | undefined = undefined;

  // Admitted.
  ceilings: readonly Ceiling[] = [];
  slots: readonly Slot[];
  defaultOutputTokens = 0;
  admission: Admission | undefined = undefined;
  /** Most output tokens of one answer, as they were reserved; `undefined`: nothing limits them. */
  outputCeiling: number | undefined = undefined;
  start: UsageStart | undefined = undefined;
  aborted = false;
  reason: Error | undefined = undefined;
  /** Contents of the buckets, as the limiter last told them for this call. */
  remaining: readonly number[] | undefined = undefined;
  /** The same, where a limit refused the call. */
  remainingAtRefusal: readonly number[] | undefined = undefined;
  /** Whether the ledger has the call's beginning. */
  isRecorded = false;
  private opened: PromiseLike<void> | undefined = undefined;
  private readonly listeners = new AbortListeners();
  /** The moment at which it was weighed: its budgets' period and the ledger's are the same. */
  private startedAt = 0;
  private startedSteadyMs = 0;
  place = -1;
  // Its place among the calls whose time is running.
  dueAt = 0;
  older: Timed | undefined = undefined;
  newer: Timed | undefined = undefined;

  // Asked, begun.
  attempts = 0;
  private progress: Progress | undefined = undefined;
  private firstByteMs: number | undefined = undefined;
  private checkpointed = 0;
  private isDraining = false;
  private startDrain: (() => void) | undefined = undefined;

  // Settled.
  private ended: Awaitable<UsageRecord> | undefined = undefined;
  private stopping: CallEnd | undefined = undefined;
  /** The error that the client is told. */
  private failure: GatewayError | undefined = undefined;
  private isWithdrawn = false;
  private isSettled = false;
  private record: UsageRecord | undefined = undefined;
  private used: Amounts | undefined = undefined;
  private waiting: ((record: UsageRecord | undefined) => void)[] | undefined = undefined;

  /** @param operation is metered; the endpoint's own, but for requests that are passed on. */
  constructor(exchange: Exchange, endpoint: ModelEndpoint, operation: Operation = endpoint.operation) {
    const { plan } = exchange;
    this.exchange = exchange;
    this.plan = plan;
    this.operation = operation;
    this.client = exchange.request.signal;
    this.endpoint = endpoint;
    this.upstream = exchange.state.config.upstream;
    this.slots = plan.slots;
  }

  get requestId(): string {
    return this.exchange.requestId;
  }

  get keyId(): string {
    return this.exchange.caller.id;
  }

  get tier(): string {
    return this.plan.tier;
  }

  /** The owner's or the key's name, for messages. */
  get subject(): string {
    return this.plan.subject;
  }

  /** Whether the upstream must be held to the ceiling: money depends on it. */
  get requiresCeiling(): boolean {
    return this.plan.isBudgeted;
  }

  get maxResponseBytes(): number {
    return this.exchange.state.config.maxResponseBytes;
  }

  get answerBounds(): JsonBounds {
    return this.exchange.state.config.json.answer;
  }

  /** Takes what was read of the request. */
  take(read: ReadCall): void {
    this.advance('taken');
    this.replaceRead(read);
  }

  /** Takes another request in place of the one that was read: the one that the upstream is to get. */
  replaceRead({ document, asks, inputTokens, mostInputTokens, hasReferences, body }: ReadCall): void {
    this.document = document;
    this.asks = asks;
    this.inputTokens = inputTokens;
    this.mostInputTokens = mostInputTokens;
    this.hasReferences = hasReferences;
    this.body = body;
  }

  /** Lets go of the request's bytes, which the upstream has: a stream may be long, and a body large. Its names stay. */
  forgetBody(): void {
    this.document = { bytes: NO_BYTES, members: this.document.members };
    this.body = undefined;
  }

  /** Finds the model and its upstream. @throws {GatewayError} 403 or 404. */
  choose(): void {
    const { config } = this.exchange.state;
    const model = findModel(config.models, this.exchange.caller, this.asks.model);
    const upstream = model.upstream ?? config.upstream;
    checkOffered(this.endpoint.operation, model, upstream);
    this.chooseAs({ model, upstream, asksModel: true });
  }

  /** Takes a model and an upstream that were found otherwise. */
  chooseAs({ model, upstream, asksModel, worstInputTokens, usualOutputTokens, units }: ChosenTerms): void {
    this.advance('chosen');
    this.model = model;
    this.upstream = upstream;
    this.asksModel = asksModel;
    this.worstInputTokens = worstInputTokens;
    this.usualOutputTokens = usualOutputTokens ?? this.endpoint.usualOutputTokens;
    this.units = units;
    this.learnsLength = this.usualOutputTokens === undefined;
  }

  /** Makes the call one about work that was counted before: it holds no place, so that whoever has all places taken may ask. */
  makeFree(): void {
    this.isFree = true;
    this.slots = NO_SLOTS;
  }

  /** Lets the call go on when its client leaves. */
  detach(): void {
    this.client = NOBODY;
  }

  /**
   * Works out what the call may use.
   * @throws {GatewayError} 403 when money is limited and nobody knows what the call costs, or for a service tier that the key
   * may not use; 400 for one that the model has not.
   */
  weigh(): void {
    const { config } = this.exchange.state;
    // Anew, as the body may have been on its way while a budget's day ended.
    this.startedAt = config.clock.wallMs();
    this.ceilings = this.plan.ceilingsAt(this.startedAt);
    if (this.asks.maxOutputTokens === undefined) {
      this.defaultOutputTokens = this.usualOutputTokens ?? usualOutputTokens(config, this.plan.owner, this.model);
    }
    if (this.asksModel && !this.isFree && this.isTiered()) this.serviceTier = reservedTier(this.tierAsked());
    // Tools of the upstream's bring what they find to the model.
    const readsMore = this.readsMore || this.asks.hasHostedTools === true;
    this.worstInputTokens ??= readsMore ? this.model.contextLength : this.mostInputTokens;
    if (!this.plan.isBudgeted) return;
    const name = this.asks.model;
    if (this.asksModel && this.model.price === undefined) throw notPriced(`the price of \`${name}\` is unknown`);
    const { price } = this.model;
    // No chat tells how many pictures or how much sound it makes.
    if (price !== undefined && this.asksModel && this.units === undefined && isByThePiece(price))
      throw notPriced(`\`${name}\` is paid for by the piece`);
    if (this.worstInputTokens === undefined) throw notPriced(`how much \`${name}\` is to read cannot be told`);
  }

  /** The most that the call may cost with so many output tokens; `undefined` without a price. */
  worstNanoUsd(outputTokens: number): number | undefined {
    const { price } = this.model;
    const inputTokens = this.worstInputTokens ?? this.inputTokens;
    const { serviceTier, toolCalls, units } = this;
    const { hostedTools } = this.asks;
    const use = { inputTokens, outputTokens, serviceTier, toolCalls, hostedTools };
    return price && worstCostNanoUsd(price, units === undefined ? use : { ...use, ...units });
  }

  /** Most calls of hosted tools that the call may make. */
  private get toolCalls(): number {
    const { hasHostedTools, maxToolCalls } = this.asks;
    return hasHostedTools === true ? (maxToolCalls ?? this.exchange.state.config.defaultMaxToolCalls) : 0;
  }

  /** Calls of hosted tools. Chat tells them seldom: what was asked for and not told is one, as search models search once. */
  private calledTools(progress: Progress | undefined): Progress['toolCalls'] {
    const { asks, endpoint, start } = this;
    const told = progress?.toolCalls;
    if (told !== undefined || progress === undefined || asks.hasHostedTools !== true) return told;
    if (endpoint.operation === 'responses' || start?.price === undefined) return undefined;
    return dearestToolCall(start.price, asks.hostedTools);
  }

  /** Whether the service tier is anybody's concern: mostly it is not. */
  private isTiered(): boolean {
    const { asks, model, plan } = this;
    return (asks.serviceTier ?? model.defaultServiceTier ?? plan.serviceTiers) !== undefined;
  }

  private tierAsked(): AskedTier {
    const { asks, model, plan } = this;
    const { serviceTiers: allowed, isBudgeted } = plan;
    return { asked: asks.serviceTier, model, name: asks.model, allowed, isBudgeted };
  }

  /** Gives back later what the limiter may have granted before it failed. */
  doubt(reservation: Reservation): void {
    giveBackLater(this.exchange.state, this, reservation);
  }

  /**
   * Reserves what the call may use and writes down that it begins. No upstream is asked before that.
   * @throws {GatewayError} 403, 429 or 503, or what ended the call meanwhile.
   */
  admit(): Awaitable<void> {
    this.weigh();
    const result = reserveCall(this.exchange.state.access, this);
    return isPending(result) ? result.then((answer) => this.takeVerdict(answer)) : this.takeVerdict(result);
  }

  /** From now on tokens are being used: a client that leaves pays for what it asked. */
  ask(progress: Progress = NOTHING_YET): void {
    this.advance('asked');
    if (!this.isFree) this.progress ??= progress;
  }

  /** The answer has begun: a client that leaves now has got what `progress` tells. */
  begin(progress: Progress): void {
    this.advance('begun');
    if (!this.isFree) this.progress = progress;
  }

  /** The answer goes on as another `progress` tells. */
  follow(progress: Progress): void {
    if (!this.isFree) this.progress = progress;
  }

  /** Names the model, and its price, that is known only as the body passes. */
  nameModel(model: CalledModel, name: string): void {
    this.asks = { ...this.asks, model: name };
    this.model = model;
    if (this.start !== undefined) {
      const { id, price, cost: upstreamPrice } = model;
      this.start = { ...this.start, model: id, price, upstreamPrice, priceVersion: price?.version };
    }
  }

  /** Names the pieces, and nothing else, that are known only as the body passes. */
  namePieces(units: PricedUnits): void {
    this.units = units;
  }

  /** Notes that the first byte goes to the client. */
  firstByte(): void {
    this.firstByteMs ??= this.exchange.state.config.clock.steadyMs() - this.startedSteadyMs;
  }

  /**
   * Tells the ledger, 256 tokens ahead, how much output the client may have; to be awaited before it gets more. A store that
   * fails here costs the client nothing.
   */
  deliver(outputTokens: number | undefined): Awaitable<void> {
    const { usage, hooks } = this.exchange.state.config;
    if (outputTokens === undefined || outputTokens <= this.checkpointed || usage.checkpoint === undefined) return;
    this.checkpointed = outputTokens + TOKENS_PER_CHECKPOINT;
    return guarded(
      () => usage.checkpoint?.(this.requestId, this.checkpointed),
      (error) => hooks.onError(error, { requestId: this.requestId, keyId: this.keyId }),
    );
  }

  /** As `OutgoingCall` has it. */
  holdBytes(bytes: number): void {
    try {
      this.exchange.holdMore(bytes);
    } catch (error) {
      this.lackRoom(error);
    }
  }

  /** As `OutgoingCall` has it. */
  holdInTime(bytes: number): Awaitable<void> {
    return guarded(
      () => this.exchange.holdInTime(bytes, this),
      (error) => this.lackRoom(error),
    );
  }

  /** Ends a call whose answer finds no room: the upstream was asked, and bills it. */
  private lackRoom(error: unknown): never {
    if (this.state === 'asked') this.giveUp(toGatewayError(error));
    throw error;
  }

  /** Bounds of reading on for the usage now that the client is gone; `undefined`: nobody reads on. */
  get drain(): DrainBounds | undefined {
    return this.isDraining ? drainBounds(this.upstream.onAbort) : undefined;
  }

  /** Calls `run` when the client goes away and the upstream is to be read on, at once if it is so already. */
  onDrain(run: () => void): void {
    if (this.isFree) return;
    this.startDrain = run;
    if (this.isDraining) run();
  }

  /**
   * Ends the call: limits and usage become what they truly were. Once; later ends change nothing. The one way in which a
   * call is settled.
   */
  end(how: CallEnd): Awaitable<UsageRecord> {
    this.ended ??= this.exchange.context.runInAsyncScope(this.settle, this, this.stopping ?? how);
    return this.ended;
  }

  /** Ends a call whose whole answer is there. */
  complete(): Awaitable<UsageRecord> {
    return this.end('ok');
  }

  /** Ends a call whose answer did not begin. */
  endFailed(error: unknown): Awaitable<UsageRecord> {
    const usage = usageWith(error);
    // The answer was made, and is billed, although it came to nothing.
    if (usage !== undefined) this.follow({ usage, deliveredTokens: () => 0 });
    const how = this.aborted || usage !== undefined ? 'failed' : 'refused';
    const failure = toGatewayError(error);
    // An answer that was refused half read would hold its connection, and the upstream its work.
    this.abort(failure);
    return this.endBroken(how, failure);
  }

  /** Ends a call with the error that its client is told. */
  endBroken(how: 'failed' | 'refused', failure: GatewayError): Awaitable<UsageRecord> {
    this.failure ??= failure;
    return this.end(how);
  }

  /** Ends the upstream's work; the call then fails with `reason`. */
  abort(reason: Error): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.listeners.tell();
  }

  addEventListener(_type: 'abort', listener: AbortListener): void {
    this.listeners.add(listener);
  }

  removeEventListener(_type: 'abort', listener: AbortListener): void {
    this.listeners.remove(listener);
  }

  giveUp(reason: Error): void {
    this.stop(reason, 'given-up');
  }

  /** Gives the call up, as its time is over. */
  ring(): void {
    this.giveUp(upstreamTimeout());
  }

  onSettled(run: (record: UsageRecord | undefined) => void): void {
    if (this.isSettled) {
      run(this.record);
      return;
    }
    this.waiting ??= [];
    this.waiting.push(run);
  }

  /** Ends the upstream's work and the call. A call that was never written down leaves no record. */
  stop(reason: Error, how: 'given-up' | 'left'): void {
    this.exchange.context.runInAsyncScope(this.stopWithin, this, reason, how);
  }

  private stopWithin(reason: Error, how: 'given-up' | 'left'): void {
    // Readers of the answer are told at once that it breaks off: they must not say first how the call ended.
    this.stopping ??= how;
    if (how === 'given-up') this.failure ??= toGatewayError(reason);
    this.abort(reason);
    if (!this.isWithdrawn) void this.end(how);
  }

  /** The one guard of the order. A call that was settled meanwhile, as its client left, stays settled. */
  private advance(to: CallState): void {
    const { state } = this;
    if (state === 'settled') return;
    const isNext = to === 'settled' ? this.start !== undefined : NEXT[state] === to;
    if (!isNext) throw new Error(`Expected a call that is ${state} to become ${NEXT[state]}, not ${to}`);
    this.state = to;
  }

  private takeVerdict(result: AdmitResult): Awaitable<void> {
    const { exchange } = this;
    const { state } = exchange;
    if (result.kind === 'refused') {
      this.remaining = result.refusal.refused.verdict.remaining;
      this.remainingAtRefusal = this.remaining;
      throw result.refusal.error;
    }
    this.remaining = result.remaining;
    // A limiter may have taken its time.
    if (state.closed !== undefined || this.client.aborted) return this.turnAway(result);
    exchange.phases?.mark('admit');
    const start = this.open(result);
    exchange.isCalled = true;
    exchange.onCall?.(this);
    if (this.plan.shadows.length > 0) void this.holdShadow(start, result);
    const written = recordStart(state.config, start);
    if (!isPending(written)) return this.startRecorded();
    // A failure is told where it is awaited.
    this.opened = written.then(undefined, () => {});
    return written.then(() => this.startRecorded());
  }

  private async turnAway(admission: Admission): Promise<never> {
    await giveBack(this.exchange.state, this, admission);
    throw shuttingDown();
  }

  private startRecorded(): void {
    this.isRecorded = true;
    if (this.aborted) throw this.reason;
  }

  /** Takes charge of the reservation. */
  private open(admission: Admission): UsageStart {
    const { state } = this.exchange;
    const { config } = state;
    const { outputCeiling, amounts } = admission;
    const { model, client } = this;
    this.admission = admission;
    this.outputCeiling = outputCeiling;
    this.start = {
      requestId: this.requestId,
      keyId: this.keyId,
      owner: this.plan.owner,
      tier: this.plan.tier,
      operation: this.operation,
      model: model.id,
      upstream: this.upstream.name,
      startedAt: this.startedAt,
      reservedInputTokens: this.inputTokens,
      reservedOutputTokens: outputCeiling === undefined ? undefined : this.asks.n * outputCeiling,
      reservedNanoUsd: outputCeiling === undefined || model.price === undefined ? undefined : amounts.nanoUsd,
      price: model.price,
      upstreamPrice: model.cost,
      priceVersion: model.price?.version,
      serviceTier: this.serviceTier,
    };
    this.advance('admitted');
    this.startedSteadyMs = config.clock.steadyMs();
    config.callDeadlines.start(this, this.startedSteadyMs);
    state.running.add(this);
    // Not by a generator's `finally`, which runs late or never: this hangs on the client's signal.
    client.addEventListener('abort', this);
    return this.start;
  }

  private async holdShadow(start: UsageStart, admission: Admission): Promise<void> {
    const { state } = this.exchange;
    const shadow = await reserveShadow(this.plan, state, { start, admission });
    if (shadow !== undefined) this.onSettled((record) => settleShadow(state, start, shadow, record));
  }

  /** Hears that the client is gone. */
  handleEvent(): void {
    this.exchange.context.runInAsyncScope(this.clientGone, this);
  }

  private clientGone(): void {
    if (!this.beganDrain()) this.stop(reasonOf(this.client), 'left');
  }

  /** Only an upstream that was asked and can be read on is drained, and not too many at once. */
  private beganDrain(): boolean {
    const { state } = this.exchange;
    const bounds = drainBounds(this.upstream.onAbort);
    if (bounds === undefined || this.startDrain === undefined || state.draining >= MAX_DRAINS) return false;
    this.isDraining = true;
    state.draining += 1;
    const cancel = state.config.clock.setTimer(() => this.ring(), bounds.maxMs);
    this.onSettled(() => {
      state.draining -= 1;
      cancel();
    });
    this.startDrain();
    return true;
  }

  private settle(how: CallEnd): Awaitable<UsageRecord> {
    const { start, admission, exchange } = this;
    if (start === undefined || admission === undefined) throw new Error('Expected a call that ends to be admitted');
    this.advance('settled');
    this.release();
    const record = this.recordOf(how, start);
    const used = usedAmounts(admission, record);
    this.record = record;
    this.used = used;
    const notice = settlementNotice(start, record, this.progress?.serviceTier);
    if (notice !== undefined) exchange.state.noticeOnce(notice);
    if (admission.answersToLearnFrom > 0) learnLength(exchange.state.config.learned, admission, record);
    const limits = settleLimits(exchange.state, this, admission, used);
    const told = both(limits, settleRecord(exchange.state, record, this.opened));
    return isPending(told) ? told.then(() => this.settled(record)) : this.settled(record);
  }

  private settled(record: UsageRecord): UsageRecord {
    this.exchange.state.config.hooks.onFinish(record);
    this.leaveRunning(record);
    return record;
  }

  private recordOf(how: CallEnd, start: UsageStart): UsageRecord {
    const progress = how === 'refused' ? undefined : this.progress;
    // Whatever became of the answer, its client was gone.
    const outcome = how === 'left' ? 'aborted' : how === 'ok' ? 'ok' : 'error';
    const record = usageRecord(start, {
      outcome,
      usage: progress?.usage,
      deliveredTokens: progress?.deliveredTokens(),
      serviceTier: progress?.serviceTier,
      toolCalls: this.calledTools(progress),
      units: progress === undefined ? undefined : (progress.units ?? this.units),
      status: how === 'ok' || this.firstByteMs !== undefined ? 200 : this.failure?.status,
      errorCode: this.failure?.code ?? undefined,
      isGivenUp: how === 'given-up',
      chargesUnknown: this.plan.isBudgeted && this.progress !== undefined,
      firstByteMs: this.firstByteMs,
      durationMs: this.exchange.state.config.clock.steadyMs() - this.startedSteadyMs,
    });
    return this.isDraining ? { ...record, outcome: 'aborted' } : record;
  }

  /** Gives back all that was reserved, for a call that was never written down: it leaves no record. */
  async withdraw(): Promise<void> {
    if (this.ended !== undefined) {
      await this.ended;
      return;
    }
    // Once: what was given back is no longer the call's.
    if (this.isWithdrawn) return;
    this.isWithdrawn = true;
    this.release();
    const { state } = this.exchange;
    if (this.admission !== undefined) await giveBack(state, this, this.admission);
    this.leaveRunning(undefined);
  }

  private release(): void {
    this.exchange.state.config.callDeadlines.cancel(this);
    this.client.removeEventListener('abort', this);
  }

  private leaveRunning(record: UsageRecord | undefined): void {
    this.exchange.state.running.remove(this);
    this.exchange.callOver();
    this.isSettled = true;
    this.record = record;
    const { waiting } = this;
    this.waiting = undefined;
    if (waiting !== undefined) for (const run of waiting) run(record);
  }

  /** Contents of the buckets once the call is settled, less what others did meanwhile. */
  remainingAfter(): readonly number[] | undefined {
    const { admission, used } = this;
    return admission === undefined || used === undefined ? this.remaining : remainingAfter(admission, used);
  }
}
