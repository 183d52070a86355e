import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { type JsonDocument, type JsonOutline, outlinedByteLength } from '../base/json-document.js';
import type { Span } from '../base/json-scan.js';
import { estimateTokens } from './estimate.js';

/** Input tokens of a request, as far as they can be told from the outside. */
export interface InputEstimate {
  /** At the usual rates: for limits by the minute. */
  readonly tokens: number;
  /** The most that they can come to: for money. */
  readonly mostTokens: number;
}

/**
 * Most tokens that a text may have for each estimated one: tokenizers never make more of a byte than a token, and runes,
 * random letters or rare scripts come near to that.
 */
const MOST_PER_ESTIMATED_TOKEN = 3;

/** Bytes that stand for a token which was given as a number, or for another value that is no text. */
const BYTES_PER_VALUE = 3;
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
export const MOST_PER_IMAGE = 48_169;

export type Medium = 'image' | 'sound' | 'file' | 'film';

/** Parts of a message that are no text, by type: OpenAI's, and those of vLLM and Anthropic. */
export const MEDIA: ReadonlyMap<Json | undefined, Medium> = new Map<Json, Medium>([
  ['image_url', 'image'],
  ['input_image', 'image'],
  ['computer_screenshot', 'image'],
  ['image_generation_call', 'image'],
  ['image', 'image'],
  ['input_audio', 'sound'],
  ['audio_url', 'sound'],
  ['file', 'file'],
  ['input_file', 'file'],
  ['document', 'file'],
  ['video_url', 'film'],
  ['input_video', 'film'],
]);

/** Members of such a part, or of an object in it, that bear its data. All others are text. */
const DATA = new Set('url image_url data file_data file_url audio_url video_url result'.split(' '));
/** Longer addresses are read as text. */
const MAX_ADDRESS_LENGTH = 2_048;
/** Longest type in a `data:` address. */
const MAX_TYPE_LENGTH = 256;
const BYTES_PER_BASE64_CHARACTER = 0.75;
/** Most tokens behind an address, which nobody can tell from the outside: as many as the largest context takes. */
const MOST_BEHIND_ADDRESS = 1_000_000;

/** Bytes of a medium to a token: usually, and at the least that it can have. */
interface Density {
  readonly usual: number;
  readonly least: number;
}

/** A minute has 600 tokens with OpenAI, 1,920 with Gemini. Usual: 64 kbit/s; least: 8 kbit/s, the slowest that MP3 knows. */
const COMPRESSED_SOUND: Density = { usual: 800, least: 31 };
/** Usual: 16 bits at 16 kHz. A format is only what the client calls it, so that the least is the same. */
const PLAIN_SOUND: Density = { usual: 3_200, least: 31 };
/** A page has some 1,000 tokens in some 100 KB; one of nothing but compressed text has as many in 2 KB. */
const PAGES: Density = { usual: 100, least: 2 };
/** 300 tokens a second with Gemini. Usual: 1 Mbit/s; least: a tenth of it. */
const FILM: Density = { usual: 400, least: 40 };
/** Files that are text are read as such. */
const TEXT: Density = { usual: 3, least: 1 };

/** Members that are read value by value; all others count by the bytes in which they are written. */
export const READ: ReadonlySet<string> = new Set(['messages', 'input', 'prompt', 'instructions']);
const MAX_SETTING_BYTES = 64;
/** Members that no model reads, as long as they are short. */
export const SETTINGS: ReadonlySet<string> = new Set(
  `model stream stream_options n best_of max_tokens max_completion_tokens max_output_tokens temperature top_p top_k min_p seed
   stop user store background metadata service_tier parallel_tool_calls tool_choice function_call logprobs top_logprobs
   logit_bias presence_penalty frequency_penalty reasoning_effort reasoning verbosity modalities audio encoding_format
   dimensions echo include truncation previous_response_id conversation max_tool_calls safety_identifier prompt_cache_key
   prompt_cache_retention text speed`.split(/\s+/),
);
/** Members whose names are no news to a model. */
export const KNOWN_NAMES: ReadonlySet<string> = new Set(
  `${[...READ].join(' ')} tools functions response_format role content type input_audio file source output summary text image_url url detail name refusal tool_calls
   function_call`.split(/\s+/),
);
/** Roles and types that the tokens of each message pay for. */
export const KNOWN_WORDS: ReadonlySet<string> = new Set(
  `system developer user assistant tool function message text input_text output_text refusal ${[...MEDIA.keys()].join(' ')}`.split(
    /\s+/,
  ),
);

/** Most bytes of a tree that its texts and names leave unexplained before it is looked at for names that stand twice. */
const MAX_UNEXPLAINED_BYTES = 4_096;
/** Lists and objects that a message has: itself, its content and a few parts. */
const CONTAINERS_PER_ITEM = 4;
const FEW_ITEMS = 4;
const COLON = 0x3a;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Estimates the input of a request in one pass over its body: every text in it counts, under whatever name, unless it is known
 * to cost otherwise, as an image's data. Costs about a microsecond for each KB. The depth of bodies is bounded, as is this.
 * @param unparsedValues numbers that the outline does not have.
 */
