import { DatabaseSync } from '@photostructure/sqlite';
import { systemClock } from 'megallm-middleware';
import { sqliteStore } from 'megallm-middleware/sqlite';
import { look } from '../../src/limits/admit.js';
import { ceilingsOf, levelsOf, NO_LIMITS, slotsOf } from '../../src/limits/levels.js';
import { periodsOf } from '../../src/limits/periods.js';
import type { Books, LedgerRow } from './books.js';
import { costOf, type SceneKey, WIDE } from './scene.js';

/** Longer than any reservation of a dead process holds, and than it takes a bucket to fill. */
const LATER_MS = 120_000;

const ROWS = `SELECT request_id AS requestId, key_id AS keyId, owner, model, operation, state = 'settled' AS isSettled, outcome,
  counted, input_tokens AS inputTokens, output_tokens AS outputTokens, cost_nano_usd AS costNanoUsd,
  checkpoint IS NOT NULL AS isTold, reserved_input_tokens AS reservedInputTokens,
  reserved_output_tokens AS reservedOutputTokens,
  reserved_nano_usd AS reservedNanoUsd, started_at AS startedAt FROM calls ORDER BY started_at, request_id`;

/** The ledger as it stands in the file. */
export function readRows(file: string): LedgerRow[] {
  const db = new DatabaseSync(file, { readOnly: true });
  try {
    return db.prepare(ROWS).all() as LedgerRow[];
  } finally {
    db.close();
  }
}

/** Hours of which a report does not say what their rows say. */
export async function reportDifferences(file: string, rows: readonly LedgerRow[]): Promise<string[]> {
  const expected = new Map<string, number[]>();
  for (const row of rows) {
    const startsAt = Math.floor(row.startedAt / 3_600_000) * 3_600_000;
    const group = [startsAt, row.keyId, row.owner, row.model, row.operation].join(' ');
    const [requests = 0, input = 0, output = 0, cost = 0] = expected.get(group) ?? [];
    const { inputTokens, outputTokens, costNanoUsd } = row;
    expected.set(group, [
      requests + 1,
      input + (inputTokens ?? 0),
      output + (outputTokens ?? 0),
      cost + (costNanoUsd ?? 0),
    ]);
  }
  const store = await sqliteStore({ file });
  const by = ['keyId', 'owner', 'model', 'operation'] as const;
  const groups = await store.usage.report({ from: 0, to: 8.64e15, by, every: 'hour' });
  await store.close();
  const found: string[] = [];
  for (const { startsAt, of, sums } of groups) {
    const group = [startsAt, of.keyId, of.owner, of.model, of.operation].join(' ');
    const told = [sums.requests, sums.inputTokens, sums.outputTokens, sums.costNanoUsd];
    const right = expected.get(group);
    if (String(told) !== String(right)) found.push(`${group}: the report says ${told}, the rows ${right}`);
    expected.delete(group);
  }
  return [...found, ...[...expected.keys()].map((group) => `${group}: not in the report`)];
}

/** What the limiter still holds of dead processes once their reservations are over, and budgets that are not the ledger's. */
export async function limiterLeftovers(
  file: string,
  { keys, ...books }: Pick<Books, 'clients' | 'upstream' | 'rows'> & { readonly keys: readonly SceneKey[] },
): Promise<string[]> {
  const steadyMs = (): number => systemClock.steadyMs() + LATER_MS;
  const wallMs = (): number => systemClock.wallMs() + LATER_MS;
  const store = await sqliteStore({ file, clock: { ...systemClock, steadyMs, wallMs } });
  const limiting = { store: store.limiter, spent: () => 0, clock: { steadyMs, wallMs } };
  const found: string[] = [];
  for (const { key } of new Map(keys.map((made) => [made.key.owner, made])).values()) {
    const levels = levelsOf(key, { tiers: new Map([['wide', WIDE]]), globalLimits: NO_LIMITS });
    const ceilings = ceilingsOf(levels, periodsOf('UTC'), systemClock.wallMs());
    const remaining = await look(limiting, ceilings);
    for (const [index, { bucket, capacity, period }] of ceilings.entries()) {
      const gone = capacity - (remaining[index] ?? 0);
      const { least, most } =
        period === undefined ? { least: 0, most: 0 } : spentBy(`owner:${key.owner}`, period, books);
      if (gone < least || gone > most) found.push(`${bucket}: ${gone} are gone, ${least} to ${most} are spent`);
    }
    const slots = slotsOf(levels).map(({ name }) => ({ name, capacity: 1 }));
    const verdict = await store.limiter.reserve({ id: 'test', draws: [], slots, ttlMs: 1, dryRun: true }, steadyMs());
    if (!verdict.granted) found.push(`${slots[0]?.name}: a place is still taken`);
  }
  await store.close();
  return found;
}

/**
 * What an owner's budget has lost: the costs of its rows. Where the process died after it had told the limiter of the end
 * of a call, and before the ledger, the limiter knows better than the row, which recovery has made.
 */
function spentBy(
  owner: string,
  period: { readonly from: number; readonly to: number },
  { clients, upstream, rows }: Pick<Books, 'clients' | 'upstream' | 'rows'>,
): { readonly least: number; readonly most: number } {
  const left = new Set(clients.filter(({ end }) => end === 'left').map(({ id }) => id));
  let [least, most] = [0, 0];
  for (const row of rows) {
    if (row.owner !== owner || row.startedAt < period.from || row.startedAt >= period.to) continue;
    const cost = row.costNanoUsd ?? 0;
    const asked = upstream.get(row.reservedOutputTokens ?? -1);
    if (row.outcome !== 'interrupted' || asked === undefined) {
      least += cost;
      most += cost;
      continue;
    }
    const told = asked.told ? costOf(asked.promptTokens, asked.completionTokens) : cost;
    const hasFailed = asked.fault !== undefined || left.has(row.reservedOutputTokens ?? -1);
    least += hasFailed ? 0 : Math.min(cost, told);
    most += Math.max(cost, told);
  }
  return { least, most };
}
