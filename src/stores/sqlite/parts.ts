import { objectOf } from '../../base/json.js';
import { keyToJson } from '../../keys/key-records.js';
import type { KeyRecords } from '../../keys/key-store.js';
import type { LimiterStore } from '../../limits/limiter-store.js';
import type { UsageReader, UsageStore } from '../../usage/usage-store.js';
import type { ObjectKind } from '../../wire/operations.js';
import type { IdempotencyStore } from '../answer-store.js';
import type { InterruptedCalls } from '../interrupted.js';
import type { ObjectStore, StoredObject } from '../object-store.js';
import { keptAnswerOf, keyAuditOf, keyOfHash, keyRecordOf } from '../stored-json.js';
import { rowWriter } from './ledger-rows.js';
import type { Link } from './link.js';
import type { ObjectRow } from './protocol.js';

/** The stores of a gateway, in which the thread behind the link does all the work. */
export interface Parts {
  readonly usage: Required<UsageStore & UsageReader>;
  readonly limiter: LimiterStore;
  readonly keys: KeyRecords;
  readonly objects: Required<ObjectStore>;
  readonly idempotency: IdempotencyStore;
}

/** Makes the stores that ask the thread. What is large goes there and back as JSON, which is cheaper to copy than an object. */
export function partsOver(link: Link, calls: InterruptedCalls): Parts {
  return {
    usage: usageOver(link, calls),
    limiter: {
      reserve: (reservation, now) => link.ask('reserve', { reservation, now }),
      settle: ({ id }, amounts, now) => link.ask('settleReservation', { id, amounts, now }),
    },
    keys: keysOver(link),
    objects: objectsOver(link),
    idempotency: idempotencyOver(link),
  };
}

function usageOver(link: Link, calls: InterruptedCalls): Parts['usage'] {
  const { startRow, recordRow } = rowWriter();
  return {
    open: (start) => link.ask('open', startRow(start)),
    settle: (record) => link.ask('settle', recordRow(record)),
    checkpoint: (requestId, outputTokens) => link.ask('checkpoint', { requestId, outputTokens }),
    onInterrupted: calls.listen,
    report: (query) => link.ask('report', query),
    spent: (scope, period) => link.ask('spent', { scope, period }),
  };
}

function keysOver(link: Link): KeyRecords {
  return {
    async find(hash) {
      const json = await link.ask('findKey', hash);
      return json === undefined ? undefined : keyOfHash(json, hash);
    },
    list: async (query) => (await link.ask('listKeys', query)).map(keyRecordOf),
    write(record, audit) {
      const { key, secrets, createdAt, version } = record;
      const owner = key.owner ?? null;
      const hashes = secrets.map(({ hash }) => hash);
      const json = { record: keyToJson(record), audit: keyToJson(audit) };
      return link.ask('writeKey', { id: key.id, owner, createdAt, version, hashes, ...json });
    },
    audits: async (keyId) => (await link.ask('keyAudits', keyId)).map(keyAuditOf),
  };
}

function objectsOver(link: Link): Required<ObjectStore> {
  return {
    async find(owner, kind, id) {
      const row = await link.ask('findObject', { owner, kind, id });
      return row && storedObject(owner, kind, row);
    },
    list: async (owner, kind) =>
      (await link.ask('listObjects', { owner, kind })).map((row) => storedObject(owner, kind, row)),
    listIds: (owner, kind) => link.ask('listObjectIds', { owner, kind }),
    put({ owner, kind, id, createdAt, body }) {
      const text = JSON.stringify(body);
      return link.ask('putObject', { owner, kind, id, createdAt, body: text }, text.length);
    },
    remove: (owner, kind, id) => link.ask('removeObject', { owner, kind, id }),
  };
}

function storedObject(owner: string, kind: ObjectKind, { id, createdAt, body }: ObjectRow): StoredObject {
  return { owner, kind, id, createdAt, body: objectOf(body) };
}

function idempotencyOver(link: Link): IdempotencyStore {
  return {
    async claim({ id, fingerprint }, now, claimMs) {
      const claim = await link.ask('claim', { id, fingerprint, now, claimMs });
      return claim.kind === 'answered' ? { kind: 'answered', answer: keptAnswerOf(claim.answer) } : claim;
    },
    finish({ id, fingerprint, owner = '' }, answer, expiresAt) {
      const text = answer === undefined ? undefined : JSON.stringify(answer);
      return link.ask('finish', { id, fingerprint, owner, answer: text, expiresAt }, text?.length);
    },
  };
}
