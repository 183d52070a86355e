import { abortable } from '../../base/cancellation.js';
import { shuttingDown } from '../../base/errors.js';
import { checkRoom } from '../../call/admit.js';
import { Call, type Progress } from '../../call/call.js';
import type { Exchange } from '../../call/exchange.js';
import { failCall } from '../../call/failure.js';
import { answerHeaders } from '../../call/headers.js';
import type { BatchUsage } from '../../call/later-work.js';
import { NOTHING_READ } from '../../call/terms.js';
import type { Model } from '../../config/models.js';
import type { GatewayRequest, GatewayResponse } from '../../http/exchange.js';
import { respondForwarded } from '../../http/respond.js';
import { BATCH_TIER } from '../../models/pricing.js';
import { checkOwned, checkReferences } from '../../stores/ownership.js';
import { passOn } from '../../upstreams/send.js';
import type { ForwardCall, ForwardReply } from '../../upstreams/upstream.js';
import { MODEL_ENDPOINTS } from '../../wire/model-endpoint.js';
import type { ForwardRule } from '../route.js';
import { checkBatchLines } from './batches.js';
import { type ForwardBody, onePiece, readForwardBody, type WatchedForm, watchedForm } from './body.js';
import { goodReply } from './good-reply.js';
import { ownListOf, shownObject } from './objects.js';
import { picturesInForm } from './pieces.js';
import { checkAddress, checkModelName, checkPriced, type ForwardPlan, OF_MODELS, planForward } from './plan.js';
import { forwardedStream } from './stream.js';

/**
 * Headers that say something about the wanted answer. All others of a client's stay here: an `idempotency-key`, too, which
 * would give one owner's answer to another one who uses the same.
 */
const PASSED_HEADERS = ['accept', 'openai-beta'];

/** Endpoint of a call whose request and answer no endpoint reads: any would do. */
const UNREAD = MODEL_ENDPOINTS.responses;

/**
 * One request that an upstream answers itself: passed on as it comes, and its answer likewise.
 * @param modelName of the model whose upstream is meant, where neither path nor body tells.
 */
export async function forward(exchange: Exchange, rule: ForwardRule, modelName?: string): Promise<GatewayResponse> {
  const { request, phases, state, id } = exchange;
  const call = new Call(exchange, UNREAD, rule.operation);
  const { owner } = call.plan;
  const { operation } = rule;
  let form: WatchedForm | undefined;
  try {
    checkRoom(state);
    if (rule.owned !== undefined) await checkOwned(state.config, { owner, kind: rule.owned, id });
    const list = rule.answer === 'list' ? await ownListOf(exchange, rule) : undefined;
    const body = await readForwardBody(exchange);
    if (body.kind === 'json') await checkReferences(state.config, owner, body.body);
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (state.closed !== undefined) throw shuttingDown();
    const plan = planForward(exchange, { rule, body, modelName });
    phases?.mark('parse');

    const asks = { ...NOTHING_READ.asks, model: plan.modelName, maxOutputTokens: plan.maxOutputTokens };
    call.take({ ...NOTHING_READ, asks, inputTokens: plan.inputTokens });
    call.chooseAs(plan);
    await call.admit();
    call.ask(UNCOUNTED);
    call.attempts = 1;
    form = body.kind === 'form' ? watchedForm(body, watcherOf(call, plan)) : undefined;
    const wanted = passedHeaders(request.headers, PASSED_HEADERS);
    const get = (path: string): Promise<ForwardReply> =>
      askUpstream(call, { operation, method: 'GET', path, headers: wanted, body: undefined });
    const batchModel = operation === 'batches' ? await checkBatchInput(call, body, get) : undefined;
    const headers = { ...wanted, ...describingHeaders(request.headers, body, plan) };
    const path = list?.path ?? exchange.path;
    const pieces = piecesOf(body, plan, form);
    const reply = await askUpstream(call, { operation, method: request.method, path, headers, body: pieces });
    phases?.mark('upstream');

    if (rule.answer === 'bytes') {
      const good = OF_MODELS.has(operation) ? await goodReply(call, reply) : reply;
      return respondForwarded(good, forwardedStream(call, good), answerHeaders(call));
    }
    const shown = await shownObject(call, { reply, rule, list, batchModel: batchModel?.id, again: get });
    call.begin(batchProgress(call, shown.used));
    call.firstByte();
    const record = await call.complete();
    phases?.mark('settle');
    return respondForwarded(shown.reply ?? reply, shown.body, answerHeaders(call, record));
  } catch (error) {
    return failCall(call, form?.refusal ?? error);
  }
}

