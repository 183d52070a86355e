import { type Database, numberOf } from './driver.js';
import { transact } from './writer.js';

/** Mark of our files, whatever their names: `mglm`. */
const APPLICATION_ID = 0x6d_67_6c_6d;

/**
 * Steps by which a file comes to its present form; `user_version` counts those it has behind it. A published step is
 * never changed, only followed by others.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE instances (
    id TEXT NOT NULL PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, process_started_at REAL NOT NULL,
    renewed_at INTEGER NOT NULL, has_ledger INTEGER NOT NULL CHECK (has_ledger IN (0, 1))
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE calls (
    request_id TEXT NOT NULL PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'settled')),
    instance TEXT NOT NULL,
    key_id TEXT NOT NULL, owner TEXT NOT NULL, tier TEXT NOT NULL, operation TEXT NOT NULL, model TEXT NOT NULL,
    upstream TEXT NOT NULL,
    started_at INTEGER NOT NULL CHECK (started_at >= 0),
    reserved_input_tokens INTEGER NOT NULL CHECK (reserved_input_tokens >= 0),
    reserved_output_tokens INTEGER CHECK (reserved_output_tokens >= 0),
    reserved_nano_usd INTEGER CHECK (reserved_nano_usd >= 0),
    price TEXT,
    checkpoint INTEGER CHECK (checkpoint >= 0),
    outcome TEXT CHECK (outcome IN ('ok', 'error', 'aborted', 'interrupted')),
    counted TEXT CHECK (counted IN ('exact', 'estimated')),
    input_tokens INTEGER CHECK (input_tokens >= 0),
    cached_input_tokens INTEGER CHECK (cached_input_tokens >= 0),
    input_audio_tokens INTEGER CHECK (input_audio_tokens >= 0),
    input_image_tokens INTEGER CHECK (input_image_tokens >= 0),
    output_tokens INTEGER CHECK (output_tokens >= 0),
    reasoning_tokens INTEGER CHECK (reasoning_tokens >= 0),
    output_audio_tokens INTEGER CHECK (output_audio_tokens >= 0),
    cost_nano_usd INTEGER CHECK (cost_nano_usd >= 0),
    first_byte_ms INTEGER CHECK (first_byte_ms >= 0),
    duration_ms INTEGER CHECK (duration_ms >= 0),
    recovered INTEGER NOT NULL DEFAULT 0 CHECK (recovered IN (0, 1)),
    CHECK (state = 'open' OR (outcome IS NOT NULL AND counted IS NOT NULL AND duration_ms IS NOT NULL))
  ) STRICT;
  CREATE INDEX calls_by_time ON calls (started_at);
  CREATE INDEX calls_by_owner ON calls (owner, started_at);
  CREATE INDEX calls_open ON calls (instance) WHERE state = 'open';

  CREATE VIEW settled AS SELECT
    request_id, started_at AS at, key_id, owner, tier, model, operation, 1 AS requests,
    coalesce(input_tokens, 0) AS input_tokens, coalesce(cached_input_tokens, 0) AS cached_input_tokens,
    coalesce(input_audio_tokens, 0) AS input_audio_tokens, coalesce(input_image_tokens, 0) AS input_image_tokens,
    coalesce(output_tokens, 0) AS output_tokens, coalesce(reasoning_tokens, 0) AS reasoning_tokens,
    coalesce(output_audio_tokens, 0) AS output_audio_tokens, coalesce(cost_nano_usd, 0) AS cost_nano_usd,
    cost_nano_usd IS NULL AS requests_without_cost
    FROM calls WHERE state = 'settled';

  CREATE TABLE hours (
    at INTEGER NOT NULL, key_id TEXT NOT NULL, owner TEXT NOT NULL, tier TEXT NOT NULL, model TEXT NOT NULL,
    operation TEXT NOT NULL, requests INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL, input_audio_tokens INTEGER NOT NULL, input_image_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, output_audio_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL CHECK (cost_nano_usd >= 0), requests_without_cost INTEGER NOT NULL,
    PRIMARY KEY (at, key_id, owner, tier, model, operation)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX hours_by_owner ON hours (owner, at);
  CREATE INDEX hours_by_key ON hours (key_id, at);

  CREATE TABLE limiter_clock (latest INTEGER NOT NULL) STRICT;
  INSERT INTO limiter_clock VALUES (0);
  CREATE TABLE buckets (
    name TEXT NOT NULL PRIMARY KEY, drawn REAL NOT NULL, since INTEGER NOT NULL, refill_per_ms REAL NOT NULL,
    ends_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE slots (name TEXT NOT NULL PRIMARY KEY, taken INTEGER NOT NULL CHECK (taken > 0)) STRICT, WITHOUT ROWID;
  CREATE TABLE held (
    id TEXT NOT NULL PRIMARY KEY, instance TEXT NOT NULL, wish TEXT NOT NULL, expires_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX held_by_expiry ON held (expires_at);

  CREATE TABLE keys (
    id TEXT NOT NULL PRIMARY KEY, owner TEXT, created_at REAL NOT NULL, version INTEGER NOT NULL, record TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX keys_by_time ON keys (created_at, id);
  CREATE TABLE key_secrets (
    hash TEXT NOT NULL PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys (id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX key_secrets_by_key ON key_secrets (key_id);
  CREATE TABLE key_audits (
    id INTEGER PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys (id), audit TEXT NOT NULL
  ) STRICT;
  CREATE INDEX key_audits_by_key ON key_audits (key_id, id);

  CREATE TABLE objects (
    place INTEGER PRIMARY KEY, owner TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, created_at REAL NOT NULL,
    body TEXT NOT NULL, used INTEGER NOT NULL, UNIQUE (owner, kind, id)
  ) STRICT;
  CREATE INDEX objects_by_use ON objects (owner, used);

  CREATE TABLE idempotency (
    id TEXT NOT NULL PRIMARY KEY, fingerprint TEXT NOT NULL, answer TEXT, expires_at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);
  `,
  `
  ALTER TABLE calls ADD COLUMN price_version TEXT;
  ALTER TABLE calls ADD COLUMN service_tier TEXT;
  ALTER TABLE calls ADD COLUMN cache_write_tokens INTEGER CHECK (cache_write_tokens >= 0);
  ALTER TABLE calls ADD COLUMN cache_write_long_tokens INTEGER CHECK (cache_write_long_tokens >= 0);
  ALTER TABLE calls ADD COLUMN upstream_cost_nano_usd INTEGER CHECK (upstream_cost_nano_usd >= 0);
  ALTER TABLE calls ADD COLUMN upstream_price TEXT;
  ALTER TABLE calls ADD COLUMN over_reserved INTEGER CHECK (over_reserved IN (0, 1));
  ALTER TABLE calls ADD COLUMN status INTEGER;
  ALTER TABLE calls ADD COLUMN error_code TEXT;
  ALTER TABLE hours ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE hours ADD COLUMN cache_write_long_tokens INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE hours ADD COLUMN upstream_cost_nano_usd INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE limiter_clock ADD COLUMN machine_began_at REAL;
  ALTER TABLE instances ADD COLUMN renewed_machine_ms REAL;
  ALTER TABLE idempotency ADD COLUMN instance TEXT;
  CREATE INDEX idempotency_claims ON idempotency (instance) WHERE answer IS NULL;
  ALTER TABLE idempotency ADD COLUMN owner TEXT NOT NULL DEFAULT '';
  CREATE INDEX idempotency_by_owner ON idempotency (owner, expires_at) WHERE answer IS NOT NULL;

  DROP VIEW settled;
  CREATE VIEW settled AS SELECT
    request_id, started_at AS at, key_id, owner, tier, model, operation, 1 AS requests,
    coalesce(input_tokens, 0) AS input_tokens, coalesce(cached_input_tokens, 0) AS cached_input_tokens,
    coalesce(cache_write_tokens, 0) AS cache_write_tokens,
    coalesce(cache_write_long_tokens, 0) AS cache_write_long_tokens,
    coalesce(input_audio_tokens, 0) AS input_audio_tokens, coalesce(input_image_tokens, 0) AS input_image_tokens,
    coalesce(output_tokens, 0) AS output_tokens, coalesce(reasoning_tokens, 0) AS reasoning_tokens,
    coalesce(output_audio_tokens, 0) AS output_audio_tokens, coalesce(cost_nano_usd, 0) AS cost_nano_usd,
    cost_nano_usd IS NULL AS requests_without_cost, coalesce(upstream_cost_nano_usd, 0) AS upstream_cost_nano_usd
    FROM calls WHERE state = 'settled';
  `,
];

/**
 * Checks that the file is ours to use; an empty one is.
 * @throws {Error} when another program or a newer version of this one has made it.
 */
export function assertOurs(db: Database, file: string): void {
  const isEmpty = valueIn(db, 'SELECT count(*) FROM sqlite_schema') === 0;
  if (!isEmpty && valueIn(db, 'PRAGMA application_id') !== APPLICATION_ID) {
    throw new Error(`${file} is the database of another program. It was left as it is: choose another file`);
  }
  if (valueIn(db, 'PRAGMA user_version') > MIGRATIONS.length) {
    throw new Error(
      `${file} was made by a newer version of megallm-middleware. It was left as it is: install that version`,
    );
  }
}

/** Brings the file to its present form in one transaction: a process that dies on the way leaves the old form. */
export function migrate(db: Database, file: string): void {
  if (valueIn(db, 'PRAGMA user_version') === MIGRATIONS.length) return;
  transact(db, () => {
    // Another process may have done it, or more, while this one waited for its turn.
    assertOurs(db, file);
    const steps = MIGRATIONS.slice(valueIn(db, 'PRAGMA user_version'));
    for (const step of steps) db.exec(step);
    db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${MIGRATIONS.length}`);
  });
}

function valueIn(db: Database, sql: string): number {
  const [value] = Object.values(db.query(sql)[0] ?? {});
  return numberOf(value);
}
