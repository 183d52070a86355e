import { type Awaitable, isPending } from '../base/awaitable.js';
import { abortSignalOf, orAborted } from '../base/cancellation.js';
import { type Clock, systemClock } from '../base/clock.js';
import { causeOf, GatewayError, upstreamError } from '../base/errors.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { type JsonDocument, memberValue, replaceMembers } from '../base/json-document.js';
import { there, type Work } from '../base/work.js';
import { ChunkForms } from '../wire/chat/chunk-template.js';
import { ceilingNotTaken, noRoomForAnswer, toolCallsNotBounded, unsupportedOperation } from '../wire/request-errors.js';
import type { WatchedStream } from '../wire/watched-stream.js';
import { type OutgoingCall, renamedError } from './answer.js';
import { beginStream, type StreamAnswer } from './begin-stream.js';
import { type AddedCeiling, FieldFacts } from './field-facts.js';
import { MissingResponses } from './missing-responses.js';
import { readWhole, type WholeAnswer } from './read-whole.js';
import { lowerCeiling, readRefusal, STREAM_OPTIONS } from './refusal.js';
import type { ForwardCall, ForwardReply, UpstreamCall, UpstreamReply } from './upstream.js';
import { LazyCall, mayCopy } from './upstream-call.js';
import { saidIn } from './upstream-failure.js';

/** An answer that has begun well. */
export type BegunAnswer = WholeAnswer | StreamAnswer<WatchedStream>;

/**
 * Sends calls to models. The only place that asks an upstream twice: without the field that it refused, under another name, or with
 * a lower ceiling.
 */
export type CallSender = (call: OutgoingCall) => Work<BegunAnswer>;

/** Most tries of one call: with fewer additions, or a lower ceiling. */
const MAX_TRIES = 8;

/** A sender that remembers refused and ignored names of fields, by upstream and model, until they may have changed. */
export function callSender(
  clock: Pick<Clock, 'steadyMs'> = systemClock,
  missingResponses = new MissingResponses(clock),
): CallSender {
  const facts = new FieldFacts(clock);
  const forms = new ChunkForms();

  return function* send(call) {
    let tries: Tries | undefined;
    for (;;) {
      let added = additions(call, facts, tries);
      call.attempts += 1;
      if (tries !== undefined && lacksCeiling(call, facts, added) && tries.lowerAtLast()) {
        added = additions(call, facts, tries);
      }
      if (call.requiresCeiling && lacksCeiling(call, facts, added)) {
        throw tries?.unnamed === undefined ? ceilingNotTaken(call.asks.model) : failureOf(call, tries.unnamed);
      }
      let hasReplied = false;
      try {
        const request = requestOf(call, changesOf(call, added), added.leftOut);
        const sent = call.upstream.send(request);
        const reply = checkedReply(isPending(sent) ? yield* there(sent, call) : sent);
        hasReplied = true;
        const begun: Awaitable<BegunAnswer> = call.asks.stream
          ? beginStream(call, reply, forms)
          : readWhole(call, reply);
        // A whole answer is there already: a promise would cost a turn.
        const answer = isPending(begun) ? yield* there(begun) : begun;
        if (tries !== undefined) facts.rememberRefused(call, tries.lasting);
        if (tries?.guessed !== undefined) facts.rememberGuess(call, tries.guessed);
        facts.watchCeiling(call, added.ceiling, answer);
        return answer;
      } catch (thrown) {
        tries ??= new Tries(call);
        const isOver = call.aborted || call.attempts >= MAX_TRIES || !tries.learn(thrown, added);
        if (isOver && hasReplied) throw missingResponses.note(call, thrown);
        if (isOver) throw failureOf(call, missingResponses.note(call, tries.shown(thrown)));
      }
    }
  };
}

/** Our additions to one try of a call. */
interface Additions {
  /** Whether `include_usage` is set, to know what a stream costs. Without it the answer is estimated. */
  readonly asksUsage: boolean;
  readonly ceiling: AddedCeiling | undefined;
  /** Members of the client's that do not go. */
  readonly leftOut: readonly string[];
}

/** The failed tries of one call, and what they have taught. */
class Tries {
  /** Names to be left out from now on. */
  readonly leftOut = new Set<string>();
  /** Names whose refusals are about the name, whatever the request. */
  readonly lasting: string[] = [];
  /** The ceiling, once it was too much; 'none' where the call does without. */
  ceiling: number | 'none' | undefined = undefined;
  /** The refusal that named nothing, if there was one: it may be about the client's request. */
  unnamed: unknown = undefined;
  /** Name of ours that was left out last because of it. */
  guessed: string | undefined = undefined;
  /** The first ceiling of ours that a budget's call bore when nothing was named, until it was lowered. */
  private doubted: AddedCeiling | undefined = undefined;
  private hasLowered = false;
  private rounds = 0;
  private readonly call: OutgoingCall;

