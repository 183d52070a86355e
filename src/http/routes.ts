import { methodNotAllowed, unknownUrl } from '../errors.js';

/** What the gateway does for a route. */
export type RouteAction = 'completeChat' | 'listModels' | 'retrieveModel' | 'reportUsage';

/** One row of the route table. */
interface Route {
  readonly method: 'GET' | 'POST';
  /** Path below `/v1`. A trailing `*` takes the rest of the path, slashes and all: model ids may hold them. */
  readonly path: string;
  readonly action: RouteAction;
}

/**
 * Every path we answer. All of them need a key. `completeChat` is limited and metered; the others read what is in memory.
 */
const ROUTES: readonly Route[] = [
  { method: 'POST', path: '/chat/completions', action: 'completeChat' },
  { method: 'GET', path: '/models', action: 'listModels' },
  { method: 'GET', path: '/models/*', action: 'retrieveModel' },
  { method: 'GET', path: '/usage', action: 'reportUsage' },
];

/** A route and what stood in place of its `*`, decoded. */
export interface RouteMatch {
  readonly action: RouteAction;
  readonly rest: string;
}

/** The routes without a `*`, found in one step. */
const EXACT_ROUTES: ReadonlyMap<string, RouteMatch> = new Map(
  ROUTES.filter(({ path }) => !path.endsWith('*')).map(({ method, path, action }) => [
    `${method} ${path}`,
    { action, rest: '' },
  ]),
);

/**
 * The path below `basePath`, such as `/v1/models`, without query; `undefined` when it is none of ours and the host may
 * have it. Doubled slashes are one (some SDKs write `//` for a base URL that ends in a slash).
 */
export function ownPath(url: string, basePath: string): string | undefined {
  const query = url.indexOf('?');
  const raw = query === -1 ? url : url.slice(0, query);
  const path = raw.includes('//') ? raw.replace(/\/{2,}/g, '/') : raw;
  if (!path.startsWith(basePath)) return undefined;
  const below = path.slice(basePath.length);
  return below === '/v1' || below.startsWith('/v1/') ? below : undefined;
}

/**
 * @param path as `ownPath` gives it.
 * @throws {GatewayError} 404 when there is no such path, 405 when it has other methods.
 */
export function findRoute(method: string, path: string): RouteMatch {
  const below = path.slice('/v1'.length);
  const exact = EXACT_ROUTES.get(`${method} ${below}`);
  if (exact !== undefined) return exact;
  const matches = ROUTES.flatMap((route) => {
    const rest = restOf(route.path, below);
    return rest === undefined ? [] : [{ route, rest }];
  });
  const match = matches.find(({ route }) => route.method === method);
  if (match !== undefined) return { action: match.route.action, rest: match.rest };
  if (matches.length === 0) throw unknownUrl(method, path);
  throw methodNotAllowed(method, path, matches.map(({ route }) => route.method).join(', '));
}

function restOf(pattern: string, path: string): string | undefined {
  if (!pattern.endsWith('*')) return pattern === path ? '' : undefined;
  const prefix = pattern.slice(0, -1);
  if (!path.startsWith(prefix) || path.length === prefix.length) return undefined;
  try {
    return decodeURIComponent(path.slice(prefix.length));
  } catch {
    return undefined;
  }
}
