import type { UsageRecord, UsageStart, UsageStore } from '../../usage/usage-store.js';
import { type Batches, batches } from './batches.js';
import { addToHours, END_COLUMNS, START_COLUMNS } from './columns.js';
import type { Database } from './pool.js';

/** A row of a statement, by the names of its columns. */
type Values = Readonly<Record<string, string | number | boolean | undefined>>;

/** One opened store, to which its open calls belong. */
export interface Instance {
  /** Random: a process that is started again is another instance. */
  readonly id: string;
  /** Milliseconds for which it may still be alive when it is not heard of. */
  readonly leaseMs: number;
  /**
   * Makes a statement, or part of one, that tells that the instance lives, and registers it anew where it was struck
   * off.
   * @param place of the id among the values; the lease comes after it.
   */
  aliveSql(place: number): string;
}

export interface PostgresLedger extends Required<Omit<UsageStore, 'onInterrupted'>> {
  /** Deletes rows that may exist although `open` failed: their calls were not made. */
  dropWithdrawn(): Promise<void>;
  close(): Promise<void>;
}

/** Most failures of `open` remembered; rows of further ones are settled when this process has ended. */
const MAX_WITHDRAWN = 10_000;

/** Keeps one row for each call: open, then settled once. Writes of the same time are made together. */
export function postgresLedger(
  { schema, query, inTime }: Database,
  { id, leaseMs, aliveSql }: Instance,
): PostgresLedger {
  const openSql = openStatement(schema, aliveSql(2));
  const settleSql = settleStatement(schema);
  const checkpointSql = checkpointStatement(schema, aliveSql(2));
  /** By request id, whether the row was dropped once already: a statement that was given up may end after that. */
  const withdrawn = new Map<string, boolean>();
  let dropping: Promise<unknown> = Promise.resolve();
  const opening = written((rows) => query(openSql, [JSON.stringify(rows), id, leaseMs]), inTime);
  const settling = written((rows) => query(settleSql, [JSON.stringify(firstOfEach(rows)), false]), inTime);
  const advancing = written((rows) => query(checkpointSql, [JSON.stringify(rows), id, leaseMs]), inTime);

  return {
    async open(start) {
      try {
        // A caller that tries again wants the row.
        if (withdrawn.delete(start.requestId)) await dropping;
        await opening.add(startValues(start));
      } catch (error) {
        // The row may be there all the same: the answer was lost, or the statement ends after all.
        if (withdrawn.size < MAX_WITHDRAWN) withdrawn.set(start.requestId, false);
        throw error;
      }
    },
    async settle(record) {
      await settling.add({ ...startValues(record), ...endValues(record) });
    },
    async checkpoint(requestId, outputTokens) {
      await advancing.add({ request_id: clean(requestId), output_tokens: outputTokens });
    },
    async dropWithdrawn() {
      const ids = [...withdrawn.keys()];
      if (ids.length === 0) return;
      const drop = `DELETE FROM ${schema}.calls WHERE state = 'open' AND instance = $1 AND request_id = ANY($2::text[])`;
      dropping = query(drop, [id, ids.map(clean)]);
      await dropping;
      for (const requestId of ids) {
        if (withdrawn.get(requestId) === true) withdrawn.delete(requestId);
        else if (withdrawn.has(requestId)) withdrawn.set(requestId, true);
      }
    },
    async close() {
      for (const one of [opening, settling, advancing]) await one.close();
    },
  };
}

/** Makes batches of rows for one statement. */
function written(
  run: (rows: readonly Values[]) => Promise<unknown>,
  inTime: Database['inTime'],
): Batches<Values, undefined> {
  return batches(async (rows) => {
    await run(rows);
    return rows.map(() => undefined);
  }, inTime);
}

/**
 * Always true; it only gives an order. An instance's row is locked before those of its calls, and hours come last, here
 * and when the calls of a dead instance are settled: no two of these statements wait for each other.
 */
const ALIVE_FIRST = '(SELECT count(*) FROM alive) >= 0';

function openStatement(schema: string, alive: string): string {
  const columns = Object.keys(START_COLUMNS).join(', ');
  return `
    WITH alive AS (${alive})
    INSERT INTO ${schema}.calls (state, instance, ${columns})
    SELECT 'open', $2, ${columns} FROM ${givenRows(START_COLUMNS)} WHERE ${ALIVE_FIRST} ORDER BY request_id
    ON CONFLICT (request_id) DO NOTHING
  `;
}

/**
 * Settles the rows of `$1`. Those that are missing are inserted, as when the database was put back to an older copy while
 * their calls ran. Those that are there are settled if they are open, even if another process has already declared their process dead. `$2`: it is
 * that other process that settles.
 */
