import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { readModel } from '../../wire/model-request.js';
import { invalidType, missingParameter } from '../../wire/request-errors.js';
import { modelFor } from './model-for.js';
import { MAX_INPUTS } from './read-text-inputs.js';
import { malformedInput, notAModerationModel, tooManyInputs } from './text-errors.js';

/** A moderation request, every parameter of which has been looked at. */
export interface ModerationRequest {
  readonly modelId: string;
  /** One for each text, or one for all the parts. */
  readonly inputs: readonly ModerationInput[];
  /** Whether the answer says what kind of input each category was judged by. */
  readonly tellsInputTypes: boolean;
}

export interface ModerationInput {
  readonly texts: readonly string[];
  readonly hasImages: boolean;
}

const DEFAULT_MODEL = 'omni-moderation-latest';
/** Retired, but still what old code names. */
const TEXT_MODEL = /^text-moderation-(?:latest|stable|\d{3})$/;

/** Reads a moderation request as strictly as OpenAI does. @throws {GatewayError} 400 or 404 */
export function readModeration(body: JsonObject): ModerationRequest {
  const { model, input } = body;
  const modelId = model === undefined || model === null ? DEFAULT_MODEL : readModel({ body, isDecoded: true });
  const textOnly = TEXT_MODEL.test(modelId.slice(modelId.lastIndexOf('/') + 1));
  if (!textOnly && modelFor('moderations', modelId) === undefined) throw notAModerationModel(modelId);
  if (input === undefined || input === null) throw missingParameter('input');
  return { modelId, inputs: readInputs(input, textOnly), tellsInputTypes: !textOnly };
}

function readInputs(input: Json, textOnly: boolean): readonly ModerationInput[] {
  if (typeof input === 'string') return [ofText(input)];
  if (!Array.isArray(input) || input.length === 0) throw malformedInput('input');
  if (input.length > MAX_INPUTS) throw tooManyInputs('input', MAX_INPUTS);
  const texts: readonly string[] = input.filter((item) => typeof item === 'string');
  if (texts.length === input.length) return texts.map(ofText);
  const parts: readonly JsonObject[] = input.filter(isJsonObject);
  if (textOnly || parts.length < input.length) throw malformedInput('input');
  return [
    {
      texts: parts.flatMap((part, index) => textIn(part, `input[${index}]`)),
      hasImages: parts.some(({ type }) => type === 'image_url'),
    },
  ];
}

function ofText(text: string): ModerationInput {
  return { texts: [text], hasImages: false };
}

/** The text of a part; none of an image, which has an address. */
function textIn(part: JsonObject, param: string): readonly string[] {
  if (part.type === 'text') {
    if (typeof part.text !== 'string') throw typeError(`${param}.text`, 'a string', part.text);
    return [part.text];
  }
  if (part.type !== 'image_url') throw malformedInput('input');
  if (!isJsonObject(part.image_url)) throw typeError(`${param}.image_url`, 'an object', part.image_url);
  const { url } = part.image_url;
  if (typeof url !== 'string') throw typeError(`${param}.image_url.url`, 'a string', url);
  if (!/^(?:https?:\/\/|data:image\/)/i.test(url)) throw malformedInput('input');
  return [];
}

function typeError(param: string, expected: string, got: Json | undefined) {
  return got === undefined ? missingParameter(param) : invalidType(param, expected, got);
}
