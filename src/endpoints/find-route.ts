import { methodNotAllowed, unknownUrl } from '../base/errors.js';
import { pathOf } from '../http/url.js';
import { type AdminAction, type KeyedRule, ROUTES } from './routes.js';

/** The routes that keys open, and by their paths those that the admin's secret opens. */
const KEYED_ROUTES = ROUTES.flatMap(({ rule, ...route }) => (rule.kind === 'admin' ? [] : [{ ...route, rule }]));
const ADMIN_ROUTES: ReadonlyMap<string, AdminAction> = new Map(
  ROUTES.flatMap(({ segments, rule }) => (rule.kind === 'admin' ? [[`/${segments.join('/')}`, rule.action]] : [])),
);

/** A route and what stood in place of its `{id}` and its `*`, decoded. */
export interface RouteMatch {
  readonly rule: KeyedRule;
  readonly id: string;
  readonly rest: string;
}

/** The routes without variables, found in one step. */
const EXACT_ROUTES: ReadonlyMap<string, RouteMatch> = new Map(
  KEYED_ROUTES.filter(({ segments }) => !segments.some(isVariable)).map(({ method, segments, rule }) => [
    `${method} /${segments.join('/')}`,
    { rule, id: '', rest: '' },
  ]),
);

/** The first segments of our paths, so that no alias takes a path of the host's. */
const RESOURCES = new Set(KEYED_ROUTES.map(({ segments: [first = ''] }) => first));

/** Where paths stand. */
export interface PathOptions {
  /** Path below which `/v1` stands. */
  readonly basePath: string;
  /** Whether the same paths without `/v1` are ours too. */
  readonly unversionedPaths: boolean;
}

/**
 * The path below `/v1`, such as `/models`, without query; `undefined` when it is none of ours and the host may have it.
 * Doubled slashes are one (some SDKs write `//` for a base URL that ends in a slash).
 */
export function ownPath(url: string, { basePath, unversionedPaths }: PathOptions): string | undefined {
  const raw = pathOf(url);
  const path = raw.includes('//') ? raw.replace(/\/{2,}/g, '/') : raw;
  if (!path.startsWith(basePath)) return undefined;
  const below = path.slice(basePath.length);
  if (below === '/v1' || below.startsWith('/v1/')) return below.slice('/v1'.length);
  if (!unversionedPaths || !below.startsWith('/') || !RESOURCES.has(below.split('/', 2)[1] ?? '')) return undefined;
  return below;
}

/** What an administrator may `GET` there; `undefined`: it is no path of theirs. @param path as `ownPath` gives it. */
export function findAdminRoute(path: string): AdminAction | undefined {
  // Nobody else's call is held up.
  return path.startsWith('/organization/') ? ADMIN_ROUTES.get(path) : undefined;
}

/**
 * A route that needs a key.
 * @param path as `ownPath` gives it.
 * @throws {GatewayError} 404 when there is no such path, 405 when it has other methods.
 */
export function findRoute(method: string, path: string): RouteMatch {
  const exact = EXACT_ROUTES.get(`${method} ${path}`);
  if (exact !== undefined) return exact;
  const given = path.slice(1).split('/');
  const matches = KEYED_ROUTES.flatMap((route) => {
    const variables = variablesOf(route.segments, given);
    return variables === undefined ? [] : [{ route, variables }];
  });
  const match = matches.find(({ route }) => route.method === method);
  if (match !== undefined) return { rule: match.route.rule, ...match.variables };
  if (matches.length === 0) throw unknownUrl(method, `/v1${path}`);
  throw methodNotAllowed(method, `/v1${path}`, [...new Set(matches.map(({ route }) => route.method))].join(', '));
}

function isVariable(segment: string): boolean {
  return segment === '{id}' || segment === '*';
}

/** Ids and what follows them go into paths of upstreams: nothing that could lead elsewhere, however often it is decoded. */
const SAFE_SEGMENT = /^[\w-][\w.:-]{0,255}$/;

/** What stands in place of the variables; `undefined` when the path is another. */
function variablesOf(
  pattern: readonly string[],
  given: readonly string[],
): { readonly id: string; readonly rest: string } | undefined {
  let id = '';
  for (const [at, segment] of pattern.entries()) {
    const value = given[at];
    if (value === undefined || value === '') return undefined;
    if (segment === '*') {
      const rest = decoded(given.slice(at).join('/'));
      if (rest === undefined) return undefined;
      return id === '' || rest.split('/').every((part) => SAFE_SEGMENT.test(part)) ? { id, rest } : undefined;
    }
    if (segment === '{id}') {
      const name = decoded(value);
      if (name === undefined || !SAFE_SEGMENT.test(name)) return undefined;
      id = name;
    } else if (segment !== value) return undefined;
  }
  return pattern.length === given.length ? { id, rest: '' } : undefined;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