export function estimateInput(outline: JsonOutline, document: JsonDocument, unparsedValues = 0): InputEstimate {
  const sum = new InputSum(BYTES_PER_VALUE * unparsedValues);
  const pass = new TreePass(sum, outline);
  for (let member = document.members.first; member !== undefined; member = member.next) {
    const { name } = member;
    if (READ.has(name)) pass.addTree(readMember(outline.body, name), document, member);
    else sum.addWritten(name, member.end - member.start);
  }
  return sum;
}

/** One of the members that are read; by its own name, as to look it up by a name that varies leaves garbage. */
function readMember({ messages, input, prompt, instructions }: JsonObject, name: string): Json | undefined {
  if (name === 'messages') return messages;
  if (name === 'input') return input;
  return name === 'prompt' ? prompt : instructions;
}

/** The sums of one pass, over a tree or over its bytes. Texts are counted in bytes, and become tokens at the end. */
export class InputSum implements InputEstimate {
  bytes: number;
  mediaTokens = 0;
  mostMediaTokens = 0;
  /** Members, lists and objects of the tree at hand, and the bytes of its texts and names, whatever they cost. */
  members = 0;
  containers = 0;
  seenBytes = 0;
  /** Tokens around messages. */
  private framing = 0;

  constructor(unparsedBytes = 0) {
    this.bytes = unparsedBytes;
  }

  get tokens(): number {
    return this.framing + estimateTokens(this.bytes) + this.mediaTokens;
  }

  get mostTokens(): number {
    return MOST_PER_ESTIMATED_TOKEN * (this.framing + estimateTokens(this.bytes)) + this.mostMediaTokens;
  }

  beginTree(): void {
    this.members = 0;
    this.containers = 0;
    this.seenBytes = 0;
  }

  /** @param items of the tree, where it is a list. */
  endTree(items: number, areMessages: boolean): void {
    if (areMessages) this.framing += TOKENS_PER_REPLY + TOKENS_PER_MESSAGE * items;
    // Brackets are text, too, where a model is shown the JSON of something.
    this.bytes += BYTES_PER_VALUE * Math.max(0, this.containers - CONTAINERS_PER_ITEM * (items + FEW_ITEMS));
  }

  /** Adds a member by the bytes that it takes. */
  addWritten(name: string, size: number, isSetting = SETTINGS.has(name)): void {
    if (size <= MAX_SETTING_BYTES && isSetting) return;
    this.bytes += size + (isSetting || KNOWN_NAMES.has(name) ? 0 : name.length);
  }

  /** Adds a name in the tree at hand. */
  addName(size: number, isKnown: boolean): void {
    this.members += 1;
    this.seenBytes += size;
    if (!isKnown) this.bytes += size;
  }

  /** Adds a value that is no text. */
  addValue(): void {
    this.bytes += BYTES_PER_VALUE;
  }

  addText(size: number): void {
    this.bytes += size;
    this.seenBytes += size;
  }
}

/** A pass over the parsed tree. */
class TreePass {
  private readonly sum: InputSum;
  private readonly outline: JsonOutline;

  constructor(sum: InputSum, outline: JsonOutline) {
    this.sum = sum;
    this.outline = outline;
  }

  addTree(value: Json | undefined, { bytes, members }: JsonDocument, span: Span): void {
    const { sum } = this;
    sum.beginTree();
    this.addValue(value, undefined);
    sum.endTree(Array.isArray(value) ? value.length : 0, value === this.outline.body.messages);
    const unexplained = span.end - span.start - sum.seenBytes;
    // Of a name that stands twice in an object the parser keeps the last, and others may read the first.
    if (unexplained <= MAX_UNEXPLAINED_BYTES || members.keysWithin - members.size <= sum.members) return;
    if (membersIn(bytes, span) > sum.members) sum.bytes += unexplained;
  }

  private addValue(value: Json | undefined, medium: Medium | undefined): void {
    if (typeof value === 'string') this.addText(value);
    else if (Array.isArray(value)) this.addItems(value);
    else if (isJsonObject(value)) this.addObject(value, medium);
    else if (typeof value === 'number' || typeof value === 'boolean') this.sum.addValue();
  }

  private addItems(items: readonly Json[]): void {
    this.sum.containers += 1;
    for (let at = 0; at < items.length; at += 1) {
      const item = items[at];
      if (item === null) this.sum.addValue();
      else this.addValue(item, undefined);
    }
  }

