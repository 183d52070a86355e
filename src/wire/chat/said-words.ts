import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { objectsAmong } from '../members.js';

/** Words of a message or of a delta, in whatever form their maker has them. */
export interface SaidWords {
  readonly text: string;
  /** Thoughts; '' when there are none. */
  readonly thoughts: string;
  readonly refusal: string;
}

/**
 * Names under which vendors tell thoughts beside the content. Several may say the same: the first one with words counts.
 * `reasoning_content`: DeepSeek, vLLM, llama.cpp; `reasoning`: OpenRouter, Groq, newer vLLM; `thinking`: Ollama;
 * `reasoning_details`: OpenRouter's list; `thinking_blocks`: LiteLLM's list.
 */
const THOUGHTS = [
  'reasoning_content',
  'reasoning',
  'thinking',
  'reasoning_text',
  'reasoning_details',
  'thinking_blocks',
];

/** Types of parts that are thoughts, such as Mistral's `thinking`, Anthropic's and OpenRouter's. */
const THOUGHT_PART = /^(?:thinking|thought|reasoning|summary)/;

/** Members of an unknown part or delta that are no words. */
const NO_WORDS = new Set(
  `id type role name index object model signature data encrypted format finish_reason stop_reason logprobs url image_url
   images b64_json obfuscation native_finish_reason`.split(/\s+/),
);
/** Members that hold the words of a part; others beside them, such as annotations, are about these. */
const WORDS = ['text', 'thinking', 'reasoning', 'content', 'summary', 'refusal', 'transcript'];
const MAX_DEPTH = 6;

/** Reads the words of a message or a delta: content may be a text, a part or a list of parts. */
export function saidWords(message: JsonObject): SaidWords {
  const { content, refusal } = message;
  let thoughts = '';
  for (const name of THOUGHTS) thoughts ||= wordsIn(message[name]);
  const refused = typeof refusal === 'string' ? refusal : '';
  if (typeof content === 'string') return { text: content, thoughts, refusal: refused };
  const parts = partWords(content);
  return { text: parts.text, thoughts: thoughts + parts.thoughts, refusal: refused + parts.refusal };
}

/** Text of members that nobody knows, for an answer that has no other words: better shown than lost. */
export function unknownWords(message: JsonObject): string {
  const known = ['content', 'refusal', 'tool_calls', 'function_call', 'annotations', ...THOUGHTS];
  return wordsIn(Object.fromEntries(Object.entries(message).filter(([name]) => !known.includes(name))));
}

function partWords(content: Json | undefined): SaidWords {
  const words = { text: '', thoughts: '', refusal: '' };
  const parts = Array.isArray(content) ? content : content === undefined ? [] : [content];
  for (const part of parts) {
    if (typeof part === 'string') words.text += part;
    else if (isJsonObject(part)) words[kindOf(part)] += wordsIn(part);
  }
  return words;
}

function kindOf(part: JsonObject): keyof SaidWords {
  const type = typeof part.type === 'string' ? part.type : '';
  if (type === 'refusal') return 'refusal';
  const isThought = THOUGHT_PART.test(type) || (type === '' && part.thinking !== undefined) || part.thought === true;
  return isThought ? 'thoughts' : 'text';
}

/** All texts of a value, in their order. */
function wordsIn(value: Json | undefined, depth = 0): string {
  if (typeof value === 'string') return value;
  if (depth > MAX_DEPTH) return '';
  if (Array.isArray(value)) return value.map((one) => wordsIn(one, depth + 1)).join('');
  if (!isJsonObject(value)) return '';
  for (const name of WORDS) {
    const known = wordsIn(value[name], depth + 1);
    if (known !== '') return known;
  }
  let words = '';
  for (const [name, member] of Object.entries(value)) if (!NO_WORDS.has(name)) words += wordsIn(member, depth + 1);
  return words;
}

const NO_PICTURES: readonly string[] = [];

/**
 * Addresses of the pictures in a message or a delta, each once: `images` of OpenRouter, LiteLLM and Gemini's like, and parts of the
 * content. A picture that comes as base64 alone has a `data:` address.
 */
export function saidPictures({ images, content }: JsonObject): readonly string[] {
  const hasParts = typeof content === 'object' && content !== null;
  if (!Array.isArray(images) && !hasParts) return NO_PICTURES;
  const parts = hasParts ? (Array.isArray(content) ? content : [content]) : [];
  const given = [...(Array.isArray(images) ? images : []), ...parts.filter(isPicture)];
  return [...new Set(given.slice(0, MAX_PICTURES).flatMap(addressOf))];
}

/** Most pictures that are looked at in one message or delta. */
const MAX_PICTURES = 64;

const isPicture = (part: Json): boolean =>
  isJsonObject(part) && (part.type === 'image_url' || part.type === 'image' || part.type === 'output_image');

function addressOf(picture: Json): readonly string[] {
  if (typeof picture === 'string') return picture === '' ? [] : [picture];
  if (!isJsonObject(picture)) return [];
  const { image_url, url, b64_json } = picture;
  const address = (isJsonObject(image_url) ? image_url.url : image_url) ?? url;
  if (typeof address === 'string' && address !== '') return [address];
  return typeof b64_json === 'string' && b64_json !== '' ? [pictureAddress(b64_json)] : [];
}

/** First characters of the base64 of a picture's format. */
const FORMATS = [
  ['/9j/', 'jpeg'],
  ['UklGR', 'webp'],
  ['R0lGOD', 'gif'],
] as const;

/** The `data:` address of a picture that is given as base64. */
export function pictureAddress(base64: string): string {
  const [, format = 'png'] = FORMATS.find(([start]) => base64.startsWith(start)) ?? [];
  return `data:image/${format};base64,${base64}`;
}

/** The base64 in the address of a picture; `undefined` where it lies elsewhere. */
export function base64Of(address: string): string | undefined {
  if (!address.startsWith('data:')) return undefined;
  const comma = address.slice(0, MAX_ADDRESS_HEAD).indexOf(',');
  return comma !== -1 && address.slice(0, comma).endsWith(';base64') ? address.slice(comma + 1) : undefined;
}

const MAX_ADDRESS_HEAD = 256;

/** Pictures as the member that chat completions have for them: OpenRouter's. */
export function picturesMember(pictures: readonly string[]): JsonObject {
  if (pictures.length === 0) return {};
  return { images: pictures.map((url, index) => ({ type: 'image_url', image_url: { url }, index })) };
}

/** The calls of a message or a delta; the legacy `function_call` is one of them. */
export function saidCalls({ tool_calls, function_call }: JsonObject): readonly JsonObject[] {
  const calls = objectsAmong(tool_calls);
  return calls.length === 0 && isJsonObject(function_call) ? [{ type: 'function', function: function_call }] : calls;
}
