import { createHash } from 'node:crypto';
import { orAborted } from '../../base/cancellation.js';
import { systemClock } from '../../base/clock.js';
import type { JsonObject } from '../../base/json.js';
import { type ChatAnswer, chatCompletion, chatHead, usageBody } from '../../wire/chat/answer.js';
import { chatChunks } from '../../wire/chat/chunks.js';
import { contextLengthExceeded } from '../../wire/request-errors.js';
import { composeAnswer } from './compose-answer.js';
import { countInput } from './count-input.js';
import type { DemoContext, DemoReply } from './demo-context.js';
import { type DemoRequest, readRequest } from './read-request.js';
import type { Tokenizer } from './tokenizer.js';

/**
 * A chat completion.
 * @throws {GatewayError} 400 or 404 in OpenAI's wording.
 */
export async function composeChat(
  body: JsonObject,
  { requestId, signal, tokenizerOf }: DemoContext,
): Promise<DemoReply> {
  const request = readRequest(body);
  const tokenizer = await orAborted(tokenizerOf(request.model.encoding), signal);
  const answer = answerTo(request, { body, requestId }, tokenizer);
  if (!request.stream) return { kind: 'whole', body: chatCompletion(answer) };
  return { kind: 'chunks', chunks: chatChunks(answer, { includeUsage: request.includeUsage }) };
}

function answerTo(
  request: DemoRequest,
  { body, requestId }: { readonly body: JsonObject; readonly requestId: string },
  tokenizer: Tokenizer,
): ChatAnswer {
  const { model, modelId, messages, maxOutputTokens } = request;
  const inputTokens = countInput(body, messages, tokenizer);
  const room = model.contextLength - inputTokens;
  if (room < (maxOutputTokens ?? 1)) throw contextLengthExceeded(model.contextLength, inputTokens, maxOutputTokens);
  // Turns of one conversation have different ids even where a test gives all requests the same one.
  const seed = `${requestId}/${messages.length}`;
  const composed = composeAnswer(
    request,
    tokenizer,
    seed,
    maxOutputTokens ?? Math.min(room, model.maxOutputTokens ?? room),
  );
  return {
    head: {
      ...chatHead(seed, modelId, systemClock.wallMs()),
      serviceTier: 'default',
      systemFingerprint: `fp_demo${createHash('sha1').update(modelId).digest('hex').slice(0, 6)}`,
    },
    choices: composed.choices,
    usage: usageBody({ inputTokens, ...composed }),
  };
}
