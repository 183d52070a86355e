import { createHash } from 'node:crypto';
import { errorBody, toGatewayError } from '../../../base/errors.js';
import type { JsonObject } from '../../../base/json.js';
import type { ModelOperation } from '../../../wire/operations.js';
import { badRequest, invalidRequest } from '../../../wire/request-errors.js';
import type { CallContext, Upstream } from '../../upstream.js';
import { upstreamCall } from '../../upstream-call.js';
import { nextIdleTurn } from '../turns.js';
import { type BatchLine, checkLines, readLine, textLines } from './batch-lines.js';
import { type BatchOutput, batchOutput, usageSum } from './batch-output.js';
import type { DemoStorage } from './demo-storage.js';

/** Answers to a line take a millisecond or less, as does a turn. */
const LINES_PER_TURN = 16;

/** A batch to be run. */
export interface BatchJob {
  readonly id: string;
  readonly endpoint: string;
  readonly operation: ModelOperation;
  readonly inputFileId: string;
  /** When its output is to expire, in Unix seconds. */
  readonly outputExpiresAt: number | undefined;
  /** Whoever made the batch makes its calls; the signal is the batch's own and aborts when it is cancelled. */
  readonly context: CallContext;
  /** Shows how far it has come. */
  update(changes: JsonObject): void;
}

/** Where a batch's requests are sent, and where its files are. */
export interface BatchTools {
  readonly send: Upstream['send'];
  readonly storage: DemoStorage;
}

/** Runs a batch to its end, whatever happens, and never rejects. */
export async function runBatch(job: BatchJob, tools: BatchTools): Promise<void> {
  const { storage } = tools;
  const output = batchOutput(job.id, job.outputExpiresAt, storage);
  try {
    await nextIdleTurn(job.context.signal);
    const total = await begin(job, storage);
    if (total === undefined) return;
    await runLines(job, tools, { total, output });
    await nextIdleTurn(job.context.signal);
    job.update({ status: 'finalizing', finalizing_at: storage.nowSeconds() });
    await nextIdleTurn(job.context.signal);
    const files = output.store();
    job.update({ status: 'completed', completed_at: storage.nowSeconds(), ...files });
  } catch (thrown) {
    if (job.context.signal.aborted) cancelled(job, storage, output);
    else failed(job, storage, thrown);
  }
}

/** How many requests it has; `undefined`: it has failed, since it cannot be run. */
async function begin(job: BatchJob, storage: DemoStorage): Promise<number | undefined> {
  const { endpoint } = job;
  const { signal } = job.context;
  const { maxBatchLines: maxLines } = storage.bounds;
  const { errors, total, model } = await checkLines(inputOf(job, storage), { endpoint, maxLines, signal });
  const now = storage.nowSeconds();
  if (errors.length > 0) {
    job.update({ status: 'failed', failed_at: now, errors: { object: 'list', data: errors } });
    return undefined;
  }
  const counts = { total, completed: 0, failed: 0 };
  job.update({ status: 'in_progress', in_progress_at: now, model, request_counts: counts });
  await nextIdleTurn(signal);
  return total;
}

async function runLines(
  job: BatchJob,
  { send, storage }: BatchTools,
  { total, output }: { readonly total: number; readonly output: BatchOutput },
): Promise<void> {
  const usage = usageSum();
  for (const [number, text] of textLines(inputOf(job, storage))) {
    const line = readLine(text, job.endpoint);
    if ('code' in line) continue;
    const requestId = `req_${digestOf(`${job.id}/${number}`)}`;
    const { status, body } = await answerTo(line, { ...job.context, requestId }, { operation: job.operation, send });
    if (number % LINES_PER_TURN === 0) await nextIdleTurn(job.context.signal);
    job.context.signal.throwIfAborted();
    const response = { status_code: status, request_id: requestId, body };
    const id = `batch_req_${digestOf(requestId)}`;
    output.add(status, JSON.stringify({ id, custom_id: line.customId, response, error: null }));
    usage.add(body.usage);
    job.update({ request_counts: { total, ...output.counts() }, usage: usage.body() });
  }
}

/** The input, which may have been deleted while the batch waited. */
function inputOf({ inputFileId }: BatchJob, { files }: DemoStorage): Buffer {
  const file = files.find(inputFileId);
  if (file === undefined) throw badRequest(`The input file '${inputFileId}' is gone.`, 'file_not_found');
  return file.bytes;
}

async function answerTo(
  { body }: BatchLine,
  context: CallContext,
  { operation, send }: { readonly operation: ModelOperation; readonly send: Upstream['send'] },
): Promise<{ readonly status: number; readonly body: JsonObject }> {
  try {
    if (body.stream === true) throw invalidRequest("'stream' cannot be used in a batch.", 'stream');
    const { signal: cancellation, ...fields } = context;
    const bytes = Buffer.from(JSON.stringify(body));
    const maxResponseBytes = Number.POSITIVE_INFINITY;
    const call = { ...fields, operation, bytes, stream: false, maxResponseBytes, cancellation };
    const reply = await send(upstreamCall(call));
    if (reply.kind !== 'whole' || reply.body instanceof Uint8Array)
      throw new Error('A request without `stream` was answered with a stream');
    return { status: 200, body: reply.body };
  } catch (thrown) {
    context.signal.throwIfAborted();
    const error = toGatewayError(thrown);
    return { status: error.status, body: { error: { ...errorBody(error).error } } };
  }
}

/** What was answered before is kept, if there is room for it. */
function cancelled(job: BatchJob, storage: DemoStorage, output: BatchOutput): void {
  let files: JsonObject = {};
  try {
    files = output.store();
  } catch {
    // A batch that was cancelled has ended, with its output or without.
  }
  job.update({ status: 'cancelled', cancelled_at: storage.nowSeconds(), ...files });
}

function failed(job: BatchJob, storage: DemoStorage, thrown: unknown): void {
  const { message, code } = toGatewayError(thrown);
  const errors = { object: 'list', data: [{ code, message, param: null, line: null }] };
  job.update({ status: 'failed', failed_at: storage.nowSeconds(), errors });
}

const digestOf = (seed: string): string => createHash('sha256').update(seed).digest('hex').slice(0, 32);
