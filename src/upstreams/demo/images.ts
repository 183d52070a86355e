import type { JsonObject } from '../../base/json.js';
import { estimateTokens } from '../../wire/estimate.js';
import { objectsIn, optionalBoolean, optionalChoice, optionalInteger, optionalString } from '../../wire/members.js';
import { badRequest, missingParameter, unsupportedParameter } from '../../wire/request-errors.js';
import type { ForwardCall, ForwardReply } from '../upstream.js';
import { filledString, readForm, readJson } from './forms.js';
import { findDemoModel } from './models.js';
import { type Endpoints, eventsReply } from './replies.js';
import type { DemoStore } from './store.js';

/** The one picture of the demo, a grey square of 64 by 64 pixels. */
const PICTURE =
  'iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAKUlEQVR42u3MQREAAAwCIKMb3RD77SAA6VEEAoFAIBAIBAKBQCAQfA8G320AeXC6efoAAAAASUVORK5CYII=';
/** Tokens of a picture, whatever its size. */
const OUTPUT_TOKENS = { low: 272, medium: 1_056, high: 4_160 };
const TOKENS_PER_INPUT_IMAGE = 194;
const MAX_IMAGES = 16;
const MAX_PROMPT_LENGTH = 32_000;
/** First bytes of PNG, JPEG and WebP. */
const IMAGE = /^\x89PNG\r\n|^\xff\xd8\xff|^RIFF....WEBP/s;

/** `/images`. Every picture is the same small PNG. DALL·E's URLs are `data:` URLs: the demo serves no pages. */
export function imageEndpoints({ maxFileBytes, nowSeconds }: DemoStore): Endpoints {
  const edited = async (call: ForwardCall, defaults: JsonObject): Promise<ForwardReply | JsonObject> => {
    const { fields, files } = await readForm(call, maxFileBytes);
    const images = files('image').slice(0, MAX_IMAGES);
    if (!images.every(({ bytes }) => IMAGE.test(bytes.toString('latin1', 0, 12)))) {
      throw badRequest('Invalid image file or mode, please check your image file.', 'invalid_image_file', 'image');
    }
    return answer('image_edit', { ...defaults, ...fields }, { images: images.length, created: nowSeconds() });
  };
  return {
    'POST /images/generations': async ({ call }) =>
      answer('image_generation', await readJson(call), { images: 0, created: nowSeconds() }),
    'POST /images/edits': async ({ call }) => {
      if (call.headers['content-type']?.startsWith('multipart/')) return edited(call, {});
      const body = await readJson(call, maxFileBytes);
      const { length: images } = objectsIn('images', body.images, MAX_IMAGES);
      if (images === 0) throw missingParameter('images');
      return answer('image_edit', body, { images, created: nowSeconds() });
    },
    'POST /images/variations': ({ call }) => edited(call, { model: 'dall-e-2', prompt: 'A variation' }),
  };
}

/** @param given.images how many came with the request. */
function answer(
  task: 'image_generation' | 'image_edit',
  body: JsonObject,
  { images, created }: { readonly images: number; readonly created: number },
): ForwardReply | JsonObject {
  const model = optionalString('model', body.model, 256) ?? 'gpt-image-1';
  findDemoModel(model, 'images');
  const prompt = filledString(body, 'prompt', MAX_PROMPT_LENGTH);
  if ((optionalChoice('output_format', body.output_format, ['png', 'jpeg', 'webp']) ?? 'png') !== 'png') {
    throw unsupportedParameter("The demo makes PNG images only: use 'output_format': 'png'.", 'output_format');
  }
  const count = optionalInteger('n', body.n, { min: 1, max: 10 }) ?? 1;
  const partials = optionalInteger('partial_images', body.partial_images, { min: 0, max: 3 }) ?? 0;
  if (model.startsWith('dall-e')) {
    const revised = model === 'dall-e-3' ? { revised_prompt: prompt } : {};
    const isUrl = body.response_format !== 'b64_json';
    const shown = isUrl ? { url: `data:image/png;base64,${PICTURE}` } : { b64_json: PICTURE };
    return { created, data: Array<JsonObject>(count).fill({ ...revised, ...shown }) };
  }
  const given = optionalString('quality', body.quality, 16);
  const quality = given === 'low' || given === 'high' ? given : 'medium';
  const size = optionalString('size', body.size, 16) ?? 'auto';
  const background = body.background === 'transparent' ? 'transparent' : 'opaque';
  const looks = { size: size === 'auto' ? '1024x1024' : size, quality, background, output_format: 'png' };
  const texts = count * estimateTokens(Buffer.byteLength(prompt));
  const usage = usageOf(texts, count * images * TOKENS_PER_INPUT_IMAGE, count * OUTPUT_TOKENS[quality]);
  if (optionalBoolean('stream', body.stream) !== true) {
    return { created, data: Array<JsonObject>(count).fill({ b64_json: PICTURE }), ...looks, usage };
  }
  const event = { b64_json: PICTURE, created_at: created, ...looks };
  const partial = Array.from({ length: partials }, (_, index) => {
    return { type: `${task}.partial_image`, ...event, partial_image_index: index };
  });
  const each = [...partial, { type: `${task}.completed`, ...event, usage }];
  return eventsReply(Array(count).fill(each).flat(), true);
}

function usageOf(textTokens: number, imageTokens: number, output: number): JsonObject {
  return {
    input_tokens: textTokens + imageTokens,
    input_tokens_details: { image_tokens: imageTokens, text_tokens: textTokens },
    output_tokens: output,
    output_tokens_details: { image_tokens: output, text_tokens: 0 },
    total_tokens: textTokens + imageTokens + output,
  };
}
