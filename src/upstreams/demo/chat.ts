import { createHash } from 'node:crypto';
import { orAborted } from '../../base/cancellation.js';
import { isJsonObject, type Json, type JsonObject, shownValue } from '../../base/json.js';
import { type ChatChoice, chatCompletion, chatHead, type ToolCall, usageBody } from '../../wire/chat/answer.js';
import { chatChunks } from '../../wire/chat/chunks.js';
import { readToolCall } from '../../wire/chat/tool-calls.js';
import { toolCallId } from '../../wire/ids.js';
import { contextLengthExceeded } from '../../wire/request-errors.js';
import { type DemoContext, type DemoReply, fairTurns, hashText } from './context.js';
import { likelihoods } from './logprobs.js';
import { type DemoRequest, imagesOf, readRequest, textOf, untilStop } from './request.js';
import { sampleSchema, schemaBudget } from './schema.js';
import { type TextPiece, type Tokenizer, upTo } from './tokenizer.js';
import { toolsToCall } from './tools.js';

/** A choice and its cost, reasoning not included. */
interface Composed {
  readonly choice: ChatChoice;
  readonly outputTokens: number;
}

/** Additions of OpenAI's chat format to each message and to the answer. */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_REPLY = 3;
/** An image of low detail, and one of four tiles. */
const TOKENS_PER_LOW_IMAGE = 85;
const TOKENS_PER_IMAGE = 765;
/** Cost of a call beside its name and its arguments. */
const TOKENS_PER_CALL = 4;
const REASONING_TOKENS = new Map(Object.entries({ none: 0, minimal: 0, low: 16, high: 64, xhigh: 128, max: 256 }));
const USUAL_REASONING_TOKENS = 32;
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
  const tokenizer = await orAborted(context.tokenizerOf(request.model.encoding), context.signal);
  return new ChatComposer(request, tokenizer, context).compose(body);
}

/** One chat completion on its way. */
class ChatComposer {
  readonly #request: DemoRequest;
  readonly #tokenizer: Tokenizer;
  readonly #context: DemoContext;
  /** Base of ids. Turns of one conversation differ even where a test gives all requests the same id. */
  readonly #seed: string;

  constructor(request: DemoRequest, tokenizer: Tokenizer, context: DemoContext) {
    this.#request = request;
    this.#tokenizer = tokenizer;
    this.#context = context;
    this.#seed = `${context.requestId}/${request.messages.length}`;
  }

  async compose(body: JsonObject): Promise<DemoReply> {
    const { model, modelId, maxOutputTokens, n, stream, includeUsage } = this.#request;
    const inputTokens = this.#countInput(body);
    const room = model.contextLength - inputTokens;
    const ceiling = Math.min(maxOutputTokens ?? room, model.maxOutputTokens ?? room);
    if (room < Math.max(ceiling, 1)) throw contextLengthExceeded(model.contextLength, inputTokens, maxOutputTokens);
    const thoughts = this.#thoughts(ceiling);
    const composed = await this.#choices(ceiling - thoughts.tokens);
    const reasoningTokens = thoughts.tokens * n;
    const outputTokens = composed.reduce((sum, one) => sum + one.outputTokens, reasoningTokens);
    const systemFingerprint = `fp_demo${createHash('sha1').update(modelId).digest('hex').slice(0, 6)}`;
    const head = chatHead(this.#seed, modelId, this.#context.clock.wallMs());
    const answer = {
      head: { ...head, serviceTier: 'default', systemFingerprint },
      choices: composed.map(({ choice }) => ({ ...choice, ...thoughts.shown })),
      usage: usageBody({ inputTokens, outputTokens, reasoningTokens }),
    };
    if (!stream) return { kind: 'whole', body: chatCompletion(answer) };
    return { kind: 'chunks', chunks: chatChunks(answer, { includeUsage }) };
  }

  /** Input tokens: the text of messages, calls and tools, and images. */
  #countInput({ tools, functions, response_format }: JsonObject): number {
    const { messages } = this.#request;
    const texts = messages.flatMap((message) => {
      const { role, name, refusal, tool_calls, function_call } = message;
      return [textOf(message), ...[role, name, refusal, tool_calls, function_call].map(plainText)];
    });
    const images = messages
      .flatMap(imagesOf)
      .map(({ image_url: image }) =>
        isJsonObject(image) && image.detail === 'low' ? TOKENS_PER_LOW_IMAGE : TOKENS_PER_IMAGE,
      );
    const imageTokens = images.reduce((sum, tokens) => sum + tokens, 0);
    const tokens = this.#tokenizer.count([...texts, ...[tools, functions, response_format].map(plainText)]);
    return tokens + imageTokens + messages.length * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY;
  }

