import { keyOfSecret, reviveInfinity } from '../keys/key-records.js';
import type { ApiKey, KeyAudit, KeyRecord } from '../keys/key-store.js';
import type { KeptAnswer } from './answer-store.js';

/** Reads the key of a secret from the record that has it. @param json as `keyToJson` wrote it. */
export function keyOfHash(json: string, hash: string): ApiKey | undefined {
  const record = keyRecordOf(json);
  const secret = record.secrets.find((one) => one.hash === hash);
  return secret === undefined ? undefined : keyOfSecret(record, secret);
}

/** Reads a key's record. @param json as `keyToJson` wrote it. */
export function keyRecordOf(json: string): KeyRecord {
  return JSON.parse(json, reviveInfinity);
}

/** Reads an audit row. @param json as `keyToJson` wrote it. */
export function keyAuditOf(json: string): KeyAudit {
  return JSON.parse(json, reviveInfinity);
}

/** Reads an answer that a store keeps as JSON. */
export function keptAnswerOf(json: string): KeptAnswer {
  return JSON.parse(json);
}
