import { type Awaitable, isPending } from '../../base/awaitable.js';
import { errorBody, type GatewayError } from '../../base/errors.js';
import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { LARGE_BYTES, turn } from '../../base/turns.js';
import { type AnswerPiece, type AnswerView, asWritten, chunksIn, objectIn } from '../../call/answer-view.js';
import type { Call } from '../../call/call.js';
import type { AnswerChunk } from '../../upstreams/answer.js';
import type { RelayedStream } from '../../upstreams/begin-stream.js';
import type { UsageRecord } from '../../usage/usage-store.js';
import { failedResponse, failureEvents, type ResponseFailure } from '../../wire/responses/events.js';
import { completedResponse, inProgressResponse, type ResponseHead } from '../../wire/responses/object.js';
import { PassedStream } from '../../wire/responses/passed-stream.js';
import { inNamesOfResponses } from '../../wire/responses/renamed-error.js';
import type { ResponsesRequest } from '../../wire/responses/request.js';
import { isEnded } from '../../wire/responses/retold.js';
import { TranslatedStream } from '../../wire/responses/translated-stream.js';
import { EventLog } from './event-log.js';
import { claimResponse, keepResponse } from './stored.js';

/** Shows a response as the upstream made it. It is the caller's before the caller knows of it. */
export function passedResponse(
  call: Call,
  request: Pick<ResponsesRequest, 'model' | 'store' | 'background' | 'stream'>,
): AnswerView {
  return new PassedResponse(call, request);
}

class PassedResponse implements AnswerView {
  readonly takes = 'text';
  private readonly call: Call;
  private readonly request: Pick<ResponsesRequest, 'model' | 'store' | 'background' | 'stream'>;
  private watched: PassedStream | undefined = undefined;
  private isClaimed = false;

  constructor(call: Call, request: Pick<ResponsesRequest, 'model' | 'store' | 'background' | 'stream'>) {
    this.call = call;
    this.request = request;
  }

  begin(stream: RelayedStream): void {
    if (stream instanceof PassedStream) this.watched = stream;
  }

  async whole(body: AnswerChunk): Promise<AnswerPiece> {
    await this.claim(await objectIn(body, this.call.answerBounds));
    return asWritten(body);
  }

  piece(chunk: AnswerChunk): Awaitable<AnswerPiece> {
    const piece = asWritten(chunk);
    const claiming = this.isClaimed ? undefined : this.claim(this.watched?.response);
    return isPending(claiming) ? claiming.then(() => piece) : piece;
  }

  async end(_record: UsageRecord, comment: string): Promise<AnswerPiece> {
    // Once more, now that its items are known.
    await this.claim(this.watched?.response);
    return comment;
  }

  error(error: GatewayError): AnswerPiece {
    const next = (this.watched?.lastSequenceNumber ?? -1) + 1;
    return failureEvents(next, this.watched?.response ?? {}, errorBody(error).error).text;
  }

  private claim(response: JsonObject | undefined): Awaitable<void> {
    if (!this.request.store || typeof response?.id !== 'string') return;
    this.isClaimed = true;
    return this.claimNow(response);
  }

  private async claimNow(response: JsonObject): Promise<void> {
    const { exchange, plan, requestId, keyId } = this.call;
    const { model, background, stream } = this.request;
    try {
      await claimResponse(exchange.state.config, plan.owner, response, model);
    } catch (error) {
      // Only its owner could come back for it.
      if (background && !stream) throw error;
      exchange.state.config.hooks.onError(error, { requestId, keyId });
    }
  }
}

/** A response that a chat completion is to become. */
export interface Translated {
  readonly head: ResponseHead;
  /** The items of its input, as they are kept with it. */
  readonly input: readonly JsonObject[];
  /** The response before anybody works on it, where that is done in the background. */
  readonly queued: JsonObject | undefined;
}

/** Shows a chat completion as a response, and keeps it for its owner before the client has the end of it. */
export function translatedResponse(call: Call, translated: Translated): AnswerView {
  return new TranslatedResponse(call, translated);
}

/** Bytes that a token takes: in pieces while the answer is made, and at its end in each of the events that say all of it. */
const BYTES_PER_TOKEN = 40;
/** Bytes by which what is kept grows before it is counted again. */
const COUNTED_BYTES = 65_536;

class TranslatedResponse implements AnswerView {
  readonly takes = 'objects';
  readonly queued: JsonObject | undefined;
  readonly isWatched: boolean;
  private readonly call: Call;
  private readonly head: ResponseHead;
  private readonly input: readonly JsonObject[];
  private readonly stream: TranslatedStream;
  /** Its events, where a client may come back for them. */
  private readonly log: EventLog | undefined;
  private watched: RelayedStream | undefined = undefined;
  private loggedBytes = 0;
  private heldBytes = 0;
  private isStarted = false;
  private hasBegun = false;
  private isDropped = false;
  private keeping: Promise<void> | undefined = undefined;

  constructor(call: Call, { head, input, queued }: Translated) {
    this.call = call;
    this.head = head;
    this.input = input;
    this.queued = queued;
    this.isWatched = head.request.stream;
    this.stream = new TranslatedStream(head);
    this.log = queued !== undefined && head.request.stream ? new EventLog() : undefined;
  }

