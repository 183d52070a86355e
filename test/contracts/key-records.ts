import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { snapshotOf } from '../../src/keys/key-records.js';
import type { ApiKey, KeyAudit, KeyQuery, KeyRecord, KeyRecords, KeySecret } from '../../src/keys/key-store.js';
import { createKey, hashSecret } from '../../src/keys/secret.js';
import { keyStoreContract, type StoredKey } from './key-store.js';

const NOW = 1_800_000_000_000;

/** Names that end queries, match patterns, or reach prototypes; a store takes each for a name. */
const HOSTILE_NAMES = [
  "'; DROP TABLE keys; --",
  '" OR ""="',
  '%',
  '_',
  '\\',
  '$1',
  '?',
  '__proto__',
  'constructor',
  'null',
  'Infinity',
  ' ',
  'a\nb',
  'É',
  'E\u0301',
  '漢字 🌍',
  'x'.repeat(256),
];

/** A new key's record; without `fields` of a key with nothing but an id. */
export function keyRecordOf(fields: Partial<ApiKey> = {}, more: Partial<KeyRecord> = {}): KeyRecord {
  return {
    key: { id: `key_${randomUUID()}`, ...fields },
    secrets: [keySecretOf()],
    createdAt: NOW,
    version: 1,
    ...more,
  };
}

function keySecretOf(more: Partial<KeySecret> = {}): KeySecret {
  return { hash: hashSecret(randomUUID()), hint: 'abcd', createdAt: NOW, ...more };
}

/** The record after a change. */
export function nextOf(record: KeyRecord, changes: Partial<KeyRecord>): KeyRecord {
  return { ...record, ...changes, version: record.version + 1 };
}

export function auditOf(after: KeyRecord, before?: KeyRecord): KeyAudit {
  return {
    keyId: after.key.id,
    at: NOW + after.version,
    by: 'ann',
    action: before === undefined ? 'create' : 'update',
    ...(before === undefined ? {} : { before: snapshotOf(before) }),
    after: snapshotOf(after),
  };
}

async function writeNew(records: KeyRecords, record: KeyRecord): Promise<KeyRecord> {
  assert.equal(await records.write(record, auditOf(record)), true);
  return record;
}

async function readOne(records: KeyRecords, id: string): Promise<KeyRecord | undefined> {
  const found = await records.list({ id });
  assert.ok(found.length <= 1);
  return found[0];
}

/** Every record of a query, page by page. */
async function walk(records: KeyRecords, query: KeyQuery): Promise<KeyRecord[]> {
  const all: KeyRecord[] = [];
  for (;;) {
    const after = all.at(-1)?.key.id;
    const page = await records.list({ ...query, ...(after === undefined ? {} : { after }) });
    assert.ok(page.length <= (query.limit ?? 100));
    all.push(...page);
    if (page.length === 0) return all;
    assert.ok(all.length < 100_000, 'the pages have an end');
  }
}

/** The records of which the store's keys are found: secrets of one id are secrets of one record. */
async function fill(records: KeyRecords, keys: readonly StoredKey[]): Promise<KeyRecords> {
  for (const id of new Set(keys.map(({ key }) => key.id))) {
    const group = keys.filter(({ key }) => key.id === id);
    const main = group.find(({ key }) => key.expiresAt === undefined) ?? group[0];
    const secrets = group.map(({ hash, key: { expiresAt } }) =>
      keySecretOf({ hash, ...(expiresAt === undefined ? {} : { expiresAt }) }),
    );
    await writeNew(records, keyRecordOf({ ...main?.key, id }, { secrets }));
  }
  return records;
}

/**
 * What every place for key records promises. Ids are made anew for each test, so that a store may keep what it holds from
 * test to test. Stores of JSON: `keyToJson` in src/keys/key-views.ts, and `keyOfSecret` there for `find`.
 */
export function keyRecordsContract(name: string, make: () => KeyRecords | PromiseLike<KeyRecords>): void {
  keyStoreContract(name, async (keys) => fill(await make(), keys));
  describe(`${name} keeps key records`, () => {
    findTests(make);
    writeTests(make);
    raceTests(make);
    listTests(make);
    nameTests(make);
  });
}

