import { abortable, type Cancellation } from '../base/cancellation.js';
import { GatewayError, upstreamBadResponse } from '../base/errors.js';
import type { Json, JsonObject } from '../base/json.js';
import type { JsonDocument } from '../base/json-document.js';
import { isStepwise, nextOf, type Pieces, type StepSource, stepsOf } from '../base/steps.js';
import { usageBody } from '../wire/chat/answer.js';
import type { ModelEndpoint } from '../wire/model-endpoint.js';
import type { ModelRequest } from '../wire/model-request.js';
import type { TokenUsage } from '../wire/usage.js';
import type { WatchedStream } from '../wire/watched-stream.js';
import type { Upstream, UpstreamCall, UpstreamReply } from './upstream.js';
import { upstreamFailure } from './upstream-failure.js';

/** One call on its way to an upstream. */
export interface ModelSend {
  readonly endpoint: ModelEndpoint;
  readonly upstream: Upstream;
  readonly call: Pick<UpstreamCall, 'keyId' | 'tier' | 'requestId'>;
  readonly cancellation: Cancellation;
  readonly document: JsonDocument;
  readonly asks: ModelRequest;
  /** The upstream's own id of the model. */
  readonly upstreamModel: string;
  /** Sent under one of the endpoint's names when the client named no ceiling; `undefined` sends none. */
  readonly outputCeiling: number | undefined;
  /** Whether the call must not be made without the ceiling: money depends on it. */
  readonly requiresCeiling: boolean;
  /** Said in place of the upstream's own numbers where it has none. */
  readonly estimatedInputTokens: number;
  readonly maxResponseBytes: number;
}

/** What the upstream calls the model, and what the client does. */
export interface ModelNames {
  readonly upstreamModel: string;
  readonly publicModel: string;
}

/** An answer that has begun well. */
export type BegunAnswer = WholeAnswer | StreamAnswer;

/** An answer that is there in full. */
export interface WholeAnswer {
  readonly kind: 'whole';
  readonly body: Uint8Array | string;
  readonly usage: TokenUsage | undefined;
  /** Size of what the model wrote, where the upstream said no usage. */
  readonly outputBytes: number;
}

/** A stream whose first event is there. */
export interface StreamAnswer {
  readonly kind: 'stream';
  readonly first: Uint8Array | string;
  readonly rest: StepSource<Uint8Array | string>;
  readonly stream: WatchedStream;
  /** An event with estimated usage, for a client that asked and an upstream that counts nothing. */
  missingUsage(): string | undefined;
}

/** A reply that comes in steps. */
export type StreamReply = Extract<UpstreamReply, { kind: 'bytes' | 'chunks' }>;

/** What the upstream sends, which breaks off at once when the call is aborted, whether the upstream knows how to or not. */
export function sourceOf({ cancellation }: ModelSend, reply: StreamReply): StepSource<Uint8Array | JsonObject> {
  const pieces: Pieces<Uint8Array | JsonObject> = reply.kind === 'bytes' ? reply.body : reply.chunks;
  return isStepwise(pieces) ? pieces : stepsOf(abortable(pieces, cancellation));
}

/** All the bytes of a reply. */
export async function collect(
  source: StepSource<Uint8Array | JsonObject>,
  { maxResponseBytes }: ModelSend,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for (let piece = await nextOf(source); piece instanceof Uint8Array; piece = await nextOf(source)) {
    size += piece.byteLength;
    if (size > maxResponseBytes) {
      source.leave();
      throw upstreamBadResponse('The upstream answered with too much.');
    }
    pieces.push(piece);
  }
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
}

/** An answer that bears an error in spite of its 200 is none. */
export function checkNoError(send: ModelSend, error: Json | undefined): void {
  if (error !== undefined && error !== null) throw reportedError(namesOf(send), error);
}

/** An error that came with a 200. Its own words, our status. */
export function reportedError(names: ModelNames, error: Json): GatewayError {
  return renamedError(upstreamFailure({ status: 502, body: { error } }), names);
}

/** Usage in OpenAI's shape, of our own counting. */
export function estimatedUsage({ estimatedInputTokens }: ModelSend, outputTokens: number): JsonObject {
  return usageBody({ inputTokens: estimatedInputTokens, outputTokens, reasoningTokens: 0 });
}

export function namesOf({ upstreamModel, asks }: ModelSend): ModelNames {
  return { upstreamModel, publicModel: asks.model };
}

/** The upstream's own model id must not show in an error's words either, in whatever case. */
export function renamedError(error: GatewayError, { upstreamModel, publicModel }: ModelNames): GatewayError {
  if (upstreamModel === publicModel) return error;
  const upstreamName = new RegExp(upstreamModel.replace(/[^A-Za-z0-9_]/g, '\\$&'), 'gi');
  const renamed = (text: string): string => text.replace(upstreamName, () => publicModel);
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