  begin(stream: RelayedStream): void {
    this.watched = stream;
  }

  async whole(body: AnswerChunk, record?: UsageRecord): Promise<AnswerPiece> {
    const completion = await objectIn(body, this.call.answerBounds);
    const usage = (record && usageOf(record, completion.usage)) ?? completion.usage ?? null;
    const response = completedResponse(this.head, { ...completion, usage }, this.nowMs());
    await this.keep(response);
    if (body instanceof Uint8Array && body.byteLength > LARGE_BYTES) await turn();
    return JSON.stringify(response);
  }

  piece(part: AnswerChunk): AnswerPiece | undefined {
    let text = this.start();
    for (const chunk of chunksIn(part)) text += this.stream.encodeChunk(chunk);
    this.log?.add(text);
    this.countKept(text);
    this.begun();
    return text === '' ? undefined : text;
  }

  /** Takes account of what is kept of the answer, in steps. @throws {GatewayError} when there is no room for more. */
  private countKept(text: string): void {
    if (this.log !== undefined) this.loggedBytes += text.length;
    const kept = this.loggedBytes + BYTES_PER_TOKEN * (this.watched?.deliveredTokens() ?? 0);
    if (kept < this.heldBytes + COUNTED_BYTES) return;
    this.call.holdBytes(kept - this.heldBytes);
    this.heldBytes = kept;
  }

  async end(record: UsageRecord, comment: string): Promise<AnswerPiece> {
    const begun = this.start();
    const { events, response } = this.stream.endEvents(usageOf(record, this.stream.usage), this.nowMs());
    let text = '';
    for (const write of events) {
      const event = write();
      text += event;
      if (event.length > LARGE_BYTES) await turn();
    }
    this.log?.add(begun + text);
    await this.keep(response);
    return comment + begun + text;
  }

  async error(error: GatewayError): Promise<AnswerPiece> {
    const begun = this.start();
    const { text, response } = this.stream.encodeFailure(this.failureOf(error));
    this.log?.add(begun + text);
    await this.keep(response);
    return begun + text;
  }

  private begun(): void {
    if (this.hasBegun || this.queued === undefined) return;
    this.hasBegun = true;
    void this.keep(inProgressResponse(this.head));
  }

  eventsAfter(sequenceNumber: number): AsyncIterable<string> | undefined {
    return this.log?.after(sequenceNumber);
  }

  over(): void {
    this.log?.end();
  }

  keepQueued(): Promise<void> {
    if (this.queued === undefined) return Promise.resolve();
    const { exchange, plan } = this.call;
    return keepResponse(exchange.state.config, plan.owner, { response: this.queued, input: this.input });
  }

  failed(error: GatewayError): Promise<void> {
    return this.keep(failedResponse(inProgressResponse(this.head), this.failureOf(error)));
  }

  inClientsWords(error: GatewayError): GatewayError {
    return inNamesOfResponses(error);
  }

  async drop(): Promise<void> {
    this.isDropped = true;
    await this.keeping;
  }

  /** Keeps an answer that is there and paid for: an error here costs the client only its being kept. */
  private keep(response: JsonObject): Promise<void> {
    if (!this.head.request.store || this.isDropped) return Promise.resolve();
    this.keeping = this.keepNow(response, this.keeping);
    return this.keeping;
  }

  private async keepNow(response: JsonObject, earlier: Promise<void> | undefined): Promise<void> {
    const { exchange, plan, requestId, keyId } = this.call;
    const { config } = exchange.state;
    // A later state must not be overtaken by an earlier one.
    if (earlier !== undefined) await earlier;
    const events = isEnded(response) ? this.log?.toString() : undefined;
    try {
      await keepResponse(config, plan.owner, { response, input: this.input, events });
    } catch (error) {
      config.hooks.onError(error, { requestId, keyId });
    }
  }

  private failureOf(error: GatewayError): ResponseFailure {
    return errorBody(inNamesOfResponses(error)).error;
  }

  private start(): string {
    const text = this.isStarted ? '' : this.stream.encodeStart();
    this.isStarted = true;
    return text;
  }

  private nowMs(): number {
    return this.call.exchange.state.config.clock.wallMs();
  }
}

/** Usage that is recorded, in the words of chat completions: however the upstream contradicts itself, clients see the same. */
function usageOf(
  { inputTokens, cachedInputTokens = 0, outputTokens, reasoningTokens = 0 }: UsageRecord,
  told: Json | undefined,
): JsonObject | undefined {
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { ...writtenTokens(told), cached_tokens: Math.min(cachedInputTokens, inputTokens) },
    completion_tokens_details: { reasoning_tokens: Math.min(reasoningTokens, outputTokens) },
  };
}

function writtenTokens(told: Json | undefined): JsonObject {
  const details = isJsonObject(told) ? told.prompt_tokens_details : undefined;
  return isJsonObject(details) ? { cache_write_tokens: details.cache_write_tokens ?? 0 } : {};
}
