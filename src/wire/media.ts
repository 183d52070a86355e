import type { Json, JsonObject } from '../base/json.js';

/** Tokens of a part of a message that is no text: usually, and at the most. */
export interface MediumTokens {
  readonly tokens: number;
  readonly mostTokens: number;
}

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
const DATA: ReadonlySet<string> = new Set(
  'url image_url data file_data file_url audio_url video_url result'.split(' '),
);
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

/** Names of the members that make an object without a type the part of a medium. */
export const MEDIUM_NAMES: readonly string[] = ['image_url', 'audio_url', 'video_url'];

/** An image that is there, or in whose place nothing else is. */
export const IMAGE_TOKENS: MediumTokens = { tokens: TOKENS_PER_IMAGE, mostTokens: MOST_PER_IMAGE };
const ADDRESS_TOKENS: MediumTokens = { tokens: TOKENS_PER_IMAGE, mostTokens: MOST_BEHIND_ADDRESS };

/** Tokens of the data of a part, or of what stands behind its address. @param object the one that bears the data */
export function mediumTokens(part: Medium, object: JsonObject, data: string): MediumTokens {
  const medium = mediumIn(part, data);
  if (medium === 'image') return IMAGE_TOKENS;
  if (isAddress(data)) return ADDRESS_TOKENS;
  const { usual, least } = densityOf(medium, object, data);
  const size = BYTES_PER_BASE64_CHARACTER * data.length;
  return { tokens: Math.ceil(size / usual), mostTokens: Math.ceil(size / least) };
}

/** The medium of a part without a type, as vLLM takes it: `{ image_url: 'https://…' }`. */
export function mediumOf({ image_url, audio_url, video_url }: JsonObject): Medium | undefined {
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

/** Whether a member is a medium's address or its data in base64: prose under the name of data is read as text. */
export function isMediumData(name: string, text: string): boolean {
  if (!DATA.has(name)) return false;
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
