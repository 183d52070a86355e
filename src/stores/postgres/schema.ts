import { type Database, numberOf } from './pool.js';

/**
 * Steps by which a schema comes to its present form; `schema_version` counts those it has behind it. A published step
 * is never changed, only followed by others. Names are compared byte by byte.
 */
const MIGRATIONS: readonly ((schema: string) => string)[] = [
  (s) => `
  CREATE TABLE ${s}.instances (
    id text PRIMARY KEY, renewed_at bigint NOT NULL, lease_ms bigint NOT NULL
  );

  CREATE TABLE ${s}.calls (
    request_id text COLLATE "C" PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('open', 'settled')),
    instance text NOT NULL,
    key_id text COLLATE "C" NOT NULL, owner text COLLATE "C" NOT NULL, tier text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL, model text COLLATE "C" NOT NULL, upstream text COLLATE "C" NOT NULL,
    started_at bigint NOT NULL CHECK (started_at >= 0),
    reserved_input_tokens bigint NOT NULL CHECK (reserved_input_tokens >= 0),
    reserved_output_tokens bigint CHECK (reserved_output_tokens >= 0),
    reserved_nano_usd bigint CHECK (reserved_nano_usd >= 0),
    price text,
    checkpoint bigint CHECK (checkpoint >= 0),
    outcome text CHECK (outcome IN ('ok', 'error', 'aborted', 'interrupted')),
    counted text CHECK (counted IN ('exact', 'estimated')),
    input_tokens bigint CHECK (input_tokens >= 0),
    cached_input_tokens bigint CHECK (cached_input_tokens >= 0),
    input_audio_tokens bigint CHECK (input_audio_tokens >= 0),
    input_image_tokens bigint CHECK (input_image_tokens >= 0),
    output_tokens bigint CHECK (output_tokens >= 0),
    reasoning_tokens bigint CHECK (reasoning_tokens >= 0),
    output_audio_tokens bigint CHECK (output_audio_tokens >= 0),
    cost_nano_usd bigint CHECK (cost_nano_usd >= 0),
    first_byte_ms bigint CHECK (first_byte_ms >= 0),
    duration_ms bigint CHECK (duration_ms >= 0),
    recovered boolean NOT NULL DEFAULT false,
    CHECK (state = 'open' OR (outcome IS NOT NULL AND counted IS NOT NULL AND duration_ms IS NOT NULL))
  );
  CREATE INDEX calls_by_time ON ${s}.calls (started_at);
  CREATE INDEX calls_by_owner ON ${s}.calls (owner, started_at);
  CREATE INDEX calls_open ON ${s}.calls (instance, request_id) WHERE state = 'open';

  CREATE TABLE ${s}.hours (
    at bigint NOT NULL, key_id text COLLATE "C" NOT NULL, owner text COLLATE "C" NOT NULL,
    tier text COLLATE "C" NOT NULL, model text COLLATE "C" NOT NULL, operation text COLLATE "C" NOT NULL,
    requests bigint NOT NULL, input_tokens bigint NOT NULL, cached_input_tokens bigint NOT NULL,
    input_audio_tokens bigint NOT NULL, input_image_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL, output_audio_tokens bigint NOT NULL, cost_nano_usd bigint NOT NULL,
    requests_without_cost bigint NOT NULL,
    PRIMARY KEY (at, key_id, owner, tier, model, operation)
  );
  CREATE INDEX hours_by_owner ON ${s}.hours (owner, at);
  CREATE INDEX hours_by_key ON ${s}.hours (key_id, at);

  CREATE TABLE ${s}.limiter_clock (latest bigint NOT NULL);
  INSERT INTO ${s}.limiter_clock VALUES (0);
  CREATE TABLE ${s}.buckets (
    name text COLLATE "C" PRIMARY KEY, drawn double precision NOT NULL, since bigint NOT NULL,
    refill_per_ms double precision NOT NULL, ends_at bigint
  );
  CREATE TABLE ${s}.slots (name text COLLATE "C" PRIMARY KEY, taken bigint NOT NULL CHECK (taken > 0));
  CREATE TABLE ${s}.held (
    id text COLLATE "C" PRIMARY KEY, draws text NOT NULL, buckets text[] NOT NULL, slots text[] NOT NULL,
    expires_at bigint NOT NULL
  );
  CREATE INDEX held_by_expiry ON ${s}.held (expires_at);

  CREATE TABLE ${s}.keys (
    id text COLLATE "C" PRIMARY KEY, owner text COLLATE "C", created_at double precision NOT NULL,
    version bigint NOT NULL, record text NOT NULL
  );
  CREATE INDEX keys_by_time ON ${s}.keys (created_at, id);
  CREATE INDEX keys_by_owner ON ${s}.keys (owner, created_at, id);
  CREATE TABLE ${s}.key_secrets (
    hash text COLLATE "C" PRIMARY KEY, key_id text COLLATE "C" NOT NULL REFERENCES ${s}.keys (id)
  );
  CREATE INDEX key_secrets_by_key ON ${s}.key_secrets (key_id);
  CREATE TABLE ${s}.key_audits (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id text COLLATE "C" NOT NULL REFERENCES ${s}.keys (id), audit text NOT NULL
  );
  CREATE INDEX key_audits_by_key ON ${s}.key_audits (key_id, place);

  CREATE SEQUENCE ${s}.object_uses;
  CREATE TABLE ${s}.objects (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL, id text COLLATE "C" NOT NULL, created_at double precision NOT NULL,
    body text NOT NULL, used bigint NOT NULL DEFAULT nextval('${s}.object_uses'), UNIQUE (owner, kind, id)
  );
  CREATE INDEX objects_by_use ON ${s}.objects (owner, used);

  CREATE TABLE ${s}.idempotency (
    id text COLLATE "C" PRIMARY KEY, fingerprint text NOT NULL, answer text, expires_at bigint NOT NULL
  );
  CREATE INDEX idempotency_by_expiry ON ${s}.idempotency (expires_at);
  `,
  (s) => `
  ALTER TABLE ${s}.calls
    ADD COLUMN price_version text,
    ADD COLUMN service_tier text,
    ADD COLUMN cache_write_tokens bigint CHECK (cache_write_tokens >= 0),
    ADD COLUMN cache_write_long_tokens bigint CHECK (cache_write_long_tokens >= 0),
    ADD COLUMN upstream_cost_nano_usd bigint CHECK (upstream_cost_nano_usd >= 0),
    ADD COLUMN upstream_price text,
    ADD COLUMN over_reserved boolean,
    ADD COLUMN status bigint,
    ADD COLUMN error_code text;
  ALTER TABLE ${s}.hours
    ADD COLUMN cache_write_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN cache_write_long_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN upstream_cost_nano_usd bigint NOT NULL DEFAULT 0;
  ALTER TABLE ${s}.held ADD COLUMN instance text;
  CREATE INDEX held_by_instance ON ${s}.held (instance);
  ALTER TABLE ${s}.idempotency ADD COLUMN instance text;
  CREATE INDEX idempotency_claims ON ${s}.idempotency (instance) WHERE answer IS NULL;
  ALTER TABLE ${s}.idempotency ADD COLUMN owner text COLLATE "C" NOT NULL DEFAULT '';
  CREATE INDEX idempotency_by_owner ON ${s}.idempotency (owner, expires_at) WHERE answer IS NOT NULL;
  `,
];

