import { unknownUrl } from '../../base/errors.js';
import type { JsonObject } from '../../base/json.js';
import type { ForwardCall, ForwardReply } from '../upstream.js';

/** One request of an endpoint. */
export interface EndpointRequest {
  readonly call: ForwardCall;
  /** The ids in the path, in their order. */
  readonly ids: readonly string[];
  readonly query: URLSearchParams;
}

/** Endpoints by method and path, such as `GET /files/{id}`. An object is answered as JSON. */
export type Endpoints = Readonly<
  Record<string, (request: EndpointRequest) => ForwardReply | JsonObject | Promise<ForwardReply | JsonObject>>
>;

const SLICE_BYTES = 64 * 1024;

/** Finds the endpoint that a call is for and has it answer. @throws {GatewayError} 404 when there is none. */
export function answerAt(endpoints: Endpoints): (call: ForwardCall) => Promise<ForwardReply> {
  const routes = Object.entries(endpoints).map(([route, answer]) => {
    const [method, path = ''] = route.split(' ');
    return { method, segments: path.split('/'), answer };
  });
  return async (call) => {
    call.signal.throwIfAborted();
    const { pathname, searchParams: query } = new URL(call.path, 'http://demo');
    const segments = pathname.split('/');
    const matching = routes.find((route) => route.method === call.method && isAt(segments, route.segments));
    if (matching === undefined) throw unknownUrl(call.method, `/v1${pathname}`);
    const ids = segments.filter((_, index) => matching.segments[index] === '{id}').map(decoded);
    const answer = await matching.answer({ call, ids, query });
    return isReply(answer) ? answer : bytesReply('application/json', Buffer.from(JSON.stringify(answer)));
  };
}

/** Bytes of that type, which go out in slices so that a slow reader can leave between them. */
export function bytesReply(
  contentType: string,
  bytes: Uint8Array,
  headers: ForwardReply['headers'] = {},
): ForwardReply {
  return { status: 200, headers: { 'content-type': contentType, ...headers }, body: slicesOf(bytes) };
}

/**
 * An event stream. Its events end as they do in OpenAI's recordings of audio, with CRLF, and in the examples of its
 * images, which also name the event.
 */
export function eventsReply(events: Iterable<JsonObject>, named: boolean): ForwardReply {
  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' };
  return { status: 200, headers, body: eventBytes(events, named) };
}

async function* eventBytes(events: Iterable<JsonObject>, named: boolean): AsyncGenerator<Uint8Array, void, undefined> {
  for (const event of events) {
    const data = JSON.stringify(event);
    yield Buffer.from(named ? `event: ${event.type}\ndata: ${data}\n\n` : `data: ${data}\r\n\r\n`);
  }
}

async function* slicesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) yield bytes.subarray(at, at + SLICE_BYTES);
}

function isReply(answer: ForwardReply | JsonObject): answer is ForwardReply {
  return typeof answer.body === 'object' && answer.body !== null && Symbol.asyncIterator in answer.body;
}

function isAt(segments: readonly string[], route: readonly string[]): boolean {
  if (segments.length !== route.length) return false;
  return route.every((name, index) => (name === '{id}' ? segments[index] !== '' : segments[index] === name));
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
