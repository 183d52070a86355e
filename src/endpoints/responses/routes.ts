import type { JsonObject } from '../../base/json.js';
import type { KeyedExchange, Shared } from '../../call/open.js';
import { findModel } from '../../config/find-model.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { readBody } from '../../http/read-body.js';
import { respondJson } from '../../http/respond.js';
import { ownerOf } from '../../keys/key-store.js';
import { disown } from '../../stores/ownership.js';
import { listPage } from '../../wire/list-page.js';
import { MODEL_ENDPOINTS } from '../../wire/model-endpoint.js';
import {
  objectNotFound,
  responseNotCancellable,
  responseWithdrawn,
  unsupportedParameter,
} from '../../wire/request-errors.js';
import { forwardCall } from '../forward/forward.js';
import { checkOffered, passesResponses, prepareCall, readCall } from '../model/read-call.js';
import type { ResponseAction } from '../routes.js';
import { askAboutResponse } from './ask-upstream.js';
import { findResponse, type KeptResponse, keepResponse } from './stored.js';

/** A request about responses: which one, and where it would be passed on to. */
export interface ResponseCall {
  readonly action: ResponseAction;
  readonly id: string;
  /** Below `/v1`, with its query. */
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Answers about a response: what is kept here from here, what an upstream keeps by passing the request on. */
export async function answerAboutResponse(
  exchange: KeyedExchange,
  shared: Shared,
  call: ResponseCall,
): Promise<GatewayResponse> {
  const { config } = shared;
  const known = await findResponse(config, ownerOf(exchange.key), call.id);
  if (known === undefined) throw objectNotFound('response', call.id);
  if (known.kind === 'passed') return askAboutResponse(exchange, shared, { ...call, modelName: known.model });
  const body = await LOCAL[call.action]({ exchange, shared, call, known });
  return respondJson(JSON.stringify(body), ['x-request-id', exchange.requestId]);
}

interface LocalCall {
  readonly exchange: KeyedExchange;
  readonly shared: Shared;
  readonly call: ResponseCall;
  readonly known: KeptResponse;
}

const LOCAL: Readonly<Record<ResponseAction, (call: LocalCall) => Promise<JsonObject>>> = {
  async retrieve({ call, known }) {
    if (call.query.get('stream') === 'true') {
      throw unsupportedParameter("Unsupported parameter: 'stream' is not supported for this response.", 'stream');
    }
    return known.response;
  },
  async delete({ exchange, shared, call: { id } }) {
    const owner = ownerOf(exchange.key);
    await shared.background.find(owner, id)?.drop(responseWithdrawn('deleted'));
    await disown(shared.config, { owner, kind: 'response', id });
    return { id, object: 'response.deleted', deleted: true };
  },
  async cancel({ exchange, shared, call: { id }, known }) {
    const owner = ownerOf(exchange.key);
    const { status, background } = known.response;
    if (status === 'cancelled') return known.response;
    const running = shared.background.find(owner, id);
    if (running === undefined) throw responseNotCancellable(background === true);
    await running.drop(responseWithdrawn('cancelled'));
    // It may have been completed just before.
    const latest = await findResponse(shared.config, owner, id);
    const { response, input } = latest?.kind === 'kept' ? latest : known;
    if (response.status !== 'queued') throw responseNotCancellable(true);
    const cancelled = { ...response, status: 'cancelled' };
    await keepResponse(shared.config, owner, { response: cancelled, input });
    return cancelled;
  },
  listInput: async ({ call, known }) => listPage(known.input, call.query, { defaultOrder: 'desc' }),
};

/** `POST /v1/responses/input_tokens`: our estimate, or what the upstream says. */
export async function countResponseInput(
  exchange: KeyedExchange,
  shared: Shared,
  path: string,
): Promise<GatewayResponse> {
  const { config } = shared;
  const bytes = await readBody(exchange.request, config);
  const read = readCall(MODEL_ENDPOINTS.responses, bytes);
  const model = findModel(config, exchange.key, read.asks.model);
  const upstream = model.upstream ?? config.upstream;
  checkOffered(MODEL_ENDPOINTS.responses, model, upstream);
  // Whose the responses are that it goes on from is checked here, whoever counts.
  const { inputTokens } = await prepareCall(read, exchange, config, { model, upstream });
  if (passesResponses(model, upstream) && upstream.forward !== undefined) {
    const request = { ...exchange.request, body: { parsed: Buffer.from(bytes) } };
    const rule = { kind: 'forward', operation: 'responses', answer: 'bytes' } as const;
    return forwardCall({ ...exchange, request }, shared, { rule, id: '', path, modelName: read.asks.model });
  }
  const body = { object: 'response.input_tokens', input_tokens: inputTokens };
  return respondJson(JSON.stringify(body), ['x-request-id', exchange.requestId]);
}
