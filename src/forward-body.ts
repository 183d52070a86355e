import { modelNotAllowed, modelNotFound } from './errors.js';
import type { GatewayRequest } from './http/exchange.js';
import { boundaryOf, multipartModels } from './http/multipart-model.js';
import { parseBody, readBody } from './http/read-body.js';
import { isJsonObject, type JsonObject } from './json.js';
import type { ApiKey } from './keys/key-store.js';
import { type Model, mayCall } from './models/model-table.js';
import { bodyReadByHost } from './object-errors.js';
import type { Config } from './options.js';
import { bodyTooLarge, unsupportedContentType } from './request-errors.js';

/** The body of a request that is passed on. */
export type ForwardBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'json'; readonly bytes: Uint8Array; readonly body: JsonObject }
  | { readonly kind: 'stream'; readonly contentType: string; readonly pieces: AsyncIterable<Uint8Array> };

/**
 * What is to be passed on: JSON is read and checked, a multipart body passes as it comes.
 * @throws {GatewayError} 400, 408, 413, 415, or 500 where the host's parser was first.
 */
export async function readForwardBody(request: GatewayRequest, config: Config): Promise<ForwardBody> {
  const { headers, method } = request;
  if (method === 'GET' || method === 'DELETE') return { kind: 'none' };
  const contentType = headers['content-type']?.toString() ?? '';
  if (/^multipart\//i.test(contentType)) {
    if (boundaryOf(contentType) === undefined) throw unsupportedContentType(contentType.slice(0, 200));
    return { kind: 'stream', contentType, pieces: multipartPieces(request, config.maxUploadBytes) };
  }
  const isParsed = 'parsed' in request.body;
  if (isParsed && isEmpty(request.body)) return { kind: 'none' };
  const bytes = await readBody(request, config);
  if (bytes.byteLength === 0) return { kind: 'none' };
  const { document } = parseBody(bytes);
  const body: unknown = JSON.parse(document.bytes.toString('utf8'));
  return { kind: 'json', bytes: document.bytes, body: isJsonObject(body) ? body : {} };
}

/** Body parsers leave nothing, or an empty object, of a request without a body. */
function isEmpty(body: GatewayRequest['body']): boolean {
  if (!('parsed' in body)) return false;
  const { parsed } = body;
  return parsed === undefined || (isJsonObject(parsed) && Object.keys(parsed).length === 0);
}

function multipartPieces({ body, headers }: GatewayRequest, maxBytes: number): AsyncIterable<Uint8Array> {
  if (Number(headers['content-length'] ?? 0) > maxBytes) throw bodyTooLarge(maxBytes);
  if (!('parsed' in body)) return bounded(body, maxBytes);
  // What `express.raw()` reads is whole.
  if (!Buffer.isBuffer(body.parsed)) throw bodyReadByHost();
  const whole = body.parsed;
  if (whole.byteLength > maxBytes) throw bodyTooLarge(maxBytes);
  return (async function* () {
    yield whole;
  })();
}

async function* bounded(pieces: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const piece of pieces) {
    size += piece.byteLength;
    if (size > maxBytes) throw bodyTooLarge(maxBytes);
    yield piece;
  }
}

/** A multipart body on its way, and what is wrong with it as soon as that is known. */
export interface WatchedBody {
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Why the body was broken off. */
  readonly refusal: unknown;
}

/** Whose body it is, and what is to be told of it. */
export interface Watcher {
  readonly config: Config;
  readonly key: ApiKey;
  /** A key that may only call some models must name one. */
  readonly needsModel: boolean;
  /** The body names this model. */
  onModel(model: Model, name: string): void;
}

/** The same body, broken off where it names a model that the key may not call, or that other rules apply to. */
export function watchedBody(
  { contentType, pieces }: Extract<ForwardBody, { kind: 'stream' }>,
  { config, key, needsModel, onModel }: Watcher,
): WatchedBody {
  const models = multipartModels(boundaryOf(contentType) ?? '');
  const watched = { pieces: watch(), refusal: undefined as unknown };

  function check(name: string): void {
    const model = config.models.find(name);
    // Another upstream or another name cannot be given to a body that is on its way.
    if (model === undefined || model.upstream !== undefined || model.upstreamModel !== name) throw modelNotFound(name);
    if (!mayCall(key, model, name)) throw modelNotAllowed(name);
    onModel(model, name);
  }

  async function* watch(): AsyncGenerator<Uint8Array> {
    let isNamed = false;
    try {
      for await (const piece of pieces) {
        for (const name of models.take(piece)) {
          isNamed = true;
          check(name);
        }
        yield piece;
      }
      if (needsModel && (!isNamed || models.isOpaque)) throw modelNotAllowed('');
    } catch (error) {
      watched.refusal = error;
      throw error;
    }
  }
  return watched;
}
