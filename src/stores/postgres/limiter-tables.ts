import { BUDGET_KEPT_MS } from '../../limits/bucket.js';
import type { HeldDraw, KeptBucket } from '../../limits/limiter-store.js';
import type { KeptHeld, LimiterChanges, LimiterRows } from './limiter-state.js';
import { numberOf, type Query, textOf } from './pool.js';

/** The rows that some calls need. */
export interface Wanted {
  /** Ids of reservations. */
  readonly ids: readonly string[];
  readonly buckets: readonly string[];
  readonly slots: readonly string[];
  /** Instant up to which expired reservations are wanted, too. `undefined`: now, as the database sees it. */
  readonly until: number | undefined;
}

/** Reads and writes the limiter's tables, within transactions that begin with `lock`. */
export interface LimiterTables {
  /** Statement that waits until nobody else is at the limiter. */
  readonly lock: string;
  /** Sets the limiter's clock and all its instants back by so many milliseconds. */
  setBack(query: Query, byMs: number): Promise<void>;
  load(query: Query, wanted: Wanted): Promise<LimiterRows>;
  save(query: Query, changes: LimiterChanges): Promise<void>;
  /** Looks at some buckets, and deletes those that mean no more than an absent one. */
  tidy(query: Query, at: number): Promise<void>;
}

/** Most late reservations given back at once; the next call goes on. */
const MAX_EXPIRED = 500;
const TIDY_ROWS = 200;

/** @param instance id of the instance that reserves. */
export function limiterTables(schema: string, instance: string): LimiterTables {
  const loadSql = loadStatement(schema);
  const saveSql = saveStatement(schema);
  const setBackSql = setBackStatement(schema);
  const tidySql = tidyStatement(schema);
  let tidied = '';

  return {
    lock: `SELECT FROM ${schema}.limiter_clock FOR UPDATE`,
    async setBack(query, byMs) {
      await query(setBackSql, [byMs]);
    },
    async load(query, { buckets, slots, ids, until }) {
      const [row] = await query(loadSql, [buckets, slots, ids, until]);
      return {
        now: numberOf(row?.now),
        latest: numberOf(row?.latest),
        buckets: new Map(rowsOf<BucketRow>(row?.buckets).map((bucket) => [bucket.name, bucketOf(bucket)])),
        slots: new Map(rowsOf<SlotRow>(row?.slots).map(({ name, taken }) => [name, taken])),
        held: new Map(rowsOf<HeldRow>(row?.held).map((held) => [held.id, heldOf(held)])),
      };
    },
    async save(query, { latest, buckets, slots, freedSlots, held, settled }) {
      await query(saveSql, [
        latest,
        JSON.stringify(buckets.map(bucketRow)),
        JSON.stringify(slots.map(([name, taken]) => ({ name, taken }))),
        freedSlots,
        JSON.stringify(held.map(heldRow)),
        settled,
        instance,
      ]);
    },
    async tidy(query, at) {
      const rows = await query(tidySql, [tidied, at]);
      tidied = rows[0]?.last === null || rows[0] === undefined ? '' : textOf(rows[0].last);
    },
  };
}

interface BucketRow {
  readonly name: string;
  readonly drawn: number;
  readonly since: number;
  readonly refill_per_ms: number;
  readonly ends_at: number | null;
}

interface SlotRow {
  readonly name: string;
  readonly taken: number;
}

interface HeldRow {
  readonly id: string;
  /** JSON. */
  readonly draws: string;
  readonly buckets: readonly string[];
  readonly slots: readonly string[];
  readonly expires_at: number;
}

/** Loads all wanted rows at once, in JSON, whose doubles are exact. */
function loadStatement(schema: string): string {
  const listOf = (table: string, rows: string) =>
    `(SELECT coalesce(json_agg(${table}), '[]')::text FROM (${rows}) AS ${table}) AS ${table}`;
  const named = (own: string, column: string) =>
    `name IN (SELECT unnest(${own}::text[]) UNION SELECT unnest(${column}) FROM wishes)`;
  return `
    WITH instant AS (
      SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now, latest FROM ${schema}.limiter_clock
    ),
    late AS (
      SELECT * FROM ${schema}.held
      WHERE expires_at <= (SELECT greatest(latest, coalesce($4::bigint, now)) FROM instant)
      ORDER BY expires_at LIMIT ${MAX_EXPIRED}
    ),
    wishes AS (SELECT * FROM late UNION SELECT * FROM ${schema}.held WHERE id = ANY($3::text[]))
    SELECT now::text AS now, latest::text AS latest,
      ${listOf('held', 'SELECT * FROM wishes ORDER BY expires_at')},
      ${listOf('buckets', `SELECT * FROM ${schema}.buckets WHERE ${named('$1', 'buckets')}`)},
      ${listOf('slots', `SELECT * FROM ${schema}.slots WHERE ${named('$2', 'slots')}`)}
    FROM instant
  `;
}

