import { keyToJson } from '../../keys/key-records.js';
import type { KeyRecords } from '../../keys/key-store.js';
import { keyAuditOf, keyOfHash, keyRecordOf } from '../stored-json.js';
import { type Database, textOf } from './pool.js';

const DEFAULT_LIMIT = 100;

/** Keeps keys, the hashes of their secrets, and the audit of changes. */
export function postgresKeys({ schema, query, transact }: Database): KeyRecords {
  const findSql = `
    SELECT record FROM ${schema}.key_secrets JOIN ${schema}.keys ON keys.id = key_secrets.key_id WHERE hash = $1
  `;
  const listSql = `
    SELECT record FROM ${schema}.keys
    WHERE ($1::text IS NULL OR id = $1) AND ($2::text IS NULL OR owner = $2)
    AND ($3::text IS NULL OR (created_at, id) > (SELECT created_at, id FROM ${schema}.keys WHERE id = $3))
    ORDER BY created_at, id LIMIT $4
  `;
  const insertSql = `
    INSERT INTO ${schema}.keys (id, owner, created_at, version, record) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (id) DO NOTHING RETURNING id
  `;
  const updateSql = `
    UPDATE ${schema}.keys SET owner = $2, created_at = $3, version = $4::bigint, record = $5
    WHERE id = $1 AND version = $4::bigint - 1 RETURNING id
  `;

  return {
    async find(hash) {
      const [row] = await query(findSql, [hash]);
      return row === undefined ? undefined : keyOfHash(textOf(row.record), hash);
    },
    async list({ id, owner, after, limit = DEFAULT_LIMIT }) {
      const rows = await query(listSql, [id, owner, after, limit]);
      return rows.map(({ record }) => keyRecordOf(textOf(record)));
    },
    async write(record, audit) {
      const { key, secrets, createdAt, version } = record;
      const row = [key.id, key.owner, createdAt, version, keyToJson(record)];
      const auditJson = keyToJson(audit);
      return transact(async (run) => {
        const written = await run(version === 1 ? insertSql : updateSql, row);
        if (written.length === 0) return false;
        await run(`DELETE FROM ${schema}.key_secrets WHERE key_id = $1`, [key.id]);
        const hashes = secrets.map(({ hash }) => hash);
        await run(`INSERT INTO ${schema}.key_secrets (hash, key_id) SELECT unnest($1::text[]), $2`, [hashes, key.id]);
        await run(`INSERT INTO ${schema}.key_audits (key_id, audit) VALUES ($1, $2)`, [key.id, auditJson]);
        return true;
      });
    },
    async audits(keyId) {
      const sql = `SELECT audit FROM ${schema}.key_audits WHERE key_id = $1 ORDER BY place`;
      return (await query(sql, [keyId])).map(({ audit }) => keyAuditOf(textOf(audit)));
    },
  };
}