type Make = Parameters<typeof keyRecordsContract>[1];

function findTests(make: Make): void {
  it('finds a key by each of its secrets, with the earlier of both expiries', async () => {
    const records = await make();
    const [plain, early, late] = [keySecretOf(), keySecretOf({ expiresAt: 5 }), keySecretOf({ expiresAt: NOW + 9 })];
    const secrets = [plain, early, late];
    const lasting = await writeNew(records, keyRecordOf({ owner: 'ann' }, { secrets }));
    const other = secrets.map((secret) => ({ ...secret, hash: hashSecret(secret.hash) }));
    const ending = await writeNew(records, keyRecordOf({ expiresAt: NOW }, { secrets: other }));
    const found = await Promise.all([...secrets, ...other].map(({ hash }) => records.find(hash)));
    assert.deepEqual(found, [
      lasting.key,
      { ...lasting.key, expiresAt: 5 },
      { ...lasting.key, expiresAt: NOW + 9 },
      ending.key,
      { ...ending.key, expiresAt: 5 },
      ending.key,
    ]);
  });

  it('finds a revoked key no more, but lists it', async () => {
    const records = await make();
    const record = await writeNew(records, keyRecordOf());
    const revoked = nextOf(record, { revokedAt: NOW + 1 });
    assert.equal(await records.write(revoked, { ...auditOf(revoked, record), action: 'revoke' }), true);
    for (const { hash } of record.secrets) assert.equal(await records.find(hash), undefined);
    assert.deepEqual(await readOne(records, record.key.id), revoked);
  });

  it('finds a rotated key by its new secret and by those of the old that are left', async () => {
    const records = await make();
    const [gone, kept, fresh] = [keySecretOf(), keySecretOf(), keySecretOf()];
    const record = await writeNew(records, keyRecordOf({}, { secrets: [kept, gone] }));
    const rotated = nextOf(record, { secrets: [fresh, { ...kept, expiresAt: NOW + 60_000 }] });
    assert.equal(await records.write(rotated, { ...auditOf(rotated, record), action: 'rotate' }), true);
    assert.deepEqual(await records.find(fresh.hash), record.key);
    assert.deepEqual(await records.find(kept.hash), { ...record.key, expiresAt: NOW + 60_000 });
    assert.equal(await records.find(gone.hash), undefined);
    assert.deepEqual(await readOne(records, record.key.id), rotated);
  });
}