/** A reservation that is there already is held anew when others have settled it, and then it is nobody's. */
function saveStatement(schema: string): string {
  return `
    WITH filled AS (
      INSERT INTO ${schema}.buckets (name, drawn, since, refill_per_ms, ends_at)
      SELECT * FROM json_to_recordset($2::json) AS given
        (name text, drawn double precision, since bigint, refill_per_ms double precision, ends_at bigint)
      ON CONFLICT (name) DO UPDATE
      SET drawn = excluded.drawn, since = excluded.since, refill_per_ms = excluded.refill_per_ms
    ),
    taken AS (
      INSERT INTO ${schema}.slots (name, taken)
      SELECT * FROM json_to_recordset($3::json) AS given (name text, taken bigint)
      ON CONFLICT (name) DO UPDATE SET taken = excluded.taken
    ),
    freed AS (DELETE FROM ${schema}.slots WHERE name = ANY($4::text[])),
    held AS (
      INSERT INTO ${schema}.held (id, draws, buckets, slots, expires_at, instance)
      SELECT *, $7 FROM json_to_recordset($5::json) AS given
        (id text, draws text, buckets text[], slots text[], expires_at bigint)
      ON CONFLICT (id) DO UPDATE SET draws = excluded.draws, slots = excluded.slots, instance = NULL
    ),
    settled AS (DELETE FROM ${schema}.held WHERE id = ANY($6::text[]))
    UPDATE ${schema}.limiter_clock SET latest = $1::bigint WHERE latest < $1::bigint
  `;
}

function setBackStatement(schema: string): string {
  return `
    WITH refilled AS (UPDATE ${schema}.buckets SET since = since - $1::bigint),
    expiring AS (UPDATE ${schema}.held SET expires_at = expires_at - $1::bigint)
    UPDATE ${schema}.limiter_clock SET latest = latest - $1::bigint
  `;
}

/** A full bucket means no more than an absent one, but an absent budget does not count as full. */
function tidyStatement(schema: string): string {
  return `
    WITH seen AS (SELECT * FROM ${schema}.buckets WHERE name > $1 ORDER BY name LIMIT ${TIDY_ROWS}),
    spare AS (
      DELETE FROM ${schema}.buckets WHERE name IN (
        SELECT name FROM seen
        WHERE CASE WHEN ends_at IS NULL THEN drawn - refill_per_ms * ($2::bigint - since) <= 0 
          ELSE ends_at + ${BUDGET_KEPT_MS} <= $2 END
      )
    )
    SELECT CASE WHEN count(*) = ${TIDY_ROWS} THEN max(name) END AS last FROM seen
  `;
}

/** Reads a list that `listOf` made. */
function rowsOf<Listed>(list: unknown): Listed[] {
  return JSON.parse(textOf(list));
}

function bucketOf({ drawn, since, refill_per_ms: refillPerMs, ends_at: endsAt }: BucketRow): KeptBucket {
  return { drawn, since, refillPerMs, endsAt: endsAt ?? undefined };
}

function bucketRow([name, bucket]: readonly [string, KeptBucket]): BucketRow {
  const { drawn, since, refillPerMs, endsAt } = bucket;
  return { name, drawn, since, refill_per_ms: refillPerMs, ends_at: endsAt ?? null };
}

function heldOf({ draws, slots, expires_at: expiresAt }: HeldRow): KeptHeld {
  const kept: HeldDraw[] = JSON.parse(draws);
  return { draws: kept, slots, expiresAt };
}

function heldRow([id, { draws, slots, expiresAt }]: readonly [string, KeptHeld]): HeldRow {
  const buckets = draws.map(({ bucket }) => bucket);
  return { id, draws: JSON.stringify(draws), buckets, slots, expires_at: expiresAt };
}
