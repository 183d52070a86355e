import { type Awaitable, isPending } from '../base/awaitable.js';
import { bufferOf } from '../base/bytes.js';
import { abortable, type Cancellation } from '../base/cancellation.js';
import { GatewayError, upstreamBadResponse } from '../base/errors.js';
import { GatheredBytes } from '../base/gathered-bytes.js';
import type { Json, JsonObject } from '../base/json.js';
import type { JsonDocument } from '../base/json-document.js';
import type { JsonBounds } from '../base/json-scan.js';
import { isStepwise, nextOf, type Pieces, type StepSource, stepsOf } from '../base/steps.js';
import { usageBody } from '../wire/chat/answer.js';
import type { ModelEndpoint } from '../wire/model-endpoint.js';
import type { ModelRequest } from '../wire/model-request.js';
import type { StreamChunk, WatchOptions } from '../wire/watched-stream.js';
import { withoutUpstreamName } from './redact.js';
import type { Upstream, UpstreamReply } from './upstream.js';
import { isSaid, upstreamFailure } from './upstream-failure.js';

/** A call on its way to an upstream: the parts that asking it takes, and understanding its answer. Aborts with the call. */
export interface OutgoingCall extends Cancellation {
  readonly requestId: string;
  readonly keyId: string;
  readonly tier: string;
  readonly endpoint: ModelEndpoint;
  readonly upstream: Upstream;
  /** Whether the answer is for a response in the background. */
  readonly isBackground: boolean;
  readonly model: {
    /** The upstream's own id of the model. */
    readonly upstreamModel: string;
    /** Treatment of responses, where the host has said it. */
    readonly responses?: 'pass' | 'translate' | undefined;
  };
  readonly document: JsonDocument;
  readonly asks: ModelRequest;
  /** Told in place of the upstream's own number where it has none. */
  readonly inputTokens: number;
  /** Sent under one of the endpoint's names when the client named no ceiling; `undefined` sends none. */
  readonly outputCeiling: number | undefined;
  /** Whether the call must not be made without the ceiling: money depends on it. */
  readonly requiresCeiling: boolean;
  /** Whether the bound of its tool calls is ours, and not the client's. */
  readonly addsToolBound?: boolean;
  readonly maxResponseBytes: number;
  /**
   * Takes account of bytes of the answer that are in memory; negative: that are there no longer.
   * @throws {GatewayError} 429 or 503 when there is no room for more.
   */
  holdBytes(bytes: number): void;
  /** The same, and waits for room for a moment: the upstream is held back meanwhile. */
  holdInTime(bytes: number): Awaitable<void>;
  /** Bounds of what is parsed of the answer. */
  readonly answerBounds: JsonBounds;
  readonly view: {
    /** Form in which the answer is wanted: as it goes to the client, as it came, or parsed. */
    readonly takes: WatchOptions['takes'];
  };
  /** How often an upstream was asked; counted by `send`. */
  attempts: number;
}

/** A part of an answer, or all of it: text, bytes, or parsed. */
export type AnswerChunk = StreamChunk | JsonObject;

/** A reply that comes in steps. */
export type StreamReply = Extract<UpstreamReply, { kind: 'bytes' | 'chunks' }>;

/** The steps of a reply, which break off at once when the call is aborted, whether the upstream knows how to or not. */
export function sourceOf(call: Cancellation, reply: StreamReply): StepSource<Uint8Array | JsonObject> {
  const pieces: Pieces<Uint8Array | JsonObject> = reply.kind === 'bytes' ? reply.body : reply.chunks;
  return isStepwise(pieces) ? pieces : stepsOf(abortable(pieces, call));
}

/** All the bytes of a reply. */
export async function collectBytes(
  source: StepSource<Uint8Array | JsonObject>,
  call: Pick<OutgoingCall, 'maxResponseBytes' | 'holdInTime'>,
): Promise<Uint8Array> {
  const gathered = new GatheredBytes();
  for (let piece = await nextOf(source); piece instanceof Uint8Array; piece = await nextOf(source)) {
    gathered.add(piece);
    try {
      if (gathered.size > call.maxResponseBytes) throw upstreamBadResponse('The upstream answered with too much.');
      const held = call.holdInTime(piece.byteLength);
      if (isPending(held)) await held;
    } catch (error) {
      source.leave();
      throw error;
    }
  }
  return gathered.take();
}

/** @param beside the object that bears the error, which may tell its status. @throws {GatewayError} for an answer that bears an error in spite of its 200. */
export function checkNoError(call: NamedCall, error: Json | undefined, beside?: JsonObject): void {
  if (error !== undefined && error !== null) throw reportedError(call, error, beside);
}

/** An error that came with a 200: its own words, and the status that they tell, if they tell one. */
export function reportedError(call: NamedCall, error: Json, { status, code }: JsonObject = {}): GatewayError {
  const body = { error, ...(status === undefined ? {} : { status }), ...(code === undefined ? {} : { code }) };
  return renamedError(upstreamFailure({ status: 'inside', body }), call);
}

/** The code of a failed response whose own is not for clients: codes of responses are a closed list in OpenAI's description. */
const CODE_OF_FAILURE = 'server_error';