function writeTests(make: Make): void {
  it('gives back every field of a record and of its audits, and nothing for an id it does not know', async () => {
    const records = await make();
    const full: Omit<ApiKey, 'id'> = {
      owner: 'ann',
      tier: 'pro',
      limits: { requestsPerMinute: 1, concurrency: Number.POSITIVE_INFINITY, shadow: { usdPerDay: 0.1 } },
      ownLimits: { usdPerMonth: Number.POSITIVE_INFINITY, inputTokensPerMinute: 3 },
      expiresAt: NOW + 5,
      models: ['gpt-4o', 'Infinity'],
      debug: false,
    };
    const before = await writeNew(records, keyRecordOf(full));
    const after = nextOf(before, { key: { id: before.key.id, models: [] }, secrets: [keySecretOf({ expiresAt: 3 })] });
    await records.write(after, auditOf(after, before));
    assert.deepEqual(await readOne(records, before.key.id), after);
    assert.deepEqual(await records.audits(before.key.id), [auditOf(before), auditOf(after, before)]);
    assert.equal(await readOne(records, randomUUID()), undefined);
    assert.deepEqual(await records.audits(randomUUID()), []);
  });

  it('writes nothing when the stored version is not the one before', async () => {
    const records = await make();
    const one = await writeNew(records, keyRecordOf({ tier: 'one' }));
    const key = { id: one.key.id, tier: 'other' };
    for (const version of [1, 3, 7]) {
      const wrong: KeyRecord = { ...one, key, secrets: [keySecretOf()], version };
      assert.equal(await records.write(wrong, auditOf(wrong, one)), false, `version ${version}`);
      for (const { hash } of wrong.secrets) assert.equal(await records.find(hash), undefined);
    }
    const orphan = keyRecordOf({}, { version: 2 });
    assert.equal(await records.write(orphan, auditOf(orphan)), false);
    assert.equal(await readOne(records, orphan.key.id), undefined);
    assert.deepEqual(await records.audits(orphan.key.id), []);
    assert.deepEqual(await readOne(records, one.key.id), one);
    assert.deepEqual(await records.audits(one.key.id), [auditOf(one)]);
  });

  it('writes no change without its audit row', async () => {
    const records = await make();
    const record = await writeNew(records, keyRecordOf());
    const next = nextOf(record, { key: { ...record.key, tier: 'enterprise' }, secrets: [keySecretOf()] });
    const broken: KeyAudit = {
      ...auditOf(next, record),
      get after(): never {
        throw new Error('cannot be read');
      },
    };
    await assert.rejects(async () => records.write(next, broken), /cannot be read/);
    assert.deepEqual(await readOne(records, record.key.id), record);
    for (const { hash } of next.secrets) assert.equal(await records.find(hash), undefined);
    for (const { hash } of record.secrets) assert.deepEqual(await records.find(hash), record.key);
    assert.deepEqual(await records.audits(record.key.id), [auditOf(record)]);
    assert.equal(await records.write(next, auditOf(next, record)), true);
  });

  it('throws when another key has the secret, and writes nothing', async () => {
    const records = await make();
    const record = await writeNew(records, keyRecordOf());
    const thief = keyRecordOf({}, { secrets: [keySecretOf(), ...record.secrets] });
    await assert.rejects(async () => records.write(thief, auditOf(thief)));
    assert.equal(await readOne(records, thief.key.id), undefined);
    assert.deepEqual(await records.audits(thief.key.id), []);
    for (const { hash } of thief.secrets.slice(0, 1)) assert.equal(await records.find(hash), undefined);
    for (const { hash } of record.secrets) assert.deepEqual(await records.find(hash), record.key);
  });

  it('does not change with what it was given', async () => {
    const records = await make();
    const models = ['gpt-4o'];
    const record = await writeNew(records, keyRecordOf({ models }));
    models.push('o3');
    for (const { hash } of record.secrets) assert.deepEqual((await records.find(hash))?.models, ['gpt-4o']);
    assert.deepEqual((await records.audits(record.key.id))[0]?.after.key.models, ['gpt-4o']);
  });
}

function raceTests(make: Make): void {
  it('lets exactly one of twenty writers of a version win, with its own audit row', async () => {
    const records = await make();
    const record = await writeNew(records, keyRecordOf());
    const rivals = Array.from({ length: 20 }, (_, index) =>
      nextOf(record, { key: { ...record.key, tier: `tier ${index}` }, secrets: [keySecretOf()] }),
    );
    const won = await Promise.all(rivals.map(async (rival) => records.write(rival, auditOf(rival, record))));
    const winners = rivals.filter((_rival, index) => won[index]);
    assert.equal(winners.length, 1);
    const [winner = record] = winners;
    assert.deepEqual(await readOne(records, record.key.id), winner);
    assert.deepEqual(await records.audits(record.key.id), [auditOf(record), auditOf(winner, record)]);
    for (const rival of rivals) {
      for (const { hash } of rival.secrets) {
        assert.deepEqual(await records.find(hash), rival === winner ? winner.key : undefined);
      }
    }
  });

  it('lets exactly one of twenty makers of an id win', async () => {
    const records = await make();
    const { key } = createKey();
    const rivals = Array.from({ length: 20 }, (_, index) => keyRecordOf({ ...key, tier: `tier ${index}` }));
    const won = await Promise.all(rivals.map(async (rival) => records.write(rival, auditOf(rival))));
    assert.deepEqual([won.filter(Boolean).length, (await records.audits(key.id)).length], [1, 1]);
    assert.deepEqual(await readOne(records, key.id), rivals[won.indexOf(true)]);
  });

  it('loses nothing of 200 writers of different keys at once', async () => {
    const records = await make();
    const owner = randomUUID();
    const made = Array.from({ length: 200 }, () => keyRecordOf({ owner }));
    const changed = made.map((record) => nextOf(record, { key: { ...record.key, tier: record.key.id } }));
    await Promise.all(
      made.map(async (record, index) => {
        const next = changed[index] ?? record;
        await writeNew(records, record);
        assert.equal(await records.write(next, auditOf(next, record)), true);
      }),
    );
    const all = await records.list({ owner, limit: 500 });
    assert.deepEqual(new Map(all.map((record) => [record.key.id, record])), mapOf(changed));
    for (const { key, secrets } of changed) {
      for (const { hash } of secrets) assert.deepEqual(await records.find(hash), key);
      assert.equal((await records.audits(key.id)).length, 2);
    }
  });
}

