import type { IdempotencyClaim, IdempotencyStore, KeptAnswer } from '../answer-store.js';
import { type Database, textOf } from './driver.js';
import type { Instance } from './instance.js';
import type { Writer } from './writer.js';

const TIDY_ROWS = 16;

/**
 * Keeps answers until they expire, and claims as long as their processes live, by the clock that all processes share.
 * @param behindMs see `behindShared`.
 */
export function sqliteIdempotency(
  db: Database,
  { writer, instance, behindMs }: { writer: Writer; instance: Instance; behindMs: number },
): IdempotencyStore {
  const find = db.prepare('SELECT fingerprint, answer, instance FROM idempotency WHERE id = ? AND expires_at > ?');
  const claim = db.prepare(
    'INSERT OR REPLACE INTO idempotency (id, fingerprint, expires_at, instance) VALUES (?, ?, ?, ?)',
  );
  const keep = db.prepare(`
    INSERT INTO idempotency (id, fingerprint, answer, expires_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET answer = excluded.answer, expires_at = excluded.expires_at
    WHERE fingerprint = excluded.fingerprint AND answer IS NULL
  `);
  const giveBack = db.prepare(
    'DELETE FROM idempotency WHERE id = ? AND fingerprint = ? AND answer IS NULL AND instance = ?',
  );
  const tidy = db.prepare(`
    DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency WHERE expires_at <= ? LIMIT ${TIDY_ROWS})
  `);

  function claimAt(id: string, fingerprint: string, now: number, claimMs: number): IdempotencyClaim {
    tidy.run(now);
    const row = find.get(id, now);
    if (row === undefined || (row.answer === null && row.instance !== null && instance.isOver(textOf(row.instance)))) {
      claim.run(id, fingerprint, Math.ceil(now + claimMs), instance.id);
      return { kind: 'claimed' };
    }
    if (row.fingerprint !== fingerprint) return { kind: 'other-request' };
    return row.answer === null ? { kind: 'in-flight' } : { kind: 'answered', answer: answerOf(textOf(row.answer)) };
  }

  return {
    claim: ({ id, fingerprint }, now, claimMs) => writer.write(() => claimAt(id, fingerprint, now + behindMs, claimMs)),
    finish: ({ id, fingerprint }, answer, expiresAt) =>
      writer.write(() => {
        if (answer === undefined) giveBack.run(id, fingerprint, instance.id);
        else keep.run(id, fingerprint, JSON.stringify(answer), Math.ceil(expiresAt + behindMs));
      }),
  };
}

/** Gives back the claims of an instance that will not finish them. Runs within the caller's transaction. */
export function claimRelease(db: Database): (instance: string) => void {
  const release = db.prepare('DELETE FROM idempotency WHERE instance = ? AND answer IS NULL');
  return (instance) => void release.run(instance);
}

/** Reads an answer that `finish` wrote. */
function answerOf(json: string): KeptAnswer {
  return JSON.parse(json);
}
