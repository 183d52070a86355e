import type { Awaitable } from '../base/awaitable.js';
import type { Deadlines, Timed } from '../base/clock.js';
import {
  bodyTooLarge,
  type GatewayError,
  internalError,
  requestTimeout,
  unsupportedContentEncoding,
} from '../base/errors.js';
import { GatheredBytes } from '../base/gathered-bytes.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { type JsonDocument, type JsonResult, parseDocument, REQUEST_BOUNDS } from '../base/json-document.js';
import type { JsonBounds, JsonRefusal } from '../base/json-scan.js';
import { parseInTurns, writeInTurns } from '../base/json-turns.js';
import { type StepSource, stepsOf } from '../base/steps.js';
import { LARGE_BYTES } from '../base/turns.js';
import { young } from '../base/young.js';
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
  /** The time in which the whole body must arrive. */
  readonly bodyDeadlines: Deadlines;
}

/** Keeps account of the bytes of bodies that are in memory. */
export interface BodyHolder {
  /** @throws {GatewayError} 429 or 503 when there is no room for so many bytes more. */
  checkRoom(bytes: number): void;
  /** Takes account of bytes that are there. @throws {GatewayError} as `checkRoom` does. */
  hold(bytes: number): void;
}

/**
 * Reads a request's bytes, from the wire or from what the host's body parser left.
 * @throws {GatewayError} 400, 408, 413, 415 or 500; the signal's reason when the client goes away.
 */
export function readBody(
  request: GatewayRequest,
  bounds: BodyBounds,
  holder: BodyHolder = UNCOUNTED,
): Awaitable<Uint8Array> {
  if ('parsed' in request.body) return readParsedBody(request, bounds, holder);
  const announced = announcedBytes(request, bounds, holder);
  return new Promise((onBody, onFailure) =>
    new BodyCollector(request, { bounds, holder, reader: { onBody, onFailure } }, announced).collect(),
  );
}

/** Reader of a body: one of its methods is called, once. */
export interface BodyReader {
  onBody(bytes: Uint8Array): void;
  onFailure(reason: unknown): void;
}

/** The bounds of a body, and who is told of it. */
interface BodyCollecting {
  readonly bounds: BodyBounds;
  readonly holder: BodyHolder;
  readonly reader: BodyReader;
}

/**
 * Reads a request's bytes from the wire, without a promise.
 * @throws {GatewayError} 413, 415 or 429 for what its headers tell
 */
export function collectBody(request: GatewayRequest, collecting: BodyCollecting): void {
  const announced = announcedBytes(request, collecting.bounds, collecting.holder);
  new BodyCollector(request, collecting, announced).collect();
}

/** Length that a body announces, once its headers are checked and there is room for it; NaN where it announces none. */
function announcedBytes({ headers }: GatewayRequest, { maxBodyBytes }: BodyBounds, holder: BodyHolder): number {
  const encoding = headers['content-encoding'];
  if (typeof encoding === 'string' && encoding !== '' && encoding.toLowerCase() !== 'identity') {
    throw unsupportedContentEncoding(encoding.slice(0, 100));
  }
  checkType(headers);
  const announced = Number(headers['content-length']);
  if (announced > maxBodyBytes) throw bodyTooLarge(maxBodyBytes);
  if (announced > 0) holder.checkRoom(announced);
  return announced;
}

/** Reads what the host's parser left. What it read, it inflated too. */
function readParsedBody({ headers, body }: GatewayRequest, bounds: BodyBounds, holder: BodyHolder): Uint8Array {
  checkType(headers);
  const bytes = parsedBytes('parsed' in body ? body.parsed : undefined);
  if (bytes.byteLength > bounds.maxBodyBytes) throw bodyTooLarge(bounds.maxBodyBytes);
  holder.hold(bytes.byteLength);
  return bytes;
}

/**
 * Parses the bytes of a JSON object, many of them in turns.
 * @throws {GatewayError} 400, 413
 */
export async function parseBody(bytes: Uint8Array, bounds: JsonBounds): Promise<ParsedBody> {
  const isLarge = bytes.byteLength > LARGE_BYTES;
  return readable(isLarge ? await parseInTurns(bytes, bounds) : parseDocument(bytes, bounds), bounds);
}

export type ParsedBody = Extract<JsonResult, { kind: 'document' }>;

/** @throws {GatewayError} 400 or 413 for a body that was refused. */
export function readable(result: JsonResult, bounds: JsonBounds): ParsedBody {
  if (result.kind === 'document') return result;
  throw unreadableBody(result, bounds);
}