function listTests(make: Make): void {
  it('lists by age and then by id, an owner’s or all, page by page, each once', async () => {
    const records = await make();
    const [ann, bob] = [randomUUID(), randomUUID()];
    const made: KeyRecord[] = [];
    for (let index = 0; index < 25; index += 1) {
      const owned = index % 5 === 4 ? {} : { owner: index % 2 === 0 ? ann : bob };
      // Neither in the order of their making nor all at different times.
      const record = keyRecordOf(owned, { createdAt: NOW + ((index * 7) % 5) });
      made.push(await writeNew(records, record));
    }
    const sorted = made.toSorted(
      (one, other) => one.createdAt - other.createdAt || (one.key.id < other.key.id ? -1 : 1),
    );
    for (const owner of [ann, bob]) {
      const theirs = sorted.filter(({ key }) => key.owner === owner);
      for (const limit of [1, 3, 100]) assert.deepEqual(await walk(records, { owner, limit }), theirs, `${limit}`);
    }
    const ids = new Set(made.map(({ key }) => key.id));
    const everybody = await walk(records, { limit: 7 });
    assert.deepEqual(
      everybody.filter(({ key }) => ids.has(key.id)),
      sorted,
    );
    assert.equal(new Set(everybody.map(({ key }) => key.id)).size, everybody.length);
  });

  it('lists 100 where no number is named, nothing after an unknown key, and no other owner’s by its id', async () => {
    const records = await make();
    const owner = randomUUID();
    const made = Array.from({ length: 101 }, (_, index) => keyRecordOf({ owner }, { createdAt: NOW + index }));
    for (const record of made) await writeNew(records, record);
    assert.deepEqual(await records.list({ owner }), made.slice(0, 100));
    assert.deepEqual(await records.list({ owner, after: randomUUID() }), []);
    const id = made[0]?.key.id ?? '';
    assert.deepEqual(await records.list({ owner: randomUUID(), id }), []);
    assert.deepEqual(await records.list({ owner, id }), made.slice(0, 1));
  });
}

function nameTests(make: Make): void {
  it('takes names for names: owners, ids, tiers, models and those who changed it', async () => {
    const records = await make();
    const tag = randomUUID();
    const cases = HOSTILE_NAMES.map((name) => {
      const owner = `${name}${tag}`;
      const record = keyRecordOf({ id: `${tag}${name}`, owner, tier: name, models: [name, owner] });
      return { owner, record, audit: { ...auditOf(record), by: name } };
    });
    for (const { record, audit } of cases) assert.equal(await records.write(record, audit), true);
    for (const { owner, record, audit } of cases) {
      assert.deepEqual(await records.list({ owner }), [record]);
      assert.deepEqual(await readOne(records, record.key.id), record);
      assert.deepEqual(await records.audits(record.key.id), [audit]);
      for (const { hash } of record.secrets) assert.deepEqual(await records.find(hash), record.key);
    }
  });

  it('finds nothing by hostile hashes, and no owner’s keys by part, case or pattern of the name', async () => {
    const records = await make();
    const owner = `Ann ${randomUUID()}`;
    await writeNew(records, keyRecordOf({ owner }));
    for (const name of HOSTILE_NAMES) assert.equal(await records.find(name), undefined, name);
    for (const other of [owner.toLowerCase(), `${owner} `, owner.slice(0, -1), 'Ann%', `${owner}%`, '']) {
      assert.deepEqual(await records.list({ owner: other }), [], other);
    }
  });
}

function mapOf(records: readonly KeyRecord[]): Map<string, KeyRecord> {
  return new Map(records.map((record) => [record.key.id, record]));
}
