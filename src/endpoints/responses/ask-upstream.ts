import { upstreamBadResponse } from '../../base/errors.js';
import { checkRoom } from '../../call/admit.js';
import { asWritten, objectIn } from '../../call/answer-view.js';
import { Call } from '../../call/call.js';
import type { Exchange } from '../../call/exchange.js';
import { failCall } from '../../call/failure.js';
import { answerHeaders } from '../../call/headers.js';
import { NOTHING_READ } from '../../call/terms.js';
import { findModel } from '../../config/models.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { respondJson, respondStream } from '../../http/respond.js';
import { searchOf } from '../../http/url.js';
import { disown } from '../../stores/ownership.js';
import { collectBytes, sourceOf } from '../../upstreams/answer.js';
import { beginStream } from '../../upstreams/begin-stream.js';
import { readWhole } from '../../upstreams/read-whole.js';
import { passOn } from '../../upstreams/send.js';
import type { UpstreamReply } from '../../upstreams/upstream.js';
import { MODEL_ENDPOINTS } from '../../wire/model-endpoint.js';
import { responseWithdrawn, unsupportedOperation } from '../../wire/request-errors.js';
import { relay } from '../model/relay.js';
import { passedResponse } from './views.js';

/** A question about a response. */
export type ResponseAction = 'retrieve' | 'delete' | 'cancel' | 'listInput';

const NOT_JSON = 'The upstream answered with something other than JSON.';

/**
 * Passes on a question about a response that an upstream keeps, once its owner was checked. Tokens were paid for when the
 * response was made: a question costs none.
 * @param modelName under which the response was asked for.
 */
export async function askAboutResponse(
  exchange: Exchange,
  action: ResponseAction,
  modelName: string,
): Promise<GatewayResponse> {
  const { request, phases } = exchange;
  const { config } = exchange.state;
  const call = new Call(exchange, MODEL_ENDPOINTS.responses);
  try {
    checkRoom(exchange.state);
    call.makeFree();
    call.take({ ...NOTHING_READ, asks: { ...NOTHING_READ.asks, model: modelName, stream: true, maxOutputTokens: 0 } });
    const model = findModel(config.models, exchange.caller, modelName);
    const upstream = model.upstream ?? config.upstream;
    if (upstream.forward === undefined) throw unsupportedOperation('responses');
    call.chooseAs({ model, upstream, asksModel: false });
    await call.admit();
    call.ask();
    call.attempts = 1;
    const passed = {
      operation: 'responses',
      method: request.method,
      path: pathOfResponse(exchange, action),
      headers: {},
      body: undefined,
    } as const;
    const { headers, body } = await passOn(call, passed);
    phases?.mark('upstream');
    return await answerOf(call, action, { kind: 'bytes', contentType: headers['content-type'] ?? '', body });
  } catch (error) {
    return failCall(call, error);
  }
}

const BELOW = { retrieve: '', delete: '', cancel: '/cancel', listInput: '/input_items' };

function pathOfResponse({ id, path }: Exchange, action: ResponseAction): string {
  return `/responses/${encodeURIComponent(id)}${BELOW[action]}${searchOf(path)}`;
}

async function answerOf(
  call: Call,
  action: ResponseAction,
  reply: Extract<UpstreamReply, { kind: 'bytes' }>,
): Promise<GatewayResponse> {
  if (/^text\/event-stream/i.test(reply.contentType)) {
    const answer = await beginStream(call, reply);
    call.view = passedResponse(call, { model: call.asks.model, store: false, background: false, stream: true });
    call.begin(answer.stream);
    return respondStream(relay(call, answer), answerHeaders(call));
  }
  const body = await bodyOf(call, action, reply);
  call.firstByte();
  const record = await call.complete();
  call.exchange.phases?.mark('settle');
  return respondJson(body, answerHeaders(call, record));
}

/** The answer for the client, once the gateway has done its own part. */
async function bodyOf(
  call: Call,
  action: ResponseAction,
  reply: Extract<UpstreamReply, { kind: 'bytes' }>,
): Promise<Uint8Array | string> {
  const { exchange, plan } = call;
  const { config, background } = exchange.state;
  const { owner } = plan;
  const { id } = exchange;
  if (action === 'listInput' || action === 'delete') {
    const isJson = /json/i.test(reply.contentType);
    if (action === 'listInput' && !isJson) throw upstreamBadResponse(NOT_JSON);
    const bytes = await collectBytes(sourceOf(call, reply), call);
    if (action === 'listInput') return bytes;
    // Whatever its words, a good status means that the response is gone.
    await background.find(owner, id)?.drop(responseWithdrawn('deleted'));
    await disown(config, { owner, kind: 'response', id });
    return isJson && bytes.byteLength > 0 ? bytes : JSON.stringify({ id, object: 'response.deleted', deleted: true });
  }
  const { body } = await readWhole(call, reply);
  const followed = background.find(owner, id);
  if (followed !== undefined) followed.saw(await objectIn(body, call.answerBounds));
  return asWritten(body);
}
