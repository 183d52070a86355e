import { isPending } from '../../base/awaitable.js';
import type { JsonObject } from '../../base/json.js';
import { iterableOf, stepsOf } from '../../base/steps.js';
import { Call } from '../../call/call.js';
import type { Exchange } from '../../call/exchange.js';
import { passesResponses } from '../../config/models.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { respondJson, respondStream } from '../../http/respond.js';
import { queryOf } from '../../http/url.js';
import { disown } from '../../stores/ownership.js';
import { integerParameter, listPage } from '../../wire/list-page.js';
import { MODEL_ENDPOINTS } from '../../wire/model-endpoint.js';
import {
  objectNotFound,
  responseNotCancellable,
  responseWithdrawn,
  unsupportedParameter,
} from '../../wire/request-errors.js';
import { isEnded, retoldEvents } from '../../wire/responses/retold.js';
import { forward } from '../forward/forward.js';
import { prepare } from '../model/prepare.js';
import { readCall } from '../model/read-call.js';
import { askAboutResponse, type ResponseAction } from './ask-upstream.js';
import { eventsIn } from './event-log.js';
import { findResponse, type KeptResponse, keepResponse } from './stored.js';

/** Answers about a response: from here where it is kept here, else by passing the request on to the upstream that keeps it. */
export async function answerAboutResponse(exchange: Exchange, action: ResponseAction): Promise<GatewayResponse> {
  const known = await findResponse(exchange.state.config, exchange.plan.owner, exchange.id);
  if (known === undefined) throw objectNotFound('response', exchange.id);
  if (known.kind === 'passed') return askAboutResponse(exchange, action, known.model);
  if (action === 'retrieve' && queryOf(exchange.request.url).get('stream') === 'true') {
    const source = stepsOf(eventsOf(exchange, known));
    return respondStream(Object.assign(source, iterableOf(source)), ['x-request-id', exchange.requestId]);
  }
  const body = await LOCAL[action](exchange, known);
  return respondJson(JSON.stringify(body), ['x-request-id', exchange.requestId]);
}

const LOCAL: Readonly<Record<ResponseAction, (exchange: Exchange, known: KeptResponse) => Promise<JsonObject>>> = {
  retrieve: async (_, known) => known.response,
  async delete({ state, plan, id }) {
    const { owner } = plan;
    await state.background.find(owner, id)?.drop(responseWithdrawn('deleted'));
    await disown(state.config, { owner, kind: 'response', id });
    return { id, object: 'response.deleted', deleted: true };
  },
  async cancel({ state, plan, id }, known) {
    const { owner } = plan;
    const { status, background } = known.response;
    if (status === 'cancelled') return known.response;
    const running = state.background.find(owner, id);
    if (running === undefined) throw responseNotCancellable(background === true);
    await running.drop(responseWithdrawn('cancelled'));
    // It may have been completed just before.
    const latest = await findResponse(state.config, owner, id);
    const { response, input } = latest?.kind === 'kept' ? latest : known;
    if (isEnded(response)) throw responseNotCancellable(true);
    const cancelled = { ...response, status: 'cancelled' };
    await keepResponse(state.config, owner, { response: cancelled, input });
    return cancelled;
  },
  listInput: async ({ request }, known) => listPage(known.input, queryOf(request.url), { defaultOrder: 'desc' }),
};

/**
 * The events of a response that is kept here, from where a client left them.
 * @throws {GatewayError} 400 while one is made whose client wanted no stream.
 */
function eventsOf({ state, plan, id, request }: Exchange, { response, events }: KeptResponse): AsyncIterable<string> {
  const range = { min: 0, max: Number.MAX_SAFE_INTEGER };
  const after = integerParameter(queryOf(request.url), 'starting_after', range) ?? -1;
  const running = state.background.find(plan.owner, id)?.eventsAfter?.(after);
  if (running !== undefined) return running;
  if (!isEnded(response)) {
    throw unsupportedParameter("Unsupported parameter: 'stream' is not supported for this response.", 'stream');
  }
  return inTurn((events === undefined ? retoldEvents(response) : eventsIn(events)).slice(after + 1));
}

async function* inTurn(events: readonly string[]): AsyncGenerator<string> {
  yield* events;
}

/** `POST /v1/responses/input_tokens`: our estimate, or the upstream's word. */
export async function countResponseInput(exchange: Exchange): Promise<GatewayResponse> {
  const call = new Call(exchange, MODEL_ENDPOINTS.responses);
  const body = exchange.body();
  const bytes = isPending(body) ? await body : body;
  call.take(await readCall(call.endpoint, bytes, exchange.state.config.json.request));
  call.choose();
  // The owner of the responses that it goes on from is checked here, whoever counts.
  await prepare(call);
  if (passesResponses(call.model, call.upstream) && call.upstream.forward !== undefined) {
    return forward(exchange, { operation: 'responses', answer: 'bytes' }, call.asks.model);
  }
  const counted = { object: 'response.input_tokens', input_tokens: call.inputTokens };
  return respondJson(JSON.stringify(counted), ['x-request-id', exchange.requestId]);
}