  /** Some answers of a reasoning model show its thoughts and others do not, so that clients meet both. */
  #thoughts(ceiling: number): { readonly tokens: number; readonly shown: Pick<ChatChoice, 'extra'> } {
    const { model, modelId, effort, messages } = this.#request;
    if (!model.reasoning) return { tokens: 0, shown: {} };
    // Never more than half: an answer that is all thought would help nobody.
    const tokens = Math.min(REASONING_TOKENS.get(effort) ?? USUAL_REASONING_TOKENS, Math.floor(ceiling / 2));
    const isShown = tokens > USUAL_REASONING_TOKENS || hashText(lastText(messages)) % 2 === 0;
    const text = `I stand in for ${modelId} and cannot think. I will say so, and quote what I was told.`;
    const thought = isShown ? upTo(this.#tokenizer.pieces(text), tokens).pieces.join('') : '';
    return { tokens, shown: thought === '' ? {} : { extra: { reasoning_content: thought } } };
  }

  async #choices(ceiling: number): Promise<readonly Composed[]> {
    const { messages, tools, n, topLogprobs } = this.#request;
    const last = messages.at(-1);
    const budget = schemaBudget();
    const called = toolsToCall(tools, last?.role === 'user' ? textOf(last) : undefined);
    const calls = called.map((tool) => ({ ...tool, pieces: this.#tokenizer.pieces(tool.text(budget)) }));
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
    const { pieces, tokens, cut } = upTo(this.#tokenizer.pieces(untilStop(text, stop)), most);
    const logprobs = top === undefined ? {} : { logprobs: pieces.map((piece, place) => logprobsOf(piece, place, top)) };
    const finishReason = cut ? 'length' : 'stop';
    return { choice: { text: pieces, toolCalls: [], finishReason, ...logprobs }, outputTokens: tokens };
  }

  #callChoice(
    calls: readonly (Pick<ToolCall, 'kind' | 'name'> & { readonly pieces: readonly TextPiece[] })[],
    index: number,
    ceiling: number,
  ): Composed {
    const { legacy, choice } = this.#request.tools;
    const toolCalls: ToolCall[] = [];
    let left = ceiling;
    let cut = false;
    for (const { kind, name, pieces } of calls) {
      left -= TOKENS_PER_CALL + this.#tokenizer.count([name]);
      const kept = upTo(pieces, left);
      cut = left < 0 || kept.cut;
      if (left >= 0)
        toolCalls.push({ kind, id: toolCallId(`${this.#seed}/${index}/${toolCalls.length}`), name, text: kept.pieces });
      left -= kept.tokens;
      if (cut) break;
    }
    const [first] = toolCalls;
    const finished = choice === 'named' ? 'stop' : legacy ? 'function_call' : 'tool_calls';
    const common = { text: first === undefined ? [] : null, finishReason: cut ? 'length' : finished } as const;
    const said = legacy ? { toolCalls: [], ...(first && { functionCall: first }) } : { toolCalls };
    return { choice: { ...common, ...said }, outputTokens: Math.min(ceiling, ceiling - left) };
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
      return objects.find((text) => this.#tokenizer.count([text]) <= ceiling) ?? '{}';
    };
  }
}

function plainText(value: Json | undefined): string {
  return value === undefined || value === null ? '' : shownValue(value);
}

function logprobsOf(piece: string, place: number, top: number): Json {
  const tokens = likelihoods(piece, place, top - 1).map(({ text, logprob }) => {
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
  const text = said.trim();
  const order = /^(?:please\s)?(?:say|repeat)(?:\safter\sme)?:?\s/i.exec(text)?.[0];
  if (order === undefined) return undefined;
  const asked = text.slice(order.length).trim();
  const closing = '"\'`”»'.charAt('"\'`“«'.indexOf(asked.charAt(0)));
  const inside = asked.slice(1, -1);
  const isQuoted = closing !== '' && inside !== '' && asked.endsWith(closing) && !inside.includes(closing);
  return isQuoted ? inside : asked;
}

function textOnResults(messages: readonly JsonObject[]): string {
  const calls = messages.flatMap(({ tool_calls: calls }) => (Array.isArray(calls) ? calls.filter(isJsonObject) : []));
  const names = new Map(calls.map(readToolCall).map(({ id, name }) => [id, name]));
  const start = messages.findLastIndex(({ role }) => role !== 'tool' && role !== 'function') + 1;
  const results = messages.slice(start).map((message) => {
    const name = plainText(message.name) || (names.get(plainText(message.tool_call_id)) ?? 'a tool');
    return `${name}: ${quoted(textOf(message), MAX_QUOTE_CHARS)}`;
  });
  const more = results.splice(MAX_QUOTED_RESULTS).length;
  return `This is the built-in demo model. The tools answered: ${results.join('; ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function quoted(text: string, maxChars: number): string {
  const chars = [...text.slice(0, maxChars * 2)];
  return chars.length <= maxChars ? text : `${chars.slice(0, maxChars).join('')}…`;
}
