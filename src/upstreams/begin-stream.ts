import { type GatewayError, upstreamBadResponse, upstreamInterrupted } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import { ANSWER_BOUNDS, memberValue, scanDocument } from '../base/json-document.js';
import { nextOf, type StepSource } from '../base/steps.js';
import { sseEvent } from '../wire/sse.js';
import type { WatchedStream } from '../wire/watched-stream.js';
import {
  type BegunAnswer,
  checkNoError,
  collect,
  estimatedUsage,
  type ModelNames,
  type ModelSend,
  namesOf,
  reportedError,
  sourceOf,
} from './answer.js';
import type { UpstreamReply } from './upstream.js';

/** Longest event of a stream. */
const MAX_EVENT_BYTES = 4_194_304;

/** Waits for the first event: until then an error is an ordinary one, with a status. */
export async function beginStream(send: ModelSend, reply: UpstreamReply, hideUsage: boolean): Promise<BegunAnswer> {
  if (reply.kind === 'whole') {
    throw upstreamBadResponse('The upstream answered whole where a stream was asked for.');
  }
  const source = sourceOf(send, reply);
  if (reply.kind !== 'chunks' && !/^text\/event-stream/i.test(reply.contentType)) {
    await refuseWholeAnswer(send, source);
  }
  const stream = send.endpoint.watch({
    hideUsage,
    showModel: send.upstreamModel === send.asks.model ? undefined : send.asks.model,
    awaitsUsage: send.asks.includeUsage && reply.kind !== 'chunks',
    n: send.asks.n,
    maxEventBytes: Math.min(MAX_EVENT_BYTES, send.maxResponseBytes),
  });
  const rest = deliverable(source, stream, send.maxResponseBytes);
  let first = await nextOf(rest);
  // Comments keep a connection alive and say nothing: the answer has not begun.
  while (first !== undefined && !stream.begun) first = await nextOf(rest);
  if (first !== undefined) {
    const missingUsage = (): string | undefined =>
      send.asks.includeUsage && stream.usage === undefined ? usageEvent(send, stream) : undefined;
    return { kind: 'stream', first, rest, stream, missingUsage };
  }
  if (stream.failure?.kind === 'reported') throw reportedError(namesOf(send), stream.failure.error);
  throw upstreamBadResponse('The upstream ended the stream before it began.');
}

/** A 200 that is no stream: an error in disguise, if it is one. */
async function refuseWholeAnswer(send: ModelSend, source: StepSource<Uint8Array | JsonObject>): Promise<never> {
  const document = scanDocument(await collect(source, send), ANSWER_BOUNDS);
  if (!('kind' in document)) checkNoError(send, memberValue(document, 'error'));
  throw upstreamBadResponse('The upstream answered with something other than an event stream.');
}

function usageEvent(send: ModelSend, stream: WatchedStream): string | undefined {
  if (stream.lastChunk === undefined) return undefined;
  const { usage: _, ...chunk } = stream.lastChunk;
  return sseEvent({ ...chunk, choices: [], usage: estimatedUsage(send, stream.deliveredTokens()) });
}

/** What may go to the client, piece by piece; ends at `[DONE]`, at the end, or at a failure that `stream` tells. */
function deliverable(
  source: StepSource<Uint8Array | JsonObject>,
  stream: WatchedStream,
  maxResponseBytes: number,
): StepSource<Uint8Array | string> {
  let size = 0;
  let ended = false;

  function leave(): void {
    if (ended) return;
    ended = true;
    source.leave();
  }

  /** What is to be shown of a step; `undefined` when nothing is. */
  function take(step: Uint8Array | JsonObject): Uint8Array | string | undefined {
    if (step instanceof Uint8Array) size += step.byteLength;
    const shown = stream.watchPiece(step);
    if (typeof shown === 'string') size += shown.length;
    if (size > maxResponseBytes) throw upstreamBadResponse('The upstream answered with too much.');
    return shown;
  }

  let onStep: (piece: Uint8Array | string | undefined) => void;
  let onFailure: (reason: unknown) => void;

  function onSource(step: Uint8Array | JsonObject | undefined): void {
    if (step === undefined) {
      ended = true;
      onStep(stream.watchEnd());
      return;
    }
    let shown: Uint8Array | string | undefined;
    try {
      shown = take(step);
    } catch (error) {
      leave();
      onFailure(error);
      return;
    }
    if (shown === undefined && !stream.done && stream.failure === undefined) {
      source.read(onSource, onFailure);
      return;
    }
    if (shown === undefined) leave();
    onStep(shown);
  }

  return {
    leave,
    read(givenOnStep, givenOnFailure) {
      onStep = givenOnStep;
      onFailure = givenOnFailure;
      if (stream.done || stream.failure !== undefined) leave();
      if (ended) onStep(undefined);
      else source.read(onSource, onFailure);
    },
  };
}

/** How a stream that did not end well is told to the client. */
export function streamError(names: ModelNames, stream: WatchedStream): GatewayError | undefined {
  if (stream.failure?.kind === 'reported') return reportedError(names, stream.failure.error);
  if (stream.failure !== undefined) return upstreamBadResponse('The upstream sent what is not a chunk.');
  return stream.done || stream.finished ? undefined : upstreamInterrupted();
}
