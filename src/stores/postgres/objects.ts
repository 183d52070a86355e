import { objectOf } from '../../base/json.js';
import type { ObjectKind } from '../../wire/operations.js';
import { type ByteBounds, ROW_BYTES } from '../byte-bounds.js';
import type { ObjectStore, StoredObject } from '../object-store.js';
import { type Database, numberOf, type Row, textOf } from './pool.js';

interface ObjectBounds {
  /** Above it, the owner's object unused for longest goes. */
  readonly maxObjectsPerOwner: number;
  readonly bounds: ByteBounds;
}

/**
 * Keeps objects in the database; `place` is the order in which they were first put, `used` the order of their last use.
 */
export function postgresObjects(
  { schema, query }: Database,
  { maxObjectsPerOwner, bounds }: ObjectBounds,
): ObjectStore {
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
  // `octet_length` reads no text, only its length. The id stands in an index, too.
  const rowBytes = `octet_length(body) + 2 * octet_length(id) + ${ROW_BYTES}`;
  const trimSql = (order: string, where: string, most: number): string => `
    DELETE FROM ${schema}.objects WHERE place IN (
      SELECT place FROM ${schema}.objects WHERE place IN (
        SELECT place FROM (
          SELECT place, sum(${rowBytes}) OVER (ORDER BY ${order} DESC) AS bytes FROM ${schema}.objects ${where}
        ) AS sums WHERE bytes > ${most}
      ) FOR UPDATE SKIP LOCKED
    )
  `;
  const trimOwnerSql = trimSql('used', 'WHERE owner = $1', bounds.owner);
  const trimAllSql = trimSql('place', '', bounds.all);
  const listIdsSql = `SELECT id FROM ${schema}.objects WHERE owner = $1 AND kind = $2 ORDER BY place`;
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
      const text = JSON.stringify(body);
      await query(putSql, [owner, kind, id, createdAt, text]);
      const { ofOwner, ofAll } = bounds.written(owner, Buffer.byteLength(text) + 2 * Buffer.byteLength(id) + ROW_BYTES);
      if (ofOwner) await query(trimOwnerSql, [owner]);
      if (ofAll) await query(trimAllSql);
    },
    async listIds(owner, kind) {
      return (await query(listIdsSql, [owner, kind])).map(({ id }) => textOf(id));
    },
    async remove(owner, kind, id) {
      if (!id.includes('\0')) await query(removeSql, [owner, kind, id]);
    },
  };
}

function storedObject(owner: string, kind: ObjectKind, row: Row): StoredObject {
  return { owner, kind, id: textOf(row.id), createdAt: numberOf(row.created_at), body: objectOf(textOf(row.body)) };
}
