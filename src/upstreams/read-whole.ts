import type { Awaitable } from '../base/awaitable.js';
import { type GatewayError, upstreamBadResponse } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import {
  ANSWER_BOUNDS,
  type JsonDocument,
  memberValue,
  replaceMembers,
  scanDocument,
  withoutByteOrderMark,
} from '../base/json-document.js';
import { answerTextBytes, estimateTokens } from '../wire/estimate.js';
import { readUsage } from '../wire/usage.js';
import { checkNoError, collect, estimatedUsage, type ModelSend, sourceOf, type WholeAnswer } from './answer.js';
import type { UpstreamReply } from './upstream.js';

const OPENING_BRACKET = 0x5b;

/** Reads a whole answer to its end and makes sure that it is one. */
export function readWhole(send: ModelSend, reply: UpstreamReply): Awaitable<WholeAnswer> {
  if (reply.kind === 'chunks') throw upstreamBadResponse('The upstream streamed an answer that was to be whole.');
  if (reply.kind === 'whole') {
    return reply.body instanceof Uint8Array ? wholeBytes(send, reply.body) : wholeObject(send, reply.body);
  }
  if (!/^application\/(?:[\w.+-]+\+)?json/i.test(reply.contentType)) {
    throw upstreamBadResponse('The upstream answered with something other than JSON.');
  }
  return collect(sourceOf(send, reply), send).then((bytes) => wholeBytes(send, bytes));
}

function wholeObject(send: ModelSend, body: JsonObject): WholeAnswer {
  // A response bears its error itself, and `null` where it has none.
  if (body.output === undefined) checkNoError(send, body.error);
  if (!Array.isArray(body[send.endpoint.answerMember])) throw noAnswer(send);
  const usage = readUsage(body.usage);
  const outputBytes = usage === undefined ? answerTextBytes(body.choices ?? body.output) : 0;
  const text = JSON.stringify({
    ...body,
    ...(send.upstreamModel === send.asks.model ? {} : { model: send.asks.model }),
    // A client is owed the numbers, and whoever made the objects cannot count.
    ...(body.usage === undefined && send.endpoint.asksUsage && body.choices !== undefined
      ? { usage: estimatedUsage(send, estimateTokens(outputBytes)) }
      : {}),
  });
  if (text.length > send.maxResponseBytes) throw upstreamBadResponse('The upstream answered with too much.');
  return { kind: 'whole', body: text, usage, outputBytes };
}

function wholeBytes(send: ModelSend, bytes: Uint8Array): WholeAnswer {
  const document = scannedAnswer(send, bytes);
  const answer = document.members.get(send.endpoint.answerMember);
  if (answer === undefined || document.bytes[answer.start] !== OPENING_BRACKET) throw noAnswer(send);
  const usage = readUsage(memberValue(document, 'usage'));
  const written = document.members.has('choices') ? 'choices' : 'output';
  const outputBytes = usage === undefined ? answerTextBytes(memberValue(document, written)) : 0;
  const renames = send.upstreamModel !== send.asks.model;
  const body = renames ? replaceMembers(document, { model: send.asks.model }) : withoutByteOrderMark(bytes);
  return { kind: 'whole', body, usage, outputBytes };
}

/** The bytes of an answer, once it is sure that they are JSON and no error. */
function scannedAnswer(send: ModelSend, bytes: Uint8Array): JsonDocument {
  const document = scanDocument(bytes, ANSWER_BOUNDS);
  const error = 'kind' in document ? undefined : memberValue(document, 'error');
  if ('kind' in document || (error === undefined && document.members.has('error'))) {
    throw upstreamBadResponse('The upstream answered with JSON that cannot be read.');
  }
  if (!document.members.has('output')) checkNoError(send, error);
  return document;
}

function noAnswer({ endpoint }: ModelSend): GatewayError {
  return upstreamBadResponse(`The upstream answered with no ${endpoint.answerMember}.`);
}
