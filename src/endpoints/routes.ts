import { type GatewayError, methodNotAllowed, unknownUrl } from '../base/errors.js';
import type { JsonObject } from '../base/json.js';
import { listInTurns } from '../base/json-turns.js';
import { there } from '../base/work.js';
import { debugHeaders } from '../call/debug.js';
import type { Exchange } from '../call/exchange.js';
import type { GatewayRequest } from '../http/exchange.js';
import { respondJson } from '../http/respond.js';
import { pathOf } from '../http/url.js';
import { MODEL_ENDPOINTS } from '../wire/model-endpoint.js';
import type { ForwardOperation, ModelOperation, ObjectKind } from '../wire/operations.js';
import { forward } from './forward/forward.js';
import { callModel } from './model/model-call.js';
import {
  deleteCompletion,
  listCompletionMessages,
  listCompletions,
  retrieveCompletion,
  updateCompletion,
} from './model/stored-completions.js';
import { listModels, retrieveModel } from './models.js';
import { bearsAdminSecret } from './reports/admin.js';
import { ORGANIZATION_ENDPOINTS, type OrganizationEndpoint } from './reports/organization-endpoints.js';
import { reportOrganization, reportUsage } from './reports/usage.js';
import type { ResponseAction } from './responses/ask-upstream.js';
import { answerAboutResponse, countResponseInput } from './responses/questions.js';
import type { ForwardRule, Route, RouteRow } from './route.js';

type MakesJson = (exchange: Exchange) => Promise<JsonObject>;

/** A call to a model. */
function model(operation: ModelOperation): Route {
  return { opens: 'key', counts: 'call', answer: (exchange) => callModel(exchange, MODEL_ENDPOINTS[operation]) };
}

/** A request that is passed on, and its answer likewise. */
function passed(rule: ForwardRule): Route {
  return { opens: 'key', counts: 'call', answer: (exchange) => there(forward(exchange, rule)) };
}

/** A request whose answer passes unread. */
function bytes(operation: ForwardOperation, owned?: ObjectKind): Route {
  return passed({ operation, answer: 'bytes', ...(owned === undefined ? {} : { owned }) });
}

/** A request about objects of one kind. */
function about(operation: ForwardOperation, kind: ObjectKind, answer: ForwardRule['answer']): Route {
  return passed({ operation, answer, makes: kind, owned: kind });
}

/** A request about objects of one kind that names none. */
function aboutAll(operation: ForwardOperation, kind: ObjectKind, answer: ForwardRule['answer']): Route {
  return passed({ operation, answer, makes: kind });
}

/** A question about a response that was made before. */
function response(action: ResponseAction): Route {
  return { opens: 'key', counts: 'question', answer: (exchange) => there(answerAboutResponse(exchange, action)) };
}

/** An answer of the gateway's own. */
function own(make: MakesJson): Route {
  return {
    opens: 'key',
    counts: 'nothing',
    *answer(exchange) {
      const { requestId, caller, phases, showsDebug } = exchange;
      const made = yield* there(make(exchange));
      const body = yield* there(listInTurns(made));
      const debug = showsDebug ? debugHeaders({ requestId, keyId: caller.id }, phases) : [];
      return respondJson(body, ['x-request-id', requestId, ...debug]);
    },
  };
}

/** One of OpenAI's reports on an organisation. */
function admin(endpoint: OrganizationEndpoint): Route {
  return {
    opens: 'admin',
    counts: 'nothing',
    *answer(exchange) {
      const report = yield* there(reportOrganization(exchange, endpoint));
      return respondJson(yield* there(listInTurns(report)), ['x-request-id', exchange.requestId]);
    },
  };
}

