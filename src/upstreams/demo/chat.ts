import { orAborted } from '../../base/cancellation.js';
import { type Json, type JsonObject, shownValue } from '../../base/json.js';
import { type ChatChoice, chatCompletion, chatHead, type ToolCall, usageBody } from '../../wire/chat/answer.js';
import { chatChunks } from '../../wire/chat/chunks.js';
import { readToolCall } from '../../wire/chat/tool-calls.js';
import { toolCallId } from '../../wire/ids.js';
import { objectsAmong } from '../../wire/members.js';
import { contextLengthExceeded } from '../../wire/request-errors.js';
import { type DemoContext, type DemoReply, fairTurns } from './context.js';
import { likelihoods } from './logprobs.js';
import { type DemoRequest, imagesOf, readRequest, textOf, untilStop } from './request.js';
import { sampleSchema, schemaBudget } from './schema.js';
import { piecesOf, type TokenCounter } from './tokenizer.js';
import { toolsToCall } from './tools.js';

/** A choice and its cost, reasoning not included. */
interface Composed {
  readonly choice: ChatChoice;
  readonly outputTokens: number;
}

/** Additions of OpenAI's chat format to each message and to the answer. */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_REPLY = 3;
/** An image of four tiles. */
const TOKENS_PER_IMAGE = 765;
/** Cost of a call beside its name and its arguments. */
const TOKENS_PER_CALL = 4;
const REASONING_TOKENS = 32;
/** Efforts at which a reasoning model shows its thoughts, so that clients meet answers with and without them. */
const SHOWN_EFFORTS: readonly unknown[] = ['high', 'xhigh', 'max'];
/** Longest part of a message that is quoted, and of an answer that is said again in further choices. */
const MAX_QUOTE_CHARS = 400;
const MAX_REPEATED_CHARS = 40;
const MAX_QUOTED_RESULTS = 16;
/** Most tokens of a choice with log probabilities, which take a hundred times the room. */
const MAX_TOKENS_WITH_LOGPROBS = 2_000;

/**
 * A chat completion.
 * @throws {GatewayError} 400 or 404 in OpenAI's wording.
 */
export async function composeChat(body: JsonObject, context: DemoContext): Promise<DemoReply> {
  const request = readRequest(body);
  const countTokens = await orAborted(context.counterOf(request.model.encoding), context.signal);
  return new ChatComposer(request, countTokens, context).compose(body);
}

/** One chat completion on its way. */
class ChatComposer {
  readonly #request: DemoRequest;
  readonly #countTokens: TokenCounter;
  readonly #context: DemoContext;
  /** Base of ids. Turns of one conversation differ even where a test gives all requests the same id. */
  readonly #seed: string;

  constructor(request: DemoRequest, countTokens: TokenCounter, context: DemoContext) {
    this.#request = request;
    this.#countTokens = countTokens;
    this.#context = context;
    this.#seed = `${context.requestId}/${request.messages.length}`;
  }