/** Version of the schema that this code reads and writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/**
 * Brings the schema to its present form in one transaction, even if others try at the same time. Where no step is
 * missing, the right to read suffices.
 * @throws {Error} when a newer version of this package has made it.
 */
export async function migrate({ schema, query, transact }: Database): Promise<void> {
  const [found] = await query('SELECT to_regclass($1) IS NOT NULL AS exists', [`${schema}.schema_version`]);
  const present = `SELECT version FROM ${schema}.schema_version`;
  if (found?.exists === true && versionOf(await query(present), schema) === SCHEMA_VERSION) return;
  await transact(async (run) => {
    await run('SELECT pg_advisory_xact_lock(hashtext($1), hashtext($2))', ['megallm migrations', schema]);
    await run(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
    await run(`CREATE TABLE IF NOT EXISTS ${schema}.schema_version (version bigint NOT NULL)`);
    const steps = MIGRATIONS.slice(versionOf(await run(present), schema));
    for (const step of steps) await run(step(schema));
    await run(`DELETE FROM ${schema}.schema_version`);
    await run(`INSERT INTO ${schema}.schema_version VALUES ($1)`, [SCHEMA_VERSION]);
  });
}

/** @throws {Error} when the schema is not there, or is not of this version. */
export async function assertPresent({ schema, query }: Database): Promise<void> {
  if (versionOf(await query(`SELECT version FROM ${schema}.schema_version`), schema) === SCHEMA_VERSION) return;
  throw new Error(`The schema ${schema} is of an older version of megallm-middleware: start a gateway on it first`);
}

function versionOf(rows: readonly { readonly version?: unknown }[], schema: string): number {
  const version = rows[0] === undefined ? 0 : numberOf(rows[0].version);
  if (version <= SCHEMA_VERSION) return version;
  throw new Error(`The schema ${schema} was made by a newer version of megallm-middleware: install that version`);
}
