import type { IdempotencyClaim, IdempotencyStore, KeptAnswer } from '../answer-store.js';
import { type Database, textOf } from './pool.js';

/** Most expired rows deleted with each claim. */
const TIDY_ROWS = 16;

/** Keeps claims and answers until they expire. */
export function postgresIdempotency({ schema, query }: Database): IdempotencyStore {
  const claimSql = `
    WITH tidied AS (
      DELETE FROM ${schema}.idempotency WHERE id IN (
        SELECT id FROM ${schema}.idempotency WHERE expires_at <= $4::bigint AND id <> $1
        ORDER BY expires_at LIMIT ${TIDY_ROWS} FOR UPDATE SKIP LOCKED
      )
    )
    INSERT INTO ${schema}.idempotency AS kept (id, fingerprint, expires_at) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE
    SET fingerprint = excluded.fingerprint, answer = NULL, expires_at = excluded.expires_at
    WHERE kept.expires_at <= $4::bigint
    RETURNING id
  `;
  const findSql = `SELECT fingerprint, answer FROM ${schema}.idempotency WHERE id = $1`;
  const keepSql = `
    INSERT INTO ${schema}.idempotency AS kept (id, fingerprint, answer, expires_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET answer = excluded.answer, expires_at = excluded.expires_at
    WHERE kept.fingerprint = excluded.fingerprint AND kept.answer IS NULL
  `;
  const giveBackSql = `DELETE FROM ${schema}.idempotency WHERE id = $1 AND fingerprint = $2 AND answer IS NULL`;

  async function claim(id: string, fingerprint: string, now: number, expiresAt: number): Promise<IdempotencyClaim> {
    const claimed = await query(claimSql, [id, fingerprint, expiresAt, now]);
    if (claimed.length > 0) return { kind: 'claimed' };
    const [row] = await query(findSql, [id]);
    // The claim was given back just now.
    if (row === undefined) return claim(id, fingerprint, now, expiresAt);
    if (row.fingerprint !== fingerprint) return { kind: 'other-request' };
    return row.answer === null ? { kind: 'in-flight' } : { kind: 'answered', answer: answerOf(textOf(row.answer)) };
  }

  return {
    claim: ({ id, fingerprint }, now, claimMs) => claim(id, fingerprint, Math.floor(now), Math.ceil(now + claimMs)),
    async finish({ id, fingerprint }, answer, expiresAt) {
      if (answer === undefined) await query(giveBackSql, [id, fingerprint]);
      else await query(keepSql, [id, fingerprint, JSON.stringify(answer), Math.ceil(expiresAt)]);
    },
  };
}

/** Reads an answer that `finish` wrote. */
function answerOf(json: string): KeptAnswer {
  return JSON.parse(json);
}