  async compose(body: JsonObject): Promise<DemoReply> {
    const { model, modelId, maxOutputTokens, n, stream, includeUsage } = this.#request;
    const inputTokens = this.#countInput(body);
    const room = model.contextLength - inputTokens;
    const ceiling = Math.min(maxOutputTokens ?? room, model.maxOutputTokens ?? room);
    if (room < Math.max(ceiling, 1)) throw contextLengthExceeded(model.contextLength, inputTokens, maxOutputTokens);
    // Never more than half: an answer that is all thought would help nobody.
    const isThinking = model.reasoning && body.reasoning_effort !== 'none';
    const thoughtTokens = isThinking ? Math.min(REASONING_TOKENS, Math.floor(ceiling / 2)) : 0;
    const composed = await this.#choices(ceiling - thoughtTokens);
    const reasoningTokens = thoughtTokens * n;
    const outputTokens = composed.reduce((sum, one) => sum + one.outputTokens, reasoningTokens);
    const thought =
      isThinking && SHOWN_EFFORTS.includes(body.reasoning_effort) ? thoughtOf(modelId, thoughtTokens) : '';
    const extra = thought === '' ? {} : { extra: { reasoning_content: thought } };
    const head = chatHead(this.#seed, modelId, this.#context.clock.wallMs());
    const answer = {
      head: { ...head, serviceTier: 'default', systemFingerprint: 'fp_demo' },
      choices: composed.map(({ choice }) => ({ ...choice, ...extra })),
      usage: usageBody({ inputTokens, outputTokens, reasoningTokens }),
    };
    if (!stream) return { kind: 'whole', body: chatCompletion(answer) };
    return { kind: 'chunks', chunks: chatChunks(answer, { includeUsage }) };
  }

  /** Input tokens: the text of messages, calls and tools, and images. */
  #countInput({ tools, functions, response_format }: JsonObject): number {
    const { messages } = this.#request;
    const texts = messages.flatMap((message) => {
      const { role, name, tool_calls, function_call } = message;
      return [textOf(message), ...[role, name, tool_calls, function_call].map(plainText)];
    });
    const images = messages.flatMap(imagesOf).length;
    const tokens = this.#countTokens([...texts, ...[tools, functions, response_format].map(plainText)]);
    return tokens + images * TOKENS_PER_IMAGE + messages.length * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY;
  }

  async #choices(ceiling: number): Promise<readonly Composed[]> {
    const { messages, tools, n, topLogprobs } = this.#request;
    const last = messages.at(-1);
    const budget = schemaBudget();
    const called = toolsToCall(tools, last?.role === 'user' ? textOf(last) : undefined);
    const calls = called.map((tool) => ({ ...tool, pieces: piecesOf(tool.text(budget)) }));
    const textAt = calls.length === 0 ? this.#textMaker(ceiling) : undefined;
    const turn = fairTurns(this.#context.signal);
    const composed: Composed[] = [];
    for (let index = 0; index < n; index += 1) {
      const one =
        textAt === undefined ? this.#callChoice(calls, index, ceiling) : this.#textChoice(textAt(index), ceiling);
      composed.push(one);
      await turn(one.outputTokens * (4 + 40 * (topLogprobs ?? 0)));
    }
    return composed;
  }

  #textChoice(text: string, ceiling: number): Composed {
    const { topLogprobs: top, stop } = this.#request;
    const most = top === undefined ? ceiling : Math.min(ceiling, MAX_TOKENS_WITH_LOGPROBS);
    const all = piecesOf(untilStop(text, stop));
    const pieces = all.slice(0, most);
    const logprobs = top === undefined ? {} : { logprobs: pieces.map((piece) => logprobsOf(piece, top)) };
    const finishReason = pieces.length < all.length ? 'length' : 'stop';
    return { choice: { text: pieces, toolCalls: [], finishReason, ...logprobs }, outputTokens: pieces.length };
  }

  #callChoice(
    calls: readonly (Pick<ToolCall, 'kind' | 'name'> & { readonly pieces: readonly string[] })[],
    index: number,
    ceiling: number,
  ): Composed {
    const { legacy, choice } = this.#request.tools;
    const toolCalls: ToolCall[] = [];
    let left = ceiling;
    let isCut = false;
    for (const { kind, name, pieces } of calls) {
      left -= TOKENS_PER_CALL + piecesOf(name).length;
      if (left >= 0) {
        const id = toolCallId(`${this.#seed}/${index}/${toolCalls.length}`);
        toolCalls.push({ kind, id, name, text: pieces.slice(0, left) });
      }
      left -= pieces.length;
      isCut = left < 0;
      if (isCut) break;
    }
    const [first] = toolCalls;
    const finished = choice === 'named' ? 'stop' : legacy ? 'function_call' : 'tool_calls';
    const common = { text: first === undefined ? [] : null, finishReason: isCut ? 'length' : finished } as const;
    const said = legacy ? { toolCalls: [], ...(first && { functionCall: first }) } : { toolCalls };
    return { choice: { ...common, ...said }, outputTokens: ceiling - Math.max(0, left) };
  }

  /** Makes the text of each choice by its number, before any stop. */
  #textMaker(ceiling: number): (index: number) => string {
    const { format } = this.#request;
    if (format.kind === 'schema') {
      const text = JSON.stringify(sampleSchema(format.schema, 'response_format', schemaBudget()));
      return () => text;
    }
    const said = proseOf(this.#request);
    return (index) => {
      const prose = index === 0 ? said : `${quoted(said, MAX_REPEATED_CHARS)} (choice ${index + 1})`;
      if (format.kind === 'text') return prose;
      // An object that ends is of more use than half of one.
      const objects = [JSON.stringify({ demo: true, message: prose }), '{"demo":true}'];
      return objects.find((text) => piecesOf(text).length <= ceiling) ?? '{}';
    };
  }
}

