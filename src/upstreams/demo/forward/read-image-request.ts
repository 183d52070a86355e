import { createHash } from 'node:crypto';
import type { JsonObject } from '../../../base/json.js';
import { estimateTokens } from '../../../wire/estimate.js';
import { optionalBoolean, optionalChoice, optionalInteger, optionalString } from '../../../wire/members.js';
import {
  arrayAboveMaxLength,
  badRequest,
  invalidValue,
  missingParameter,
  unsupportedParameter,
} from '../../../wire/request-errors.js';
import type { ForwardCall } from '../../upstream.js';
import { filledString, requiredObjects } from './read-objects.js';
import { coerced, isForm, readForm, readJson } from './request-body.js';

/** How the events of an endpoint are named. */
export type ImageTask = 'image_generation' | 'image_edit';

/** What is asked of the images endpoints. */
export interface ImageRequest {
  readonly task: ImageTask;
  readonly model: string;
  readonly prompt: string;
  /** What is drawn, which the images that came along change too. */
  readonly seed: string;
  readonly count: number;
  readonly width: number;
  readonly height: number;
  readonly quality: 'low' | 'medium' | 'high';
  readonly background: 'transparent' | 'opaque';
  /** As DALL·E gives its images; the others have base64 only. */
  readonly asUrl: boolean;
  readonly stream: boolean;
  readonly partialImages: number;
  readonly textTokens: number;
  readonly imageTokens: number;
}

/** The images that a request brings along. */
interface Originals {
  readonly body: JsonObject;
  readonly images: readonly (Buffer | string)[];
}

const SIZES: readonly (readonly [models: RegExp, sizes: readonly string[]])[] = [
  [/^dall-e-2/, ['256x256', '512x512', '1024x1024']],
  [/^dall-e-3/, ['1024x1024', '1792x1024', '1024x1792']],
  [/^(?:chatgpt-image|gpt-image-1)/, ['1024x1024', '1024x1536', '1536x1024', 'auto']],
];
const MAX_SIDE = 2_048;
const MAX_JSON_BYTES = 1024 * 1024;
const MAX_IMAGES = 16;
const MAX_PROMPT_LENGTH = 32_000;
/** What OpenAI was recorded to count for an image of usual size. */
const TOKENS_PER_IMAGE = 194;
const NOT_TEXT = ['n', 'stream', 'partial_images', 'output_compression'];

/** Reads the body of `/images/generations`. */
export async function readGeneration(call: ForwardCall): Promise<ImageRequest> {
  const body = await readJson(call, MAX_JSON_BYTES);
  return readRequest('image_generation', { body, images: [] });
}

/** Reads the body of `/images/edits`: a form, or JSON that refers to images. */
export async function readEdit(call: ForwardCall, maxFileBytes: number): Promise<ImageRequest> {
  if (isForm(call)) return readRequest('image_edit', await readOriginals(call, maxFileBytes));
  const body = await readJson(call, maxFileBytes);
  const images = requiredObjects(body, 'images', MAX_IMAGES).map((image) => JSON.stringify(image));
  if (images.length === 0) throw missingParameter('images');
  return readRequest('image_edit', { body, images });
}

/** Reads the body of `/images/variations`, which has no prompt. */
export async function readVariation(call: ForwardCall, maxFileBytes: number): Promise<ImageRequest> {
  const { body, images } = await readOriginals(call, maxFileBytes);
  return readRequest('image_edit', { body: { model: 'dall-e-2', ...body, prompt: 'A variation' }, images });
}

async function readOriginals(call: ForwardCall, maxFileBytes: number): Promise<Originals> {
  const form = await readForm(call, maxFileBytes);
  const images = form.files('image').map(({ bytes }) => bytes);
  if (images.length === 0) throw missingParameter('image');
  if (images.length > MAX_IMAGES) throw arrayAboveMaxLength('image', MAX_IMAGES, images.length);
  for (const [index, bytes] of images.entries()) {
    if (isImage(bytes)) continue;
    const message = `Invalid image file or mode for image ${index + 1}, please check your image file.`;
    throw badRequest(message, 'invalid_image_file', 'image');
  }
  return { body: coerced(form.fields, NOT_TEXT), images };
}

function readRequest(task: ImageTask, { body, images }: Originals): ImageRequest {
  const model = optionalString('model', body.model, 256) ?? 'gpt-image-1';
  const prompt = filledString(body, 'prompt', MAX_PROMPT_LENGTH);
  const [width, height] = readSize(body, model);
  const background = optionalChoice('background', body.background, ['auto', 'opaque', 'transparent']);
  if ((optionalChoice('output_format', body.output_format, ['png', 'jpeg', 'webp']) ?? 'png') !== 'png')
    throw unsupportedParameter("The demo makes PNG images only: use 'output_format': 'png'.", 'output_format');
  const seed = images.reduce((hash, image) => hash.update(image), createHash('sha256').update(prompt)).digest('hex');
  return {
    task,
    model,
    prompt,
    seed,
    count: optionalInteger('n', body.n, { min: 1, max: 10 }) ?? 1,
    width,
    height,
    quality: readQuality(body),
    background: background === 'transparent' ? 'transparent' : 'opaque',
    asUrl: readAsUrl(body, model),
    stream: (optionalBoolean('stream', body.stream) ?? false) && !model.startsWith('dall-e'),
    partialImages: optionalInteger('partial_images', body.partial_images, { min: 0, max: 3 }) ?? 0,
    textTokens: estimateTokens(Buffer.byteLength(prompt)),
    imageTokens: images.length * TOKENS_PER_IMAGE,
  };
}

function readSize(body: JsonObject, model: string): readonly [width: number, height: number] {
  const size = optionalString('size', body.size) ?? '1024x1024';
  const sizes = SIZES.find(([models]) => models.test(model))?.[1];
  if (sizes !== undefined && !sizes.includes(size)) throw invalidValue('size', size.slice(0, 64), sizes);
  if (size === 'auto') return [1024, 1024];
  const [, width, height] = /^(\d{1,4})x(\d{1,4})$/.exec(size) ?? [];
  const sides = [Number(width), Number(height)] as const;
  if (sides.every((side) => side >= 16 && side <= MAX_SIDE)) return sides;
  const message = `Invalid 'size': expected 'auto' or a width and height from 16 to ${MAX_SIDE}, such as '1024x1024'.`;
  throw badRequest(message, 'invalid_value', 'size');
}

function readQuality(body: JsonObject): ImageRequest['quality'] {
  const choices = ['auto', 'low', 'medium', 'high', 'standard', 'hd'] as const;
  const quality = optionalChoice('quality', body.quality, choices);
  if (quality === 'hd') return 'high';
  return quality === 'low' || quality === 'high' ? quality : 'medium';
}

function readAsUrl(body: JsonObject, model: string): boolean {
  const format = optionalChoice('response_format', body.response_format, ['url', 'b64_json']);
  if (model.startsWith('dall-e')) return format !== 'b64_json';
  if (format !== 'url') return false;
  throw unsupportedParameter(
    "Unsupported parameter: 'response_format' of 'url' is not supported with this model, which gives 'b64_json' only.",
    'response_format',
  );
}

/** PNG, JPEG or WebP by its first bytes. */
function isImage(bytes: Buffer): boolean {
  const head = bytes.toString('latin1', 0, 12);
  return /^\x89PNG\r\n|^\xff\xd8\xff|^RIFF[\s\S]{4}WEBP/.test(head);
}
