import { objectOf } from '../../base/json.js';
import type { ObjectKind } from '../../wire/operations.js';
import type { ObjectStore, StoredObject } from '../object-store.js';
import { type Database, numberOf, type Row, textOf } from './pool.js';

/**
 * Keeps objects in the database; `place` is the order in which they were first put, `used` the order of their last use.
 * @param maxObjectsPerOwner above it, the owner's object unused for longest goes.
 */
export function postgresObjects({ schema, query }: Database, maxObjectsPerOwner: number): ObjectStore {
  const nextUse = `nextval('${schema}.object_uses')`;
  const findSql = `
    UPDATE ${schema}.objects SET used = ${nextUse} WHERE owner = $1 AND kind = $2 AND id = $3 RETURNING id, created_at, body
  `;
  const listSql = `SELECT id, created_at, body FROM ${schema}.objects WHERE owner = $1 AND kind = $2 ORDER BY place`;
  const putSql = `
    WITH spare AS (
      DELETE FROM ${schema}.objects WHERE place IN (
        SELECT place FROM ${schema}.objects WHERE place IN (
          SELECT place FROM ${schema}.objects WHERE owner = $1 AND (kind, id) <> ($2, $3)
          ORDER BY used DESC OFFSET ${maxObjectsPerOwner - 1}
        ) FOR UPDATE SKIP LOCKED
      )
    )
    INSERT INTO ${schema}.objects AS objects (owner, kind, id, created_at, body) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (owner, kind, id) DO UPDATE
    SET created_at = excluded.created_at, body = excluded.body, used = excluded.used
  `;
  const removeSql = `DELETE FROM ${schema}.objects WHERE owner = $1 AND kind = $2 AND id = $3`;

  return {
    async find(owner, kind, id) {
      // PostgreSQL cannot keep such a name, and clients may ask for any.
      if (id.includes('\0')) return undefined;
      const [row] = await query(findSql, [owner, kind, id]);
      return row === undefined ? undefined : storedObject(owner, kind, row);
    },
    async list(owner, kind) {
      return (await query(listSql, [owner, kind])).map((row) => storedObject(owner, kind, row));
    },
    async put({ owner, kind, id, createdAt, body }) {
      await query(putSql, [owner, kind, id, createdAt, JSON.stringify(body)]);
    },
    async remove(owner, kind, id) {
      if (!id.includes('\0')) await query(removeSql, [owner, kind, id]);
    },
  };
}

function storedObject(owner: string, kind: ObjectKind, row: Row): StoredObject {
  return { owner, kind, id: textOf(row.id), createdAt: numberOf(row.created_at), body: objectOf(textOf(row.body)) };
}