  /** @param within the medium of the part that the object stands in. */
  private addObject(object: JsonObject, within: Medium | undefined): void {
    const { sum } = this;
    const own = object.type === undefined ? mediumOf(object) : MEDIA.get(object.type);
    const medium = own ?? within;
    let hasData = false;
    sum.containers += 1;
    for (const name in object) {
      const member = object[name];
      sum.members += 1;
      sum.seenBytes += name.length;
      if (!KNOWN_NAMES.has(name)) sum.bytes += outlinedByteLength(this.outline, name);
      if (typeof member !== 'string') {
        this.addValue(member, own);
        continue;
      }
      if (medium !== undefined && DATA.has(name) && isData(member)) {
        sum.seenBytes += member.length;
        this.addMedium(medium, object, member);
        hasData = true;
      } else if ((name === 'type' || name === 'role') && KNOWN_WORDS.has(member)) sum.seenBytes += member.length;
      else this.addText(member);
    }
    if (own === 'image' && !hasData && !isJsonObject(object.image_url) && !isJsonObject(object.source)) this.addImage();
  }

  private addText(text: string): void {
    this.sum.addText(outlinedByteLength(this.outline, text));
  }

  private addMedium(part: Medium, object: JsonObject, data: string): void {
    const { sum } = this;
    const medium = mediumIn(part, data);
    if (medium === 'image') {
      this.addImage();
      return;
    }
    if (isAddress(data)) {
      sum.mediaTokens += TOKENS_PER_IMAGE;
      sum.mostMediaTokens += MOST_BEHIND_ADDRESS;
      return;
    }
    const { usual, least } = densityOf(medium, object, data);
    const size = BYTES_PER_BASE64_CHARACTER * data.length;
    sum.mediaTokens += Math.ceil(size / usual);
    sum.mostMediaTokens += Math.ceil(size / least);
  }

  private addImage(): void {
    this.sum.mediaTokens += TOKENS_PER_IMAGE;
    this.sum.mostMediaTokens += MOST_PER_IMAGE;
  }
}

/** Names of the members that make an object without a type the part of a medium. */
export const MEDIUM_NAMES: readonly string[] = ['image_url', 'audio_url', 'video_url'];

/** The medium of a part without a type, as vLLM takes it: `{ image_url: 'https://…' }`. */
function mediumOf({ image_url, audio_url, video_url }: JsonObject): Medium | undefined {
  if (typeof image_url === 'string') return 'image';
  if (typeof audio_url === 'string') return 'sound';
  return typeof video_url === 'string' ? 'film' : undefined;
}

/** The medium that a `data:` address names, else the part's: some servers read texts and pages in the place of a picture. */
function mediumIn(part: Medium, data: string): Medium {
  if (part === 'file' || !isDataAddress(data)) return part;
  if (isDataAddress(data, 'image/')) return 'image';
  if (isDataAddress(data, 'audio/')) return 'sound';
  if (isDataAddress(data, 'video/')) return 'film';
  return isDataAddress(data, 'text/', 'application/') && !isDataAddress(data, 'application/octet-stream')
    ? 'file'
    : part;
}

/** Whether a text is a medium's address or its data in base64: prose under the name of data is read as text. */
function isData(text: string): boolean {
  if (isAddress(text)) return true;
  if (!isDataAddress(text)) return !NOT_BASE64.test(text);
  const comma = text.slice(0, MAX_TYPE_LENGTH).indexOf(',');
  return !NOT_BASE64.test(text.slice(comma === -1 ? 'data:'.length : comma + 1));
}

/** Whether a text is a `data:` address, whatever is said to be in it. Schemes have no case. */
function isDataAddress(text: string, ...types: readonly string[]): boolean {
  const head = text.slice(0, MAX_TYPE_LENGTH).toLowerCase();
  return head.startsWith('data:') && (types.length === 0 || types.some((type) => head.startsWith(`data:${type}`)));
}

function isAddress(text: string): boolean {
  return text.length <= MAX_ADDRESS_LENGTH && /^https?:/i.test(text) && !/\s/.test(text);
}

const NOT_BASE64 = /[^\w+/=\-\r\n]/;

function densityOf(medium: Medium, object: JsonObject, data: string): Density {
  if (medium === 'film') return FILM;
  if (medium === 'sound') {
    const isPlain =
      object.format === 'wav' ||
      object.format === 'pcm16' ||
      isDataAddress(data, 'audio/wav', 'audio/x-wav', 'audio/wave');
    return isPlain ? PLAIN_SOUND : COMPRESSED_SOUND;
  }
  // `JVBERi` is `%PDF-` in base64.
  const isPages = isDataAddress(data, 'application/pdf') || data.startsWith('JVBERi');
  return isPages || object.media_type === 'application/pdf' ? PAGES : TEXT;
}

/** Number of members in a JSON text, those whose names stand twice included. */
export function membersIn(bytes: Buffer, { start, end }: Span): number {
  let members = 0;
  let isInText = false;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at];
    if (byte === QUOTE) isInText = !isInText;
    else if (byte === BACKSLASH) at += 1;
    else if (byte === COLON && !isInText) members += 1;
  }
  return members;
}
