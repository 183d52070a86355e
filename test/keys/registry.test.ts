import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import type { KeyRecords } from '../../src/keys/key-store.js';
import { memoryKeyRecords } from '../../src/keys/memory-records.js';
import { type KeyRegistry, type KeyRegistryOptions, keyRegistry } from '../../src/keys/registry.js';
import { hashSecret, isWellFormedSecret } from '../../src/keys/secret.js';
import { frozenClock } from '../helpers/frozen-clock.js';

const ANN = { by: 'ann' };

/** A registry on records that a test can look into, and time that stands still. */
function scene(options: KeyRegistryOptions = {}) {
  const clock = frozenClock(1_000);
  const records = memoryKeyRecords();
  return { clock, records, registry: keyRegistry(records, { clock, ...options }) };
}

async function idOf(registry: KeyRegistry, secret: string): Promise<string | undefined> {
  return (await registry.find(hashSecret(secret)))?.id;
}

describe('keyRegistry', () => {
  it('makes a key, shows its secret once and its hash never', async () => {
    const { registry, records } = scene();
    const fields = { owner: 'acme', tier: 'pro', ownLimits: { usdPerDay: 1 }, models: ['gpt-4o'], debug: true };
    const { secret, record } = await registry.create({ ...fields, expiresAt: 9_000 }, ANN);
    assert.ok(isWellFormedSecret(secret));
    assert.deepEqual(record, {
      key: { id: record.key.id, ...fields, expiresAt: 9_000 },
      secrets: [{ hint: secret.slice(-4), createdAt: 1_000 }],
      createdAt: 1_000,
      version: 1,
    });
    assert.match(record.key.id, /^key_[0-9A-Za-z]{17}$/);
    assert.deepEqual(await registry.find(hashSecret(secret)), record.key);
    const { id } = record.key;
    const told = [record, await registry.get(id), await registry.list(), await registry.audits(id)];
    for (const text of [inspect(told, { depth: 9 }), inspect(await records.list({ id }), { depth: 9 })]) {
      assert.ok(!text.includes(secret));
    }
    assert.ok(!inspect(told, { depth: 9 }).includes(hashSecret(secret)));
    assert.deepEqual((await registry.create({ id: 'mine' }, ANN)).record.key, { id: 'mine' });
  });

  it('finds and lists what there is: one owner’s or all, page by page', async () => {
    const { registry, clock } = scene();
    const ids: string[] = [];
    for (const owner of ['ann', 'bob', 'ann', 'ann']) {
      ids.push((await registry.create({ owner }, ANN)).record.key.id);
      clock.advance(1);
    }
    const listed = async (query?: Parameters<KeyRegistry['list']>[0]) =>
      (await registry.list(query)).map(({ key }) => key.id);
    const [first = '', second, third = '', fourth] = ids;
    assert.deepEqual(await listed(), ids);
    assert.deepEqual(await listed({ owner: 'ann' }), [first, third, fourth]);
    assert.deepEqual(await listed({ owner: 'ann', after: first, limit: 1 }), [third]);
    assert.deepEqual(await listed({ after: third }), [fourth]);
    assert.equal((await registry.get(second ?? ''))?.key.owner, 'bob');
    for (const id of ['nobody', '', '\u0000', 'x'.repeat(300)]) {
      assert.equal(await registry.get(id), undefined);
      assert.deepEqual(await registry.audits(id), []);
      assert.equal(await registry.update(id, { tier: 'pro' }, ANN), undefined);
      assert.equal(await registry.revoke(id, ANN), undefined);
      assert.equal(await registry.rotate(id, { overlapMs: 0, ...ANN }), undefined);
    }
  });

  it('does not ask the store for what cannot be a name: PostgreSQL refuses NUL', async () => {
    const { records, clock } = scene();
    const refuse = (): never => {
      throw new Error('invalid byte sequence');
    };
    const registry = keyRegistry({ ...records, list: refuse, audits: refuse }, { clock });
    for (const id of ['a\u0000', '\ud800', '', 'x'.repeat(257)]) {
      assert.equal(await registry.get(id), undefined);
      assert.deepEqual(await registry.audits(id), []);
    }
    await assert.rejects(registry.get('a'), /invalid byte sequence/);
  });

  it('refuses a query that would show or change more than was meant', async () => {
    const { registry } = scene();
    await registry.create({ owner: 'ann' }, ANN);
    // As from JavaScript: what got lost on the way is `undefined`.
    const lost = JSON.parse('{}');
    await assert.rejects(registry.list({ owner: lost.owner }), TypeError);
    await assert.rejects(registry.get(lost.id), TypeError);
    await assert.rejects(registry.revoke(lost.id, ANN), TypeError);
    for (const limit of [0, -1, 1.5, 1_001]) await assert.rejects(registry.list({ limit }), /Expected `limit`/);
    assert.equal((await registry.list({ limit: 1_000 })).length, 1);
    assert.equal((await registry.list())[0]?.revokedAt, undefined);
  });

  it('changes what can change, takes away what is null, leaves the rest, from the next call on', async () => {
    const { registry } = scene();
    const { secret, record } = await registry.create({ owner: 'ann', tier: 'pro', models: ['a'], expiresAt: 5 }, ANN);
    const { id } = record.key;
    await registry.find(hashSecret(secret));
    const models = ['b'];
    const limits = { concurrency: Number.POSITIVE_INFINITY };
    const changed = await registry.update(id, { models, limits, tier: null, expiresAt: undefined, debug: true }, ANN);
    models.push('c');
    const expected = { id, owner: 'ann', models: ['b'], limits, expiresAt: 5, debug: true };
    assert.deepEqual(changed?.key, expected);
    assert.equal(changed?.version, 2);
    assert.deepEqual(await registry.find(hashSecret(secret)), expected);
    assert.deepEqual((await registry.get(id))?.key, expected);
  });

  it('revokes at once and for good, all secrets, the second time without a trace', async () => {
    const { registry, clock } = scene();
    const { secret, record } = await registry.create({}, ANN);
    const { id } = record.key;
    const young = await registry.rotate(id, { overlapMs: 5_000, ...ANN });
    const other = await registry.create({}, ANN);
    for (const known of [secret, young?.secret ?? '']) assert.equal(await idOf(registry, known), id);
    clock.advance(7);
    assert.equal((await registry.revoke(id, ANN))?.revokedAt, 1_007);
    for (const known of [secret, young?.secret ?? '']) assert.equal(await idOf(registry, known), undefined);
    assert.equal(await idOf(registry, other.secret), other.record.key.id);
    clock.advance(7);
    assert.deepEqual(await registry.revoke(id, { by: 'bob' }), await registry.get(id));
    assert.equal((await registry.get(id))?.revokedAt, 1_007);
    assert.equal(await registry.update(id, { tier: 'pro' }, ANN), undefined);
    assert.equal(await registry.rotate(id, { overlapMs: 5, ...ANN }), undefined);
    assert.equal((await registry.audits(id)).length, 3);
  });

  it('forgets what another process revoked when it is told to revoke it too', async () => {
    const { registry, records, clock } = scene();
    const { secret, record } = await registry.create({}, ANN);
    assert.equal(await idOf(registry, secret), record.key.id);
    await keyRegistry(records, { clock }).revoke(record.key.id, ANN);
    assert.equal(await idOf(registry, secret), record.key.id, 'still remembered');
    await registry.revoke(record.key.id, ANN);
    assert.equal(await idOf(registry, secret), undefined);
  });

  it('rotates: the overlap is never prolonged, secrets that ended go, and few work at one time', async () => {
    const { registry, clock } = scene({ maxSecrets: 3 });
    const { record } = await registry.create({}, ANN);
    const { id } = record.key;
    const rotate = async (overlapMs: number) => (await registry.rotate(id, { overlapMs, ...ANN }))?.record.secrets;
    const ends = (secrets: Awaited<ReturnType<typeof rotate>>) => secrets?.map(({ expiresAt }) => expiresAt);
    assert.deepEqual(ends(await rotate(100)), [undefined, 1_100]);
    assert.deepEqual(ends(await rotate(500)), [undefined, 1_500, 1_100]);
    await assert.rejects(rotate(500), /3 secrets that work/);
    clock.advance(100);
    assert.deepEqual(ends(await rotate(50)), [undefined, 1_150, 1_150]);
    assert.deepEqual(ends(await rotate(0)), [undefined]);
    for (const overlapMs of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      await assert.rejects(rotate(overlapMs), /Expected `overlapMs`/);
    }
  });

  it('leaves an audit row with every change: who, when, what, before and after', async () => {
    const { registry, clock } = scene();
    const { record: made } = await registry.create({ owner: 'acme' }, ANN);
    const { id } = made.key;
    clock.advance(1);
    const updated = await registry.update(id, { tier: 'pro' }, { by: 'bob' });
    clock.advance(1);
    const rotated = await registry.rotate(id, { overlapMs: 10, by: 'cron' });
    clock.advance(1);
    const revoked = await registry.revoke(id, ANN);
    assert.deepEqual(await registry.audits(id), [
      { keyId: id, at: 1_000, by: 'ann', action: 'create', after: made },
      { keyId: id, at: 1_001, by: 'bob', action: 'update', before: made, after: updated },
      { keyId: id, at: 1_002, by: 'cron', action: 'rotate', before: updated, after: rotated?.record },
      { keyId: id, at: 1_003, by: 'ann', action: 'revoke', before: rotated?.record, after: revoked },
    ]);
    for (const by of ['', '\u0000', 'x'.repeat(257), '\ud800', JSON.parse('null'), JSON.parse('7')]) {
      await assert.rejects(registry.create({}, { by }), /Expected `by`/);
      await assert.rejects(registry.update(id, {}, { by }), /Expected `by`/);
    }
    const forgotten = JSON.parse('[null]');
    for (const change of [forgotten[0], forgotten[1]]) {
      await assert.rejects(registry.create({}, change), /Expected `by`/);
      await assert.rejects(registry.update(id, {}, change), /Expected `by`/);
      await assert.rejects(registry.revoke(id, change), /Expected `by`/);
      await assert.rejects(registry.rotate(id, change), /Expected `by`/);
    }
  });

  it('loses no change of many at once, on one record through two registries', async () => {
    const { registry, records, clock } = scene();
    const other = keyRegistry(records, { clock });
    const { secret, record } = await registry.create({}, ANN);
    const { id } = record.key;
    await Promise.all([
      registry.update(id, { tier: 'pro' }, ANN),
      other.update(id, { models: ['a'] }, ANN),
      registry.rotate(id, { overlapMs: 10, ...ANN }),
      other.update(id, { debug: true }, ANN),
      registry.update(id, { expiresAt: 9 }, ANN),
    ]);
    const last = await registry.get(id);
    assert.deepEqual(last?.key, { id, tier: 'pro', models: ['a'], debug: true, expiresAt: 9 });
    assert.deepEqual([last?.version, last?.secrets.length], [6, 2]);
    assert.equal((await other.find(hashSecret(secret)))?.expiresAt, 9);
    const versions = (await registry.audits(id)).map(({ before, after }) => [before?.version, after.version]);
    assert.deepEqual(versions, [
      [undefined, 1],
      [1, 2],
      [2, 3],
      [3, 4],
      [4, 5],
      [5, 6],
    ]);
  });

  it('gives up after 20 attempts that others were faster at', async () => {
    const { records, registry } = scene();
    const { record } = await registry.create({}, ANN);
    let attempts = 0;
    const slow: KeyRecords = {
      ...records,
      write: () => {
        attempts += 1;
        return false;
      },
    };
    await assert.rejects(keyRegistry(slow).revoke(record.key.id, ANN), /changed by others 20 times/);
    assert.equal(attempts, 20);
  });

  it('remembers nothing of a key whose change threw: it may have been written', async () => {
    const { records, clock } = scene();
    const lossy: KeyRecords = {
      ...records,
      write(record, audit) {
        records.write(record, audit);
        if (audit.action === 'revoke') throw new Error('reply lost');
        return true;
      },
    };
    const registry = keyRegistry(lossy, { clock });
    const { secret, record } = await registry.create({}, ANN);
    assert.equal(await idOf(registry, secret), record.key.id);
    await assert.rejects(registry.revoke(record.key.id, ANN), /reply lost/);
    assert.equal(await idOf(registry, secret), undefined);
  });

  it('refuses an id that is taken, and leaves the key that has it', async () => {
    const { registry } = scene();
    const { secret } = await registry.create({ id: 'mine', tier: 'pro' }, ANN);
    await assert.rejects(registry.create({ id: 'mine' }, ANN), /Expected `id` to be new/);
    await registry.revoke('mine', ANN);
    await assert.rejects(registry.create({ id: 'mine' }, ANN), /Expected `id` to be new/);
    assert.equal(await idOf(registry, secret), undefined);
    assert.equal((await registry.audits('mine')).length, 2);
  });

  it('refuses bad options', () => {
    for (const name of ['cacheTtlMs', 'maxSecrets']) {
      for (const value of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        assert.throws(() => keyRegistry(memoryKeyRecords(), { [name]: value }), new RegExp(`Expected \`${name}\``));
      }
    }
  });
});