export function settleStatement(schema: string): string {
  const columns = Object.keys({ ...START_COLUMNS, ...END_COLUMNS });
  return `
    WITH given AS (SELECT * FROM ${givenRows({ ...START_COLUMNS, ...END_COLUMNS })}),
    old AS (${lockedRows(schema, "state = 'open' OR (recovered AND NOT $2::boolean)")}),
    done AS (
      UPDATE ${schema}.calls AS calls
      SET state = 'settled', recovered = $2::boolean, ${columns.map((name) => `${name} = given.${name}`).join(', ')}
      FROM given JOIN old USING (request_id) WHERE calls.request_id = given.request_id RETURNING calls.*
    ),
    added AS (
      INSERT INTO ${schema}.calls (state, instance, ${columns.join(', ')})
      SELECT 'settled', '', ${columns.join(', ')} FROM given
      WHERE NOT $2::boolean AND NOT EXISTS (SELECT FROM ${schema}.calls WHERE calls.request_id = given.request_id)
      ORDER BY request_id
      ON CONFLICT (request_id) DO NOTHING RETURNING *
    ),
    ended AS (SELECT * FROM done UNION ALL SELECT * FROM added)
    ${addToHours(schema, { done: 'ended', undone: 'old WHERE recovered' })}
  `;
}

function checkpointStatement(schema: string, alive: string): string {
  return `
    WITH alive AS (${alive}),
    given AS (
      SELECT request_id, max(output_tokens) AS output_tokens
      FROM ${givenRows({ request_id: 'text', output_tokens: 'bigint' })} GROUP BY request_id
    ),
    old AS (${lockedRows(schema, `(state = 'open' OR recovered) AND ${ALIVE_FIRST}`)}),
    done AS (
      UPDATE ${schema}.calls AS calls
      SET state = 'open', recovered = false, instance = $2,
        checkpoint = greatest(calls.checkpoint, given.output_tokens)
      FROM given JOIN old USING (request_id) WHERE calls.request_id = given.request_id
    )
    ${addToHours(schema, { undone: 'old WHERE recovered' })}
  `;
}

/** Locks rows in one order, so that no two statements wait for each other. */
function lockedRows(schema: string, condition: string): string {
  const given = '(SELECT request_id FROM given)';
  return `SELECT * FROM ${schema}.calls WHERE request_id IN ${given} AND (${condition}) ORDER BY request_id FOR UPDATE`;
}

function givenRows(columns: Readonly<Record<string, string>>): string {
  const declared = Object.entries(columns).map(([name, type]) => `${name} ${type}`);
  return `json_to_recordset($1::json) AS given_rows (${declared.join(', ')})`;
}

/** Keeps the first of several rows that settle one call. */
function firstOfEach(rows: readonly Values[]): Values[] {
  return [...new Map(rows.toReversed().map((row) => [row.request_id, row])).values()];
}

function startValues(start: UsageStart): Values {
  return {
    request_id: clean(start.requestId),
    key_id: clean(start.keyId),
    owner: clean(start.owner),
    tier: clean(start.tier),
    operation: start.operation,
    model: clean(start.model),
    upstream: clean(start.upstream),
    started_at: Math.floor(start.startedAt),
    reserved_input_tokens: start.reservedInputTokens,
    reserved_output_tokens: start.reservedOutputTokens,
    reserved_nano_usd: start.reservedNanoUsd,
    price: start.price === undefined ? undefined : JSON.stringify(start.price),
    upstream_price: start.upstreamPrice === undefined ? undefined : JSON.stringify(start.upstreamPrice),
    price_version: start.priceVersion === undefined ? undefined : clean(start.priceVersion),
    service_tier: start.serviceTier === undefined ? undefined : clean(start.serviceTier),
  };
}

function endValues(record: UsageRecord): Values {
  return {
    outcome: record.outcome,
    counted: record.counted,
    input_tokens: record.inputTokens,
    cached_input_tokens: record.cachedInputTokens,
    cache_write_tokens: record.cacheWriteTokens,
    cache_write_long_tokens: record.cacheWriteLongTokens,
    input_audio_tokens: record.inputAudioTokens,
    input_image_tokens: record.inputImageTokens,
    output_tokens: record.outputTokens,
    reasoning_tokens: record.reasoningTokens,
    output_audio_tokens: record.outputAudioTokens,
    cost_nano_usd: record.costNanoUsd,
    upstream_cost_nano_usd: record.upstreamCostNanoUsd,
    over_reserved: record.isOverReserved,
    status: record.status,
    error_code: record.errorCode === undefined ? undefined : clean(record.errorCode),
    first_byte_ms: record.firstByteMs === undefined ? undefined : Math.round(record.firstByteMs),
    duration_ms: Math.round(record.durationMs),
  };
}

/**
 * Replaces characters that PostgreSQL cannot keep, NUL and lone surrogates: a call with such a name must be recorded,
 * too.
 */
export function clean(name: string): string {
  return name.toWellFormed().replaceAll('\0', '\uFFFD');
}