  constructor(call: OutgoingCall) {
    this.call = call;
  }

  /** Learns from a failure. Returns whether another try can help. */
  learn(error: unknown, added: Additions): boolean {
    if (!(error instanceof GatewayError)) return false;
    const { asksUsage, ceiling } = added;
    const hasOwn = (name: string): boolean => this.call.document.members.has(name);
    const refusal = readRefusal(error, { asksUsage, ceiling, dispensable: this.dispensable(added), hasOwn });
    if (refusal === undefined) return false;
    switch (refusal.about) {
      case 'clients':
        return false;
      case 'room':
        return ceiling !== undefined && this.lower(ceiling, refusal.text);
      case 'additions':
        if (refusal.blamesUsage) this.leaveOut(STREAM_OPTIONS, refusal.isLasting);
        if (refusal.blamesCeiling && ceiling !== undefined) this.leaveOut(ceiling.name, refusal.isLasting);
        for (const name of refusal.refusedNames) this.leaveOut(name, true);
        return true;
      case 'nothing':
        return this.giveUpSome(error, asksUsage, ceiling?.replacesRefused === true ? undefined : ceiling);
    }
  }

  /** The client's members that went, and need not: `stream_options`, and a ceiling that has another name. */
  private dispensable({ leftOut }: Additions): readonly string[] {
    const { endpoint, document } = this.call;
    const isThere = (name: string): boolean =>
      document.members.has(name) && !leftOut.includes(name) && !this.leftOut.has(name);
    const hasOther = (name: string): boolean =>
      endpoint.ceilings.some((other) => other !== name && !this.leftOut.has(other));
    return [STREAM_OPTIONS, ...endpoint.ceilings.filter(hasOther)].filter(isThere);
  }

  private leaveOut(name: string, isLasting: boolean): void {
    this.leftOut.add(name);
    if (isLasting) this.lasting.push(name);
  }

  /** Prompt and our ceiling together were too much; the prompt alone may fit, or with a lower one. True of this call alone. */
  private lower({ tokens, name }: AddedCeiling, text: string): boolean {
    const lower = lowerCeiling(tokens, text, this.rounds);
    this.rounds += 1;
    const isUseful = lower !== undefined && (this.rounds === 1 ? lower >= LEAST_USEFUL : this.call.requiresCeiling);
    if (isUseful) this.ceiling = lower;
    else if (!this.call.requiresCeiling) this.ceiling = 'none';
    else if (lower !== undefined) this.ceiling = lower;
    else {
      // No number helped: the words may have been about the name after all.
      if (this.leftOut.size + 1 >= this.call.endpoint.ceilings.length) return false;
      this.leftOut.add(name);
      this.ceiling = undefined;
      this.rounds = 0;
    }
    return true;
  }

  /** Nothing was named: one try without additions, but for the ceiling where money depends on it. */
  private giveUpSome(error: GatewayError, asksUsage: boolean, ceiling: AddedCeiling | undefined): boolean {
    this.unnamed ??= error;
    if (!this.call.requiresCeiling || ceiling === undefined) {
      if (!asksUsage && ceiling === undefined) return false;
      // One of the two at a time: the next call shows whether it was this one.
      this.guessed = ceiling?.name ?? STREAM_OPTIONS;
      this.leftOut.add(STREAM_OPTIONS);
      this.ceiling = 'none';
      return true;
    }
    if (!asksUsage && !ceiling.isClients && !this.hasLowered) this.doubted ??= ceiling;
    this.guessed = asksUsage ? STREAM_OPTIONS : ceiling.name;
    this.leftOut.add(this.guessed);
    return true;
  }

  /** No name was taken, and nobody said why: in words that are not known it may have been about room. Returns whether one more try can help. */
  lowerAtLast(): boolean {
    const { doubted } = this;
    const lower = doubted === undefined ? undefined : lowerCeiling(doubted.tokens, '', 0);
    this.doubted = undefined;
    if (doubted === undefined || lower === undefined) return false;
    this.hasLowered = true;
    this.ceiling = lower;
    this.leftOut.delete(doubted.name);
    // It was not the name.
    this.guessed = undefined;
    return true;
  }

  /** The error for the client, who must not be told off for what it did not send. */
  shown(thrown: unknown): unknown {
    if (this.call.addsToolBound === true && refusesToolBound(thrown)) return toolCallsNotBounded(this.call.asks.model);
    if (this.rounds > 0 && this.call.requiresCeiling && thrown instanceof GatewayError && thrown.status < 500) {
      return noRoomForAnswer(thrown);
    }
    return thrown;
  }
}

