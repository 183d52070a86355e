import { createHash } from 'node:crypto';
import { errorBody, type GatewayError, toGatewayError } from '../../base/errors.js';
import { isJsonObject, type JsonObject } from '../../base/json.js';
import { optionalChoice, readMetadata } from '../../wire/members.js';
import { MODEL_OPERATIONS, type ModelOperation } from '../../wire/operations.js';
import { badRequest, invalidRequest, missingParameter } from '../../wire/request-errors.js';
import { readResponsesUsage, readUsage, type TokenUsage } from '../../wire/usage.js';
import type { CallContext } from '../upstream.js';
import { addFile, expiryOf } from './files.js';
import { filledString, readJson } from './forms.js';
import type { Endpoints } from './replies.js';
import { type DemoStore, pageOf, type StoredObject } from './store.js';

/** Helpers that running batches takes. */
export interface BatchTools {
  readonly store: DemoStore;
  answer(operation: ModelOperation, body: JsonObject, call: BatchedCall): Promise<JsonObject>;
  /** Lets other work have its turn, without keeping the process alive. @throws the signal's reason once it is aborted */
  turn(signal: AbortSignal): Promise<void>;
}

export type BatchedCall = Pick<CallContext, 'requestId' | 'signal'>;

/** A request of a batch. */
interface Line {
  readonly customId: string;
  readonly body: JsonObject;
}

/** Operations by the endpoints that a batch may be for. */
const OPERATIONS: ReadonlyMap<unknown, ModelOperation> = new Map(
  MODEL_OPERATIONS.map((operation) => [`/v1/${operation.replace('.', '/')}`, operation]),
);
const DAY_SECONDS = 24 * 3_600;
const ENDED: readonly unknown[] = ['completed', 'failed', 'cancelled'];
const STAGES = 'in_progress_at finalizing_at completed_at failed_at expired_at cancelling_at cancelled_at'.split(' ');
const MAX_LINES = 10_000;
/** Lines that are read or answered before other work has its turn. */
const LINES_PER_TURN = 16;
const LINE_FEED = 0x0a;

/** `/batches`. They run one after the other in turns of the event loop. */
export function batchEndpoints(tools: BatchTools): Endpoints {
  const { store } = tools;
  const aborts = new Map<string, AbortController>();
  let last = Promise.resolve();
  return {
    'POST /batches': async ({ call }) => {
      const body = await readJson(call);
      const outputExpiresAt = expiryOf(body, 'output_expires_after', store) ?? null;
      const note = { outputExpiresAt };
      const batch = store.add('batch', call.requestId, (id) => ({ body: newBody(id, body, store), note }));
      const abort = new AbortController();
      aborts.set(batch.id, abort);
      const run = new BatchRun(batch, abort.signal, tools);
      last = last.then(() => run.run()).finally(() => aborts.delete(batch.id));
      return batch.body;
    },
    'GET /batches': ({ query }) => pageOf(store.all('batch'), query),
    'GET /batches/{id}': ({ ids: [id] }) => store.at('batch', id).body,
    'POST /batches/{id}/cancel': ({ ids: [id] }) => {
      const batch = store.at('batch', id);
      const { status } = batch.body;
      if (ENDED.includes(status)) throw badRequest(`Cannot cancel a batch with status '${String(status)}'.`);
      aborts.get(batch.id)?.abort(new Error('The batch was cancelled'));
      return store.change(batch, { status: 'cancelling', cancelling_at: store.nowSeconds() }).body;
    },
  };
}

function newBody(id: string, given: JsonObject, store: DemoStore): JsonObject {
  const inputFileId = filledString(given, 'input_file_id');
  const endpoint = optionalChoice('endpoint', given.endpoint, [...OPERATIONS.keys()].map(String));
  if (endpoint === undefined) throw missingParameter('endpoint');
  const { purpose } = store.at('file', inputFileId).body;
  const message = `Expected a file with purpose 'batch', but this one has '${String(purpose)}'.`;
  if (purpose !== 'batch') throw badRequest(message, null, 'input_file_id');
  readMetadata(given.metadata);
  const now = store.nowSeconds();
  return {
    ...{ id, object: 'batch', endpoint, model: null, errors: null, input_file_id: inputFileId },
    ...{ completion_window: '24h', status: 'validating', output_file_id: null, error_file_id: null },
    ...{ created_at: now, expires_at: now + DAY_SECONDS },
    ...Object.fromEntries(STAGES.map((stage) => [stage, null])),
    ...{
      request_counts: { total: 0, completed: 0, failed: 0 },
      usage: usageBody([]),
      metadata: given.metadata ?? null,
    },
  };
}

/** One batch on its way. */
class BatchRun {
  readonly #batch: StoredObject;
  readonly #signal: AbortSignal;
  readonly #tools: BatchTools;
  readonly #good: string[] = [];
  readonly #bad: string[] = [];
  readonly #usages: TokenUsage[] = [];
  #total = 0;
  #bytes = 0;

  constructor(batch: StoredObject, signal: AbortSignal, tools: BatchTools) {
    this.#batch = batch;
    this.#signal = signal;
    this.#tools = tools;
  }

