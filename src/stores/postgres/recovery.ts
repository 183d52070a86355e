import { randomUUID } from 'node:crypto';
import type { Clock } from '../../base/clock.js';
import type { InterruptedEnd } from '../../limits/limiter-store.js';
import { chargeOfInterrupted, type InterruptedCalls } from '../interrupted.js';
import { type Instance, type PostgresLedger, settleStatement } from './ledger.js';
import { type Database, numberOf, type Query, textOf } from './pool.js';
import { releaseDead } from './release-dead.js';

/** Time of the database, the one clock that all machines share. */
export const DATABASE_MS = '(extract(epoch FROM now()) * 1000)::bigint';

/** Makes the instance of this store. */
export function thisInstance({ schema }: Database, leaseMs: number): Instance {
  const aliveSql = (place: number) => `
    INSERT INTO ${schema}.instances AS instances (id, renewed_at, lease_ms)
    VALUES ($${place}, ${DATABASE_MS}, $${place + 1}::bigint)
    ON CONFLICT (id) DO UPDATE SET renewed_at = excluded.renewed_at
    WHERE instances.renewed_at < excluded.renewed_at - least(1000, excluded.lease_ms / 4)
    RETURNING id
  `;
  return { id: randomUUID(), leaseMs, aliveSql };
}

/** Settles the calls of dead instances, as long as it runs. */
export interface Recovery {
  /**
   * Stops, and strikes this instance off unless calls of its own are open, which are settled once its lease is over.
   */
  stop(): Promise<void>;
}

/** Claims that an instance will not finish. */
const releaseClaimsSql = (schema: string): string =>
  `DELETE FROM ${schema}.idempotency WHERE instance = $1 AND answer IS NULL`;

/** Where no call was recorded for so long before an instance died, its ledger may be another one. */
const DAY_MS = 86_400_000;
/** Most calls settled in one transaction. */
const MAX_CALLS = 500;

/** Keeps this instance's lease, and settles the calls that dead instances left open, three times in each lease. */
export async function keepRecovering(
  db: Database,
  {
    instance,
    ledger,
    calls,
    clock,
  }: { instance: Instance; ledger: PostgresLedger; calls: InterruptedCalls; clock: Clock },
): Promise<Recovery> {
  const { id, leaseMs, aliveSql } = instance;
  const { schema } = db;
  let cancel = (): void => {};
  let running: Promise<void> = Promise.resolve();
  let isStopped = false;
  let renewedAt = clock.steadyMs();
  let inTouchSince = renewedAt;

  async function renew(): Promise<void> {
    await db.query(aliveSql(1), [id, leaseMs]);
    const now = clock.steadyMs();
    if (now - renewedAt >= leaseMs) inTouchSince = now;
    renewedAt = now;
  }

  async function tick(): Promise<void> {
    try {
      await renew();
      await ledger.dropWithdrawn();
      while (!isStopped) {
        const ends = await recoverSome(db, renewedAt - inTouchSince);
        if (ends === undefined) break;
        calls.tell(ends);
      }
    } catch {
      // The database is away: callers are told when they open a call, and recovery tries again soon.
    }
    if (!isStopped) cancel = clock.setTimer(run, leaseMs / 3);
  }

  function run(): void {
    running = tick();
  }

  await renew();
  cancel = clock.setTimer(run, leaseMs / 3);
  return {
    async stop() {
      isStopped = true;
      cancel();
      await running;
      await db.query(releaseClaimsSql(schema), [id]);
      const isBusy = `EXISTS (SELECT 1 FROM ${schema}.calls WHERE state = 'open' AND instance = $1)`;
      await db.query(`DELETE FROM ${schema}.instances WHERE id = $1 AND NOT ${isBusy}`, [id]);
    },
  };
}

/**
 * Settles calls that one dead instance left open, and strikes it off with the last. After the database was away every
 * lease is over: instances that live must have had the time to renew theirs.
 * @param inTouchMs milliseconds for which the database has been there without a gap.
 * @returns the calls that it settled; `undefined`: nobody is dead.
 */
async function recoverSome({ schema, transact }: Database, inTouchMs: number): Promise<InterruptedEnd[] | undefined> {
  return transact(async (query) => {
    // While the row is locked, an instance that lives after all waits with its next call.
    const [dead] = await query(
      `SELECT id, renewed_at, EXISTS (
         SELECT FROM ${schema}.calls WHERE started_at >= renewed_at - ${DAY_MS}
       ) AS has_ledger
       FROM ${schema}.instances WHERE renewed_at + lease_ms <= ${DATABASE_MS} AND lease_ms <= $1
       ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED`,
      [Math.floor(inTouchMs)],
    );
    if (dead === undefined) return undefined;
    const id = textOf(dead.id);
    const left = await openCalls(query, schema, id);
    const interrupted = left.map((call) => ({ ...call, ...endOf(call, numberOf(dead.renewed_at)) }));
    if (left.length > 0) {
      await query(settleStatement(schema), [JSON.stringify(interrupted), true]);
    }
    const isReleased = await releaseDead(query, schema, { id, hasLedger: dead.has_ledger === true });
    if (isReleased && left.length < MAX_CALLS) {
      await query(releaseClaimsSql(schema), [id]);
      await query(`DELETE FROM ${schema}.instances WHERE id = $1`, [id]);
    }
    return interrupted.map(endedOf);
  });
}

/** The part of an open call's row that is needed here. */
interface OpenCall {
  readonly request_id: string;
  readonly key_id: string;
  readonly started_at: number;
  readonly reserved_input_tokens: number;
  readonly reserved_output_tokens: number | null;
  readonly reserved_nano_usd: number | null;
  readonly price: string | null;
  readonly upstream_price: string | null;
  readonly service_tier: string | null;
  readonly checkpoint: number | null;
}

async function openCalls(query: Query, schema: string, instance: string): Promise<OpenCall[]> {
  const rows = await query(
    `SELECT row_to_json(calls)::text AS call FROM ${schema}.calls AS calls WHERE state = 'open' AND instance = $1
     ORDER BY request_id LIMIT ${MAX_CALLS} FOR UPDATE`,
    [instance],
  );
  return rows.map(({ call }) => JSON.parse(textOf(call)));
}

function endOf(call: OpenCall, renewedAt: number) {
  const { inputTokens, outputTokens, costNanoUsd, upstreamCostNanoUsd } = chargeOfInterrupted({
    reservedInputTokens: call.reserved_input_tokens,
    reservedOutputTokens: call.reserved_output_tokens ?? undefined,
    reservedNanoUsd: call.reserved_nano_usd ?? undefined,
    price: call.price ?? undefined,
    upstreamPrice: call.upstream_price ?? undefined,
    serviceTier: call.service_tier ?? undefined,
    checkpoint: call.checkpoint ?? undefined,
  });
  return {
    outcome: 'interrupted',
    counted: 'estimated',
    input_tokens: inputTokens,
    output_tokens: outputTokens,
    cost_nano_usd: costNanoUsd ?? null,
    upstream_cost_nano_usd: upstreamCostNanoUsd ?? null,
    // The process lived until about then.
    duration_ms: Math.max(0, renewedAt - call.started_at),
  };
}

function endedOf({ request_id, key_id, cost_nano_usd }: OpenCall & { cost_nano_usd: number | null }): InterruptedEnd {
  return { requestId: request_id, keyId: key_id, costNanoUsd: cost_nano_usd ?? undefined };
}
