import type { JsonObject } from '../../base/json.js';
import { estimateTokens } from '../../wire/estimate.js';
import { objectsIn, optionalBoolean, optionalInteger, optionalString } from '../../wire/members.js';
import { badRequest, missingParameter, unsupportedParameter } from '../../wire/request-errors.js';
import type { ForwardCall, ForwardReply } from '../upstream.js';
import { filledString, readForm, readJson } from './forms.js';
import { findDemoModel } from './models.js';
import { type Endpoints, eventsReply } from './replies.js';
import type { DemoStore } from './store.js';

/** The one picture of the demo, a grey square of 64 by 64 pixels. */
const PICTURE =
  'iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAKUlEQVR42u3MQREAAAwCIKMb3RD77SAA6VEEAoFAIBAIBAKBQCAQfA8G320AeXC6efoAAAAASUVORK5CYII=';
/** OpenAI's numbers for a square picture of medium quality, and for one that comes with the request. */
const TOKENS_PER_PICTURE = 1_056;
const TOKENS_PER_GIVEN_PICTURE = 194;
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
  if ((body.output_format ?? 'png') !== 'png') {
    throw unsupportedParameter("The demo makes PNG images only: use 'output_format': 'png'.", 'output_format');
  }
  const count = optionalInteger('n', body.n, { min: 1, max: 10 }) ?? 1;
  if (model.startsWith('dall-e')) {
    const isUrl = body.response_format !== 'b64_json';
    const shown = isUrl ? { url: `data:image/png;base64,${PICTURE}` } : { b64_json: PICTURE };
    return { created, data: Array<JsonObject>(count).fill({ revised_prompt: prompt, ...shown }) };
  }
  const looks = { size: '1024x1024', quality: 'medium', background: 'opaque', output_format: 'png' };
  const usage = usageOf(estimateTokens(Buffer.byteLength(prompt)), images, count);
  if (optionalBoolean('stream', body.stream) !== true) {
    return { created, data: Array<JsonObject>(count).fill({ b64_json: PICTURE }), ...looks, usage };
  }
  const partials = optionalInteger('partial_images', body.partial_images, { min: 0, max: 3 }) ?? 0;
  const event = { b64_json: PICTURE, created_at: created, ...looks };
  const partial = Array.from({ length: partials }, (_, index) => {
    return { type: `${task}.partial_image`, ...event, partial_image_index: index };
  });
  return eventsReply([...partial, { type: `${task}.completed`, ...event, usage }], true);
}

function usageOf(promptTokens: number, given: number, made: number): JsonObject {
  const input = { text_tokens: promptTokens, image_tokens: given * TOKENS_PER_GIVEN_PICTURE };
  const inputTokens = input.text_tokens + input.image_tokens;
  const outputTokens = made * TOKENS_PER_PICTURE;
  return {
    input_tokens: inputTokens,
    input_tokens_details: input,
    output_tokens: outputTokens,
    output_tokens_details: { image_tokens: outputTokens, text_tokens: 0 },
    total_tokens: inputTokens + outputTokens,
  };
}