  /** Runs to the end, whatever happens, and never rejects. */
  async run(): Promise<void> {
    const { store, turn } = this.#tools;
    try {
      await turn(this.#signal);
      const lines = await this.#readLines();
      this.#total = lines.length;
      this.#show({ status: 'in_progress', in_progress_at: store.nowSeconds(), model: lines[0]?.body.model ?? null });
      for (const [index, line] of lines.entries()) {
        if (index % LINES_PER_TURN === 0) await turn(this.#signal);
        await this.#answer(line, index);
      }
      await turn(this.#signal);
      this.#end('completed', { finalizing_at: store.nowSeconds(), ...this.#output() });
    } catch (thrown) {
      if (this.#signal.aborted) return this.#end('cancelled', {});
      const { message, code, param } = toGatewayError(thrown);
      const line = Number(/^Line (\d+)/.exec(message)?.[1] ?? 0) || null;
      this.#end('failed', { errors: { object: 'list', data: [{ code, message, param, line }] } });
    }
  }

  #show(changes: JsonObject): void {
    const counts = { total: this.#total, completed: this.#good.length, failed: this.#bad.length };
    this.#tools.store.change(this.#batch, { request_counts: counts, ...changes });
  }

  #end(status: 'completed' | 'failed' | 'cancelled', changes: JsonObject): void {
    const at = this.#tools.store.nowSeconds();
    this.#show({ ...changes, usage: usageBody(this.#usages), status, [`${status}_at`]: at });
  }

  /** Reads the whole input, as OpenAI does while a batch is `validating`. @throws {GatewayError} 400 */
  async #readLines(): Promise<readonly Line[]> {
    const { endpoint, input_file_id } = this.#batch.body;
    // The file may have been deleted while the batch waited.
    const { bytes = Buffer.alloc(0) } = this.#tools.store.at('file', String(input_file_id));
    const lines: Line[] = [];
    let number = 1;
    for (let at = 0; at < bytes.length; at += 1) {
      const found = bytes.indexOf(LINE_FEED, at);
      const end = found === -1 ? bytes.length : found;
      if (end > at) lines.push(readLine(bytes.toString('utf8', at, end), String(endpoint), number));
      if (lines.length > MAX_LINES) throw badRequest(`The demo answers ${MAX_LINES} lines at most.`, 'too_many_tasks');
      if (end > at && lines.length % LINES_PER_TURN === 0) await this.#tools.turn(this.#signal);
      number += 1;
      // Sixteen million empty lines are passed over in no time.
      for (at = end; bytes[at + 1] === LINE_FEED; at += 1) number += 1;
    }
    if (lines.length === 0) throw badRequest('The input file is empty.', 'empty_file');
    return lines;
  }

  async #answer({ customId, body }: Line, index: number): Promise<void> {
    const requestId = `req_${digestOf(`${this.#batch.id}/${index}`)}`;
    const { status, answer } = await this.#answered(body, requestId);
    const response = { status_code: status, request_id: requestId, body: answer };
    const line = JSON.stringify({ id: `batch_req_${digestOf(requestId)}`, custom_id: customId, response, error: null });
    this.#bytes += Buffer.byteLength(line) + 1;
    const { maxFileBytes: max } = this.#tools.store;
    if (this.#bytes > max) throw badRequest(`The output has more than ${max} bytes.`, 'output_too_large');
    (status < 400 ? this.#good : this.#bad).push(line);
    const usage = readResponsesUsage(answer.usage) ?? readUsage(answer.usage);
    if (usage !== undefined) this.#usages.push(usage);
    this.#show({});
  }

  async #answered(body: JsonObject, requestId: string): Promise<{ status: number; answer: JsonObject }> {
    try {
      if (body.stream === true) throw invalidRequest("'stream' cannot be used in a batch.", 'stream');
      const operation = OPERATIONS.get(this.#batch.body.endpoint) ?? 'chat.completions';
      return { status: 200, answer: await this.#tools.answer(operation, body, { requestId, signal: this.#signal }) };
    } catch (thrown) {
      this.#signal.throwIfAborted();
      const error = toGatewayError(thrown);
      return { status: error.status, answer: { ...errorBody(error) } };
    }
  }

  /** Stores the answers, good ones and bad ones apart; a file without a line is not made. */
  #output(): JsonObject {
    const { id, note } = this.#batch;
    const expiresAt = typeof note?.outputExpiresAt === 'number' ? note.outputExpiresAt : undefined;
    const kept = (kind: string, lines: readonly string[]): string | null => {
      if (lines.length === 0) return null;
      const file = { filename: `${id}_${kind}.jsonl`, purpose: 'batch_output', expiresAt };
      const bytes = Buffer.from(`${lines.join('\n')}\n`);
      return addFile(this.#tools.store, `${id}/${kind}`, { ...file, bytes }).id;
    };
    return { output_file_id: kept('output', this.#good), error_file_id: kept('error', this.#bad) };
  }
}

/** @throws {GatewayError} 400 */
function readLine(text: string, endpoint: string, number: number): Line {
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

/** The sum of the usage of answers in the shape that batches have. */
function usageBody(usages: readonly TokenUsage[]): JsonObject {
  const sum = (part: keyof TokenUsage): number => usages.reduce((total, usage) => total + (usage[part] ?? 0), 0);
  const [input, output] = [sum('inputTokens'), sum('outputTokens')];
  return {
    ...{ input_tokens: input, output_tokens: output, total_tokens: input + output },
    input_tokens_details: { cached_tokens: sum('cachedInputTokens') },
    output_tokens_details: { reasoning_tokens: sum('reasoningTokens') },
  };
}

const digestOf = (seed: string): string => createHash('sha256').update(seed).digest('hex').slice(0, 32);
