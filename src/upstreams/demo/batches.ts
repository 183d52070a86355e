import { errorBody, type GatewayError, toGatewayError } from '../../base/errors.js';
import { isJsonObject, type JsonObject } from '../../base/json.js';
import { optionalChoice, readMetadata } from '../../wire/members.js';
import { MODEL_OPERATIONS, type ModelOperation } from '../../wire/operations.js';
import { badRequest, invalidRequest, missingParameter } from '../../wire/request-errors.js';
import { readUsage } from '../../wire/usage.js';
import type { CallContext } from '../upstream.js';
import { nextTurn } from './context.js';
import { addFile } from './files.js';
import { filledString, readJson } from './forms.js';
import type { Endpoints } from './replies.js';
import { type DemoStore, pageOf, type StoredObject } from './store.js';

/** Helpers that running batches takes. */
export interface BatchTools {
  readonly store: DemoStore;
  answer(operation: ModelOperation, body: JsonObject, call: BatchedCall): Promise<JsonObject>;
}

export type BatchedCall = Pick<CallContext, 'requestId' | 'signal'>;

/** Operations by the endpoints that a batch may be for. */
const OPERATIONS: ReadonlyMap<unknown, ModelOperation> = new Map(
  MODEL_OPERATIONS.map((operation) => [`/v1/${operation.replace('.', '/')}`, operation]),
);
const NO_TOKENS = { inputTokens: 0, outputTokens: 0, reasoningTokens: 0 };
const DAY_SECONDS = 24 * 3_600;
const ENDED: readonly unknown[] = ['completed', 'failed', 'cancelled'];
const STAGES = 'in_progress_at finalizing_at completed_at failed_at expired_at cancelling_at cancelled_at'.split(' ');
const MAX_LINES = 10_000;
/** Lines that are answered before other work has its turn. */
const LINES_PER_TURN = 16;

/** `/batches`. They run one after the other in turns of the event loop. */
export function batchEndpoints(tools: BatchTools): Endpoints {
  const { store } = tools;
  const aborts = new Map<string, AbortController>();
  let last = Promise.resolve();
  return {
    'POST /batches': async ({ call }) => {
      const body = await readJson(call);
      const batch = store.add('batch', call.requestId, (id) => ({ body: newBatch(id, body, store) }));
      const abort = new AbortController();
      aborts.set(batch.id, abort);
      const run = new BatchRun(batch, abort.signal, tools);
      last = last.then(() => run.run()).finally(() => aborts.delete(batch.id));
      return batch.body;
    },
    'GET /batches': ({ query }) => pageOf(store.all('batch'), query),
    'GET /batches/{id}': ({ ids: [id] }) => store.find('batch', id).body,
    'POST /batches/{id}/cancel': ({ ids: [id] }) => {
      const batch = store.find('batch', id);
      const { status } = batch.body;
      if (ENDED.includes(status)) throw badRequest(`Cannot cancel a batch with status '${String(status)}'.`);
      aborts.get(batch.id)?.abort(new Error('The batch was cancelled'));
      return store.change(batch, { status: 'cancelling', cancelling_at: store.nowSeconds() }).body;
    },
  };
}

function newBatch(id: string, given: JsonObject, store: DemoStore): JsonObject {
  const inputFileId = filledString(given, 'input_file_id');
  const endpoint = optionalChoice('endpoint', given.endpoint, [...OPERATIONS.keys()].map(String));
  if (endpoint === undefined) throw missingParameter('endpoint');
  const { purpose } = store.find('file', inputFileId).body;
  const message = `Expected a file with purpose 'batch', but this one has '${String(purpose)}'.`;
  if (purpose !== 'batch') throw badRequest(message, null, 'input_file_id');
  readMetadata(given.metadata);
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
    created_at: store.nowSeconds(),
    expires_at: store.nowSeconds() + DAY_SECONDS,
    ...Object.fromEntries(STAGES.map((stage) => [stage, null])),
    request_counts: { total: 0, completed: 0, failed: 0 },
    usage: usageBody(NO_TOKENS),
    metadata: given.metadata ?? null,
  };
}

/** One batch on its way. */
class BatchRun {
  readonly #batch: StoredObject;
  readonly #signal: AbortSignal;
  readonly #tools: BatchTools;
  readonly #good: string[] = [];
  readonly #bad: string[] = [];
  #total = 0;
  /** The number of the line that is being answered. */
  #line: number | null = null;
  #outputBytes = 0;
  #used = NO_TOKENS;

  constructor(batch: StoredObject, signal: AbortSignal, tools: BatchTools) {
    this.#batch = batch;
    this.#signal = signal;
    this.#tools = tools;
  }

