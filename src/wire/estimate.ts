import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { type JsonDocument, type JsonOutline, outlinedByteLength } from '../base/json-document.js';
import { objectsAmong } from './members.js';

/**
 * UTF-8 bytes to a token, as a rule: English prose has 4 to 5, code and digits about 3, Chinese 3 bytes to a character of
 * about one token. Exact tokenizers cost 10 ms for 33 KB and have no place on the request path.
 */
const BYTES_PER_TOKEN = 3;

/**
 * Most tokens that a text may have for each estimated one: tokenizers never make more of a byte than a token, and runes,
 * random letters or rare scripts come near to that.
 */
const MOST_PER_ESTIMATED_TOKEN = BYTES_PER_TOKEN;

/** Members that the model reads as they are written. */
const SCHEMAS = ['tools', 'functions', 'response_format'];
/** Tokens that OpenAI adds to each message. */
const TOKENS_PER_MESSAGE = 4;
/** Tokens that OpenAI adds to prime the answer. */
const TOKENS_PER_REPLY = 3;

/** Most tokens of an image at the usual sizes and `detail`s; its bytes say nothing about them. */
export const TOKENS_PER_IMAGE = 1_536;

/**
 * Most tokens of an image in any model: 8 tiles in gpt-4o-mini, of 5,667 tokens each, and 2,833 (OpenAI's guide to images,
 * its rules of scaling and its table of tokens).
 */
const MOST_PER_IMAGE = 48_169;
const IMAGE_PARTS: ReadonlySet<unknown> = new Set(['image_url', 'input_image', 'computer_screenshot']);

/** Tokens of the dearest picture: `high` at 1024 × 1536 (OpenAI's guide to image generation, table of output tokens). */
const TOKENS_PER_PICTURE = 6_240;
/** Tokens of each picture shown on the way to the last one (the same guide). */
const TOKENS_PER_PARTIAL_PICTURE = 100;
/** Tokens of the dearest picture that a request gives, at high fidelity (the same guide). */
const TOKENS_PER_GIVEN_PICTURE = 6_240;
/** Most pictures that one request may give. */
const MAX_GIVEN_PICTURES = 16;
const MAX_PICTURES = 10;
const MAX_PARTIAL_PICTURES = 3;
/** 1,250 tokens are a minute of speech (OpenAI's price list, by the minute and by the token), some 900 characters. */
const SPEECH_TOKENS_PER_BYTE = 2;
/** A minute of sound is 1,000 tokens (the same list), and no less than 45,000 bytes even at 6 kbit/s. */
const BYTES_PER_SOUND_TOKEN = 45;
/** Nobody speaks more words in a token's time. */
const TEXT_TOKENS_PER_SOUND_TOKEN = 0.5;

/** Tokens in that many bytes of text, rounded up. */
export function estimateTokens(bytes: number): number {
  return Math.ceil(bytes / BYTES_PER_TOKEN);
}

/** Number of images that a request shows. @param value its `messages` or its `input`. */
export function imagesIn(value: Json | undefined): number {
  if (typeof value !== 'object' || value === null) return 0;
  let images = 0;
  if (!isJsonObject(value)) for (const part of value) images += imagesIn(part);
  else {
    if (IMAGE_PARTS.has(value.type)) images += 1;
    for (const name in value) images += imagesIn(value[name]);
  }
  return images;
}

/** Most input tokens of a request, given its estimated tokens and the number of images among them. */
export function mostInputTokens(estimatedTokens: number, images: number): number {
  return (
    MOST_PER_ESTIMATED_TOKEN * estimatedTokens + images * (MOST_PER_IMAGE - MOST_PER_ESTIMATED_TOKEN * TOKENS_PER_IMAGE)
  );
}

/** Input tokens of a chat request: messages, tools and schemas. Costs about a microsecond for each KB. */
export function estimateChatInput(outline: JsonOutline, document: JsonDocument): number {
  let bytes = 0;
  let tokens = TOKENS_PER_REPLY;
  const messages: readonly Json[] = Array.isArray(outline.body.messages) ? outline.body.messages : [];
  for (let at = 0; at < messages.length; at += 1) {
    const message = messages[at];
    tokens += TOKENS_PER_MESSAGE;
    if (!isJsonObject(message)) continue;
    bytes += textBytes(outline, message.name) + textBytes(outline, message.refusal);
    if (message.tool_calls !== undefined) bytes += jsonBytes(outline, message.tool_calls);
    if (message.function_call !== undefined) bytes += jsonBytes(outline, message.function_call);
    if (!Array.isArray(message.content)) {
      bytes += textBytes(outline, message.content);
      continue;
    }
    for (const part of message.content) {
      if (!isJsonObject(part)) continue;
      if (part.type === 'image_url') tokens += TOKENS_PER_IMAGE;
      else bytes += typeof part.text === 'string' ? textBytes(outline, part.text) : jsonBytes(outline, part);
    }
  }
  for (const name of SCHEMAS) {
    const written = document.members.get(name);
    if (written !== undefined) bytes += written.end - written.start;
  }
  return tokens + estimateTokens(bytes);
}

function textBytes(outline: JsonOutline, value: Json | undefined): number {
  return typeof value === 'string' ? outlinedByteLength(outline, value) : 0;
}

function jsonBytes(outline: JsonOutline, value: Json): number {
  return outlinedByteLength(outline, JSON.stringify(value));
}

/** Makes an estimate of input tokens, on the safe side, for a request of texts and token arrays. */
export function estimateTextInput(name: 'prompt' | 'input'): (outline: JsonOutline) => number {
  return (outline) => textInputTokens(outline, outline.body[name]);
}

