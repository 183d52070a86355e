import { LRUCache } from 'lru-cache';
import { positiveInteger } from '../base/checks.js';
import type { IdempotencyStore, KeptAnswer } from './answer-store.js';

export interface MemoryIdempotencyOptions {
  /** Most answers; above it, those not asked for again for longest go. @default 10_000 */
  readonly maxAnswers?: number;
  /** Largest sum of all answers; above it likewise. @default 67_108_864 */
  readonly maxBytes?: number;
}

interface Entry {
  readonly fingerprint: string;
  readonly expiresAt: number;
  /** `undefined`: it is being made. */
  readonly answer?: KeptAnswer;
}

/** What an answer weighs besides its body. */
const OVERHEAD_BYTES = 1_024;

/**
 * Answers in this process's memory, gone with it.
 * @throws {TypeError} when an option is not a positive integer.
 */
export function memoryIdempotency(options: MemoryIdempotencyOptions = {}): IdempotencyStore {
  /** No more than there are requests; none of them may go while its answer is being made. */
  const claims = new Map<string, Entry>();
  const answers = new LRUCache<string, Entry>({
    max: positiveInteger('maxAnswers', options.maxAnswers ?? 10_000),
    maxSize: positiveInteger('maxBytes', options.maxBytes ?? 67_108_864),
    sizeCalculation: ({ answer }) => OVERHEAD_BYTES + (answer?.body.length ?? 0),
  });

  return {
    claim({ id, fingerprint }, now, claimMs) {
      const entry = [claims.get(id), answers.get(id)].find((one) => one !== undefined && one.expiresAt > now);
      if (entry === undefined) {
        answers.delete(id);
        claims.set(id, { fingerprint, expiresAt: now + claimMs });
        return { kind: 'claimed' };
      }
      if (entry.fingerprint !== fingerprint) return { kind: 'other-request' };
      return entry.answer === undefined ? { kind: 'in-flight' } : { kind: 'answered', answer: entry.answer };
    },
    finish({ id, fingerprint }, answer, expiresAt) {
      if (claims.get(id)?.fingerprint !== fingerprint) return;
      claims.delete(id);
      if (answer !== undefined) answers.set(id, { fingerprint, expiresAt, answer });
    },
  };
}
