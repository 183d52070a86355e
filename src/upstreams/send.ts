import { isPending } from '../base/awaitable.js';
import { abortSignalOf, orAborted } from '../base/cancellation.js';
import { causeOf, GatewayError, upstreamError } from '../base/errors.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { type JsonDocument, memberValue, replaceMembers } from '../base/json-document.js';
import { ceilingNotTaken, unsupportedOperation } from '../wire/request-errors.js';
import type { WatchedStream } from '../wire/watched-stream.js';
import { type OutgoingCall, renamedError } from './answer.js';
import { beginStream, type StreamAnswer } from './begin-stream.js';
import { readWhole, type WholeAnswer } from './read-whole.js';
import type { ForwardCall, ForwardReply, Upstream, UpstreamCall, UpstreamReply } from './upstream.js';
import { LazyCall } from './upstream-call.js';

/** An answer that has begun well. */
export type BegunAnswer = WholeAnswer | StreamAnswer<WatchedStream>;

/** Sends calls to models. The only place that asks an upstream twice: without the field of ours that it refused. */
export type CallSender = (call: OutgoingCall) => Promise<BegunAnswer>;

/** Most fields of ours that are remembered as refused by one upstream; past them the memory starts afresh. */
const MAX_REFUSALS = 1_000;

/** A field that we add to a client's body of our own accord, and an upstream may not know: this, or a ceiling. */
const STREAM_OPTIONS = 'stream_options';
/** Below this a ceiling is not lowered any further. */
const LEAST_CEILING = 64;

const NONE: ReadonlySet<string> = new Set();

/** A sender that remembers refused fields, by upstream and model. */
export function callSender(): CallSender {
  const refusals = new WeakMap<Upstream, Set<string>>();

  /** Remembers fields that were blamed, once leaving them out has helped: the words of clients must not decide. */
  function remember(upstream: Upstream, blamed: ReadonlySet<string>): void {
    const refused = refusals.get(upstream) ?? new Set<string>();
    refusals.set(upstream, refused);
    if (refused.size + blamed.size > MAX_REFUSALS) refused.clear();
    for (const name of blamed) refused.add(name);
  }

  return async function send(call) {
    const refused = refusals.get(call.upstream) ?? NONE;
    let blamed: Set<string> | undefined;
    let ceiling = call.outputCeiling;
    for (;;) {
      const added = additions(call, ceiling, { refused, blamed });
      call.attempts += 1;
      if (call.requiresCeiling && lacksCeiling(call, added)) throw ceilingNotTaken(call.asks.model);
      let hasReplied = false;
      try {
        const request = requestOf(call, changesOf(call, ceiling, added));
        const reply = checkedReply(await orAborted(call.upstream.send(request), call));
        hasReplied = true;
        const begun = call.asks.stream
          ? beginStream(call, reply, added.includes(STREAM_OPTIONS))
          : readWhole(call, reply);
        const answer = isPending(begun) ? await begun : begun;
        if (blamed !== undefined) remember(call.upstream, blamed);
        return answer;
      } catch (thrown) {
        const error = hasReplied ? thrown : failureOf(call, thrown);
        if (ceiling !== undefined && exceedsContext(error) && call.asks.maxOutputTokens === undefined) {
          // Prompt and our ceiling together were too much; the prompt alone may fit, or with a lower one.
          if (!call.requiresCeiling) ceiling = undefined;
          else if (ceiling < LEAST_CEILING) throw error;
          else ceiling = Math.floor(ceiling / 4);
          continue;
        }
        const name = blamedAddition(error, added);
        if (name === undefined) throw error;
        blamed ??= new Set();
        blamed.add(refusalOf(call, name));
      }
    }
  };
}

/**
 * The fields to add: `include_usage` to know what a stream cost, and the reserved ceiling, in its new or its old name.
 * Without them the upstream's answer is estimated, and bounded by the upstream alone.
 */
function additions(call: OutgoingCall, ceiling: number | undefined, refusals: Refusals): readonly string[] {
  const { endpoint, asks } = call;
  const asksUsage = endpoint.asksUsage && asks.stream && !asks.includeUsage;
  const addsCeiling = ceiling !== undefined && asks.maxOutputTokens === undefined;
  const options = asksUsage && isTaken(call, STREAM_OPTIONS, refusals) ? STREAM_OPTIONS : undefined;
  const name = addsCeiling ? endpoint.ceilings.find((one) => isTaken(call, one, refusals)) : undefined;
  if (options === undefined) return name === undefined ? NOTHING : [name];
  return name === undefined ? [options] : [options, name];
}