/** Every path we answer, in one table. */
export const ROUTES: readonly RouteRow[] = Object.entries({
  'POST /chat/completions': model('chat.completions'),
  'GET /chat/completions': own(listCompletions),
  'GET /chat/completions/{id}': own(retrieveCompletion),
  'POST /chat/completions/{id}': own(updateCompletion),
  'DELETE /chat/completions/{id}': own(deleteCompletion),
  'GET /chat/completions/{id}/messages': own(listCompletionMessages),
  'POST /completions': model('completions'),
  'POST /embeddings': model('embeddings'),
  'POST /moderations': model('moderations'),

  'POST /responses': model('responses'),
  'POST /responses/input_tokens': {
    opens: 'key',
    counts: 'question',
    answer: (exchange) => there(countResponseInput(exchange)),
  },
  'GET /responses/{id}': response('retrieve'),
  'DELETE /responses/{id}': response('delete'),
  'POST /responses/{id}/cancel': response('cancel'),
  'GET /responses/{id}/input_items': response('listInput'),

  'GET /models': own(listModels),
  'GET /models/*': own(retrieveModel),
  'GET /usage': own(reportUsage),

  'POST /images/generations': bytes('images'),
  'POST /images/edits': bytes('images'),
  'POST /images/variations': bytes('images'),
  'POST /audio/speech': bytes('audio'),
  'POST /audio/transcriptions': bytes('audio'),
  'POST /audio/translations': bytes('audio'),

  'POST /files': aboutAll('files', 'file', 'object'),
  'GET /files': aboutAll('files', 'file', 'list'),
  'GET /files/{id}': about('files', 'file', 'object'),
  'DELETE /files/{id}': about('files', 'file', 'delete'),
  'GET /files/{id}/content': bytes('files', 'file'),

  'POST /uploads': aboutAll('uploads', 'upload', 'object'),
  'POST /uploads/{id}/parts': bytes('uploads', 'upload'),
  'POST /uploads/{id}/complete': about('uploads', 'upload', 'object'),
  'POST /uploads/{id}/cancel': about('uploads', 'upload', 'object'),

  'POST /batches': aboutAll('batches', 'batch', 'object'),
  'GET /batches': aboutAll('batches', 'batch', 'list'),
  'GET /batches/{id}': about('batches', 'batch', 'object'),
  'POST /batches/{id}/cancel': about('batches', 'batch', 'object'),

  'POST /vector_stores': aboutAll('vector_stores', 'vector_store', 'object'),
  'GET /vector_stores': aboutAll('vector_stores', 'vector_store', 'list'),
  'GET /vector_stores/{id}': about('vector_stores', 'vector_store', 'object'),
  'POST /vector_stores/{id}': about('vector_stores', 'vector_store', 'object'),
  'DELETE /vector_stores/{id}': about('vector_stores', 'vector_store', 'delete'),
  'GET /vector_stores/{id}/*': bytes('vector_stores', 'vector_store'),
  'POST /vector_stores/{id}/*': bytes('vector_stores', 'vector_store'),
  'DELETE /vector_stores/{id}/*': bytes('vector_stores', 'vector_store'),

  'GET /organization/usage/completions': admin(ORGANIZATION_ENDPOINTS.completions),
  'GET /organization/usage/embeddings': admin(ORGANIZATION_ENDPOINTS.embeddings),
  'GET /organization/usage/moderations': admin(ORGANIZATION_ENDPOINTS.moderations),
  'GET /organization/usage/images': admin(ORGANIZATION_ENDPOINTS.images),
  'GET /organization/usage/audio_speeches': admin(ORGANIZATION_ENDPOINTS.audioSpeeches),
  'GET /organization/usage/audio_transcriptions': admin(ORGANIZATION_ENDPOINTS.audioTranscriptions),
  'GET /organization/usage/vector_stores': admin(ORGANIZATION_ENDPOINTS.vectorStores),
  'GET /organization/usage/code_interpreter_sessions': admin(ORGANIZATION_ENDPOINTS.codeInterpreterSessions),
  'GET /organization/usage/file_search_calls': admin(ORGANIZATION_ENDPOINTS.fileSearchCalls),
  'GET /organization/usage/web_search_calls': admin(ORGANIZATION_ENDPOINTS.webSearchCalls),
  'GET /organization/costs': admin(ORGANIZATION_ENDPOINTS.costs),
} satisfies Record<`${RouteRow['method']} /${string}`, Route>).map(([key, { opens, counts, answer }]) => {
  const [method, path = ''] = key.split(' ');
  return { method: method as RouteRow['method'], segments: path.slice(1).split('/'), opens, counts, answer };
});

