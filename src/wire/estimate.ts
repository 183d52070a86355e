import { isJsonObject, type Json } from '../base/json.js';
import { type JsonDocument, type JsonOutline, outlinedByteLength } from '../base/json-document.js';

/**
 * UTF-8 bytes to a token, as a rule: English prose has 4 to 5, code and digits about 3, Chinese 3 bytes to a character of
 * about one token. Exact tokenizers cost 10 ms for 33 KB and have no place on the request path.
 */
const BYTES_PER_TOKEN = 3;

/**
 * So many times the tokens that are estimated a text may have at most: tokenizers never make more of a byte than a token,
 * and runes, random letters or rare scripts come near to that.
 */
const MOST_PER_ESTIMATED_TOKEN = BYTES_PER_TOKEN;

/** What OpenAI adds to each message and to the answer it primes. */
const TOKENS_PER_MESSAGE = 4;
const TOKENS_PER_REPLY = 3;

/** What an image may cost at most at the usual sizes and `detail`s; its bytes say nothing about it. */
export const TOKENS_PER_IMAGE = 1_536;

/**
 * What an image may cost at most in any model: 8 tiles in gpt-4o-mini, of 5,667 tokens each, and 2,833 (OpenAI's guide to
 * images, its rules of scaling and its table of tokens).
 */
const MOST_PER_IMAGE = 48_169;
const IMAGE_PARTS: ReadonlySet<unknown> = new Set(['image_url', 'input_image', 'computer_screenshot']);

/** How many images a request shows. @param value its `messages` or its `input`. */
export function imagesIn(value: Json | undefined): number {
  if (typeof value !== 'object' || value === null) return 0;
  const own = isJsonObject(value) && IMAGE_PARTS.has(value.type) ? 1 : 0;
  return Object.values(value).reduce((sum: number, part) => sum + imagesIn(part), own);
}

/** The most input tokens that a request can have of which so many were estimated, so many images among them. */
export function mostInputTokens(estimatedTokens: number, images: number): number {
  return (
    MOST_PER_ESTIMATED_TOKEN * estimatedTokens + images * (MOST_PER_IMAGE - MOST_PER_ESTIMATED_TOKEN * TOKENS_PER_IMAGE)
  );
}

/** Tokens in that many bytes of text, rounded up. */
export function estimateTokens(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

/** About how many input tokens a chat request has: messages, tools and schemas. Costs about a microsecond for each KB. */
export function estimateChatInput(outline: JsonOutline, { members }: JsonDocument): number {
  const textBytes = (value: Json | undefined): number =>
    typeof value === 'string' ? outlinedByteLength(outline, value) : 0;
  const jsonBytes = (value: Json): number => outlinedByteLength(outline, JSON.stringify(value));
  let bytes = 0;
  let tokens = TOKENS_PER_REPLY;
  for (const message of Array.isArray(outline.body.messages) ? outline.body.messages : []) {
    tokens += TOKENS_PER_MESSAGE;
    if (!isJsonObject(message)) continue;
    bytes += textBytes(message.name) + textBytes(message.refusal);
    if (message.tool_calls !== undefined) bytes += jsonBytes(message.tool_calls);
    if (message.function_call !== undefined) bytes += jsonBytes(message.function_call);
    if (!Array.isArray(message.content)) {
      bytes += textBytes(message.content);
      continue;
    }
    for (const part of message.content) {
      if (!isJsonObject(part)) continue;
      if (part.type === 'image_url') tokens += TOKENS_PER_IMAGE;
      else bytes += typeof part.text === 'string' ? textBytes(part.text) : jsonBytes(part);
    }
  }
  for (const name of ['tools', 'functions', 'response_format']) {
    const span = members.get(name);
    if (span !== undefined) bytes += span.end - span.start;
  }
  return tokens + estimateTokens(bytes);
}
