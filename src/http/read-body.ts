import type { Awaitable } from '../base/awaitable.js';
import type { StartDeadline } from '../base/clock.js';
import {
  bodyTooLarge,
  type GatewayError,
  internalError,
  requestTimeout,
  unsupportedContentEncoding,
} from '../base/errors.js';
import { isJsonObject } from '../base/json.js';
import { type JsonResult, parseDocument, REQUEST_BOUNDS } from '../base/json-document.js';
import type { JsonRefusal } from '../base/json-scan.js';
import { type Pieces, type StepSource, stepsOf } from '../base/steps.js';
import {
  duplicateMember,
  invalidJson,
  invalidRequest,
  jsonTooDeep,
  jsonTooManyKeys,
  unsupportedContentType,
} from '../wire/request-errors.js';
import type { GatewayRequest } from './exchange.js';

/** Bounds of one request body. */
export interface BodyBounds {
  readonly maxBodyBytes: number;
  /** Starts the time in which the whole body must arrive. */
  readonly startBodyDeadline: StartDeadline;
}

/**
 * Reads a request's bytes, from the wire or from what the host's body parser left.
 * @throws {GatewayError} 400, 408, 413, 415 or 500; the signal's reason when the client goes away.
 */
export function readBody(request: GatewayRequest, bounds: BodyBounds): Awaitable<Uint8Array> {
  // What the host's parser read, it inflated too.
  if (!('parsed' in request.body)) {
    checkHeaders(request.headers, bounds.maxBodyBytes);
    return collectBody(request, request.body, bounds);
  }
  checkType(request.headers);
  const bytes = parsedBytes(request.body.parsed);
  if (bytes.byteLength > bounds.maxBodyBytes) throw bodyTooLarge(bounds.maxBodyBytes);
  return bytes;
}

/**
 * Parses the bytes of a JSON object.
 * @throws {GatewayError} 400
 */
export function parseBody(
  bytes: Uint8Array,
  texts: 'as-bytes' | 'decoded' = 'as-bytes',
): Extract<JsonResult, { kind: 'document' }> {
  const result = parseDocument(bytes, REQUEST_BOUNDS, texts);
  if (result.kind === 'document') return result;
  throw refusalError(result);
}

/**
 * Whether the request has no body. Body parsers leave nothing, or an empty object, of a request without a body; `{}` can be
 * a body, too.
 */
export function isEmpty({ body, headers }: GatewayRequest): boolean {
  if (!('parsed' in body)) return false;
  const { parsed } = body;
  const isAnnounced = Number(headers['content-length'] ?? 0) > 0 || headers['transfer-encoding'] !== undefined;
  return !isAnnounced && (parsed === undefined || (isJsonObject(parsed) && Object.keys(parsed).length === 0));
}

function checkHeaders(headers: GatewayRequest['headers'], maxBodyBytes: number): void {
  const encoding = headers['content-encoding'];
  if (typeof encoding === 'string' && encoding !== '' && encoding.toLowerCase() !== 'identity') {
    throw unsupportedContentEncoding(encoding.slice(0, 100));
  }
  checkType(headers);
  const length = Number(headers['content-length'] ?? 0);
  if (length > maxBodyBytes) throw bodyTooLarge(maxBodyBytes);
}

function checkType({ 'content-type': type }: GatewayRequest['headers']): void {
  if (typeof type === 'string' && !isJsonType(type)) throw unsupportedContentType(type.slice(0, 200));
}

/** `application/json` with any parameters; a missing type is JSON too, as `curl`-like clients forget it. */
function isJsonType(type: string): boolean {
  if (type === 'application/json') return true;
  const [media = '', ...parameters] = type.split(';');
  if (media.trim().toLowerCase() !== 'application/json') return false;
  const charset = parameters.find((parameter) => /^\s*charset=/i.test(parameter));
  return charset === undefined || /^\s*charset="?(?:utf-?8|us-ascii)"?\s*$/i.test(charset);
}

