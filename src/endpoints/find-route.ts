import { type GatewayError, methodNotAllowed, unknownUrl } from '../base/errors.js';
import type { Exchange } from '../call/state.js';
import { pathOf } from '../http/url.js';
import type { Route, RouteRow } from './route.js';
import { ROUTES } from './routes.js';

const KEYED_ROWS = ROUTES.filter(({ opens }) => opens === 'key');
const ADMIN_ROWS: ReadonlyMap<string, RouteRow> = new Map(
  ROUTES.filter(({ opens }) => opens === 'admin').map((row) => [`/${row.segments.join('/')}`, row]),
);

/** The routes without variables, found in one step. */
const EXACT_ROWS: ReadonlyMap<string, RouteRow> = new Map(
  KEYED_ROWS.filter(({ segments }) => !segments.some(isVariable)).map((row) => [
    `${row.method} /${row.segments.join('/')}`,
    row,
  ]),
);

/** The first segments of our paths, so that no alias takes a path of the host's. */
const RESOURCES = new Set(KEYED_ROWS.map(({ segments: [first = ''] }) => first));

/** Options about our place among a host's paths. */
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

/**
 * The route of a request; notes in the exchange the texts in place of its `{id}` and `*`. A path that is not there, or has
 * other methods, has a route that says so: 404 and 405 are for callers whose credential is right.
 */
export function findRoute(exchange: Exchange): Route {
  const { method } = exchange.request;
  const path = pathOf(exchange.path);
  const exact = EXACT_ROWS.get(`${method} ${path}`);
  if (exact !== undefined) return exact;
  // Nobody else's call is held up.
  const admins = path.startsWith('/organization/') ? ADMIN_ROWS.get(path) : undefined;
  if (admins !== undefined)
    return admins.method === method ? admins : refusing('admin', methodNotAllowed(method, `/v1${path}`, admins.method));
  const given = path.slice(1).split('/');
  const methods = new Set<string>();
  for (const row of KEYED_ROWS) {
    const variables = variablesOf(row.segments, given);
    if (variables === undefined) continue;
    methods.add(row.method);
    if (row.method !== method) continue;
    exchange.id = variables.id;
    exchange.rest = variables.rest;
    return row;
  }
  if (methods.size === 0) return refusing('key', unknownUrl(method, `/v1${path}`));
  return refusing('key', methodNotAllowed(method, `/v1${path}`, [...methods].join(', ')));
}

function refusing(opens: Route['opens'], error: GatewayError): Route {
  return { opens, counts: 'nothing', answer: () => Promise.reject(error) };
}

function isVariable(segment: string): boolean {
  return segment === '{id}' || segment === '*';
}

/** A segment that goes into paths of upstreams: it must not lead elsewhere, however often it is decoded. */
const SAFE_SEGMENT = /^[\w-][\w.:-]{0,255}$/;

/** The texts in place of the variables; `undefined` when the path is another. */
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