/** The routes without variables, by path and then by method: one text of both would be made for each request. */
const EXACT_ROWS = new Map<string, Map<string, RouteRow>>();
for (const row of ROUTES) {
  if (row.segments.some(isVariable)) continue;
  const path = `/${row.segments.join('/')}`;
  EXACT_ROWS.set(path, (EXACT_ROWS.get(path) ?? new Map<string, RouteRow>()).set(row.method, row));
}

/** The first segments of our paths, so that no alias takes a path of the host's. */
const RESOURCES = new Set(ROUTES.filter(({ opens }) => opens === 'key').map(({ segments: [first = ''] }) => first));

/**
 * The first segments of OpenAI's paths, with those that the gateway does not have: below them it answers as OpenAI does.
 * Every other path below `/v1` is the host's. Source: the paths of OpenAI's published description, October 2026.
 */
const OPENAI_RESOURCES = new Set([
  ...RESOURCES,
  ...`assistants chatkit containers content_provenance_checks conversations evals fine_tuning organization projects
    realtime skills threads videos`.split(/\s+/),
]);

/** Options about our place among a host's paths. */
export interface PathOptions {
  /** Path below which `/v1` stands. */
  readonly basePath: string;
  /** Whether the same paths without `/v1` are ours too. */
  readonly unversionedPaths: boolean;
}

/**
 * The path below `/v1` with its query, such as `/models?limit=2`; `undefined` when it is none of ours and the host may have it.
 * Doubled slashes are one (some SDKs write `//` for a base URL that ends in a slash), and one at the end is none.
 */
function ownPath(
  { url: target, mountPath = '' }: Pick<GatewayRequest, 'url' | 'mountPath'>,
  { basePath, unversionedPaths }: PathOptions,
): string | undefined {
  const url = target.startsWith('/') ? target : withoutOrigin(target);
  const given = pathOf(url);
  const path = plainPath(given);
  const below = belowBase(path, basePath, mountPath);
  if (below === undefined) return undefined;
  const query = url.slice(given.length);
  if (below === '/v1' || below.startsWith('/v1/')) {
    const rest = below.slice('/v1'.length);
    return rest === '' || OPENAI_RESOURCES.has(resourceOf(rest)) ? rest + query : undefined;
  }
  const known = mountPath.endsWith('/v1') ? OPENAI_RESOURCES : unversionedPaths ? RESOURCES : undefined;
  return known?.has(resourceOf(below)) === true ? below + query : undefined;
}

/** Makes `ownPath` for one gateway. Most requests are to the path of the one before: that one is not worked out again. */
export function ownPaths(
  options: PathOptions,
): (request: Pick<GatewayRequest, 'url' | 'mountPath'>) => string | undefined {
  let last:
    | { readonly url: string; readonly mountPath: string | undefined; readonly path: string | undefined }
    | undefined;
  return (request) => {
    const { url, mountPath } = request;
    if (last === undefined || last.url !== url || last.mountPath !== mountPath) {
      last = { url, mountPath, path: ownPath({ url, mountPath }, options) };
    }
    return last.path;
  };
}

/** The path below `basePath`, which the host may have cut off already. */
function belowBase(path: string, basePath: string, mountPath: string): string | undefined {
  if (basePath === '') return path;
  if (path.startsWith(`${basePath}/`)) return path.slice(basePath.length);
  return mountPath.endsWith(basePath) || mountPath.endsWith(`${basePath}/v1`) ? path : undefined;
}

function plainPath(given: string): string {
  const path = given.includes('//') ? given.replace(/\/{2,}/g, '/') : given;
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
}