/** Whether a refusal is about the bound of tool calls that money depends on: no other name is known for it. */
function refusesToolBound(thrown: unknown): boolean {
  return (
    thrown instanceof GatewayError &&
    (thrown.status === 400 || thrown.status === 422) &&
    (thrown.param === 'max_tool_calls' || saidIn(thrown).includes('max_tool_calls'))
  );
}

/** A lower ceiling than this is not worth it where the call may do without. */
const LEAST_USEFUL = 64;

const NONE: readonly string[] = [];
const NOTHING: Additions = { asksUsage: false, ceiling: undefined, leftOut: NONE };

/** The fields to add, and to leave out: `include_usage`, and the reserved ceiling under the name that the upstream is believed to know. */
function additions(call: OutgoingCall, facts: FieldFacts, tries: Tries | undefined): Additions {
  const { endpoint, asks } = call;
  const asksUsage =
    endpoint.asksUsage &&
    asks.stream &&
    !asks.includeUsage &&
    tries?.leftOut.has(STREAM_OPTIONS) !== true &&
    !facts.isRefused(call, STREAM_OPTIONS) &&
    !facts.isGuessed(call, STREAM_OPTIONS);
  const ceiling = addedCeiling(call, facts, tries);
  // As for almost all calls: nothing was refused, and nothing goes under another name.
  const isPlain = tries === undefined && ceiling?.replaced === undefined && facts.hasNone(call);
  const leftOut = isPlain ? NONE : leftOutMembers(call, facts, { tries, ceiling });
  return asksUsage || ceiling !== undefined || leftOut.length > 0 ? { asksUsage, ceiling, leftOut } : NOTHING;
}

/** The client's ceiling where it goes under another name, and its `stream_options` where that name is refused. */
function leftOutMembers(
  call: OutgoingCall,
  facts: FieldFacts,
  { tries, ceiling }: { readonly tries: Tries | undefined; readonly ceiling: AddedCeiling | undefined },
): readonly string[] {
  const replaced = ceiling?.replaced;
  const hasRefused = tries?.lasting.includes(STREAM_OPTIONS) === true || facts.isRefused(call, STREAM_OPTIONS);
  if (replaced === undefined && !hasRefused) return NONE;
  const names = [...(replaced === undefined ? [] : [replaced]), ...(hasRefused ? [STREAM_OPTIONS] : [])];
  return names.filter((name) => call.document.members.has(name));
}

/** The ceiling of ours, or the client's own under the name that the upstream knows. */
function addedCeiling(call: OutgoingCall, facts: FieldFacts, tries: Tries | undefined): AddedCeiling | undefined {
  const { endpoint, asks, upstream, outputCeiling } = call;
  if (tries?.ceiling === 'none') return undefined;
  if (asks.maxOutputTokens !== undefined) {
    const isNew = upstream.ceiling === undefined && tries === undefined && !facts.hasAny(call);
    return isNew || endpoint.ceilings.length < 2 ? undefined : renamedCeiling(call, facts, tries);
  }
  if (outputCeiling === undefined) return undefined;
  const name = ceilingName(call, facts, tries);
  if (name === undefined) return undefined;
  return {
    name,
    tokens: tries?.ceiling ?? outputCeiling,
    isClients: false,
    replaced: undefined,
    replacesRefused: false,
  };
}

/** A client's ceiling whose name the upstream refuses, is known to ignore, or said by the host not to know. */
function renamedCeiling(call: OutgoingCall, facts: FieldFacts, tries: Tries | undefined): AddedCeiling | undefined {
  const { endpoint, document, asks, upstream } = call;
  const isRefused = (name: string): boolean => tries?.leftOut.has(name) === true || facts.isRefused(call, name);
  const isUnknown = (name: string): boolean =>
    isRefused(name) || (upstream.ceiling === undefined ? facts.isIgnored(call, name) : upstream.ceiling !== name);
  const own = endpoint.ceilings.find((name) => document.members.has(name) && isUnknown(name));
  if (own === undefined) return undefined;
  const name = ceilingName(call, facts, tries);
  if (name === undefined || name === own || asks.maxOutputTokens === undefined) return undefined;
  return { name, tokens: asks.maxOutputTokens, isClients: true, replaced: own, replacesRefused: isRefused(own) };
}

