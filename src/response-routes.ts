import { modelNotFound } from './errors.js';
import { type Forwarding, forwardCall } from './forward-call.js';
import type { GatewayResponse } from './http/exchange.js';
import { readBody } from './http/read-body.js';
import { respondJson } from './http/respond.js';
import type { ForwardRule, ResponseAction } from './http/routes.js';
import type { JsonObject } from './json.js';
import type { KeyedExchange, Shared } from './metered-call.js';
import { objectNotFound, responseNotCancellable } from './object-errors.js';
import { disown } from './owned-objects.js';
import { ownerOf } from './owner.js';
import { passesResponses, prepareCall, readCall } from './prepare-call.js';
import { unsupportedParameter } from './request-errors.js';
import { findResponse, type KeptResponse, keepResponse } from './stored-responses.js';
import { listPage } from './wire/list-page.js';
import { MODEL_ENDPOINTS } from './wire/model-endpoint.js';

/** A request about responses: which one, and where it would be passed on to. */
export interface ResponseCall {
  readonly action: ResponseAction;
  readonly id: string;
  /** Below `/v1`, with its query. */
  readonly path: string;
  readonly query: URLSearchParams;
}

const FORWARD: Readonly<Record<ResponseAction, ForwardRule>> = {
  retrieve: { kind: 'forward', operation: 'responses', answer: 'bytes', owned: 'response' },
  delete: { kind: 'forward', operation: 'responses', answer: 'delete', owned: 'response', makes: 'response' },
  cancel: { kind: 'forward', operation: 'responses', answer: 'bytes', owned: 'response' },
  listInput: { kind: 'forward', operation: 'responses', answer: 'bytes', owned: 'response' },
};

/** Answers about a response: what is kept here from here, what an upstream keeps by passing the request on. */
export async function answerAboutResponse(
  exchange: KeyedExchange,
  shared: Shared,
  call: ResponseCall,
): Promise<GatewayResponse> {
  const { config } = shared;
  const known = await findResponse(config, ownerOf(exchange.key), call.id);
  if (known === undefined) throw objectNotFound('response', call.id);
  if (known.kind === 'passed') {
    const forwarding: Forwarding = { rule: FORWARD[call.action], id: call.id, path: call.path, modelName: known.model };
    return forwardCall(exchange, shared, forwarding);
  }
  const body = await LOCAL[call.action]({ exchange, shared, call, known });
  return respondJson(JSON.stringify(body), { 'x-request-id': exchange.requestId });
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
    shared.background.get(id)?.giveUp(new Error('The response was deleted.'));
    await disown(shared.config, { owner: ownerOf(exchange.key), kind: 'response', id });
    return { id, object: 'response.deleted', deleted: true };
  },
  async cancel({ exchange, shared, call: { id }, known }) {
    const { response, input } = known;
    if (response.status === 'cancelled') return response;
    const running = shared.background.get(id);
    if (running === undefined) throw responseNotCancellable(response.background === true);
    shared.background.delete(id);
    running.giveUp(new Error('The response was cancelled.'));
    const cancelled = { ...response, status: 'cancelled' };
    await keepResponse(shared.config, ownerOf(exchange.key), { response: cancelled, input });
    return cancelled;
  },
  listInput: async ({ call, known }) => listPage(known.input, call.query, { defaultOrder: 'desc', maxLimit: 100 }),
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
  const model = config.models.find(read.asks.model);
  if (model === undefined) throw modelNotFound(read.asks.model);
  const upstream = model.upstream ?? config.upstream;
  if (passesResponses(model, upstream) && upstream.forward !== undefined) {
    const request = { ...exchange.request, body: { parsed: Buffer.from(bytes) } };
    const rule = { kind: 'forward', operation: 'responses', answer: 'bytes' } as const;
    return forwardCall({ ...exchange, request }, shared, { rule, id: '', path, modelName: read.asks.model });
  }
  const { inputTokens } = await prepareCall(read, exchange, config, { model, upstream });
  const body = { object: 'response.input_tokens', input_tokens: inputTokens };
  return respondJson(JSON.stringify(body), { 'x-request-id': exchange.requestId });
}