/** Puts the bytes of a body together by calls: iterating and racing each piece would cost more than the pieces. */
class BodyCollector {
  readonly #source: StepSource<Uint8Array>;
  readonly #signal: GatewayRequest['signal'];
  readonly #announcedBytes: number;
  readonly #maxBodyBytes: number;
  readonly #resolve: (bytes: Uint8Array) => void;
  readonly #reject: (reason: unknown) => void;
  readonly #cancelDeadline: () => void;
  readonly #pieces: Uint8Array[] = [];
  #size = 0;
  #isOver = false;

  constructor(
    { headers, signal }: GatewayRequest,
    source: StepSource<Uint8Array>,
    { maxBodyBytes, startBodyDeadline }: BodyBounds,
    on: { resolve(bytes: Uint8Array): void; reject(reason: unknown): void },
  ) {
    this.#source = source;
    this.#signal = signal;
    this.#announcedBytes = Number(headers['content-length']);
    this.#maxBodyBytes = maxBodyBytes;
    this.#resolve = on.resolve;
    this.#reject = on.reject;
    this.#cancelDeadline = startBodyDeadline(() => this.#fail(requestTimeout()));
    signal.addEventListener('abort', this.#onGone);
  }

  readNext(): void {
    this.#source.read(this.#onStep, this.#onFailure);
  }

  readonly #onStep = (piece: Uint8Array | undefined): void => {
    if (this.#isOver) return;
    if (piece === undefined) {
      this.#succeed();
      return;
    }
    this.#size += piece.byteLength;
    this.#pieces.push(piece);
    if (this.#size > this.#maxBodyBytes) this.#fail(bodyTooLarge(this.#maxBodyBytes));
    // HTTP knows no more: the end need not be asked for.
    else if (this.#size === this.#announcedBytes) this.#succeed();
    else this.readNext();
  };

  readonly #onFailure = (reason: unknown): void => this.#fail(reason);

  readonly #onGone = (): void => this.#fail(this.#signal.reason);

  #succeed(): void {
    this.#stop();
    const [only] = this.#pieces;
    this.#resolve(this.#pieces.length === 1 && only !== undefined ? only : Buffer.concat(this.#pieces));
  }

  #fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#stop();
    this.#source.leave();
    this.#reject(reason);
  }

  #stop(): void {
    this.#isOver = true;
    this.#cancelDeadline();
    this.#signal.removeEventListener('abort', this.#onGone);
  }
}

function collectBody(request: GatewayRequest, body: Pieces<Uint8Array>, bounds: BodyBounds): Promise<Uint8Array> {
  const { signal } = request;
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else new BodyCollector(request, stepsOf(body), bounds, { resolve, reject }).readNext();
  });
}

/** Turns the body parser's value back into bytes, so that it passes the same checks as any other body. */
function parsedBytes(parsed: unknown): Uint8Array {
  if (parsed === undefined) {
    throw internalError(
      new Error(
        'The request body was read before it reached megallm and left no `body`. Mount megallm before that parser.',
      ),
    );
  }
  if (Buffer.isBuffer(parsed)) return parsed;
  if (typeof parsed === 'string') return Buffer.from(parsed);
  if (!isJsonObject(parsed)) throw invalidJson();
  try {
    return Buffer.from(JSON.stringify(parsed));
  } catch {
    // A RangeError: nested deeper than the stack.
    throw jsonTooDeep(REQUEST_BOUNDS.maxDepth);
  }
}

function refusalError(refusal: JsonRefusal): GatewayError {
  switch (refusal.reason) {
    case 'depth':
      return jsonTooDeep(REQUEST_BOUNDS.maxDepth);
    case 'keys':
      return jsonTooManyKeys();
    case 'duplicate':
      return duplicateMember(refusal.name.slice(0, 64));
    case 'poisoned':
      return invalidRequest("The names '__proto__' and 'constructor.prototype' are not allowed.");
    default:
      return invalidJson();
  }
}
