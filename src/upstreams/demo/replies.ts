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

/** Finds the endpoint that a call is for and has it answer. @throws {GatewayError} 404 when there is none. */
export function answerAt(endpoints: Endpoints): (call: ForwardCall) => Promise<ForwardReply> {
  const routes = Object.entries(endpoints).map(([route, answer]) => ({ segments: route.split(/[ /]/), answer }));
  return async (call) => {
    call.signal.throwIfAborted();
    const { pathname, searchParams: query } = new URL(call.path, 'http://demo');
    const asked = [call.method, ...pathname.split('/')];
    const route = routes.find(({ segments }) => isAt(asked, segments));
    if (route === undefined) throw unknownUrl(call.method, `/v1${pathname}`);
    const ids = asked.filter((_, index) => route.segments[index] === '{id}');
    const answer = await route.answer({ call, ids, query });
    return isReply(answer) ? answer : bytesReply('application/json', Buffer.from(JSON.stringify(answer)));
  };
}

/** Bytes of that type. */
export function bytesReply(
  contentType: string,
  bytes: Uint8Array,
  headers: ForwardReply['headers'] = {},
): ForwardReply {
  return { status: 200, headers: { 'content-type': contentType, ...headers }, body: streamOf([bytes]) };
}

/**
 * An event stream. Its events end as they do in OpenAI's recordings of audio, with CRLF, and in the examples of its
 * images, which also name the event.
 */
export function eventsReply(events: readonly JsonObject[], named: boolean): ForwardReply {
  const headers = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' };
  const pieces = events.map((event) => {
    const data = JSON.stringify(event);
    return Buffer.from(named ? `event: ${event.type}\ndata: ${data}\n\n` : `data: ${data}\r\n\r\n`);
  });
  return { status: 200, headers, body: streamOf(pieces) };
}

async function* streamOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  yield* pieces;
}

function isReply(answer: ForwardReply | JsonObject): answer is ForwardReply {
  return typeof answer.body === 'object' && answer.body !== null && Symbol.asyncIterator in answer.body;
}

function isAt(asked: readonly string[], route: readonly string[]): boolean {
  if (asked.length !== route.length) return false;
  return route.every((name, index) => (name === '{id}' ? asked[index] !== '' : asked[index] === name));
}
