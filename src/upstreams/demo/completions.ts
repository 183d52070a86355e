import { orAborted } from '../../base/cancellation.js';
import type { JsonObject } from '../../base/json.js';
import { usageBody } from '../../wire/chat/answer.js';
import { completionId } from '../../wire/ids.js';
import { optionalBoolean, optionalInteger } from '../../wire/members.js';
import { DEFAULT_COMPLETION_TOKENS, readCompletionRequest, readN } from '../../wire/model-request.js';
import { contextLengthExceeded, invalidRequest, unsupportedParameter } from '../../wire/request-errors.js';
import { type DemoContext, type DemoReply, fairTurns } from './context.js';
import { readTextInputs } from './embeddings.js';
import { likelihoods } from './logprobs.js';
import { findDemoModel } from './models.js';
import { readStop, untilStop } from './request.js';
import { piecesOf } from './tokenizer.js';

/** An answer to a prompt in the pieces in which it streams. */
interface Choice {
  readonly pieces: readonly string[];
  /** Characters of its prompt, after which it begins. */
  readonly offset: number;
  readonly finishReason: 'stop' | 'length';
}

/** Longest part of a prompt that is quoted. */
const MAX_QUOTE_CHARS = 80;
const MAX_CHOICES = 2_048;

/**
 * A legacy completion: for each prompt a text that says that it is a demo and how the prompt ended.
 * @throws {GatewayError} 400 or 404
 */
export async function composeCompletion(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const asks = readCompletionRequest({ body, isDecoded: true });
  const { model, stream, includeUsage, maxOutputTokens = DEFAULT_COMPLETION_TOKENS } = asks;
  const { contextLength } = findDemoModel(model, 'completions');
  const countTokens = await orAborted(context.counterOf('cl100k_base'), context.signal);
  // Without a prompt the model writes as at the beginning of a document.
  const prompts = readTextInputs('prompt', body.prompt ?? '');
  const n = readN(body);
  if (n * prompts.length > MAX_CHOICES) throw invalidRequest(`An answer has at most ${MAX_CHOICES} choices.`, 'n');
  if (optionalBoolean('echo', body.echo) === true) throw unsupportedParameter('The demo echoes no prompts.', 'echo');
  const top = optionalInteger('logprobs', body.logprobs, { min: 0, max: 5 });
  const stop = readStop(body);
  const turn = fairTurns(context.signal);
  const choices: Choice[] = [];
  let inputTokens = 0;
  let outputTokens = 0;
  for (const given of prompts) {
    const prompt = typeof given === 'string' ? given : `[${given.length} tokens]`;
    // Of an empty prompt the model sees the token that begins documents.
    const tokens = Math.max(1, typeof given === 'string' ? countTokens([given]) : given.length);
    if (tokens + maxOutputTokens > contextLength) throw contextLengthExceeded(contextLength, tokens, maxOutputTokens);
    inputTokens += tokens;
    for (let index = 0; index < n; index += 1) {
      const all = piecesOf(untilStop(textOf(model, prompt, index), stop));
      const pieces = all.slice(0, maxOutputTokens);
      outputTokens += pieces.length;
      const finishReason = pieces.length < all.length ? 'length' : 'stop';
      choices.push({ pieces, offset: prompt.length, finishReason });
      await turn(prompt.length + pieces.length * 10 * (1 + (top ?? 0)));
    }
  }
  const created = Math.floor(context.clock.wallMs() / 1000);
  const head = { id: completionId(context.requestId), object: 'text_completion', created, model };
  const usage = usageBody({ inputTokens, outputTokens });
  if (stream) return { kind: 'chunks', chunks: chunksOf(choices, top, head, includeUsage ? usage : undefined) };
  const whole = choices.map(({ pieces, offset, finishReason }, index) => {
    const logprobs = top === undefined ? null : logprobsOf(pieces, offset, top);
    return { text: pieces.join(''), index, logprobs, finish_reason: finishReason };
  });
  return { kind: 'whole', body: { ...head, choices: whole, usage } };
}

/** On one line, as many stop at its end, and with the model in its first sixteen tokens. */
function textOf(model: string, prompt: string, index: number): string {
  const end = prompt.slice(-MAX_QUOTE_CHARS).replace(/\s/g, ' ').toWellFormed();
  const ended = end === '' ? 'There was no prompt.' : `The prompt ended: "${end}"`;
  const choice = index === 0 ? '' : ` (choice ${index + 1})`;
  return ` This is the built-in demo model; no real model was asked. It stands in for ${model}. ${ended}${choice}`;
}

/** Log probabilities in the legacy shape, one entry of each list for each piece. */
function logprobsOf(pieces: readonly string[], offset: number, top: number): JsonObject {
  let end = offset;
  const places = pieces.map((piece) => {
    end += piece.length;
    return end - piece.length;
  });
  const tops = pieces.map((piece) => likelihoods(piece, top - 1));
  return {
    tokens: pieces,
    token_logprobs: tops.map(([said]) => said.logprob),
    top_logprobs: tops.map((one) => Object.fromEntries(one.map(({ text, logprob }) => [text, logprob]))),
    text_offset: places,
  };
}

/** The answer as OpenAI would stream it, one choice after the other, usage at the end. */
function* chunksOf(
  choices: readonly Choice[],
  top: number | undefined,
  head: JsonObject,
  usage: JsonObject | undefined,
): Generator<JsonObject, void> {
  const noUsage = usage === undefined ? {} : { usage: null };
  for (const [index, { pieces, offset, finishReason }] of choices.entries()) {
    let at = offset;
    for (const text of pieces) {
      const logprobs = top === undefined ? null : logprobsOf([text], at, top);
      yield { ...head, choices: [{ text, index, logprobs, finish_reason: null }], ...noUsage };
      at += text.length;
    }
    yield { ...head, choices: [{ text: '', index, logprobs: null, finish_reason: finishReason }], ...noUsage };
  }
  if (usage !== undefined) yield { ...head, choices: [], usage };
}
