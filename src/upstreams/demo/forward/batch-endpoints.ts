import { type Json, type JsonObject, shownValue } from '../../../base/json.js';
import { listPage } from '../../../wire/list-page.js';
import { optionalChoice, readMetadata } from '../../../wire/members.js';
import type { ModelOperation } from '../../../wire/operations.js';
import { badRequest, missingParameter, objectNotFound } from '../../../wire/request-errors.js';
import type { ForwardCall, Upstream } from '../../upstream.js';
import type { DemoStorage } from './demo-storage.js';
import type { Endpoints } from './endpoints.js';
import { expiryOf, filledString } from './read-objects.js';
import { jsonReply } from './replies.js';
import { readJson } from './request-body.js';
import { runBatch } from './run-batch.js';
import { SHELF_PAGES, type Shelf, shelf } from './shelf.js';

interface Batch {
  readonly id: string;
  /** As OpenAI shows it. */
  readonly body: JsonObject;
  readonly abort: AbortController;
}

const OPERATIONS: Readonly<Record<string, ModelOperation>> = {
  '/v1/responses': 'responses',
  '/v1/chat/completions': 'chat.completions',
  '/v1/embeddings': 'embeddings',
  '/v1/completions': 'completions',
  '/v1/moderations': 'moderations',
};
const DAY_SECONDS = 24 * 3_600;
const MAX_JSON_BYTES = 1024 * 1024;

/**
 * `/batches`. They run one after the other in turns of the event loop, without keeping the process alive.
 * @param send answers their requests.
 */
export function batchEndpoints(storage: DemoStorage, send: Upstream['send']): Endpoints {
  const batches = shelf<Batch>({
    prefix: 'batch_',
    max: storage.bounds.maxBatches,
    what: 'unfinished batches',
    mayGo: (batch) => hasEnded(batch),
  });
  let last: Promise<void> = Promise.resolve();
  const enqueue = (id: string, input: BatchInput, call: ForwardCall): void => {
    const update = (changes: JsonObject): void => change(batches, id, changes);
    const run = (): Promise<void> => {
      const batch = batches.find(id);
      if (batch === undefined || hasEnded(batch)) return Promise.resolve();
      const { keyId, tier, requestId } = call;
      return runBatch(
        { ...input, id, update, context: { keyId, tier, requestId, signal: batch.abort.signal } },
        { send, storage },
      );
    };
    last = last.then(run);
  };
  return {
    'POST /batches': async ({ call }) => {
      const input = readInput(await readJson(call, MAX_JSON_BYTES), storage);
      const batch = batches.add(call.requestId, (id) => ({
        id,
        body: newBody(id, input, storage.nowSeconds()),
        abort: new AbortController(),
      }));
      enqueue(batch.id, input, call);
      return jsonReply(batch.body);
    },
    'GET /batches': ({ query }) => {
      const bodies = batches.all().map(({ body }) => body);
      return jsonReply(listPage(bodies, query, SHELF_PAGES));
    },
    'GET /batches/{id}': ({ ids }) => jsonReply(batchAt(batches, ids).body),
    'POST /batches/{id}/cancel': ({ ids }) => jsonReply(cancel(batches, batchAt(batches, ids), storage)),
  };
}

interface BatchInput {
  readonly inputFileId: string;
  readonly endpoint: string;
  readonly operation: ModelOperation;
  readonly outputExpiresAt: number | undefined;
  readonly metadata: Json;
}

function readInput(body: JsonObject, storage: DemoStorage): BatchInput {
  const inputFileId = filledString(body, 'input_file_id');
  const endpoint = optionalChoice('endpoint', body.endpoint, Object.keys(OPERATIONS));
  const operation = OPERATIONS[endpoint ?? ''];
  if (endpoint === undefined || operation === undefined) throw missingParameter('endpoint');
  if (optionalChoice('completion_window', body.completion_window, ['24h']) === undefined)
    throw missingParameter('completion_window');
  const file = storage.files.find(inputFileId);
  if (file === undefined) throw badRequest(objectNotFound('file', inputFileId).message, null, 'input_file_id');
  if (file.purpose !== 'batch')
    throw badRequest(
      `Expected a file with purpose 'batch', but ${inputFileId} has '${file.purpose}'.`,
      null,
      'input_file_id',
    );
  const outputExpiresAt = expiryOf(body, storage.nowSeconds(), { param: 'output_expires_after' });
  readMetadata(body.metadata);
  return { inputFileId, endpoint, operation, outputExpiresAt, metadata: body.metadata ?? null };
}

function newBody(id: string, { endpoint, inputFileId, metadata }: BatchInput, now: number): JsonObject {
  return {
    id,
    object: 'batch',
    endpoint,
    model: null,
    errors: null,
    input_file_id: inputFileId,
    completion_window: '24h',
    status: 'validating',
    output_file_id: null,
    error_file_id: null,
    created_at: now,
    in_progress_at: null,
    expires_at: now + DAY_SECONDS,
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
    request_counts: { total: 0, completed: 0, failed: 0 },
    usage: {
      input_tokens: 0,
      output_tokens: 0,
      total_tokens: 0,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens_details: { reasoning_tokens: 0 },
    },
    metadata,
  };
}

function batchAt(batches: Shelf<Batch>, [id = '']: readonly string[]): Batch {
  const batch = batches.find(id);
  if (batch === undefined) throw objectNotFound('batch', id);
  return batch;
}

function hasEnded({ body }: Batch): boolean {
  return ['completed', 'failed', 'cancelled'].includes(shownValue(body.status));
}

function change(batches: Shelf<Batch>, id: string, changes: JsonObject): void {
  const batch = batches.find(id);
  if (batch !== undefined) batches.replace({ ...batch, body: { ...batch.body, ...changes } });
}

/** The batch as it is on its way to `cancelled`, which it is once its turn comes. */
function cancel(batches: Shelf<Batch>, batch: Batch, storage: DemoStorage): JsonObject {
  const { status } = batch.body;
  if (hasEnded(batch)) throw badRequest(`Cannot cancel a batch with status '${shownValue(status)}'.`);
  if (status !== 'cancelling') change(batches, batch.id, { status: 'cancelling', cancelling_at: storage.nowSeconds() });
  batch.abort.abort(new Error('The batch was cancelled'));
  return batchAt(batches, [batch.id]).body;
}
