import { orAborted } from '../../base/cancellation.js';
import type { JsonObject } from '../../base/json.js';
import { completionId } from '../../wire/ids.js';
import { optionalBoolean, optionalInteger } from '../../wire/members.js';
import { readCompletionRequest } from '../../wire/model-request.js';
import { contextLengthExceeded, invalidRequest } from '../../wire/request-errors.js';
import { type DemoContext, type DemoReply, fairTurns } from './context.js';
import { readTextInputs } from './embeddings.js';
import { likelihoods } from './logprobs.js';
import { findDemoModel } from './models.js';
import { readStop, untilStop } from './request.js';
import { upTo } from './tokenizer.js';

interface Choice {
  /** The pieces in which the text streams, an echoed prompt among them. */
  readonly pieces: readonly string[];
  /** Shape of the log probabilities of pieces; `null`: they are not asked for. */
  logprobs(from: number, to: number): JsonObject | null;
  readonly finishReason: 'stop' | 'length';
}

/** Longest part of a prompt that is quoted. */
const MAX_QUOTE_CHARS = 80;
/** Most characters of prompts in one answer: echoed for every choice, they might be a hundred times the request. */
const MAX_ECHOED_CHARS = 500_000;
const MAX_CHOICES = 2_048;

/**
 * A legacy completion: for each prompt a text that says that it is a demo and how the prompt ended.
 * @throws {GatewayError} 400 or 404
 */
export async function composeCompletion(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const { model, stream, includeUsage, ...asks } = readCompletionRequest({ body, isDecoded: true });
  const { contextLength } = findDemoModel(model, 'completions');
  const tokenizer = await orAborted(context.tokenizerOf('cl100k_base'), context.signal);
  // Without a prompt the model writes as at the beginning of a document.
  const prompts = readTextInputs('prompt', body.prompt ?? '');
  const perPrompt = asks.n / prompts.length;
  const shown = optionalInteger('n', body.n, { min: 1, max: 128 }) ?? 1;
  if (asks.n > MAX_CHOICES) throw invalidRequest(`An answer has at most ${MAX_CHOICES} choices.`, 'n');
  const echo = optionalBoolean('echo', body.echo) ?? false;
  const top = optionalInteger('logprobs', body.logprobs, { min: 0, max: 5 });
  const stop = readStop(body);
  const maxTokens = asks.maxOutputTokens ?? 0;
  const turn = fairTurns(context.signal);
  const choices: Choice[] = [];
  let [inputTokens, outputTokens, echoedChars] = [0, 0, 0];
  for (const given of prompts) {
    const prompt = typeof given === 'string' ? given : `[${given.length} tokens]`;
    // Of an empty prompt the model sees the token that begins documents.
    const tokens = Math.max(1, typeof given === 'string' ? tokenizer.count([given]) : given.length);
    if (tokens + maxTokens > contextLength) throw contextLengthExceeded(contextLength, tokens, maxTokens);
    inputTokens += tokens;
    echoedChars += echo ? prompt.length * shown : 0;
    if (echoedChars > MAX_ECHOED_CHARS) throw invalidRequest('The prompts are too long to be echoed so often.', 'echo');
    const echoed = echo ? tokenizer.pieces(prompt).map(({ text }) => text) : [];
    for (let index = 0; index < perPrompt; index += 1) {
      const written = upTo(tokenizer.pieces(untilStop(textOf(model, prompt, index), stop)), maxTokens);
      outputTokens += written.tokens;
      const pieces = [...echoed, ...written.pieces];
      const logprobs = (from: number, to: number) =>
        top === undefined ? null : logprobsOf(pieces, { from, to, top, offset: echo ? 0 : prompt.length });
      // With `best_of` the others were made, and count, all the same.
      if (index < shown) choices.push({ pieces, logprobs, finishReason: written.cut ? 'length' : 'stop' });
      await turn(prompt.length + pieces.length * 10 * (1 + (top ?? 0)));
    }
  }
  const created = Math.floor(context.clock.wallMs() / 1000);
  const head = { id: completionId(context.requestId), object: 'text_completion', created, model };
  const total = inputTokens + outputTokens;
  const usage = { prompt_tokens: inputTokens, completion_tokens: outputTokens, total_tokens: total };
  if (stream) return { kind: 'chunks', chunks: chunksOf(choices, head, includeUsage ? usage : undefined) };
  const whole = choices.map(({ pieces, logprobs, finishReason }, index) => {
    return { text: pieces.join(''), index, logprobs: logprobs(0, pieces.length), finish_reason: finishReason };
  });
  return { kind: 'whole', body: { ...head, choices: whole, usage } };
}

/** On one line, as many stop at its end, and with what matters in its first sixteen tokens. */
function textOf(model: string, prompt: string, index: number): string {
  const end = [...prompt.slice(-MAX_QUOTE_CHARS)].join('').replace(/\s/g, ' ').toWellFormed();
  const ended = end === '' ? 'There was no prompt.' : `The prompt ended: "${end}"`;
  const choice = index === 0 ? '' : ` (choice ${index + 1})`;
  return ` This is the built-in demo model; no real model was asked. It stands in for ${model}. ${ended}${choice}`;
}

/** Log probabilities in the legacy shape, one entry of each list for each piece. @param given.offset of the first piece. */
function logprobsOf(
  all: readonly string[],
  {
    from,
    to,
    top,
    offset,
  }: { readonly from: number; readonly to: number; readonly top: number; readonly offset: number },
): JsonObject {
  const pieces = all.slice(from, to);
  let at = offset + all.slice(0, from).join('').length;
  const tops = pieces.map((piece, index) => likelihoods(piece, offset + from + index, top - 1));
  return {
    tokens: pieces,
    token_logprobs: tops.map(([said]) => said.logprob),
    top_logprobs: tops.map((one) => Object.fromEntries(one.map(({ text, logprob }) => [text, logprob]))),
    text_offset: pieces.map((piece) => {
      at += piece.length;
      return at - piece.length;
    }),
  };
}

/** The answer as OpenAI would stream it: choices take turns, usage comes last. */
function* chunksOf(
  choices: readonly Choice[],
  head: JsonObject,
  usage: JsonObject | undefined,
): Generator<JsonObject, void> {
  const noUsage = usage === undefined ? {} : { usage: null };
  const longest = Math.max(...choices.map(({ pieces }) => pieces.length));
  for (let place = 0; place <= longest; place += 1) {
    for (const [index, { pieces, logprobs, finishReason }] of choices.entries()) {
      if (place > pieces.length) continue;
      const isLast = place === pieces.length;
      const said = { text: pieces[place] ?? '', index, logprobs: isLast ? null : logprobs(place, place + 1) };
      yield { ...head, choices: [{ ...said, finish_reason: isLast ? finishReason : null }], ...noUsage };
    }
  }
  if (usage !== undefined) yield { ...head, choices: [], usage };
}
