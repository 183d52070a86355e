import type { JsonObject } from '../../base/json.js';
import { type CompletionLogprobs, joinedLogprobs, slicedLogprobs } from './completion-logprobs.js';

/** A legacy completion free of its wire shape. */
export interface CompletionAnswer {
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  readonly choices: readonly CompletionChoice[];
  readonly usage: JsonObject;
}

export interface CompletionChoice {
  /** The prompt, which comes before the text. Absent: it is not echoed. */
  readonly echoed?: { readonly text: string; readonly logprobs: CompletionLogprobs | undefined };
  /** The pieces in which the text streams. */
  readonly pieces: readonly string[];
  /** Of the pieces. `undefined`: not asked for. */
  readonly logprobs: CompletionLogprobs | undefined;
  readonly finishReason: 'stop' | 'length';
}

/** A whole answer, its members in the order in which OpenAI sends them. */
export function wholeCompletion(answer: CompletionAnswer): JsonObject {
  const { id, created, model, choices, usage } = answer;
  return {
    id,
    object: 'text_completion',
    created,
    model,
    choices: choices.map((choice, index) => {
      const { echoed, pieces, logprobs, finishReason } = choice;
      const all = echoed?.logprobs && logprobs ? joinedLogprobs(echoed.logprobs, logprobs) : logprobs;
      return choiceBody(index, (echoed?.text ?? '') + pieces.join(''), all, finishReason);
    }),
    usage,
  };
}

/** The answer as OpenAI would stream it: choices take turns, usage comes last. */
export function* completionChunks(answer: CompletionAnswer, includeUsage: boolean): Generator<JsonObject, void> {
  const { id, created, model, usage } = answer;
  const chunk = (choices: readonly JsonObject[], rest: JsonObject): JsonObject => {
    return { id, object: 'text_completion', created, choices, model, ...rest };
  };
  let running = answer.choices.map(stepsOf);
  while (running.length > 0) {
    const unfinished: typeof running = [];
    for (const steps of running) {
      const { value, done } = steps.next();
      if (done === true) continue;
      yield chunk([value], includeUsage ? { usage: null } : {});
      unfinished.push(steps);
    }
    running = unfinished;
  }
  if (includeUsage) yield chunk([], { usage });
}

function* stepsOf(choice: CompletionChoice, index: number): Generator<JsonObject, void> {
  const { echoed, pieces, logprobs, finishReason } = choice;
  if (echoed !== undefined) yield choiceBody(index, echoed.text, echoed.logprobs, null);
  for (const [place, piece] of pieces.entries()) {
    yield choiceBody(index, piece, logprobs && slicedLogprobs(logprobs, place, place + 1), null);
  }
  yield choiceBody(index, '', undefined, finishReason);
}

function choiceBody(
  index: number,
  text: string,
  logprobs: CompletionLogprobs | undefined,
  finishReason: CompletionChoice['finishReason'] | null,
): JsonObject {
  return { text, index, logprobs: logprobs === undefined ? null : { ...logprobs }, finish_reason: finishReason };
}
