import type { JsonObject } from '../../../base/json.js';
import type { ForwardCall, ForwardReply } from '../../upstream.js';
import { nextTurn } from '../turns.js';
import type { DemoStorage } from './demo-storage.js';
import { drawPng } from './draw-png.js';
import type { Endpoints } from './endpoints.js';
import { type ImageRequest, readEdit, readGeneration, readVariation } from './read-image-request.js';
import { eventsReply, jsonReply } from './replies.js';

/** What OpenAI counts for a square image; others count by their area. */
const OUTPUT_TOKENS = { low: 272, medium: 1_056, high: 4_160 };
const SQUARE = 1_024 * 1_024;

/**
 * `/images`. The pictures are patterns that the prompt determines, always as PNG. What DALL·E gives as a URL comes as a
 * `data:` URL, since the demo serves no pages.
 */
export function imageEndpoints(storage: DemoStorage): Endpoints {
  const { bounds, nowSeconds } = storage;
  const answered = (request: ImageRequest, call: ForwardCall): ForwardReply | Promise<ForwardReply> => {
    const created = nowSeconds();
    if (request.stream)
      return eventsReply(imageEvents(request, created, call.signal), { signal: call.signal, named: true });
    return wholeAnswer(request, created, call.signal);
  };
  return {
    'POST /images/generations': async ({ call }) => answered(await readGeneration(call), call),
    'POST /images/edits': async ({ call }) => answered(await readEdit(call, bounds.maxFileBytes), call),
    'POST /images/variations': async ({ call }) => answered(await readVariation(call, bounds.maxFileBytes), call),
  };
}

async function wholeAnswer(request: ImageRequest, created: number, signal: AbortSignal): Promise<ForwardReply> {
  const data: JsonObject[] = [];
  for (let index = 0; index < request.count; index += 1) {
    await nextTurn(signal);
    data.push(imageBody(request, pngOf(request, index)));
  }
  if (request.model.startsWith('dall-e')) return jsonReply({ created, data });
  const { background, output_format, quality, size } = looks(request);
  return jsonReply({ created, background, data, output_format, quality, size, usage: usageOf(request, request.count) });
}

function imageBody({ asUrl, model, prompt }: ImageRequest, png: string): JsonObject {
  return {
    ...(model.startsWith('dall-e-3') ? { revised_prompt: prompt } : {}),
    ...(asUrl ? { url: `data:image/png;base64,${png}` } : { b64_json: png }),
  };
}

async function* imageEvents(
  request: ImageRequest,
  createdAt: number,
  signal: AbortSignal,
): AsyncGenerator<JsonObject, void, undefined> {
  const { task, partialImages } = request;
  const usage = usageOf(request, 1);
  for (let index = 0; index < request.count; index += 1) {
    for (let partial = 0; partial < partialImages; partial += 1) {
      await nextTurn(signal);
      const png = pngOf(request, index, 2 ** partial);
      yield {
        type: `${task}.partial_image`,
        b64_json: png,
        created_at: createdAt,
        ...looks(request),
        partial_image_index: partial,
      };
    }
    await nextTurn(signal);
    yield {
      type: `${task}.completed`,
      b64_json: pngOf(request, index),
      created_at: createdAt,
      ...looks(request),
      usage,
    };
  }
}

function pngOf({ seed, width, height, background }: ImageRequest, index: number, cells?: number): string {
  const transparent = background === 'transparent';
  const png = drawPng({
    seed: `${seed}/${index}`,
    width,
    height,
    transparent,
    ...(cells === undefined ? {} : { cells }),
  });
  return png.toString('base64');
}

function looks({ width, height, quality, background }: ImageRequest) {
  return { size: `${width}x${height}`, quality, background, output_format: 'png' };
}

/** OpenAI counts the prompt once for each image. */
function usageOf({ quality, width, height, textTokens, imageTokens }: ImageRequest, count: number): JsonObject {
  const output = count * Math.ceil((OUTPUT_TOKENS[quality] * width * height) / SQUARE);
  const input = count * (textTokens + imageTokens);
  return {
    input_tokens: input,
    input_tokens_details: { image_tokens: count * imageTokens, text_tokens: count * textTokens },
    output_tokens: output,
    output_tokens_details: { image_tokens: output, text_tokens: 0 },
    total_tokens: input + output,
  };
}
