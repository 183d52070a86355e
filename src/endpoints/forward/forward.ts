import { isPending } from '../../base/awaitable.js';
import { abortable, abortSignalOf, orAborted } from '../../base/cancellation.js';
import { shuttingDown } from '../../base/errors.js';
import { type Attempt, newAttempt } from '../../call/attempt.js';
import type { Call } from '../../call/call.js';
import { headersOfBegun, headersOfSettled } from '../../call/headers.js';
import { checkRoom, type KeyedExchange, openMetered, respondFailed, type Shared } from '../../call/open.js';
import type { GatewayRequest, GatewayResponse } from '../../http/exchange.js';
import { respondForwarded } from '../../http/respond.js';
import { ownerOf } from '../../keys/key-store.js';
import { hasBudget } from '../../limits/levels.js';
import { checkOwned, checkReferences } from '../../stores/ownership.js';
import type { ForwardCall, ForwardReply } from '../../upstreams/upstream.js';
import { unsupportedOperation } from '../../wire/request-errors.js';
import type { ForwardRule } from '../routes.js';
import { checkBatchLines } from './batch-lines.js';
import { type ForwardBody, onePiece, readForwardBody, watchedForm } from './body.js';
import { ownListOf } from './lists.js';
import { forwardedObject } from './objects.js';
import { checkPriced, orderOf } from './plan.js';
import { forwardedStream } from './stream.js';
import { checkModelName, type Target, targetOf } from './target.js';

/** A route that is passed on. */
export interface Forwarding {
  readonly rule: ForwardRule;
  /** Of the object that the path names; empty when it names none. */
  readonly id: string;
  /** Below `/v1`, with its query. */
  readonly path: string;
  /** Of the model whose upstream is meant, where neither path nor body tells. */
  readonly modelName?: string;
}

/**
 * What says something about the wanted answer. Everything else that a client sends stays here: an `idempotency-key`, too,
 * which would give one owner's answer to another one who uses the same.
 */
const PASSED_HEADERS = ['accept', 'openai-beta'];

/** One request that an upstream answers itself: passed on as it comes, and its answer likewise. */
export async function forwardCall(
  exchange: KeyedExchange,
  shared: Shared,
  { rule, id, path, modelName }: Forwarding,
): Promise<GatewayResponse> {
  const { request, requestId, key, phases } = exchange;
  const { config } = shared;
  const owner = ownerOf(key);
  const attempt = newAttempt(exchange, config);
  const { facts } = attempt;
  let refusal: (() => unknown) | undefined;
  try {
    checkRoom(shared);
    if (rule.owned !== undefined) await checkOwned(config, { owner, kind: rule.owned, id });
    const list = rule.answer === 'list' ? await ownListOf(path, { rule, owner, config }) : undefined;
    const body = await readForwardBody(request, config);
    if (body.kind === 'json') await checkReferences(config, owner, body.body);
    // The body may have taken its time: once `close()` has resolved, nothing may begin.
    if (shared.closing()) throw shuttingDown();
    const target = targetOf(exchange, config, { rule, body, modelName });
    if (target.upstream.forward === undefined) throw unsupportedOperation(rule.operation);
    phases.mark('parse');

    const call = await openMetered(
      attempt,
      exchange,
      shared,
      orderOf(attempt, { rule, path, body, target, exchange, config }),
    );
    call.asked({ usage: undefined, deliveredTokens: () => undefined });
    const passed = passedBody(body, target, { exchange, config, call, attempt });
    refusal = passed.refusal;
    const context = { operation: rule.operation, keyId: key.id, tier: attempt.tier, requestId };
    const wanted = passedHeaders(request.headers, PASSED_HEADERS);
    const get = (asked: string): Promise<ForwardReply> =>
      askUpstream(target, call, { ...context, method: 'GET', path: asked, headers: wanted, body: undefined });
    facts.attempts = 1;
    const input = rule.operation === 'batches' && body.kind === 'json' ? body.body.input_file_id : undefined;
    if (typeof input === 'string') {
      const file = await get(`/files/${encodeURIComponent(input)}/content`);
      await checkBatchLines(file.body, { config, key });
    }
    const reply = await askUpstream(target, call, {
      ...context,
      method: request.method,
      path: list?.path ?? path,
      headers: { ...wanted, ...passed.headers },
      body: passed.pieces,
    });
    phases.mark('upstream');

    if (rule.answer === 'bytes') {
      const stream = forwardedStream(reply, { call, exchange, config, facts });
      return respondForwarded(reply, stream, headersOfBegun(exchange, { call, attempt }));
    }
    const { batches } = shared;
    const answer = await forwardedObject({ reply, rule, id, owner, config, batches, list, again: get });
    call.firstByte();
    const settling = call.settle({ outcome: 'ok', usage: answer.usage, deliveredTokens: undefined });
    const record = isPending(settling) ? await settling : settling;
    phases.mark('settle');
    return respondForwarded(reply, answer.body, headersOfSettled(exchange, { call, attempt }, record));
  } catch (error) {
    return respondFailed(attempt, exchange, config, refusal?.() ?? error);
  }
}

async function askUpstream(
  { upstream }: Target,
  call: Call,
  forwarded: Omit<ForwardCall, 'signal'>,
): Promise<ForwardReply> {
  if (upstream.forward === undefined) throw unsupportedOperation(forwarded.operation);
  const asked = upstream.forward({ ...forwarded, signal: abortSignalOf(call.cancellation) });
  const reply = await orAborted(asked, call.cancellation);
  // Whoever reads it waits no longer than the call lasts, even where the upstream is stuck.
  return { ...reply, body: abortable(reply.body, call.cancellation) };
}

function passedHeaders(headers: GatewayRequest['headers'], names: readonly string[]): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') passed[name] = value;
  }
  return passed;
}

interface Passed {
  readonly pieces: ForwardCall['body'];
  /** What describes the pieces. */
  readonly headers: Readonly<Record<string, string>>;
  /** Why the body was broken off on its way, if it was. */
  readonly refusal: () => unknown;
}

/** What goes to the upstream, and what is to be known of it as it passes. */
function passedBody(
  body: ForwardBody,
  target: Target,
  {
    exchange,
    config,
    call,
    attempt,
  }: { exchange: KeyedExchange; config: Shared['config']; call: Call; attempt: Attempt },
): Passed {
  const refusal = (): unknown => undefined;
  if (body.kind === 'none') return { pieces: undefined, headers: {}, refusal };
  const type = passedHeaders(exchange.request.headers, ['content-type']);
  if (body.kind === 'json') {
    const bytes = target.renamedBody ?? body.bytes;
    const headers = { 'content-type': 'application/json', ...type, 'content-length': String(bytes.byteLength) };
    return { pieces: onePiece(bytes), headers, refusal };
  }
  const watched = watchedForm(body, {
    config,
    key: exchange.key,
    operation: call.start.operation,
    // What a form without a model costs is the upstream's to choose.
    formModel: target.formModel === 'optional' && hasBudget(attempt.ceilings) ? 'required' : target.formModel,
    onModel(model, name) {
      checkModelName(name);
      checkPriced(attempt, call.admission, { price: model.price, name });
      call.nameModel(model);
      attempt.facts.model = name;
    },
  });
  const length = body.contentLength === undefined ? {} : { 'content-length': body.contentLength };
  return { pieces: watched.pieces, headers: { ...type, ...length }, refusal: () => watched.refusal };
}
