import type { Awaitable } from '../base/awaitable.js';
import type { StartDeadline } from '../base/clock.js';
import {
  bodyTooLarge,
  type GatewayError,
  internalError,
  requestTimeout,
  unsupportedContentEncoding,
} from '../base/errors.js';
import { isJsonObject, type JsonObject, objectOf } from '../base/json.js';
import { type JsonResult, parseDocument, REQUEST_BOUNDS } from '../base/json-document.js';
import type { JsonRefusal } from '../base/json-scan.js';
import { leaveIterator } from '../base/steps.js';
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
  /** For the whole body to arrive. */
  readonly startBodyDeadline: StartDeadline;
}

/**
 * Reads a request's bytes, whoever read them first.
 * @throws {GatewayError} 400, 408, 413, 415 or 500; the signal's reason when the client goes away.
 */
export function readBody(request: GatewayRequest, bounds: BodyBounds): Awaitable<Uint8Array> {
  // What the host's parser read, it inflated too.
  if (!('parsed' in request.body)) {
    checkHeaders(request.headers, bounds.maxBodyBytes);
    return collect(request, request.body, bounds);
  }
  checkType(request.headers);
  const bytes = parsedBytes(request.body.parsed);
  if (bytes.byteLength > bounds.maxBodyBytes) throw bodyTooLarge(bounds.maxBodyBytes);
  return bytes;
}

/**
 * A request's JSON object.
 * @throws {GatewayError} as `readBody` and `parseBody` do.
 */
export async function readJsonBody(request: GatewayRequest, bounds: BodyBounds): Promise<JsonObject> {
  const { document } = parseBody(await readBody(request, bounds));
  return objectOf(document.bytes);
}

/**
 * The JSON object that the bytes are.
 * @throws {GatewayError} 400
 */
export function parseBody(bytes: Uint8Array): Extract<JsonResult, { kind: 'document' }> {
  const result = parseDocument(bytes, REQUEST_BOUNDS);
  if (result.kind === 'document') return result;
  throw refusalError(result);
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

/** Not by `for await` and a race for each piece, which cost more than the pieces. */
function collect(
  { headers, signal }: GatewayRequest,
  body: AsyncIterable<Uint8Array>,
  { maxBodyBytes, startBodyDeadline }: BodyBounds,
): Promise<Uint8Array> {
  const announcedBytes = Number(headers['content-length']);
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const iterator = body[Symbol.asyncIterator]();
    const pieces: Uint8Array[] = [];
    let size = 0;
    let isOver = false;

    function stop(): void {
      isOver = true;
      cancelDeadline();
      signal.removeEventListener('abort', onGone);
    }
    function succeed(): void {
      stop();
      const [only] = pieces;
      resolve(pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces));
    }
    function fail(reason: unknown): void {
      if (isOver) return;
      stop();
      leaveIterator(iterator);
      reject(reason);
    }
    function onStep(step: IteratorResult<Uint8Array>): void {
      if (isOver) return;
      if (step.done === true) {
        succeed();
        return;
      }
      size += step.value.byteLength;
      pieces.push(step.value);
      if (size > maxBodyBytes) fail(bodyTooLarge(maxBodyBytes));
      // HTTP knows no more: the end need not be asked for.
      else if (size === announcedBytes) succeed();
      else iterator.next().then(onStep, fail);
    }
    const onGone = (): void => fail(signal.reason);
    const cancelDeadline = startBodyDeadline(() => fail(requestTimeout()));
    signal.addEventListener('abort', onGone);
    iterator.next().then(onStep, fail);
  });
}

/** The bytes of what the host's body parser made, so that it goes through the same checks as everything else. */
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
