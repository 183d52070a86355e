import { type ByteBounds, ROW_BYTES } from '../byte-bounds.js';
import { type Database, numberOf, type Row, textOf } from './driver.js';
import type { Engine, ObjectRow } from './protocol.js';
import type { Writer } from './writer.js';

interface ObjectOptions {
  /** Notes that an object was used; a power failure may undo the note. */
  readonly quick: { readonly db: Database; readonly writer: Writer };
  readonly durable: { readonly db: Database; readonly writer: Writer };
  /** Above it, the owner's object unused for longest goes. */
  readonly maxObjectsPerOwner: number;
  readonly bounds: ByteBounds;
}

/** Keeps objects in the file; `place` is the order in which they were first put, `used` the order of their last use. */
export function sqliteObjects({
  quick,
  durable,
  maxObjectsPerOwner,
  bounds,
}: ObjectOptions): Pick<Engine, 'findObject' | 'listObjects' | 'listObjectIds' | 'putObject' | 'removeObject'> {
  const { db, writer } = durable;
  const nextUse = '(SELECT coalesce(max(used), 0) + 1 FROM objects WHERE owner = $owner)';
  const touch = quick.db.prepare(`
    UPDATE objects SET used = ${nextUse} WHERE owner = $owner AND kind = $kind AND id = $id RETURNING created_at, body
  `);
  const list = db.prepare('SELECT id, created_at, body FROM objects WHERE owner = ? AND kind = ? ORDER BY place');
  const put = db.prepare(`
    INSERT INTO objects (owner, kind, id, created_at, body, used)
    VALUES ($owner, $kind, $id, $created_at, $body, ${nextUse})
    ON CONFLICT (owner, kind, id) DO UPDATE
    SET created_at = excluded.created_at, body = excluded.body, used = excluded.used
  `);
  const trim = db.prepare(`
    DELETE FROM objects WHERE place IN
      (SELECT place FROM objects WHERE owner = ? ORDER BY used DESC LIMIT -1 OFFSET ${maxObjectsPerOwner})
  `);
  // `octet_length` reads no text, only its length. The id stands in an index, too.
  const rowBytes = `octet_length(body) + 2 * octet_length(id) + ${ROW_BYTES}`;
  const trimOwner = db.prepare(`
    DELETE FROM objects WHERE place IN (
      SELECT place FROM (
        SELECT place, sum(${rowBytes}) OVER (ORDER BY used DESC) AS bytes FROM objects WHERE owner = ?
      ) WHERE bytes > ${bounds.owner}
    )
  `);
  const trimAll = db.prepare(`
    DELETE FROM objects WHERE place IN (
      SELECT place FROM (SELECT place, sum(${rowBytes}) OVER (ORDER BY place DESC) AS bytes FROM objects)
      WHERE bytes > ${bounds.all}
    )
  `);
  const listIds = db.prepare('SELECT id FROM objects WHERE owner = ? AND kind = ? ORDER BY place');
  const remove = db.prepare('DELETE FROM objects WHERE owner = ? AND kind = ? AND id = ?');

  return {
    findObject: ({ owner, kind, id }) =>
      quick.writer.write(() => {
        const row = touch.get({ owner, kind, id });
        return row === undefined ? undefined : objectRow(id, row);
      }),
    listObjects: ({ owner, kind }) => list.all(owner, kind).map((row) => objectRow(textOf(row.id), row)),
    listObjectIds: ({ owner, kind }) => listIds.all(owner, kind).map((row) => textOf(row.id)),
    putObject: ({ owner, kind, id, createdAt, body }) =>
      writer.write(() => {
        put.run({ owner, kind, id, created_at: createdAt, body });
        trim.run(owner);
        const bytes = Buffer.byteLength(body) + 2 * Buffer.byteLength(id) + ROW_BYTES;
        const { ofOwner, ofAll } = bounds.written(owner, bytes);
        if (ofOwner) trimOwner.run(owner);
        if (ofAll) trimAll.run();
      }),
    removeObject: ({ owner, kind, id }) => writer.write(() => void remove.run(owner, kind, id)),
  };
}

function objectRow(id: string, row: Row): ObjectRow {
  return { id, createdAt: numberOf(row.created_at), body: textOf(row.body) };
}
