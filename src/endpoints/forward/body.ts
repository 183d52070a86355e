import { isPending } from '../../base/awaitable.js';
import { bodyReadByHost, bodyTooLarge, unsupportedContentEncoding } from '../../base/errors.js';
import { type JsonObject, objectOf } from '../../base/json.js';
import type { Exchange } from '../../call/exchange.js';
import type { Config } from '../../config/config.js';
import { findUnrouted, type Model } from '../../config/models.js';
import type { GatewayRequest } from '../../http/exchange.js';
import { boundaryOf, type MultipartModels, multipartModels } from '../../http/multipart.js';
import { isEmpty, parseBody } from '../../http/read-body.js';
import { pathOf } from '../../http/url.js';
import type { ApiKey } from '../../keys/key-store.js';
import { referencesIn } from '../../wire/references.js';
import { invalidRequest, modelNotAllowed, unsupportedContentType } from '../../wire/request-errors.js';

/** The body of a request that is passed on. */
export type ForwardBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'json'; readonly bytes: Uint8Array; readonly body: JsonObject }
  | FormBody;

/** A form that passes as it comes. */
export interface FormBody {
  readonly kind: 'form';
  readonly boundary: string;
  /** As a header has it; `undefined`: it comes in chunks. */
  readonly contentLength: string | undefined;
  readonly pieces: AsyncIterable<Uint8Array>;
}

/** Whether a form on its way may name a model, must do so because its key may not call all, or is not looked at. */
export type FormModel = 'ignored' | 'optional' | 'required';

/**
 * Reads what is to be passed on: JSON is read and checked, a multipart body passes as it comes.
 * @throws {GatewayError} 400, 408, 413, 415, or 500 where the host's parser was first.
 */
export async function readForwardBody(exchange: Exchange): Promise<ForwardBody> {
  const { request, state } = exchange;
  const { headers, method } = request;
  if (method === 'GET' || method === 'DELETE') return { kind: 'none' };
  const contentType = headers['content-type']?.toString() ?? '';
  if (/^multipart\//i.test(contentType)) {
    const boundary = boundaryOf(contentType);
    if (boundary === undefined) throw unsupportedContentType(contentType.slice(0, 200));
    return formBody(request, boundary, state.config.maxUploadBytes);
  }
  const isNothing = 'parsed' in request.body && request.body.parsed === null && needsNoBody(exchange.path);
  if (isNothing || isEmpty(request)) return { kind: 'none' };
  const reading = exchange.body();
  const bytes = isPending(reading) ? await reading : reading;
  if (bytes.byteLength === 0 || (isNull(bytes) && needsNoBody(exchange.path))) return { kind: 'none' };
  const held = exchange.holdCopies(bytes, COPIES);
  if (isPending(held)) await held;
  const { document } = await parseBody(bytes, state.config.json.request);
  const object = objectOf(document.bytes);
  // Of members standing twice inside, the upstream gets the ones that are looked at.
  const passed = referencesIn(object).length > 0 ? Buffer.from(JSON.stringify(object)) : document.bytes;
  return { kind: 'json', bytes: passed, body: object };
}

/** A large body is there as it came, as it is passed on, under another name of its model, and as an object. */
const COPIES = 4;

/** Whether a body says that there is none, as some clients write where nothing is to be sent. */
function isNull(bytes: Uint8Array): boolean {
  return bytes.byteLength < 64 && Buffer.from(bytes).toString('latin1').trim() === 'null';
}

function needsNoBody(path: string): boolean {
  const asked = pathOf(path);
  return asked.endsWith('/cancel') || asked === '/vector_stores';
}

function formBody({ body, headers }: GatewayRequest, boundary: string, maxBytes: number): FormBody {
  if ('parsed' in body) {
    // `express.raw()` gives a whole body, and an inflated one.
    const { parsed } = body;
    if (!Buffer.isBuffer(parsed)) throw bodyReadByHost();
    if (parsed.byteLength > maxBytes) throw bodyTooLarge(maxBytes);
    return { kind: 'form', boundary, contentLength: String(parsed.byteLength), pieces: onePiece(parsed) };
  }
  const encoding = headers['content-encoding']?.toString() ?? '';
  if (!/^(?:identity)?$/i.test(encoding)) throw unsupportedContentEncoding(encoding.slice(0, 100));
  const contentLength = headers['content-length']?.toString();
  if (Number(contentLength ?? 0) > maxBytes) throw bodyTooLarge(maxBytes);
  return { kind: 'form', boundary, contentLength, pieces: bounded(body, maxBytes) };
}

/** A body that is there in one piece. */
export async function* onePiece(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* bounded(pieces: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const piece of pieces) {
    size += piece.byteLength;
    if (size > maxBytes) throw bodyTooLarge(maxBytes);
    yield piece;
  }
}

/** A form on its way, and what is wrong with it as soon as that is known. */
export interface WatchedForm {
  readonly pieces: AsyncIterable<Uint8Array>;
  /** Why it was broken off. */
  readonly refusal: unknown;
}

/** An onlooker of a form, for its key. */
export interface FormWatcher {
  readonly config: Config;
  readonly key: ApiKey;
  /** Named to a key without access to it. */
  readonly operation: string;
  readonly formModel: FormModel;
  /** The form names this model. */
  onModel(model: Model, name: string): void;
  /** The form is known to its end, of which the upstream has not the last piece. */
  onForm(form: MultipartModels): void;
}

/** The same form, broken off where it names a model that the key may not call, or that other rules apply to. */
export function watchedForm({ boundary, pieces }: FormBody, watcher: FormWatcher): WatchedForm {
  const watched = { pieces: watch(), refusal: undefined as unknown };

  async function* watch(): AsyncGenerator<Uint8Array> {
    try {
      yield* watcher.formModel === 'ignored' ? pieces : checkedPieces(pieces, boundary, watcher);
    } catch (error) {
      watched.refusal = error;
      throw error;
    }
  }
  return watched;
}

async function* checkedPieces(
  pieces: AsyncIterable<Uint8Array>,
  boundary: string,
  { config, key, operation, formModel, onModel, onForm }: FormWatcher,
): AsyncGenerator<Uint8Array> {
  const models = multipartModels(boundary);
  let isNamed = false;
  // Without its last piece no upstream has a whole request: that one waits until all is known.
  let last: Uint8Array | undefined;
  for await (const piece of pieces) {
    if (piece.byteLength === 0) continue;
    for (const name of models.takePiece(piece)) {
      isNamed = true;
      onModel(findUnrouted(config.models, key, name), name);
    }
    if (models.state === 'broken') throw unreadableForm();
    if (last !== undefined) yield last;
    last = piece;
  }
  if (models.state !== 'closed') throw unreadableForm();
  if (formModel === 'required' && !isNamed) throw modelNotAllowed(operation);
  onForm(models);
  if (last !== undefined) yield last;
}

const unreadableForm = (): Error =>
  invalidRequest(
    'The multipart form cannot be read. Each part needs a plain `Content-Disposition: form-data; name="…"`, lines end in CRLF, and `model` may be given once.',
  );
