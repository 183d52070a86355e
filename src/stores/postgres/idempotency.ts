import type { IdempotencyClaim, IdempotencyStore } from '../answer-store.js';
import { type ByteBounds, ROW_BYTES } from '../byte-bounds.js';
import { keptAnswerOf } from '../stored-json.js';
import { type Database, numberOf, textOf } from './pool.js';
import { DATABASE_MS } from './recovery.js';

/** Most expired rows deleted with each claim. */
const TIDY_ROWS = 16;

/** Keeps answers until they expire, and claims as long as their processes live, by the clock that limits go by. */
export function postgresIdempotency(
  { schema, query }: Database,
  { bounds, time, instance }: { bounds: ByteBounds; time: 'server' | 'caller'; instance: string },
): IdempotencyStore {
  const now = time === 'server' ? DATABASE_MS : '$4::bigint';
  // The caller's time is looked at in either case, as every value must be.
  const behindMs = `${now} - $4::bigint`;
  const claimSql = `
    WITH tidied AS (
      DELETE FROM ${schema}.idempotency WHERE id IN (
        SELECT id FROM ${schema}.idempotency WHERE expires_at <= ${now} AND id <> $1
        ORDER BY expires_at LIMIT ${TIDY_ROWS} FOR UPDATE SKIP LOCKED
      )
    )
    INSERT INTO ${schema}.idempotency AS kept (id, fingerprint, expires_at, instance)
    VALUES ($1, $2, ${now} + $3::bigint, $5)
    ON CONFLICT (id) DO UPDATE
    SET fingerprint = excluded.fingerprint, answer = NULL, expires_at = excluded.expires_at, instance = excluded.instance
    WHERE kept.expires_at <= ${now}
    RETURNING (${behindMs})::text AS behind_ms
  `;
  const findSql = `SELECT fingerprint, answer FROM ${schema}.idempotency WHERE id = $1`;
  const keepSql = `
    INSERT INTO ${schema}.idempotency AS kept (id, fingerprint, answer, expires_at, owner) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (id) DO UPDATE SET answer = excluded.answer, expires_at = excluded.expires_at, owner = excluded.owner
    WHERE kept.fingerprint = excluded.fingerprint AND kept.answer IS NULL
  `;
  // `octet_length` reads no text, only its length. The oldest are those that expire first.
  const trimSql = (where: string, most: number): string => `
    DELETE FROM ${schema}.idempotency WHERE id IN (
      SELECT id FROM ${schema}.idempotency WHERE id IN (
        SELECT id FROM (
          SELECT id, sum(octet_length(answer) + ${ROW_BYTES}) OVER (ORDER BY expires_at DESC, id) AS bytes
          FROM ${schema}.idempotency WHERE answer IS NOT NULL ${where}
        ) AS sums WHERE bytes > ${most}
      ) FOR UPDATE SKIP LOCKED
    )
  `;
  const trimOwnerSql = trimSql('AND owner = $1', bounds.owner);
  const trimAllSql = trimSql('', bounds.all);
  const giveBackSql = `
    DELETE FROM ${schema}.idempotency WHERE id = $1 AND fingerprint = $2 AND answer IS NULL AND instance = $3
  `;
  /** Milliseconds by which the callers' clock is behind that of the store, as the latest claim has shown. */
  let behind = 0;

  async function claim(id: string, fingerprint: string, at: number, claimMs: number): Promise<IdempotencyClaim> {
    const [claimed] = await query(claimSql, [id, fingerprint, claimMs, at, instance]);
    if (claimed !== undefined) {
      behind = numberOf(claimed.behind_ms);
      return { kind: 'claimed' };
    }
    const [row] = await query(findSql, [id]);
    // The claim was given back just now.
    if (row === undefined) return claim(id, fingerprint, at, claimMs);
    if (row.fingerprint !== fingerprint) return { kind: 'other-request' };
    return row.answer === null ? { kind: 'in-flight' } : { kind: 'answered', answer: keptAnswerOf(textOf(row.answer)) };
  }

  return {
    claim: ({ id, fingerprint }, at, claimMs) => claim(id, fingerprint, Math.floor(at), Math.ceil(claimMs)),
    async finish({ id, fingerprint, owner = '' }, answer, expiresAt) {
      if (answer === undefined) {
        await query(giveBackSql, [id, fingerprint, instance]);
        return;
      }
      const text = JSON.stringify(answer);
      await query(keepSql, [id, fingerprint, text, Math.ceil(expiresAt + behind), owner]);
      const { ofOwner, ofAll } = bounds.written(owner, Buffer.byteLength(text) + ROW_BYTES);
      if (ofOwner) await query(trimOwnerSql, [owner]);
      if (ofAll) await query(trimAllSql);
    },
  };
}
