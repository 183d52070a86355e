import { orAborted } from '../../base/cancellation.js';
import { systemClock } from '../../base/clock.js';
import type { JsonObject } from '../../base/json.js';
import { completionId } from '../../wire/ids.js';
import { invalidRequest } from '../../wire/request-errors.js';
import {
  type CompletionAnswer,
  type CompletionChoice,
  completionChunks,
  wholeCompletion,
} from './completion-answer.js';
import { codePoints, completionLogprobs } from './completion-logprobs.js';
import { untilStop, upTo } from './cut-text.js';
import type { DemoContext, DemoReply } from './demo-context.js';
import { type CompletionRequest, readCompletion } from './read-completion.js';
import { promptTooLong } from './text-errors.js';
import type { Tokenizer } from './tokenizer.js';
import { fairTurns } from './turns.js';

/** A prompt, its text and what it counts. */
interface Prompt {
  readonly text: string;
  readonly tokens: number;
}

/** Longest part of a prompt that is quoted. */
const MAX_QUOTE_CHARS = 80;
/** Most characters of prompts in one answer: echoed for every choice, they might be a hundred times the request. */
const MAX_ECHOED_CHARS = 8_000_000;
/** The same with log probabilities, which take fifty times the room. */
const MAX_ECHOED_CHARS_WITH_LOGPROBS = 500_000;

/**
 * Answers `/v1/completions`: for each prompt a text that says that it is a demo and how the prompt ended.
 * @throws {GatewayError} 400 or 404, in OpenAI's wording
 */
export async function composeCompletion(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const request = readCompletion(body);
  const tokenizer = await orAborted(context.tokenizerOf('cl100k_base'), context.signal);
  const prompts = await readPrompts(request, tokenizer, context);
  const { choices, outputTokens } = await composeChoices(request, prompts, tokenizer, context);
  const inputTokens = prompts.reduce((sum, { tokens }) => sum + tokens, 0);
  const answer: CompletionAnswer = {
    id: completionId(context.requestId),
    created: Math.floor(systemClock.wallMs() / 1000),
    model: request.modelId,
    choices,
    usage: {
      prompt_tokens: inputTokens,
      completion_tokens: outputTokens,
      total_tokens: inputTokens + outputTokens,
    },
  };
  return request.stream
    ? { kind: 'chunks', chunks: completionChunks(answer, request.includeUsage) }
    : { kind: 'whole', body: wholeCompletion(answer) };
}

async function readPrompts(
  request: CompletionRequest,
  tokenizer: Tokenizer,
  context: DemoContext,
): Promise<readonly Prompt[]> {
  const { contextLength, maxTokens, suffix } = request;
  const isTokens = typeof request.prompts[0] !== 'string';
  const decode = isTokens ? await orAborted(context.decoder(), context.signal) : undefined;
  const suffixTokens = suffix === undefined ? 0 : tokenizer.count([suffix]);
  const turn = fairTurns(context.signal);
  const prompts: Prompt[] = [];
  for (const prompt of request.prompts) {
    const counted = typeof prompt === 'string' ? tokenizer.count([prompt]) : prompt.length;
    // Of an empty prompt the model sees the token that begins documents.
    const tokens = Math.max(1, counted) + suffixTokens;
    if (tokens + maxTokens > contextLength) throw promptTooLong(contextLength, tokens, maxTokens);
    const text = typeof prompt === 'string' ? prompt : (decode?.(prompt) ?? `[${prompt.length} tokens]`);
    prompts.push({ text, tokens });
    await turn(text.length);
  }
  const chars = prompts.reduce((sum, { text }) => sum + text.length, 0) * request.n;
  const max = request.logprobs === undefined ? MAX_ECHOED_CHARS : MAX_ECHOED_CHARS_WITH_LOGPROBS;
  if (request.echo && chars > max) {
    throw invalidRequest('The prompts are too long to be echoed in every choice of one answer.', 'echo');
  }
  return prompts;
}

async function composeChoices(
  request: CompletionRequest,
  prompts: readonly Prompt[],
  tokenizer: Tokenizer,
  { signal }: DemoContext,
): Promise<{ readonly choices: readonly CompletionChoice[]; readonly outputTokens: number }> {
  const turn = fairTurns(signal);
  const choices: CompletionChoice[] = [];
  let outputTokens = 0;
  for (const prompt of prompts) {
    const echoed = request.echo ? echoOf(prompt, request, tokenizer) : undefined;
    await turn(prompt.text.length);
    const offset = codePoints(prompt.text);
    for (let index = 0; index < request.bestOf; index += 1) {
      const text = untilStop(textOf(request, prompt, index), request.stop);
      const { pieces, tokens, cut } = upTo(tokenizer.pieces(text), request.maxTokens);
      outputTokens += tokens;
      await turn(text.length);
      // The first are the best; what is not shown was made, and counts, all the same.
      if (index >= request.n) continue;
      choices.push({
        ...(echoed === undefined ? {} : { echoed }),
        pieces,
        logprobs: logprobsOf(request, pieces, offset, false),
        finishReason: cut ? 'length' : 'stop',
      });
    }
  }
  return { choices, outputTokens };
}

/** The same for all choices of a prompt. */
function echoOf({ text }: Prompt, request: CompletionRequest, tokenizer: Tokenizer): CompletionChoice['echoed'] {
  if (request.logprobs === undefined) return { text, logprobs: undefined };
  const pieces = tokenizer.pieces(text).map((piece) => piece.text);
  return { text, logprobs: logprobsOf(request, pieces, 0, true) };
}

function logprobsOf(request: CompletionRequest, pieces: readonly string[], offset: number, begins: boolean) {
  return request.logprobs === undefined
    ? undefined
    : completionLogprobs(pieces, { offset, top: request.logprobs, begins });
}

/** On one line, as many stop at its end, and with what matters in its first sixteen tokens. */
function textOf({ modelId, suffix }: CompletionRequest, prompt: Prompt, index: number): string {
  return [
    ' This is the built-in demo model; no real model was asked.',
    `It stands in for ${modelId}.`,
    prompt.text === '' ? 'There was no prompt.' : `The prompt ended: "${endOf(prompt.text)}"`,
    ...(suffix === undefined ? [] : ['This comes before your suffix.']),
    'Configure an upstream to get real completions.',
    ...(index === 0 ? [] : [`(choice ${index + 1})`]),
  ].join(' ');
}

function endOf(text: string): string {
  return [...text.slice(-MAX_QUOTE_CHARS * 2)].slice(-MAX_QUOTE_CHARS).join('').replace(/\s+/g, ' ');
}