/** Input tokens in the body of a call of `/v1/responses`. Only the upstream knows those of earlier responses. */
export function estimateResponseInput(outline: JsonOutline): number {
  const { input, instructions, tools, text } = outline.body;
  return [input, instructions, tools, text].reduce<number>(
    (tokens, value) => tokens + responseInputTokens(outline, value),
    0,
  );
}

/** The most that a request may use: the amounts reserved for it. */
export interface ForwardEstimate {
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** Facts about a request that are known before its body has passed. */
export interface ForwardRequest {
  /** Path below `/v1`, such as `/images/edits`. */
  readonly path: string;
  /** A JSON body; `undefined` for forms. */
  readonly body: JsonObject | undefined;
  /** Length of the body. */
  readonly byteLength: number;
  /** Whether money is at stake: then the most is assumed of texts, and of forms, which are read only as they pass. */
  readonly assumesMost: boolean;
}

/** Tokens that a request for pictures or sound may use at most, as far as anybody can tell from the outside. */
export function estimateForward({ path, body, byteLength, assumesMost }: ForwardRequest): ForwardEstimate {
  const textTokens = body === undefined ? 0 : assumesMost ? byteLength : estimateTokens(byteLength);
  if (path.startsWith('/images/')) {
    const count = (value: Json | undefined, usual: number, max: number): number =>
      body === undefined && assumesMost ? max : countOf(value, usual, max);
    const pictures = count(body?.n, 1, MAX_PICTURES);
    const partial = count(body?.partial_images, 0, MAX_PARTIAL_PICTURES);
    const mostGiven = path === '/images/edits' ? MAX_GIVEN_PICTURES : 1;
    const given = path === '/images/generations' ? 0 : count(lengthOf(body?.images), 1, mostGiven);
    return {
      inputTokens: textTokens + given * TOKENS_PER_GIVEN_PICTURE,
      outputTokens: pictures * (TOKENS_PER_PICTURE + partial * TOKENS_PER_PARTIAL_PICTURE),
    };
  }
  if (path === '/audio/speech') return { inputTokens: textTokens, outputTokens: SPEECH_TOKENS_PER_BYTE * byteLength };
  const soundTokens = Math.ceil(byteLength / BYTES_PER_SOUND_TOKEN);
  return { inputTokens: soundTokens, outputTokens: Math.ceil(soundTokens * TEXT_TOKENS_PER_SOUND_TOKEN) };
}

/**
 * UTF-8 bytes that the model wrote into a whole answer: text, refusals, thoughts and arguments of calls.
 * @param written the choices of a completion, or the items of a response.
 */
export function answerTextBytes(written: Json | undefined): number {
  return sum(objectsAmong(written).map((one) => choiceBytes(one) + itemBytes(one)));
}

/** Estimated tokens of a text, a token array, or a list of either. */
function textInputTokens(outline: JsonOutline, value: Json | undefined): number {
  if (typeof value === 'string') return estimateTokens(outlinedByteLength(outline, value));
  if (typeof value === 'number') return 1;
  if (Array.isArray(value)) return value.reduce<number>((total, item) => total + textInputTokens(outline, item), 0);
  return value === undefined || value === null ? 0 : estimateTokens(JSON.stringify(value).length);
}

/** Estimated tokens of a part of a response's request: texts, names of members, and images. */
function responseInputTokens(outline: JsonOutline, value: Json | undefined): number {
  if (typeof value === 'string') return estimateTokens(outlinedByteLength(outline, value));
  if (Array.isArray(value)) return value.reduce<number>((total, item) => total + responseInputTokens(outline, item), 0);
  if (!isJsonObject(value)) return 0;
  if (value.type === 'input_image') return TOKENS_PER_IMAGE;
  return Object.entries(value).reduce(
    (total, [name, member]) => total + estimateTokens(name.length) + responseInputTokens(outline, member),
    0,
  );
}

/** Length of a list; `undefined` for anything else. */
function lengthOf(value: Json | undefined): number | undefined {
  return Array.isArray(value) ? value.length : undefined;
}

function countOf(value: Json | undefined, usual: number, max: number): number {
  return typeof value === 'number' && value >= 0 ? Math.min(max, Math.ceil(value)) : usual;
}

function choiceBytes({ text, message, delta }: JsonObject): number {
  const said = message ?? delta;
  if (!isJsonObject(said)) return bytesOf(text);
  const { content, refusal, reasoning_content, tool_calls, function_call } = said;
  const calls = objectsAmong(tool_calls).map(
    (call) => memberBytes(call.function, 'arguments') + memberBytes(call.custom, 'input'),
  );
  return sum([
    bytesOf(text),
    bytesOf(content),
    bytesOf(refusal),
    bytesOf(reasoning_content),
    memberBytes(function_call, 'arguments'),
    ...calls,
  ]);
}

function itemBytes({ content, summary, arguments: args, input }: JsonObject): number {
  const parts = [...objectsAmong(content), ...objectsAmong(summary)];
  return sum([bytesOf(args), bytesOf(input), ...parts.map(({ text, refusal }) => bytesOf(text) + bytesOf(refusal))]);
}

const memberBytes = (value: Json | undefined, name: string): number => (isJsonObject(value) ? bytesOf(value[name]) : 0);

const bytesOf = (value: Json | undefined): number => (typeof value === 'string' ? Buffer.byteLength(value) : 0);

const sum = (sizes: readonly number[]): number => sizes.reduce((total, one) => total + one, 0);
