import type { Json, JsonObject } from '../../base/json.js';
import { isJsonObject } from '../../base/json.js';
import { imagesOf, textOf } from './message-content.js';
import type { Tokenizer } from './tokenizer.js';

/** What OpenAI's chat format adds to each message and to the answer. */
const TOKENS_PER_MESSAGE = 3;
const TOKENS_PER_REPLY = 3;
/** An image of low detail, and one of four tiles. */
const TOKENS_PER_LOW_IMAGE = 85;
const TOKENS_PER_IMAGE = 765;

/** Input tokens of a request: the text of its messages, calls and tools, and its images. */
export function countInput(body: JsonObject, messages: readonly JsonObject[], tokenizer: Tokenizer): number {
  const texts = messages.flatMap(textsOf);
  for (const part of [body.tools, body.functions, body.response_format]) texts.push(jsonText(part));
  const images = messages.flatMap(imagesOf).map(({ image_url }) => {
    return isJsonObject(image_url) && image_url.detail === 'low' ? TOKENS_PER_LOW_IMAGE : TOKENS_PER_IMAGE;
  });
  const imageTokens = images.reduce<number>((sum, tokens) => sum + tokens, 0);
  return tokenizer.count(texts) + imageTokens + messages.length * TOKENS_PER_MESSAGE + TOKENS_PER_REPLY;
}

function textsOf(message: JsonObject): string[] {
  const { role, name, refusal, tool_calls, function_call } = message;
  const plain = [role, name, refusal].filter((value) => typeof value === 'string');
  return [textOf(message), ...plain, jsonText(tool_calls), jsonText(function_call)];
}

function jsonText(value: Json | undefined): string {
  return value === undefined || value === null ? '' : JSON.stringify(value);
}
