import type { IdempotencyClaim, IdempotencyStore, KeptAnswer } from '../answer-store.js';
import { type Database, textOf } from './driver.js';
import type { Writer } from './writer.js';

const TIDY_ROWS = 16;

/** Keeps claims and answers until they expire. */
export function sqliteIdempotency(db: Database, writer: Writer): IdempotencyStore {
  const find = db.prepare('SELECT fingerprint, answer FROM idempotency WHERE id = ? AND expires_at > ?');
  const claim = db.prepare('INSERT OR REPLACE INTO idempotency (id, fingerprint, expires_at) VALUES (?, ?, ?)');
  const keep = db.prepare(`
    INSERT INTO idempotency (id, fingerprint, answer, expires_at) VALUES (?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET answer = excluded.answer, expires_at = excluded.expires_at
    WHERE fingerprint = excluded.fingerprint AND answer IS NULL
  `);
  const giveBack = db.prepare('DELETE FROM idempotency WHERE id = ? AND fingerprint = ? AND answer IS NULL');
  const tidy = db.prepare(`
    DELETE FROM idempotency WHERE id IN (SELECT id FROM idempotency WHERE expires_at <= ? LIMIT ${TIDY_ROWS})
  `);

  return {
    claim: ({ id, fingerprint }, now, claimMs) =>
      writer.write((): IdempotencyClaim => {
        tidy.run(now);
        const row = find.get(id, now);
        if (row === undefined) {
          claim.run(id, fingerprint, Math.ceil(now + claimMs));
          return { kind: 'claimed' };
        }
        if (row.fingerprint !== fingerprint) return { kind: 'other-request' };
        return row.answer === null ? { kind: 'in-flight' } : { kind: 'answered', answer: answerOf(textOf(row.answer)) };
      }),
    finish: ({ id, fingerprint }, answer, expiresAt) =>
      writer.write(() => {
        if (answer === undefined) giveBack.run(id, fingerprint);
        else keep.run(id, fingerprint, JSON.stringify(answer), Math.ceil(expiresAt));
      }),
  };
}

/** Reads an answer that `finish` wrote. */
function answerOf(json: string): KeptAnswer {
  return JSON.parse(json);
}