/** Fields that the upstream refused, in earlier calls and in this one. */
interface Refusals {
  readonly refused: ReadonlySet<string>;
  readonly blamed: ReadonlySet<string> | undefined;
}

const NOTHING: readonly string[] = [];

function isTaken(call: OutgoingCall, name: string, { refused, blamed }: Refusals): boolean {
  if (refused.size === 0 && blamed === undefined) return true;
  const refusal = refusalOf(call, name);
  return !refused.has(refusal) && blamed?.has(refusal) !== true;
}

/** Whether the upstream does not know any name of a ceiling that the client did not name. */
function lacksCeiling({ endpoint, asks }: OutgoingCall, added: readonly string[]): boolean {
  if (asks.maxOutputTokens !== undefined || endpoint.ceilings.length === 0) return false;
  return !endpoint.ceilings.some((name) => added.includes(name));
}

/** The name under which a refusal is remembered: one endpoint may know a field that another does not. */
function refusalOf({ endpoint, model }: OutgoingCall, name: string): string {
  return `${endpoint.operation} ${model.upstreamModel} ${name}`;
}

/** The one of our additions that a refusal is about, so that the client is not told off for a field it never sent. */
function blamedAddition(error: unknown, added: readonly string[]): string | undefined {
  if (!(error instanceof GatewayError) || (error.status !== 400 && error.status !== 422)) return undefined;
  const { param, message } = error;
  return added.find((name) => {
    if (param === null) return message.includes(name);
    return param === name || (name === STREAM_OPTIONS && param === 'stream_options.include_usage');
  });
}

/** The words for an upstream that did not reply. */
function failureOf(call: OutgoingCall, error: unknown): unknown {
  if (call.aborted) return call.reason;
  if (!(error instanceof GatewayError)) return upstreamError('The upstream failed.', causeOf(error));
  return renamedError(error, call);
}

/** The members that the upstream gets otherwise than the client sent them; `undefined`: none. */
function changesOf(
  { document, asks, model }: OutgoingCall,
  ceiling: number | undefined,
  added: readonly string[],
): JsonObject | undefined {
  if (model.upstreamModel === asks.model && added.length === 0) return undefined;
  const changes: { -readonly [Name in keyof JsonObject]: JsonObject[Name] } = {};
  if (model.upstreamModel !== asks.model) changes.model = model.upstreamModel;
  for (const name of added) changes[name] = name === STREAM_OPTIONS ? includingUsage(document) : ceiling;
  return changes;
}

/** The client's options, if it has any, and the usage chunk. */
function includingUsage(document: JsonDocument): JsonObject {
  const options = memberValue(document, 'stream_options');
  return { ...(isJsonObject(options) ? options : {}), include_usage: true };
}

/** The reply, once it looks like one: upstreams without types answer anything. */
function checkedReply(reply: UpstreamReply): UpstreamReply {
  if (typeof reply === 'object' && reply !== null && 'kind' in reply) return reply;
  throw new TypeError('Expected the reply of an upstream to be an object with a `kind`');
}

/** The same for a reply to a request that was passed on. */
function checkedForward(reply: ForwardReply): ForwardReply {
  if (isObject(reply) && Number.isInteger(reply.status) && isObject(reply.headers) && isObject(reply.body))
    return reply;
  throw new TypeError('Expected the reply of `forward` to be an object with `status`, `headers` and `body`');
}

const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null;

function requestOf(call: OutgoingCall, changes: JsonObject | undefined): UpstreamCall {
  const { document, asks } = call;
  return new LazyCall({
    keyId: call.keyId,
    tier: call.tier,
    requestId: call.requestId,
    operation: call.endpoint.operation,
    bytes: changes === undefined ? document.bytes : replaceMembers(document, changes),
    isBackground: call.isBackground,
    stream: asks.stream,
    maxResponseBytes: call.maxResponseBytes,
    cancellation: call,
    object: document.object === undefined ? undefined : { ...document.object, ...changes },
  });
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

function exceedsContext(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'context_length_exceeded';
}