  /** Runs to the end, whatever happens, and never rejects. */
  async run(): Promise<void> {
    const { store } = this.#tools;
    try {
      await nextTurn(this.#signal);
      const lines = this.#lines();
      this.#total = lines.filter((line) => line !== '').length;
      if (this.#total === 0) throw badRequest('The input file is empty.', 'empty_file');
      this.#show({ status: 'in_progress', in_progress_at: store.nowSeconds() });
      for (const [index, line] of lines.entries()) {
        if (index % LINES_PER_TURN === 0) await nextTurn(this.#signal);
        if (line !== '') await this.#answer(line, index + 1);
      }
      await nextTurn(this.#signal);
      this.#end('completed', { finalizing_at: store.nowSeconds(), ...this.#output() });
    } catch (thrown) {
      if (this.#signal.aborted) return this.#end('cancelled', {});
      const { message, code, param } = toGatewayError(thrown);
      this.#end('failed', { errors: { object: 'list', data: [{ code, message, param, line: this.#line }] } });
    }
  }

  #show(changes: JsonObject): void {
    const counts = { total: this.#total, completed: this.#good.length, failed: this.#bad.length };
    this.#tools.store.change(this.#batch, { request_counts: counts, ...changes });
  }

  #end(status: 'completed' | 'failed' | 'cancelled', changes: JsonObject): void {
    const at = this.#tools.store.nowSeconds();
    this.#show({ ...changes, usage: usageBody(this.#used), status, [`${status}_at`]: at });
  }

  /** The lines of the input, empty ones included. The file may have been deleted while the batch waited. */
  #lines(): readonly string[] {
    const { bytes } = this.#tools.store.find('file', String(this.#batch.body.input_file_id));
    const lines = (bytes?.toString('utf8') ?? '').trimEnd().split(/\r?\n/, MAX_LINES + 1);
    if (lines.length > MAX_LINES) throw badRequest(`The demo reads ${MAX_LINES} lines at most.`, 'too_many_tasks');
    return lines;
  }

  async #answer(text: string, number: number): Promise<void> {
    this.#line = number;
    const { endpoint } = this.#batch.body;
    const { customId, body } = readLine(text, String(endpoint), number);
    const requestId = `req_${this.#batch.id}_${number}`;
    const { status, answer } = await this.#answered(OPERATIONS.get(endpoint) ?? 'chat.completions', body, requestId);
    const response = { status_code: status, request_id: requestId, body: answer };
    const line = JSON.stringify({ id: `batch_${requestId}`, custom_id: customId, response, error: null });
    this.#outputBytes += Buffer.byteLength(line) + 1;
    const { maxFileBytes: max } = this.#tools.store;
    if (this.#outputBytes > max) throw badRequest(`The output has more than ${max} bytes.`, 'output_too_large');
    (status < 400 ? this.#good : this.#bad).push(line);
    const { inputTokens, outputTokens, reasoningTokens = 0 } = readUsage(answer.usage) ?? NO_TOKENS;
    this.#used = {
      inputTokens: this.#used.inputTokens + inputTokens,
      outputTokens: this.#used.outputTokens + outputTokens,
      reasoningTokens: this.#used.reasoningTokens + reasoningTokens,
    };
    this.#show({ model: body.model ?? null });
  }

  async #answered(
    operation: ModelOperation,
    body: JsonObject,
    requestId: string,
  ): Promise<{ status: number; answer: JsonObject }> {
    try {
      if (body.stream === true) throw invalidRequest("'stream' cannot be used in a batch.", 'stream');
      return { status: 200, answer: await this.#tools.answer(operation, body, { requestId, signal: this.#signal }) };
    } catch (thrown) {
      this.#signal.throwIfAborted();
      const error = toGatewayError(thrown);
      return { status: error.status, answer: { ...errorBody(error) } };
    }
  }

  /** Stores the answers, good ones and bad ones apart; a file without a line is not made. */
  #output(): JsonObject {
    const { id } = this.#batch;
    const kept = (kind: string, lines: readonly string[]): string | null => {
      if (lines.length === 0) return null;
      const bytes = Buffer.from(`${lines.join('\n')}\n`);
      const file = { filename: `${id}_${kind}.jsonl`, purpose: 'batch_output', bytes };
      return addFile(this.#tools.store, `${id}/${kind}`, file).id;
    };
    return { output_file_id: kept('output', this.#good), error_file_id: kept('error', this.#bad) };
  }
}

function usageBody({ inputTokens, outputTokens, reasoningTokens }: typeof NO_TOKENS): JsonObject {
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + outputTokens,
  };
}

/** @throws {GatewayError} 400 */
function readLine(text: string, endpoint: string, number: number): { customId: string; body: JsonObject } {
  const refusal = (why: string): GatewayError => badRequest(`Line ${number} of the input file ${why}.`, 'invalid_line');
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    throw refusal('is not parseable as valid JSON');
  }
  const { custom_id: customId, method, url, body } = isJsonObject(line) ? line : {};
  if (typeof customId !== 'string' || customId === '') throw refusal("has no 'custom_id'");
  if (method !== 'POST' || url !== endpoint) throw refusal(`is not for 'POST' and '${endpoint}'`);
  if (!isJsonObject(body)) throw refusal("has no 'body'");
  return { customId, body };
}
