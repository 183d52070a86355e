import type { ForwardOperation, ModelOperation, ObjectKind } from '../wire/operations.js';

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

/** What an administrator may read: OpenAI's reports on an organisation. */
export type AdminAction =
  | 'completions'
  | 'embeddings'
  | 'moderations'
  | 'images'
  | 'audioSpeeches'
  | 'audioTranscriptions'
  | 'vectorStores'
  | 'codeInterpreterSessions'
  | 'fileSearchCalls'
  | 'webSearchCalls'
  | 'costs';

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
 * what is asked about responses is either the one or the other; all of them need a key. An `admin` one needs the admin's
 * secret, and is found by `findAdminRoute` alone.
 */
export type RouteRule = KeyedRule | AdminRule;

/** What needs a key. */
export type KeyedRule =
  | { readonly kind: 'model'; readonly operation: ModelOperation }
  | ForwardRule
  | { readonly kind: 'response'; readonly action: ResponseAction }
  | { readonly kind: 'count-response-input' }
  | { readonly kind: 'local'; readonly action: LocalAction };

/** What needs the admin's secret. */
interface AdminRule {
  readonly kind: 'admin';
  readonly action: AdminAction;
}

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
const admin = (action: AdminAction): RouteRule => ({ kind: 'admin', action });
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
export const ROUTES: readonly Route[] = Object.entries({
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

  'GET /organization/usage/completions': admin('completions'),
  'GET /organization/usage/embeddings': admin('embeddings'),
  'GET /organization/usage/moderations': admin('moderations'),
  'GET /organization/usage/images': admin('images'),
  'GET /organization/usage/audio_speeches': admin('audioSpeeches'),
  'GET /organization/usage/audio_transcriptions': admin('audioTranscriptions'),
  'GET /organization/usage/vector_stores': admin('vectorStores'),
  'GET /organization/usage/code_interpreter_sessions': admin('codeInterpreterSessions'),
  'GET /organization/usage/file_search_calls': admin('fileSearchCalls'),
  'GET /organization/usage/web_search_calls': admin('webSearchCalls'),
  'GET /organization/costs': admin('costs'),
} satisfies Record<string, RouteRule>).map(([key, rule]) => {
  const [method, path = ''] = key.split(' ');
  return { method: method as Route['method'], segments: path.slice(1).split('/'), rule };
});