const uncounted = (): undefined => undefined;
const UNCOUNTED = { usage: undefined, deliveredTokens: uncounted };

/** Batches that ended are paid for as their model in their tier, once they were seen. */
function batchProgress(call: Call, used: BatchUsage | undefined): Progress {
  if (used === undefined) return UNCOUNTED;
  const model = used.model === undefined ? undefined : call.exchange.state.config.models.find(used.model);
  if (model !== undefined) call.nameModel(model, model.id);
  return { usage: used.usage, deliveredTokens: uncounted, serviceTier: BATCH_TIER };
}

async function askUpstream(call: Call, request: Parameters<typeof passOn>[1]): Promise<ForwardReply> {
  const reply = await passOn(call, request);
  // A reader waits no longer than the call lasts, even where the upstream is stuck.
  return { ...reply, body: abortable(reply.body, call) };
}

/** @returns the dearest model of a batch. @throws {GatewayError} for its first line that must not pass. */
async function checkBatchInput(
  call: Call,
  body: ForwardBody,
  get: (path: string) => Promise<ForwardReply>,
): Promise<Model | undefined> {
  const input = body.kind === 'json' ? body.body.input_file_id : undefined;
  if (typeof input !== 'string') return undefined;
  const file = await get(`/files/${encodeURIComponent(input)}/content`);
  const { exchange } = call;
  const holdBytes = (bytes: number): void => call.holdBytes(bytes);
  return checkBatchLines(file.body, { config: exchange.state.config, key: exchange.caller, holdBytes });
}

/** Watches a form for the model that it names on its way. */
function watcherOf(call: Call, { formModel }: ForwardPlan): Parameters<typeof watchedForm>[1] {
  const { exchange, plan } = call;
  const isOfPictures = call.operation === 'images';
  return {
    config: exchange.state.config,
    key: exchange.caller,
    operation: call.operation,
    // The cost of a form without a model is the upstream's to choose.
    formModel: formModel === 'optional' && plan.isBudgeted ? 'required' : formModel,
    onModel(model, name) {
      checkModelName(name);
      if (plan.isBudgeted) checkPriced(model.price, name, call);
      call.nameModel(model, name);
    },
    onForm({ n, hasAddress }) {
      const { model, asks, units } = call;
      if (plan.isBudgeted && hasAddress && units?.audioMs !== undefined) checkAddress(model.price, asks.model);
      const images = isOfPictures ? picturesInForm(n) : undefined;
      if (images === undefined) return;
      if (plan.isBudgeted) checkPriced(model.price, asks.model, { admission: call.admission, units: { images } });
      call.namePieces({ images });
    },
  };
}

function passedHeaders(headers: GatewayRequest['headers'], names: readonly string[]): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') passed[name] = value;
  }
  return passed;
}

/** Headers that describe the body. */
function describingHeaders(
  headers: GatewayRequest['headers'],
  body: ForwardBody,
  { renamedBody }: ForwardPlan,
): Record<string, string> {
  if (body.kind === 'none') return {};
  const type = passedHeaders(headers, ['content-type']);
  if (body.kind === 'form') {
    return body.contentLength === undefined ? type : { ...type, 'content-length': body.contentLength };
  }
  const { byteLength } = renamedBody ?? body.bytes;
  return { 'content-type': 'application/json', ...type, 'content-length': String(byteLength) };
}

function piecesOf(body: ForwardBody, { renamedBody }: ForwardPlan, form: WatchedForm | undefined): ForwardCall['body'] {
  return body.kind === 'json' ? onePiece(renamedBody ?? body.bytes) : form?.pieces;
}
