import { type Database, textOf } from './driver.js';
import type { Engine } from './protocol.js';
import type { Writer } from './writer.js';

const DEFAULT_LIMIT = 100;

/** Keeps keys, the hashes of their secrets, and the audit of changes. */
export function sqliteKeys(
  db: Database,
  writer: Writer,
): Pick<Engine, 'findKey' | 'listKeys' | 'writeKey' | 'keyAudits'> {
  const find = db.prepare('SELECT record FROM keys WHERE id = (SELECT key_id FROM key_secrets WHERE hash = ?)');
  const conditions = `
    ($owner IS NULL OR owner = $owner)
    AND ($after IS NULL OR (created_at, id) > (SELECT created_at, id FROM keys WHERE id = $after))
    ORDER BY created_at, id LIMIT $limit
  `;
  const list = db.prepare(`SELECT record FROM keys WHERE ${conditions}`);
  const one = db.prepare(`SELECT record FROM keys WHERE id = $id AND ${conditions}`);
  const insert = db.prepare(`
    INSERT INTO keys (id, owner, created_at, version, record) VALUES ($id, $owner, $created_at, $version, $record)
    ON CONFLICT (id) DO NOTHING
  `);
  const update = db.prepare(`
    UPDATE keys SET owner = $owner, created_at = $created_at, version = $version, record = $record
    WHERE id = $id AND version = $version - 1
  `);
  const dropSecrets = db.prepare('DELETE FROM key_secrets WHERE key_id = ?');
  const addSecret = db.prepare('INSERT INTO key_secrets (hash, key_id) VALUES (?, ?)');
  const addAudit = db.prepare('INSERT INTO key_audits (key_id, audit) VALUES (?, ?)');
  const audits = db.prepare('SELECT audit FROM key_audits WHERE key_id = ? ORDER BY id');

  return {
    findKey(hash) {
      const row = find.get(hash);
      return row === undefined ? undefined : textOf(row.record);
    },
    listKeys({ id, owner, after, limit }) {
      const values = { owner: owner ?? null, after: after ?? null, limit: limit ?? DEFAULT_LIMIT };
      const rows = id === undefined ? list.all(values) : one.all({ ...values, id });
      return rows.map((row) => textOf(row.record));
    },
    writeKey: ({ id, owner, createdAt, version, hashes, record, audit }) =>
      writer.write(() => {
        const statement = version === 1 ? insert : update;
        const { changes } = statement.run({ id, owner, created_at: createdAt, version, record });
        if (Number(changes) === 0) return false;
        dropSecrets.run(id);
        for (const hash of hashes) addSecret.run(hash, id);
        addAudit.run(id, audit);
        return true;
      }),
    keyAudits: (keyId) => audits.all(keyId).map((row) => textOf(row.audit)),
  };
}