/** Cuts off scheme and host, which servers must accept in a request's target (RFC 9112, 3.2.2). */
function withoutOrigin(target: string): string {
  const host = /^https?:\/\//i.exec(target)?.[0].length;
  if (host === undefined) return target;
  const end = target.slice(host).search(/[/?]/);
  const rest = end === -1 ? '' : target.slice(host + end);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

function resourceOf(below: string): string {
  const end = below.indexOf('/', 1);
  return below.startsWith('/') ? below.slice(1, end === -1 ? undefined : end) : '';
}

/**
 * The route of a request; notes in the exchange the texts in place of its `{id}` and `*`. A path that is not there, or has
 * other methods, has a route that says so: 404 and 405 are for callers whose credential is right.
 */
export function findRoute(exchange: Exchange): Route {
  const { method } = exchange.request;
  const path = pathOf(exchange.path);
  const exact = EXACT_ROWS.get(path)?.get(method);
  if (exact !== undefined) return exact;
  const rows = rowsOf(path);
  for (const { row, variables } of rows) {
    if (row.method !== method) continue;
    exchange.id = variables.id;
    exchange.rest = variables.rest;
    return row;
  }
  // The admin is told that a report is not there, as whoever has a key is; the secret is nobody's wrong key.
  const isAdmins = rows.length === 0 && /^\/organization(?:\/|$)/.test(path) && bearsAdminSecret(exchange);
  const opens = isAdmins ? 'admin' : (rows.at(-1)?.row.opens ?? 'key');
  if (rows.length === 0) return refusing(opens, unknownUrl(method, `/v1${path}`));
  return refusing(opens, methodNotAllowed(method, `/v1${path}`, allowed(rows).join(', ')));
}

/** The methods of a path, as `allow` lists them; `undefined` where the path is not there. */
export function methodsOf(path: string): readonly string[] | undefined {
  const rows = rowsOf(pathOf(path));
  if (rows.length === 0) return undefined;
  const methods = allowed(rows);
  return methods.includes('GET') ? [...methods, 'HEAD'] : methods;
}

type FoundRow = { readonly row: RouteRow; readonly variables: NonNullable<ReturnType<typeof variablesOf>> };

function rowsOf(path: string): readonly FoundRow[] {
  const given = path.slice(1).split('/');
  return ROUTES.flatMap((row) => {
    const variables = variablesOf(row.segments, given);
    return variables === undefined ? [] : [{ row, variables }];
  });
}

function allowed(rows: readonly FoundRow[]): readonly string[] {
  return [...new Set<string>(rows.map(({ row }) => row.method))];
}

function refusing(opens: Route['opens'], error: GatewayError): Route {
  return {
    opens,
    counts: 'nothing',
    answer() {
      throw error;
    },
  };
}

function isVariable(segment: string): boolean {
  return segment === '{id}' || segment === '*';
}

/**
 * A segment that goes into paths of upstreams: it must not lead elsewhere, however often it is decoded. Base64 that begins
 * with a sign, or has slashes, has no dots.
 */
const SAFE_SEGMENT = /^(?:[\w-][\w.:=+-]{0,4095}|[\w+/=-]{1,4096})$/;
/** Longer ids hold what another gateway must remember, in base64: their slashes may stand as they are. */
const MAX_PLAIN_ID = 64;

/** The texts in place of the variables; `undefined` when the path is another. */
function variablesOf(
  pattern: readonly string[],
  segments: readonly string[],
): { readonly id: string; readonly rest: string } | undefined {
  const given = pattern[0] === 'responses' ? withWholeId(segments, pattern.length) : segments;
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

/** The segments of a path about a response, with its id in one of them. */
function withWholeId(segments: readonly string[], length: number): readonly string[] {
  const [first = '', ...below] = segments;
  const last = segments.at(-1);
  const rest = last === 'cancel' || last === 'input_items' ? [last] : [];
  const id = below.slice(0, below.length - rest.length).join('/');
  return length === 2 + rest.length && id.length > MAX_PLAIN_ID ? [first, id, ...rest] : segments;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
