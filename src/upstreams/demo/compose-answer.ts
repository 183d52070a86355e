import { isJsonObject } from '../../base/json.js';
import type { ChatChoice, ToolCall } from '../../wire/chat/answer.js';
import { toolCallId } from '../../wire/ids.js';
import { composeText, followsToolResults } from './compose-text.js';
import { untilStop, upTo } from './cut-text.js';
import { logprobOf } from './logprobs.js';
import type { DemoRequest } from './read-request.js';
import type { OfferedFunction } from './read-tools.js';
import { schemaBudget, schemaValue } from './schema/schema-value.js';
import type { Tokenizer } from './tokenizer.js';

/** A choice and what it cost. */
interface Composed {
  readonly choice: ChatChoice;
  /** Reasoning included. */
  readonly outputTokens: number;
}
interface Composition {
  readonly choices: readonly ChatChoice[];
  /** Of all choices, reasoning included. */
  readonly outputTokens: number;
  readonly reasoningTokens: number;
}

const REASONING_TOKENS = { none: 0, minimal: 0, low: 16, medium: 32, high: 64, xhigh: 128 };
/** What a call costs beside its name and its arguments. */
const TOKENS_PER_CALL = 4;

/** The answer to a request. @param seed what ids are derived from. @param ceiling the most tokens of a choice. */
export function composeAnswer(request: DemoRequest, tokenizer: Tokenizer, seed: string, ceiling: number): Composition {
  // Never more than half: an answer that is all thought would help nobody.
  const reasoning = request.model.reasoning ? Math.min(REASONING_TOKENS[request.effort], Math.floor(ceiling / 2)) : 0;
  const compose = callsTools(request) ? callComposer(request, tokenizer) : textComposer(request, tokenizer);
  const composed = Array.from({ length: request.n }, (_, index) =>
    compose(`${seed}/${index}`, index, ceiling - reasoning),
  );
  return {
    choices: composed.map(({ choice }) => choice),
    outputTokens: composed.reduce((sum, { outputTokens }) => sum + outputTokens + reasoning, 0),
    reasoningTokens: reasoning * request.n,
  };
}

type Compose = (seed: string, index: number, ceiling: number) => Composed;

function callsTools(request: DemoRequest): boolean {
  const { offered, choice } = request.tools;
  if (offered.length === 0 || choice === 'none') return false;
  if (choice === 'named') return true;
  return !followsToolResults(request) && request.messages.at(-1)?.role !== 'assistant';
}

function textComposer(request: DemoRequest, tokenizer: Tokenizer): Compose {
  return (_, index, ceiling) => {
    const text = untilStop(composeText(request, index), request.stop);
    const { pieces, tokens, cut } = upTo(tokenizer.pieces(text), ceiling);
    const { topLogprobs } = request;
    const logprobs =
      topLogprobs === undefined ? undefined : pieces.map((piece, place) => logprobOf(piece, place, topLogprobs));
    return {
      choice: {
        text: pieces,
        toolCalls: [],
        finishReason: cut ? 'length' : 'stop',
        ...(logprobs === undefined ? {} : { logprobs }),
      },
      outputTokens: tokens,
    };
  };
}

function callComposer(request: DemoRequest, tokenizer: Tokenizer): Compose {
  const { offered, parallel, legacy, choice } = request.tools;
  const budget = schemaBudget();
  const wanted = (parallel ? offered : offered.slice(0, 1)).map((tool) => ({
    kind: tool.kind,
    name: tool.name,
    pieces: tokenizer.pieces(tool.kind === 'custom' ? tool.input : argumentsFor(tool, budget)),
    overhead: TOKENS_PER_CALL + tokenizer.count([tool.name]),
  }));
  return (seed, _, ceiling) => {
    const calls: ToolCall[] = [];
    let outputTokens = 0;
    let cut = false;
    for (const { kind, name, pieces, overhead } of wanted) {
      cut = outputTokens + overhead > ceiling;
      if (cut) break;
      const kept = upTo(pieces, ceiling - outputTokens - overhead);
      calls.push({ kind, id: toolCallId(`${seed}/${calls.length}`), name, text: kept.pieces });
      outputTokens += overhead + kept.tokens;
      cut = kept.cut;
      if (cut) break;
    }
    const finished = choice === 'named' ? 'stop' : legacy ? 'function_call' : 'tool_calls';
    const [call] = calls;
    return {
      choice: {
        text: call === undefined ? [] : null,
        toolCalls: legacy ? [] : calls,
        ...(legacy && call !== undefined ? { functionCall: { name: call.name, text: call.text } } : {}),
        finishReason: cut ? 'length' : finished,
      },
      outputTokens,
    };
  };
}

function argumentsFor({ parameters }: OfferedFunction, budget: ReturnType<typeof schemaBudget>): string {
  // `{}` is any value to JSON Schema; arguments are an object all the same.
  return JSON.stringify(isJsonObject(parameters) ? schemaValue({ type: 'object', ...parameters }, budget) : {});
}