/** The error that a failed response bears, with its words as a client may read them. */
export function shownError(call: NamedCall, error: JsonObject): JsonObject {
  const { message, code } = reportedError(call, error);
  return {
    ...error,
    ...(error.message === undefined ? {} : { message }),
    ...(typeof error.code === 'string' && code !== error.code ? { code: CODE_OF_FAILURE } : {}),
  };
}

/** Usage in OpenAI's shape, of our own counting. */
export function estimatedUsage({ inputTokens }: Pick<OutgoingCall, 'inputTokens'>, outputTokens: number): JsonObject {
  return usageBody({ inputTokens, outputTokens, reasoningTokens: 0 });
}

/** A call with both names of its model, the upstream's and the client's, and the host's own name for the upstream. */
export type NamedCall = Pick<OutgoingCall, 'model' | 'asks'> & { readonly upstream: Pick<Upstream, 'name'> };

/** The client's name of the model, where the upstream has another. */
export function shownModel({ model, asks }: Pick<NamedCall, 'model' | 'asks'>): string | undefined {
  return model.upstreamModel === asks.model ? undefined : asks.model;
}

/** The client's name in place of the upstream's, where that is another or tells where a file lies. */
export function shownModelOf(call: Pick<NamedCall, 'model' | 'asks'>, isPath: boolean): string | undefined {
  return shownModel(call) ?? (isPath ? call.asks.model : undefined);
}

const MODEL_MEMBER = Buffer.from('"model"');
const QUOTE = 0x22;
const COLON = 0x3a;

/** Whether the model that is named first in some bytes is the path of a file, as llama.cpp and vLLM name it. */
export function namesModelPath(bytes: Uint8Array): boolean {
  const buffer = bufferOf(bytes);
  const member = buffer.indexOf(MODEL_MEMBER);
  if (member === -1) return false;
  let at = member + MODEL_MEMBER.length;
  while (buffer[at] === COLON || (buffer[at] ?? QUOTE) <= 0x20) at += 1;
  return isPathAt(buffer, at);
}

/** Whether the JSON text that begins at `start` is an absolute path. */
export function isPathAt(bytes: Uint8Array, start: number): boolean {
  if (bytes[start] !== QUOTE) return false;
  const first = bytes[start + 1];
  const second = bytes[start + 2];
  const isRelative = (first === 0x2e || first === 0x7e) && (second === 0x2f || second === 0x2e);
  return first === 0x2f || isRelative || (second === COLON && (bytes[start + 3] === 0x5c || bytes[start + 3] === 0x2f));
}

/** A name of a model with what is written about it: vendor, version, date. */
const MODEL_WORD = /[\w./:@-]+/g;
/** Shorter names are found only where they stand alone: an `m` is in many words. */
const LEAST_FOUND_INSIDE = 4;

/**
 * Replaces the upstream's own model id, which must not show in an error's words either, in whatever case: with the date or the
 * vendor that stands at it, as these are the upstream's, too. What the host calls the upstream is cut out of the upstream's words.
 */
export function renamedError(error: GatewayError, call: NamedCall): GatewayError {
  const shown = shownModel(call);
  const hidesUpstream = isSaid(error);
  if (shown === undefined && !hidesUpstream) return error;
  const upstreamName = call.model.upstreamModel.toLowerCase();
  const baseName = upstreamName.slice(upstreamName.lastIndexOf('/') + 1);
  const names = baseName.length >= LEAST_FOUND_INSIDE ? [upstreamName, baseName] : [upstreamName];
  const renamed = (text: string): string => {
    const told = shown === undefined ? text : renamedText(text, names, shown);
    return hidesUpstream ? withoutUpstreamName(told, call.upstream.name, call.asks.model) : told;
  };
  const { status, message, type, code, param, retryAfterMs, shouldRetry, headers, cause } = error;
  return new GatewayError({
    status,
    message: renamed(message),
    type: renamed(type),
    code: code === null ? null : renamed(code),
    param: param === null ? null : renamed(param),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(shouldRetry === undefined ? {} : { shouldRetry }),
    headers,
    cause,
  });
}

function renamedText(text: string, names: readonly string[], shown: string): string {
  const lower = text.toLowerCase();
  const found = names.filter((name) => lower.includes(name));
  if (found.length === 0) return text;
  const whole = text.replace(MODEL_WORD, (word) => {
    const end = /[.:]$/.test(word) ? word.length - 1 : word.length;
    const named = word.slice(0, end).toLowerCase();
    const isNamed = found.some((name) => name === named || (name.length >= LEAST_FOUND_INSIDE && named.includes(name)));
    return isNamed ? shown + word.slice(end) : word;
  });
  // A name with other characters is none of those words.
  return found.reduce((all, name) => (MODEL_NAME.test(name) ? all : replacedInAnyCase(all, name, shown)), whole);
}

const MODEL_NAME = /^[\w./:@-]+$/;

function replacedInAnyCase(text: string, name: string, shown: string): string {
  const lower = text.toLowerCase();
  if (lower.length !== text.length) return text.replaceAll(name, () => shown);
  let replaced = '';
  let from = 0;
  for (let at = lower.indexOf(name); at !== -1; at = lower.indexOf(name, from)) {
    replaced += text.slice(from, at) + shown;
    from = at + name.length;
  }
  return replaced + text.slice(from);
}
