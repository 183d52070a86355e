import { type ByteBounds, ROW_BYTES } from '../byte-bounds.js';
import { type Database, textOf } from './driver.js';
import type { Instance } from './instance.js';
import type { ClaimRow, Engine } from './protocol.js';
import type { Writer } from './writer.js';

const TIDY_ROWS = 16;

/**
 * Keeps answers until they expire, and claims as long as their processes live, by the clock that all processes share.
 * @param behindMs see `behindShared`.
 */
export function sqliteIdempotency(
  db: Database,
  { writer, instance, behindMs, bounds }: { writer: Writer; instance: Instance; behindMs: number; bounds: ByteBounds },
): Pick<Engine, 'claim' | 'finish'> {
  const find = db.prepare('SELECT fingerprint, answer, instance FROM idempotency WHERE id = ? AND expires_at > ?');
  const claim = db.prepare(
    'INSERT OR REPLACE INTO idempotency (id, fingerprint, expires_at, instance) VALUES (?, ?, ?, ?)',
  );
  const keep = db.prepare(`
    INSERT INTO idempotency (id, fingerprint, answer, expires_at, owner) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET answer = excluded.answer, expires_at = excluded.expires_at, owner = excluded.owner
    WHERE fingerprint = excluded.fingerprint AND answer IS NULL
  `);
  const giveBack = db.prepare(
    'DELETE FROM idempotency WHERE id = ? AND fingerprint = ? AND answer IS NULL AND instance = ?',
  );
  const tidy = db.prepare(`
    DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency WHERE expires_at <= ? LIMIT ${TIDY_ROWS})
  `);

  // `octet_length` reads no text, only its length. The oldest are those that expire first.
  const trim = (where: string, most: number): ReturnType<Database['prepare']> =>
    db.prepare(`
      DELETE FROM idempotency WHERE id IN (
        SELECT id FROM (
          SELECT id, sum(octet_length(answer) + ${ROW_BYTES}) OVER (ORDER BY expires_at DESC, id) AS bytes
          FROM idempotency WHERE answer IS NOT NULL ${where}
        ) WHERE bytes > ${most}
      )
    `);
  const trimOwner = trim('AND owner = ?', bounds.owner);
  const trimAll = trim('', bounds.all);

  function claimAt(id: string, fingerprint: string, now: number, claimMs: number): ClaimRow {
    tidy.run(now);
    const row = find.get(id, now);
    if (row === undefined || (row.answer === null && row.instance !== null && instance.isOver(textOf(row.instance)))) {
      claim.run(id, fingerprint, Math.ceil(now + claimMs), instance.id);
      return { kind: 'claimed' };
    }
    if (row.fingerprint !== fingerprint) return { kind: 'other-request' };
    return row.answer === null ? { kind: 'in-flight' } : { kind: 'answered', answer: textOf(row.answer) };
  }

  return {
    claim: ({ id, fingerprint, now, claimMs }) => writer.write(() => claimAt(id, fingerprint, now + behindMs, claimMs)),
    finish: ({ id, fingerprint, owner, answer, expiresAt }) =>
      writer.write(() => {
        if (answer === undefined) {
          giveBack.run(id, fingerprint, instance.id);
          return;
        }
        keep.run(id, fingerprint, answer, Math.ceil(expiresAt + behindMs), owner);
        const { ofOwner, ofAll } = bounds.written(owner, Buffer.byteLength(answer) + ROW_BYTES);
        if (ofOwner) trimOwner.run(owner);
        if (ofAll) trimAll.run();
      }),
  };
}

/** Gives back the claims of an instance that will not finish them. Runs within the caller's transaction. */
export function claimRelease(db: Database): (instance: string) => void {
  const release = db.prepare('DELETE FROM idempotency WHERE instance = ? AND answer IS NULL');
  return (instance) => void release.run(instance);
}
