import { methodNotAllowed, unknownUrl } from '../errors.js';
import type { ObjectKind } from '../objects/object-store.js';
import type { ForwardOperation, ModelOperation } from '../upstreams/upstream.js';
import { pathOf } from './query.js';

/** What the gateway answers itself. */
export type LocalAction =
  | 'listModels'
  | 'retrieveModel'
  | 'reportUsage'
  | 'listCompletions'
  | 'retrieveCompletion'
  | 'updateCompletion'
  | 'deleteCompletion'
  | 'listCompletionMessages';

/** What is asked about a response that was made before. */
export type ResponseAction = 'retrieve' | 'delete' | 'cancel' | 'listInput';

/** A request that is passed on, and whose objects it may touch. */
export interface ForwardRule {
  readonly kind: 'forward';
  readonly operation: ForwardOperation;
  /** What the `{id}` of the path is: the caller's own, or it is not there. */
  readonly owned?: ObjectKind;
  /**
   * `list`: only the caller's own are shown. `object`: what the answer tells of is the caller's from then on. `delete`: no
   * longer. `bytes`: nothing of the kind, the answer passes unread.
   */
  readonly answer: 'list' | 'object' | 'delete' | 'bytes';
  /** What the listed or created objects are. */
  readonly makes?: ObjectKind;
}

/**
 * What is done for a route. A `model` or `forward` cannot be but limited and metered, a `local` one asks no upstream, and
 * what is asked about responses is either the one or the other; all of them need a key.
 */
export type RouteRule =
  | { readonly kind: 'model'; readonly operation: ModelOperation }
  | ForwardRule
  | { readonly kind: 'response'; readonly action: ResponseAction }
  | { readonly kind: 'count-response-input' }
  | { readonly kind: 'local'; readonly action: LocalAction };

/** One row of the route table. */
interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Segments below `/v1`. `{id}` takes one; a last `*` takes all that follow, slashes and all: model ids may hold them. */
  readonly segments: readonly string[];
  readonly rule: RouteRule;
}

const model = (operation: ModelOperation): RouteRule => ({ kind: 'model', operation });
const response = (action: ResponseAction): RouteRule => ({ kind: 'response', action });
const local = (action: LocalAction): RouteRule => ({ kind: 'local', action });
const bytes = (operation: ForwardOperation, owned?: ObjectKind): RouteRule => ({
  kind: 'forward',
  operation,
  answer: 'bytes',
  ...(owned === undefined ? {} : { owned }),
});
/** A request about objects of one kind. */
const about = (
  operation: ForwardOperation,
  kind: ObjectKind,
  answer: ForwardRule['answer'],
  isOwned = true,
): RouteRule => ({ kind: 'forward', operation, answer, makes: kind, ...(isOwned ? { owned: kind } : {}) });

/** Every path we answer, in one table. */
const ROUTES: readonly Route[] = Object.entries({
  'POST /chat/completions': model('chat.completions'),
  'GET /chat/completions': local('listCompletions'),
  'GET /chat/completions/{id}': local('retrieveCompletion'),
  'POST /chat/completions/{id}': local('updateCompletion'),
  'DELETE /chat/completions/{id}': local('deleteCompletion'),
  'GET /chat/completions/{id}/messages': local('listCompletionMessages'),
  'POST /completions': model('completions'),
  'POST /embeddings': model('embeddings'),
  'POST /moderations': model('moderations'),

  'POST /responses': model('responses'),
  'POST /responses/input_tokens': { kind: 'count-response-input' },
  'GET /responses/{id}': response('retrieve'),
  'DELETE /responses/{id}': response('delete'),
  'POST /responses/{id}/cancel': response('cancel'),
  'GET /responses/{id}/input_items': response('listInput'),

  'GET /models': local('listModels'),
  'GET /models/*': local('retrieveModel'),
  'GET /usage': local('reportUsage'),

  'POST /images/generations': bytes('images'),
  'POST /images/edits': bytes('images'),
  'POST /images/variations': bytes('images'),
  'POST /audio/speech': bytes('audio'),
  'POST /audio/transcriptions': bytes('audio'),
  'POST /audio/translations': bytes('audio'),

  'POST /files': about('files', 'file', 'object', false),
  'GET /files': about('files', 'file', 'list', false),
  'GET /files/{id}': about('files', 'file', 'object'),
  'DELETE /files/{id}': about('files', 'file', 'delete'),
  'GET /files/{id}/content': bytes('files', 'file'),

  'POST /uploads': about('uploads', 'upload', 'object', false),
  'POST /uploads/{id}/parts': bytes('uploads', 'upload'),
  'POST /uploads/{id}/complete': about('uploads', 'upload', 'object'),
  'POST /uploads/{id}/cancel': about('uploads', 'upload', 'object'),

  'POST /batches': about('batches', 'batch', 'object', false),
  'GET /batches': about('batches', 'batch', 'list', false),
  'GET /batches/{id}': about('batches', 'batch', 'object'),
  'POST /batches/{id}/cancel': about('batches', 'batch', 'object'),

  'POST /vector_stores': about('vector_stores', 'vector_store', 'object', false),
  'GET /vector_stores': about('vector_stores', 'vector_store', 'list', false),
  'GET /vector_stores/{id}': about('vector_stores', 'vector_store', 'object'),
  'POST /vector_stores/{id}': about('vector_stores', 'vector_store', 'object'),
  'DELETE /vector_stores/{id}': about('vector_stores', 'vector_store', 'delete'),
  'GET /vector_stores/{id}/*': bytes('vector_stores', 'vector_store'),
  'POST /vector_stores/{id}/*': bytes('vector_stores', 'vector_store'),
  'DELETE /vector_stores/{id}/*': bytes('vector_stores', 'vector_store'),
} satisfies Record<string, RouteRule>).map(([key, rule]) => {
  const [method, path = ''] = key.split(' ');
  return { method: method as Route['method'], segments: path.slice(1).split('/'), rule };
});

/** A route and what stood in place of its `{id}` and its `*`, decoded. */
export interface RouteMatch {
  readonly rule: RouteRule;
  readonly id: string;
  readonly rest: string;
}

/** The routes without variables, found in one step. */
const EXACT_ROUTES: ReadonlyMap<string, RouteMatch> = new Map(
  ROUTES.filter(({ segments }) => !segments.some(isVariable)).map(({ method, segments, rule }) => [
    `${method} /${segments.join('/')}`,
    { rule, id: '', rest: '' },
  ]),
);

/** The first segments of our paths, so that no alias takes a path of the host's. */
const RESOURCES = new Set(ROUTES.map(({ segments: [first = ''] }) => first));

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

/**
 * @param path as `ownPath` gives it.
 * @throws {GatewayError} 404 when there is no such path, 405 when it has other methods.
 */
export function findRoute(method: string, path: string): RouteMatch {
  const exact = EXACT_ROUTES.get(`${method} ${path}`);
  if (exact !== undefined) return exact;
  const given = path.slice(1).split('/');
  const matches = ROUTES.flatMap((route) => {
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