/** The name of the ceiling to be sent: the host's, else the newest that is not known to be refused or ignored. */
function ceilingName(call: OutgoingCall, facts: FieldFacts, tries: Tries | undefined): string | undefined {
  const { ceilings } = call.endpoint;
  const { ceiling } = call.upstream;
  const isKnown = ceiling !== undefined && ceilings.includes(ceiling);
  if (tries === undefined && facts.hasNone(call)) return isKnown ? ceiling : ceilings[0];
  const isUsable = (name: string): boolean => tries?.leftOut.has(name) !== true && !facts.isBad(call, name);
  const isLikely = (name: string): boolean => isUsable(name) && !facts.isGuessed(call, name);
  if (isKnown && isLikely(ceiling)) return ceiling;
  // Where money depends on it, a guess is no reason to refuse a call.
  return ceilings.find(isLikely) ?? (call.requiresCeiling ? ceilings.find(isUsable) : undefined);
}

/** Whether nothing bounds the answer: the upstream knows no name of a ceiling. */
function lacksCeiling(call: OutgoingCall, facts: FieldFacts, { ceiling }: Additions): boolean {
  const { endpoint, asks } = call;
  if (endpoint.ceilings.length === 0 || ceiling !== undefined) return false;
  // The client's own is one, unless the upstream ignores whatever it is called.
  return asks.maxOutputTokens === undefined || endpoint.ceilings.every((name) => facts.isIgnored(call, name));
}

/** The words for an upstream that did not reply. */
function failureOf(call: OutgoingCall, error: unknown): unknown {
  if (call.aborted) return call.reason;
  if (!(error instanceof GatewayError)) return upstreamError('The upstream failed.', causeOf(error));
  return renamedError(error, call);
}

/** The members that the upstream gets otherwise than the client sent them; `undefined`: none. */
function changesOf({ document, asks, model }: OutgoingCall, added: Additions): JsonObject | undefined {
  if (model.upstreamModel === asks.model && added === NOTHING) return undefined;
  const { asksUsage, ceiling } = added;
  const changes: { -readonly [Name in keyof JsonObject]: JsonObject[Name] } = {};
  if (model.upstreamModel !== asks.model) changes.model = model.upstreamModel;
  if (asksUsage) changes[STREAM_OPTIONS] = includingUsage(document);
  if (ceiling !== undefined) changes[ceiling.name] = ceiling.tokens;
  return changes;
}

/** The client's options, if it has any, and the usage chunk. */
function includingUsage(document: JsonDocument): JsonObject {
  const options = memberValue(document, 'stream_options');
  return { ...(isJsonObject(options) ? options : {}), include_usage: true };
}

/** The reply, once it looks like one: upstreams without types answer anything. */
function checkedReply(reply: UpstreamReply): UpstreamReply {
  if (typeof reply === 'object' && reply !== null && typeof reply.kind === 'string') return reply;
  throw new TypeError('Expected the reply of an upstream to be an object with a `kind`');
}

/** The same for a reply to a request that was passed on. */
function checkedForward(reply: ForwardReply): ForwardReply {
  if (isObject(reply) && Number.isInteger(reply.status) && isObject(reply.headers) && isObject(reply.body))
    return reply;
  throw new TypeError('Expected the reply of `forward` to be an object with `status`, `headers` and `body`');
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;

function requestOf(call: OutgoingCall, changes: JsonObject | undefined, leftOut: readonly string[]): UpstreamCall {
  const { document, asks } = call;
  return new LazyCall({
    keyId: call.keyId,
    tier: call.tier,
    requestId: call.requestId,
    operation: call.endpoint.operation,
    bytes: changes === undefined ? document.bytes : replaceMembers(document, changes, ...leftOut),
    isBackground: call.isBackground,
    stream: asks.stream,
    maxResponseBytes: call.maxResponseBytes,
    cancellation: call,
    object: document.object === undefined ? undefined : changedObject(document.object, changes, leftOut),
    isCopyable: mayCopy(call.upstream),
  });
}

function changedObject(object: JsonObject, changes: JsonObject | undefined, leftOut: readonly string[]): JsonObject {
  const changed = { ...object, ...changes };
  return leftOut.length === 0
    ? changed
    : Object.fromEntries(Object.entries(changed).filter(([name]) => !leftOut.includes(name)));
}

/**
 * Passes one request on.
 * @throws {GatewayError} 404 when the upstream passes nothing on; as `forward` does, with the client's name of the model; 502
 * for anything else that `forward` throws; the call's reason as soon as it aborts.
 */
export async function passOn(
  call: OutgoingCall,
  request: Pick<ForwardCall, 'operation' | 'method' | 'path' | 'headers' | 'body'>,
): Promise<ForwardReply> {
  const { upstream, keyId, tier, requestId } = call;
  if (upstream.forward === undefined) throw unsupportedOperation(request.operation);
  const { operation, method, path, headers, body } = request;
  const signal = abortSignalOf(call);
  const asked = { operation, keyId, tier, requestId, method, path, headers, body, signal };
  try {
    return checkedForward(await orAborted(upstream.forward(asked), call));
  } catch (error) {
    throw failureOf(call, error);
  }
}