function thoughtOf(modelId: string, maxTokens: number): string {
  const text = `I stand in for ${modelId} and cannot think. I will say so, and quote the message.`;
  return piecesOf(text).slice(0, maxTokens).join('');
}

function plainText(value: Json | undefined): string {
  return value === undefined || value === null ? '' : shownValue(value);
}

function logprobsOf(piece: string, top: number): Json {
  const tokens = likelihoods(piece, top - 1).map(({ text, logprob }) => {
    return { token: text, logprob, bytes: [...Buffer.from(text)] };
  });
  return { ...tokens[0], top_logprobs: tokens.slice(0, top) };
}

function proseOf({ messages, modelId }: DemoRequest): string {
  const role = messages.at(-1)?.role;
  if (role === 'tool' || role === 'function') return textOnResults(messages);
  const said = lastText(messages);
  const images = messages.flatMap(imagesOf).length;
  const prose = [
    `This is the built-in demo model, answering in place of ${modelId}; no real model was asked.`,
    said === '' ? 'Your message had no text.' : `You wrote: "${quoted(said, MAX_QUOTE_CHARS)}"`,
    ...(images === 0 ? [] : [`You gave me ${images === 1 ? '1 image' : `${images} images`}, which I cannot see.`]),
    'Tell me to say something, and I will say exactly that. Configure an upstream to get real answers.',
  ];
  return askedToSay(said) ?? prose.join(' ');
}

/** The text of the latest message of a user. */
function lastText(messages: readonly JsonObject[]): string {
  return textOf(messages.findLast(({ role }) => role === 'user') ?? {});
}

/** The words that a message such as `Say: hello` asks for, without the quotes around the whole of them. */
function askedToSay(said: string): string | undefined {
  const asked = /^\s*(?:please\s)?(?:say|repeat)(?:\safter\sme)?:?\s+(.+)$/is.exec(said)?.[1]?.trim();
  return asked?.replace(/^(["'`])([^"'`]+)\1$/, '$2');
}

function textOnResults(messages: readonly JsonObject[]): string {
  const calls = messages.flatMap(({ tool_calls: calls }) => objectsAmong(calls));
  const names = new Map(calls.map(readToolCall).map(({ id, name }) => [id, name]));
  const start = messages.findLastIndex(({ role }) => role !== 'tool' && role !== 'function') + 1;
  const results = messages.slice(start, start + MAX_QUOTED_RESULTS).map((message) => {
    const name = plainText(message.name) || (names.get(plainText(message.tool_call_id)) ?? 'a tool');
    return `${name}: ${quoted(textOf(message), MAX_QUOTE_CHARS)}`;
  });
  return `This is the built-in demo model. The tools answered: ${results.join('; ')}`;
}

function quoted(text: string, maxChars: number): string {
  const chars = [...text.slice(0, maxChars * 2)];
  return chars.length <= maxChars ? text : `${chars.slice(0, maxChars).join('')}…`;
}
