import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import { badRequest } from '../../../wire/request-errors.js';
import type { DemoStorage } from './demo-storage.js';

/** What a batch's requests were answered, until it is stored. */
export interface BatchOutput {
  /** @param line without its line feed. @throws {GatewayError} 400 when it becomes larger than a file may be. */
  add(status: number, line: string): void;
  counts(): { readonly completed: number; readonly failed: number };
  /** Stores it, good answers and bad ones apart; a file without a line is not made. */
  store(): JsonObject;
}

/** @param expiresAt when its files are to expire, in Unix seconds. */
export function batchOutput(batchId: string, expiresAt: number | undefined, storage: DemoStorage): BatchOutput {
  const good: string[] = [];
  const bad: string[] = [];
  let size = 0;
  const stored = (kind: 'output' | 'error', lines: readonly string[]): string | null => {
    if (lines.length === 0) return null;
    const bytes = Buffer.from(`${lines.join('\n')}\n`);
    const filename = `${batchId}_${kind}.jsonl`;
    return storage.addFile(`${batchId}/${kind}`, { purpose: 'batch_output', filename, bytes, expiresAt }).id;
  };
  return {
    add(status, line) {
      size += Buffer.byteLength(line) + 1;
      const max = storage.bounds.maxFileBytes;
      if (size > max) throw badRequest(`The output has more than ${max} bytes.`, 'output_too_large');
      (status < 400 ? good : bad).push(line);
    },
    counts: () => ({ completed: good.length, failed: bad.length }),
    store: () => ({ output_file_id: stored('output', good), error_file_id: stored('error', bad) }),
  };
}

/** The sum of the usage of answers, chat's and responses' alike, in the shape that batches have. */
export function usageSum(): { add(usage: Json | undefined): void; body(): JsonObject } {
  const sum = { input: 0, cached: 0, output: 0, reasoning: 0 };
  return {
    add(usage) {
      if (!isJsonObject(usage)) return;
      sum.input += numberIn(usage, 'input_tokens', 'prompt_tokens');
      sum.output += numberIn(usage, 'output_tokens', 'completion_tokens');
      sum.cached += numberIn(usage.input_tokens_details ?? usage.prompt_tokens_details, 'cached_tokens');
      sum.reasoning += numberIn(usage.output_tokens_details ?? usage.completion_tokens_details, 'reasoning_tokens');
    },
    body: () => ({
      input_tokens: sum.input,
      output_tokens: sum.output,
      total_tokens: sum.input + sum.output,
      input_tokens_details: { cached_tokens: sum.cached },
      output_tokens_details: { reasoning_tokens: sum.reasoning },
    }),
  };
}

function numberIn(value: Json | undefined, ...names: readonly string[]): number {
  if (!isJsonObject(value)) return 0;
  for (const name of names) {
    const number = value[name];
    if (typeof number === 'number') return number;
  }
  return 0;
}
