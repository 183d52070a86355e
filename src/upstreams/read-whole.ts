import type { Awaitable } from '../base/awaitable.js';
import { type GatewayError, upstreamBadResponse } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import {
  ANSWER_BOUNDS,
  memberValue,
  replaceMembers,
  scanDocument,
  withoutByteOrderMark,
} from '../base/json-document.js';
import { answerTextBytes, estimateTokens } from '../wire/estimate.js';
import { readUsage, type TokenUsage } from '../wire/usage.js';
import {
  type AnswerChunk,
  checkNoError,
  collectBytes,
  estimatedUsage,
  type OutgoingCall,
  shownModel,
  sourceOf,
} from './answer.js';
import type { UpstreamReply } from './upstream.js';

const OPENING_BRACKET = 0x5b;

/** An answer that is there in full. */
export class WholeAnswer {
  readonly kind = 'whole';
  readonly body: AnswerChunk;
  readonly usage: TokenUsage | undefined;
  /** Size of the model's output in UTF-8, where the upstream told no usage. */
  private readonly outputBytes: number;

  constructor(body: AnswerChunk, usage: TokenUsage | undefined, outputBytes: number) {
    this.body = body;
    this.usage = usage;
    this.outputBytes = outputBytes;
  }

  /** Output that the client got. */
  deliveredTokens(): number {
    return estimateTokens(this.outputBytes);
  }
}

/** Reads a whole answer to its end and makes sure that it is one. */
export function readWhole(call: OutgoingCall, reply: UpstreamReply): Awaitable<WholeAnswer> {
  if (reply.kind === 'chunks') throw upstreamBadResponse('The upstream streamed an answer that was to be whole.');
  if (reply.kind === 'whole') {
    return reply.body instanceof Uint8Array ? wholeBytes(call, reply.body) : wholeObject(call, reply.body);
  }
  if (!/^application\/(?:[\w.+-]+\+)?json/i.test(reply.contentType)) {
    throw upstreamBadResponse('The upstream answered with something other than JSON.');
  }
  return collectBytes(sourceOf(call, reply), call).then((bytes) => wholeBytes(call, bytes));
}

function wholeObject(call: OutgoingCall, body: JsonObject): WholeAnswer {
  // A response bears its error itself, and `null` where it has none.
  if (body.output === undefined) checkNoError(call, body.error);
  if (!Array.isArray(body[call.endpoint.answerMember])) throw noAnswer(call);
  const usage = readUsage(body.usage);
  const outputBytes = usage === undefined ? answerTextBytes(body.choices ?? body.output) : 0;
  const shown = shownModel(call);
  const answer: JsonObject = {
    ...body,
    ...(shown === undefined ? {} : { model: shown }),
    // A client is owed the numbers, and whoever made the objects cannot count.
    ...(body.usage === undefined && call.endpoint.asksUsage && body.choices !== undefined
      ? { usage: estimatedUsage(call, estimateTokens(outputBytes)) }
      : {}),
  };
  // A view that makes something else of the object writes it itself: its texts are the bulk of it.
  const text = call.view.takes === 'text' ? JSON.stringify(answer) : undefined;
  const size = text?.length ?? answerTextBytes(body.choices ?? body.output);
  if (size > call.maxResponseBytes) throw upstreamBadResponse('The upstream answered with too much.');
  return new WholeAnswer(text ?? answer, usage, outputBytes);
}

function wholeBytes(call: OutgoingCall, bytes: Uint8Array): WholeAnswer {
  const document = scanDocument(bytes, ANSWER_BOUNDS);
  const error = 'kind' in document ? undefined : memberValue(document, 'error');
  if ('kind' in document || (error === undefined && document.members.has('error'))) {
    throw upstreamBadResponse('The upstream answered with JSON that cannot be read.');
  }
  if (!document.members.has('output')) checkNoError(call, error);
  const answer = document.members.get(call.endpoint.answerMember);
  if (answer === undefined || document.bytes[answer.start] !== OPENING_BRACKET) throw noAnswer(call);
  const usage = readUsage(memberValue(document, 'usage'));
  const written = document.members.has('choices') ? 'choices' : 'output';
  const outputBytes = usage === undefined ? answerTextBytes(memberValue(document, written)) : 0;
  const shown = shownModel(call);
  const body = shown === undefined ? withoutByteOrderMark(bytes) : replaceMembers(document, { model: shown });
  return new WholeAnswer(body, usage, outputBytes);
}

function noAnswer({ endpoint }: OutgoingCall): GatewayError {
  return upstreamBadResponse(`The upstream answered with no ${endpoint.answerMember}.`);
}
