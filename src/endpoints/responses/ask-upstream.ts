import { abortSignalOf, orAborted } from '../../base/cancellation.js';
import { upstreamBadResponse } from '../../base/errors.js';
import { objectOf } from '../../base/json.js';
import { type Attempt, newAttempt } from '../../call/attempt.js';
import type { Call } from '../../call/call.js';
import { type Answered, headersOfBegun, headersOfSettled } from '../../call/headers.js';
import { checkRoom, type KeyedExchange, openMetered, respondFailed, type Shared } from '../../call/open.js';
import { findModel } from '../../config/find-model.js';
import type { Config } from '../../config/options.js';
import type { GatewayResponse } from '../../http/exchange.js';
import { respondJson, respondStream } from '../../http/respond.js';
import { ownerOf } from '../../keys/key-store.js';
import { disown } from '../../stores/ownership.js';
import { collect, type ModelSend, namesOf, sourceOf } from '../../upstreams/answer.js';
import { beginStream } from '../../upstreams/begin-stream.js';
import { readWhole } from '../../upstreams/read-whole.js';
import type { UpstreamReply } from '../../upstreams/upstream.js';
import { MODEL_ENDPOINTS } from '../../wire/model-endpoint.js';
import { responseWithdrawn, unsupportedOperation } from '../../wire/request-errors.js';
import { relay } from '../model/relay.js';
import type { ResponseAction } from '../routes.js';
import { passedResponse } from './passed-view.js';

/** What is asked about a response that an upstream keeps. Whose it is was checked. */
export interface AskedResponse {
  readonly action: ResponseAction;
  readonly id: string;
  /** Below `/v1`, with its query. */
  readonly path: string;
  /** Under which the response was asked for. */
  readonly modelName: string;
}

const NOT_JSON = 'The upstream answered with something other than JSON.';

/** Passes the question on. Tokens were paid for when the response was made: a question costs none. */
export async function askAboutResponse(
  exchange: KeyedExchange,
  shared: Shared,
  asked: AskedResponse,
): Promise<GatewayResponse> {
  const { key, phases, requestId } = exchange;
  const { config } = shared;
  const { modelName } = asked;
  const attempt = askedAttempt(exchange, config);
  try {
    checkRoom(shared);
    const model = findModel(config, key, modelName);
    const upstream = model.upstream ?? config.upstream;
    if (upstream.forward === undefined) throw unsupportedOperation('responses');
    const order = { model, modelName, upstream, inputTokens: 0, maxOutputTokens: 0, n: 1, asksModel: false };
    const call = unpaid(await openMetered(attempt, exchange, shared, { ...order, operation: 'responses' }));
    attempt.facts.attempts = 1;
    const send: ModelSend = {
      endpoint: MODEL_ENDPOINTS.responses,
      upstream,
      call: { keyId: key.id, tier: attempt.tier, requestId },
      cancellation: call.cancellation,
      document: { bytes: Buffer.alloc(0), members: new Map() },
      asks: { model: modelName, stream: true, includeUsage: false, maxOutputTokens: undefined, n: 1 },
      upstreamModel: model.upstreamModel,
      outputCeiling: undefined,
      requiresCeiling: false,
      estimatedInputTokens: 0,
      maxResponseBytes: config.maxResponseBytes,
    };
    const reply = await replyTo(exchange, asked, send);
    phases.mark('upstream');
    return await answerOf(exchange, shared, { asked, send, reply, call, attempt });
  } catch (error) {
    return respondFailed(attempt, exchange, config, error);
  }
}

/** Whoever has as many calls running as he may must still be able to ask about them, and to cancel them. */
function askedAttempt(exchange: KeyedExchange, config: Config): Attempt {
  const attempt = newAttempt(exchange, config);
  const levels = attempt.levels.map((level) => {
    const { concurrency: _, ...limits } = level.limits;
    return { ...level, limits };
  });
  return { ...attempt, levels };
}

/** What passes here was counted before. */
function unpaid(call: Call): Call {
  return {
    ...call,
    watch() {},
    // Nothing more would be known at its end.
    onDrain() {},
    settle: ({ outcome }) => call.settle({ outcome, usage: undefined, deliveredTokens: undefined }),
  };
}

async function replyTo(
  { request }: KeyedExchange,
  { path }: AskedResponse,
  { upstream, call, cancellation }: ModelSend,
): Promise<UpstreamReply> {
  if (upstream.forward === undefined) throw unsupportedOperation('responses');
  const forwarding = upstream.forward({
    ...call,
    operation: 'responses',
    method: request.method,
    path,
    headers: {},
    body: undefined,
    signal: abortSignalOf(cancellation),
  });
  const { headers, body } = await orAborted(forwarding, cancellation);
  return { kind: 'bytes', contentType: headers['content-type'] ?? '', body };
}

/** The upstream's reply, and what has to be known of it. */
interface Replied extends Answered {
  readonly asked: AskedResponse;
  readonly send: ModelSend;
  readonly reply: UpstreamReply;
}

async function answerOf(exchange: KeyedExchange, shared: Shared, replied: Replied): Promise<GatewayResponse> {
  const { send, reply, call, attempt } = replied;
  const { config } = shared;
  const { facts } = attempt;
  if (reply.kind === 'bytes' && /^text\/event-stream/i.test(reply.contentType)) {
    const begun = await beginStream(send, reply, false);
    if (begun.kind !== 'stream') return respondJson(begun.body, headersOfBegun(exchange, replied));
    const told = { model: send.asks.model, store: false, background: false, stream: true };
    const presentation = passedResponse(exchange, config, told);
    const shown = relay(begun, { names: namesOf(send), presentation, call, exchange, config, facts });
    return respondStream(shown, headersOfBegun(exchange, replied));
  }
  const body = await bodyOf(exchange, shared, replied);
  call.firstByte();
  const record = await call.settle({ outcome: 'ok', usage: undefined, deliveredTokens: undefined });
  exchange.phases.mark('settle');
  return respondJson(body, headersOfSettled(exchange, replied, record));
}

/** What the client is told, once the gateway has done its own part. */
async function bodyOf(
  { key }: KeyedExchange,
  { config, background }: Shared,
  { asked: { action, id }, send, reply }: Replied,
): Promise<Uint8Array | string> {
  const owner = ownerOf(key);
  if (action === 'listInput' || action === 'delete') {
    if (reply.kind !== 'bytes' || !/json/i.test(reply.contentType)) throw upstreamBadResponse(NOT_JSON);
    const bytes = await collect(sourceOf(send, reply), send);
    if (action === 'listInput') return bytes;
    await background.find(owner, id)?.drop(responseWithdrawn('deleted'));
    await disown(config, { owner, kind: 'response', id });
    return bytes;
  }
  const { body } = await readWhole(send, reply);
  background.find(owner, id)?.saw(objectOf(body));
  return body;
}
