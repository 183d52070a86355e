import { isPending } from '../base/awaitable.js';
import { orAborted } from '../base/cancellation.js';
import { causeOf, GatewayError, upstreamError } from '../base/errors.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { type JsonDocument, memberValue, replaceMembers } from '../base/json-document.js';
import { ceilingNotTaken } from '../wire/request-errors.js';
import { type BegunAnswer, type ModelSend, namesOf, renamedError } from './answer.js';
import { beginStream } from './begin-stream.js';
import { readWhole } from './read-whole.js';
import type { Upstream, UpstreamCall, UpstreamReply } from './upstream.js';
import { upstreamCall } from './upstream-call.js';

/** Sends calls to models. The only place that asks an upstream twice: without the field of ours that it refused. */
export type SendCall = (send: ModelSend) => Promise<Sent>;

/** An answer, or why there is none, and how often an upstream was asked for it. */
export type Sent =
  | { readonly kind: 'begun'; readonly answer: BegunAnswer; readonly attempts: number }
  | { readonly kind: 'failed'; readonly error: unknown; readonly attempts: number };

/** Fields of ours that an upstream refused, for one model; past this many the memory starts afresh. */
const MAX_REFUSALS = 1_000;

/** What we add to a client's body of our own accord, and an upstream may not know: this, or a ceiling. */
const STREAM_OPTIONS = 'stream_options';
/** Below this a ceiling is not lowered any further. */
const LEAST_CEILING = 64;

export function callSender(): SendCall {
  const refusals = new WeakMap<Upstream, Set<string>>();

  function refusalsOf(upstream: Upstream): Set<string> {
    const known = refusals.get(upstream);
    if (known !== undefined) return known;
    const none = new Set<string>();
    refusals.set(upstream, none);
    return none;
  }

  return async function sendCall(send) {
    const refused = refusalsOf(send.upstream);
    /** What was blamed in this call. It is remembered only if leaving it out helps: what clients write must not decide. */
    const blamed = new Set<string>();
    let ceiling = send.outputCeiling;
    for (let attempts = 1; ; attempts += 1) {
      const added = additions({ ...send, outputCeiling: ceiling }, refused, blamed);
      if (lacksCeiling(send, added)) return { kind: 'failed', error: ceilingNotTaken(send.asks.model), attempts };
      try {
        const answer = await attempt({ ...send, outputCeiling: ceiling }, added);
        if (refused.size + blamed.size > MAX_REFUSALS) refused.clear();
        for (const name of blamed) refused.add(name);
        return { kind: 'begun', answer, attempts };
      } catch (error) {
        if (ceiling !== undefined && exceedsContext(error) && send.asks.maxOutputTokens === undefined) {
          // Prompt and our ceiling together were too much; the prompt alone may fit, or with a lower one.
          if (!send.requiresCeiling) ceiling = undefined;
          else if (ceiling < LEAST_CEILING) return { kind: 'failed', error, attempts };
          else ceiling = Math.floor(ceiling / 4);
          continue;
        }
        const name = blamedAddition(error, added);
        if (name === undefined) return { kind: 'failed', error, attempts };
        blamed.add(refusalOf(send, name));
      }
    }
  };
}

/**
 * The fields to add: `include_usage` to know what a stream cost, and the reserved ceiling, in its new or its old name.
 * Without them the upstream's answer is estimated, and bounded by the upstream alone.
 */
function additions(send: ModelSend, ...refusals: readonly ReadonlySet<string>[]): string[] {
  const { endpoint, asks, outputCeiling } = send;
  const accepts = (name: string): boolean =>
    refusals.every((refused) => refused.size === 0 || !refused.has(refusalOf(send, name)));
  const added: string[] = [];
  if (endpoint.asksUsage && asks.stream && !asks.includeUsage && accepts(STREAM_OPTIONS)) added.push(STREAM_OPTIONS);
  if (outputCeiling === undefined || asks.maxOutputTokens !== undefined) return added;
  const ceiling = endpoint.ceilings.find(accepts);
  if (ceiling !== undefined) added.push(ceiling);
  return added;
}

/** Whether the upstream does not know any name of the ceiling without which the call must not be made. */
function lacksCeiling({ requiresCeiling, endpoint, asks }: ModelSend, added: readonly string[]): boolean {
  if (!requiresCeiling || asks.maxOutputTokens !== undefined || endpoint.ceilings.length === 0) return false;
  return !endpoint.ceilings.some((name) => added.includes(name));
}

/** Under what a refusal is remembered: one endpoint may know a field that another does not. */
function refusalOf({ endpoint, upstreamModel }: ModelSend, name: string): string {
  return `${endpoint.operation} ${upstreamModel} ${name}`;
}

/** Which of our additions a refusal is about, so that the client is not told off for a field it never sent. */
function blamedAddition(error: unknown, added: readonly string[]): string | undefined {
  if (!(error instanceof GatewayError) || (error.status !== 400 && error.status !== 422)) return undefined;
  const { param, message } = error;
  return added.find((name) => {
    if (param === null) return message.includes(name);
    return param === name || (name === STREAM_OPTIONS && param === 'stream_options.include_usage');
  });
}

async function attempt(send: ModelSend, added: readonly string[]): Promise<BegunAnswer> {
  const changes = changesOf(send, added);
  let reply: UpstreamReply;
  try {
    reply = await orAborted(send.upstream.send(callOf(send, changes)), send.cancellation);
    if (!isReply(reply)) throw new TypeError('Expected the reply of an upstream to be an object with a `kind`');
  } catch (error) {
    throw failureOf(send, error);
  }
  const begun = send.asks.stream ? beginStream(send, reply, added.includes(STREAM_OPTIONS)) : readWhole(send, reply);
  return isPending(begun) ? await begun : begun;
}

/** What is to be said of an upstream that did not reply. */
function failureOf(send: ModelSend, error: unknown): unknown {
  const { cancellation } = send;
  if (cancellation.aborted) return cancellation.reason;
  if (!(error instanceof GatewayError)) return upstreamError('The upstream failed.', causeOf(error));
  return renamedError(error, namesOf(send));
}

/** What the upstream gets differently from what the client sent. */
function changesOf({ document, asks, upstreamModel, outputCeiling }: ModelSend, added: readonly string[]): JsonObject {
  const changes: { -readonly [Name in keyof JsonObject]: JsonObject[Name] } = {};
  if (upstreamModel !== asks.model) changes.model = upstreamModel;
  for (const name of added) {
    changes[name] = name === STREAM_OPTIONS ? includingUsage(document) : outputCeiling;
  }
  return changes;
}

/** The client's options, if it has any, and the usage chunk. */
function includingUsage(document: JsonDocument): JsonObject {
  const options = memberValue(document, 'stream_options');
  return { ...(isJsonObject(options) ? options : {}), include_usage: true };
}

/** Upstreams without types answer anything. */
function isReply(reply: unknown): boolean {
  return typeof reply === 'object' && reply !== null && 'kind' in reply;
}

function callOf(
  { endpoint: { operation }, call, document, asks, maxResponseBytes, cancellation }: ModelSend,
  changes: JsonObject,
): UpstreamCall {
  const { keyId, tier, requestId } = call;
  const bytes = Object.keys(changes).length === 0 ? document.bytes : replaceMembers(document, changes);
  return upstreamCall({
    keyId,
    tier,
    requestId,
    operation,
    bytes,
    stream: asks.stream,
    maxResponseBytes,
    cancellation,
  });
}

function exceedsContext(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'context_length_exceeded';
}
