import { unknownUrl } from '../../../base/errors.js';
import type { ForwardCall, ForwardReply } from '../../upstream.js';

/** What an endpoint gets to answer. */
export interface EndpointRequest {
  readonly call: ForwardCall;
  /** The ids in the path, in their order. */
  readonly ids: readonly string[];
  readonly query: URLSearchParams;
}

/** Endpoints by method and path, such as `GET /files/{id}`. */
export type Endpoints = Readonly<Record<string, (request: EndpointRequest) => ForwardReply | Promise<ForwardReply>>>;

/** Finds the endpoint that a call is for and has it answer. @throws {GatewayError} 404 when there is none. */
export function answerAt(endpoints: Endpoints): (call: ForwardCall) => Promise<ForwardReply> {
  const routes = Object.entries(endpoints).map(([route, answer]) => {
    const [method, path = ''] = route.split(' ');
    return { method, segments: path.split('/'), answer };
  });
  return async (call) => {
    const [path = '', search] = call.path.split(/\?(.*)/s);
    const segments = path.split('/');
    for (const route of routes) {
      if (route.method !== call.method) continue;
      const ids = idsIn(segments, route.segments);
      if (ids === undefined) continue;
      return route.answer({ call, ids, query: new URLSearchParams(search) });
    }
    throw unknownUrl(call.method, `/v1${path}`);
  };
}

function idsIn(segments: readonly string[], route: readonly string[]): readonly string[] | undefined {
  if (segments.length !== route.length) return undefined;
  const ids: string[] = [];
  for (const [index, name] of route.entries()) {
    const segment = segments[index] ?? '';
    if (name === '{id}' && segment !== '') ids.push(decoded(segment));
    else if (name !== segment) return undefined;
  }
  return ids;
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