describe('fields of keys', () => {
  /** As from JSON. */
  const wrong: readonly string[] = [
    '{ "owner": "" }',
    '{ "owner": 7 }',
    '{ "owner": null }',
    '{ "owner": "a\\u0000b" }',
    '{ "owner": "\\ud800" }',
    '{ "id": "" }',
    '{ "tier": {} }',
    '{ "models": "gpt-4o" }',
    '{ "models": ["gpt-4o", 7] }',
    '{ "models": { "0": "gpt-4o" } }',
    '{ "expiresAt": "2030-01-01" }',
    '{ "expiresAt": 1.5 }',
    '{ "expiresAt": 1e999 }',
    '{ "debug": "true" }',
    '{ "limits": 5 }',
    '{ "limits": [] }',
    '{ "limits": { "requestsPerMinute": -1 } }',
    '{ "limits": { "requestsPerMinute": "5" } }',
    '{ "limits": { "requestsPerMinute": null } }',
    '{ "limits": { "requests": 5 } }',
    '{ "limits": { "usdPerDay": -1 } }',
    '{ "limits": { "usdPerMonth": 9000001 } }',
    '{ "limits": { "shared": {} } }',
    '{ "ownLimits": { "__proto__": { "concurrency": 1 } } }',
    '{ "ownLimits": { "shadow": { "shadow": {} } } }',
  ];
  const names: readonly string[] = [
    'hash',
    'secret',
    'secrets',
    'version',
    'createdAt',
    'revokedAt',
    'key',
    'role',
    'admin',
    'Tier',
    '__proto__',
    'constructor',
    'toString',
  ];

  it('B2 unknown fields and values that cannot be are refused, when it is made and when it is changed', async () => {
    const { registry } = scene();
    const { record } = await registry.create({ tier: 'pro' }, ANN);
    const bodies = [...wrong, ...names.map((name) => `{ "tier": "basic", "${name}": 1 }`)];
    for (const body of bodies) {
      await assert.rejects(registry.create(JSON.parse(body), ANN), TypeError, body);
      if (/null/.test(body) && !body.includes('limits')) continue;
      await assert.rejects(registry.update(record.key.id, JSON.parse(body), ANN), TypeError, body);
    }
    assert.deepEqual(await registry.list(), [record]);
    assert.equal((await registry.audits(record.key.id)).length, 1);
  });

  it('B2 a key’s id and owner never change', async () => {
    const { registry } = scene();
    const { record } = await registry.create({ owner: 'ann' }, ANN);
    for (const body of ['{ "owner": "bob" }', '{ "owner": null }', '{ "id": "other" }']) {
      await assert.rejects(registry.update(record.key.id, JSON.parse(body), ANN), /cannot change/);
    }
    assert.deepEqual(await registry.list(), [record]);
  });

  it('B2 what a prototype bears is no field', async () => {
    const { registry } = scene();
    const { record } = await registry.create(Object.create({ tier: 'enterprise' }), ANN);
    assert.deepEqual(Object.keys(record.key), ['id']);
    const changed = await registry.update(record.key.id, Object.create({ tier: 'enterprise' }), ANN);
    assert.deepEqual(changed?.key, record.key);
  });
});