/**
 * Writes an object that is to be sent in place of what was read.
 * @throws {GatewayError} 400 or 413, as for bytes that arrive
 */
export async function writeBody(object: JsonObject, bounds: JsonBounds): Promise<JsonDocument> {
  const result = await writeInTurns(object, bounds);
  if ('kind' in result) throw unreadableBody(result, bounds);
  return result;
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

function checkType({ 'content-type': type }: GatewayRequest['headers']): void {
  if (type === 'application/json') return;
  if (typeof type === 'string' && !isJsonType(type)) throw unsupportedContentType(type.slice(0, 200));
}

/** `application/json` with any parameters; a missing type is JSON too, as `curl`-like clients forget it. */
function isJsonType(type: string): boolean {
  const [media = '', ...parameters] = type.split(';');
  if (media.trim().toLowerCase() !== 'application/json') return false;
  const charset = parameters.find((parameter) => /^\s*charset=/i.test(parameter));
  return charset === undefined || /^\s*charset="?(?:utf-?8|us-ascii)"?\s*$/i.test(charset);
}

/** Puts the bytes of a body together by calls: iterating and racing each piece would cost more than the pieces. */
class BodyCollector implements Timed {
  dueAt = 0;
  older: Timed | undefined = undefined;
  newer: Timed | undefined = undefined;
  private readonly request: GatewayRequest;
  private readonly source: StepSource<Uint8Array>;
  private readonly collecting: BodyCollecting;
  private readonly announcedBytes: number;
  private size = 0;
  /** As a rule there is one piece, which stays as it is. */
  private first: Uint8Array | undefined = undefined;
  private gathered: GatheredBytes | undefined = undefined;
  private isOver = false;

  constructor(request: GatewayRequest, collecting: BodyCollecting, announcedBytes: number) {
    if ('parsed' in request.body) throw new Error('Expected a body that nobody has read');
    this.request = request;
    this.source = stepsOf(request.body);
    this.collecting = collecting;
    this.announcedBytes = announcedBytes;
  }

  collect(): void {
    const { signal } = this.request;
    if (signal.aborted) {
      this.isOver = true;
      this.collecting.reader.onFailure(signal.reason);
      return;
    }
    this.collecting.bounds.bodyDeadlines.start(this);
    signal.addEventListener('abort', this.onGone);
    this.source.read(this.onStep, this.onFailure);
  }

  ring(): void {
    this.onFailure(requestTimeout());
  }

  private readonly onStep = young((piece: Uint8Array | undefined): void => {
    if (this.isOver) return;
    if (piece !== undefined) {
      this.add(piece);
      const { bounds, holder } = this.collecting;
      if (this.size > bounds.maxBodyBytes) {
        this.onFailure(bodyTooLarge(bounds.maxBodyBytes));
        return;
      }
      try {
        holder.hold(piece.byteLength);
      } catch (error) {
        this.onFailure(error);
        return;
      }
      // HTTP knows no more than was announced: the end need not be asked for.
      if (this.size !== this.announcedBytes) {
        this.source.read(this.onStep, this.onFailure);
        return;
      }
    }
    this.stop();
    const bytes = this.gathered?.take() ?? this.first ?? NO_BYTES;
    this.first = undefined;
    this.collecting.reader.onBody(bytes);
  });

  private add(piece: Uint8Array): void {
    this.size += piece.byteLength;
    if (this.gathered !== undefined) this.gathered.add(piece);
    else if (this.first === undefined) this.first = piece;
    else {
      this.gathered = new GatheredBytes();
      this.gathered.add(this.first);
      this.gathered.add(piece);
    }
  }

  private readonly onFailure = young((reason: unknown): void => {
    if (this.isOver) return;
    this.stop();
    this.first = undefined;
    this.gathered = undefined;
    this.source.leave();
    this.collecting.reader.onFailure(reason);
  });

  private readonly onGone = young((): void => this.onFailure(this.request.signal.reason));

  private stop(): void {
    this.isOver = true;
    this.collecting.bounds.bodyDeadlines.cancel(this);
    this.request.signal.removeEventListener('abort', this.onGone);
  }
}

const NO_BYTES = new Uint8Array(0);

function ignore(): void {}

const UNCOUNTED: BodyHolder = { checkRoom: ignore, hold: ignore };

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

/** Words for a body that was refused. */
export function unreadableBody(refusal: JsonRefusal, { maxDepth, maxBytes }: JsonBounds): GatewayError {
  switch (refusal.reason) {
    case 'depth':
      return jsonTooDeep(maxDepth);
    case 'size':
      return bodyTooLarge(maxBytes);
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
