import type { Json, JsonObject } from '../../base/json.js';
import { objectsIn, optionalString, requiredString, withoutNulls } from '../members.js';
import { invalidRequest, invalidType, invalidValue, missingParameter } from '../request-errors.js';

const INPUT_PARTS = ['input_text', 'input_image', 'input_file', 'input_audio', 'output_text'];

/** What an assistant said, in the two texts in which chat completions take it. */
interface SpokenContent {
  readonly text: string;
  readonly refusal: string;
}

/**
 * The content of a message that is no assistant's, or of a tool's output, as chat completions take it. A single text is
 * given as a string, which every upstream takes; which of them take other parts, and in which roles, they say themselves.
 * @param param how errors name it.
 * @throws {GatewayError} 400 for a part that chat completions do not have.
 */
export function heardContent(param: string, content: Json | undefined): Json {
  const parts = partsOf(param, content);
  if (typeof parts === 'string') return parts;
  const heard = parts.map((part, index) => heardPart(`${param}[${index}]`, part));
  const [only] = heard;
  if (heard.length > 1 || only === undefined) return only === undefined ? '' : heard;
  return only.type === 'text' && typeof only.text === 'string' && Object.keys(only).length === 2 ? only.text : heard;
}

/**
 * The content of an assistant's message: its texts are pieces of one, and many upstreams take nothing else.
 * @param param how errors name it.
 * @throws {GatewayError} 400 for a part that no assistant says.
 */
export function spokenContent(param: string, content: Json | undefined): SpokenContent {
  const parts = partsOf(param, content);
  if (typeof parts === 'string') return { text: parts, refusal: '' };
  let text = '';
  let refusal = '';
  for (const [index, part] of parts.entries()) {
    const at = `${param}[${index}]`;
    const type = requiredString(`${at}.type`, part.type);
    if (type === 'refusal') refusal += requiredString(`${at}.refusal`, part.refusal);
    else if (type === 'output_text' || type === 'input_text') text += requiredString(`${at}.text`, part.text);
    else throw invalidValue(`${at}.type`, type, ['output_text', 'refusal']);
  }
  return { text, refusal };
}

function partsOf(param: string, content: Json | undefined): string | readonly JsonObject[] {
  if (typeof content === 'string') return content;
  if (content === undefined || content === null) throw missingParameter(param);
  if (!Array.isArray(content)) throw invalidType(param, 'one of a string or array of objects', content);
  return objectsIn(param, content);
}

function heardPart(param: string, part: JsonObject): JsonObject {
  const type = requiredString(`${param}.type`, part.type);
  switch (type) {
    case 'input_text':
    case 'output_text': {
      const { annotations: _, logprobs: __, ...rest } = withoutNulls(part);
      return { ...rest, type: 'text', text: requiredString(`${param}.text`, part.text) };
    }
    case 'input_image':
      return imagePart(param, part);
    case 'input_file':
      return filePart(param, part);
    case 'input_audio':
      if (part.input_audio === undefined) throw missingParameter(`${param}.input_audio`);
      return part;
    default:
      throw invalidValue(`${param}.type`, type, INPUT_PARTS);
  }
}

function imagePart(param: string, part: JsonObject): JsonObject {
  const { type: _, image_url, detail, file_id, ...rest } = withoutNulls(part);
  if (file_id !== undefined) {
    throw invalidRequest(
      "Images by 'file_id' are not supported with this model. Please send the image as an 'image_url'.",
      `${param}.file_id`,
    );
  }
  const url = requiredString(`${param}.image_url`, image_url);
  const size = optionalString(`${param}.detail`, detail);
  // The one size that chat completions do not know: an image as large as it is.
  const shown = size === 'original' ? 'high' : size;
  return { ...rest, type: 'image_url', image_url: { url, ...(shown === undefined ? {} : { detail: shown }) } };
}

function filePart(param: string, part: JsonObject): JsonObject {
  const { type: _, filename, file_data, file_id, file_url, detail: __, ...rest } = withoutNulls(part);
  if (file_url !== undefined) {
    throw invalidRequest(
      "Files by 'file_url' are not supported with this model. Please send the file as 'file_data'.",
      `${param}.file_url`,
    );
  }
  if (file_data === undefined && file_id === undefined) throw missingParameter(`${param}.file_data`);
  return { ...rest, type: 'file', file: withoutNulls({ filename, file_data, file_id }) };
}
