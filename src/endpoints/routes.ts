import type { JsonObject } from '../base/json.js';
import { debugHeaders } from '../call/debug.js';
import type { Exchange } from '../call/state.js';
import { respondJson } from '../http/respond.js';
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
import { ORGANIZATION_ENDPOINTS, type OrganizationEndpoint } from './reports/organization-endpoints.js';
import { reportOrganization, reportUsage } from './reports/usage.js';
import type { ResponseAction } from './responses/ask-upstream.js';
import { answerAboutResponse, countResponseInput } from './responses/routes.js';
import type { ForwardRule, Route, RouteRow } from './route.js';

type MakesJson = (exchange: Exchange) => Promise<JsonObject>;

/** A call to a model. */
function model(operation: ModelOperation): Route {
  return { opens: 'key', counts: 'call', answer: (exchange) => callModel(exchange, MODEL_ENDPOINTS[operation]) };
}

/** A request that is passed on, and its answer likewise. */
function passed(rule: ForwardRule): Route {
  return { opens: 'key', counts: 'call', answer: (exchange) => forward(exchange, rule) };
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
  return { opens: 'key', counts: 'question', answer: (exchange) => answerAboutResponse(exchange, action) };
}

/** An answer of the gateway's own. */
function own(make: MakesJson): Route {
  return {
    opens: 'key',
    counts: 'nothing',
    async answer(exchange) {
      const { requestId, caller, phases, showsDebug } = exchange;
      const body = JSON.stringify(await make(exchange));
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
    async answer(exchange) {
      const report = await reportOrganization(exchange, endpoint);
      return respondJson(JSON.stringify(report), ['x-request-id', exchange.requestId]);
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
  'POST /responses/input_tokens': { opens: 'key', counts: 'question', answer: countResponseInput },
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
