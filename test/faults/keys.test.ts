import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { fromFunction, type KeyStore } from 'megallm-middleware';
import type { GatewayRequest } from '../../src/http/exchange.js';
import { authenticate } from '../../src/keys/authenticate.js';
import { keyCheck } from '../../src/keys/check-key.js';
import { memoryKeyRecords } from '../../src/keys/memory-records.js';
import { keyRegistry } from '../../src/keys/registry.js';
import { hashSecret, newSecret } from '../../src/keys/secret.js';
import { type SqliteStore, sqliteStore } from '../../src/stores/sqlite/sqlite.js';
import { type FrozenClock, frozenClock } from '../helpers/frozen-clock.js';
import { type Setup, type SetupOptions, testSetup } from '../helpers/gateway-options.js';
import { BARE_HOST, type RunningHost } from '../helpers/hosts.js';
import { type RawResponse, rawChat, rawExchange, rawRequest } from '../helpers/raw-client.js';
import { CALL } from '../helpers/scene.js';

const checkKey = keyCheck({ tiers: new Map(), onNotice: () => {} });
const ANN = { by: 'ann' };
const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
/** As the docs tell secret scanners. */
const TOLD_EXPRESSION = new RegExp(
  /^`(\\bsk-mega-\S+)`$/m.exec(readFileSync('docs/keys.md', 'utf8'))?.[1] ?? assert.fail('no expression is told'),
);

/** Key records that count what they are asked, a registry on them, and time that stands still. */
function keyScene() {
  const clock = frozenClock();
  const records = memoryKeyRecords();
  const asked: string[] = [];
  const watched = {
    ...records,
    find: (hash: string) => {
      asked.push(hash);
      return records.find(hash);
    },
  };
  return { clock, asked, records: watched, registry: keyRegistry(watched, { clock }) };
}

/** What the gateway's own check says, without a server around it: the key's id or the code of the refusal. */
async function idOrCode(keys: KeyStore, secret: string, clock: FrozenClock): Promise<string | undefined> {
  const request: GatewayRequest = {
    method: 'GET',
    url: '/v1/models',
    headers: { authorization: `Bearer ${secret}` },
    signal: new AbortController().signal,
    body: { parsed: undefined },
    native: undefined,
  };
  const answer = async () => authenticate(request, { keys, identify: undefined, checkKey, clock });
  return answer().then(
    ({ id }) => id,
    ({ code }) => code,
  );
}

/** Two stores on one new SQLite file, as two processes of one machine have them. */
async function withTwoStores(play: (here: SqliteStore, there: SqliteStore, folder: string) => Promise<void>) {
  const folder = mkdtempSync(join(tmpdir(), 'megallm-keys-'));
  const stores: SqliteStore[] = [];
  try {
    const here = await sqliteStore({ file: join(folder, 'keys.db') });
    stores.push(here);
    const there = await sqliteStore({ file: join(folder, 'keys.db') });
    stores.push(there);
    await play(here, there, folder);
  } finally {
    for (const store of stores) await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function served(
  options: SetupOptions & { readonly keys: KeyStore },
  play: (host: RunningHost, setup: Setup) => Promise<void>,
): Promise<void> {
  const setup = testSetup({ upstream: fromFunction(() => 'Hello'), tiers: { basic: {} }, ...options });
  const host = await BARE_HOST.start(setup.options);
  try {
    await play(host, setup);
    await setup.finish();
    assert.deepEqual(host.hostErrors, []);
  } finally {
    await host.close();
  }
}

const ask = ({ origin }: RunningHost, secret: string): Promise<RawResponse> =>
  rawExchange(origin, rawChat(secret, CALL));
const statusOf = async (host: RunningHost, secret: string): Promise<number> => (await ask(host, secret)).status;

describe('A1 guesses', () => {
  it('A1 10,000 secrets with one character changed are refused, and no store is asked', async () => {
    const { registry, asked, clock } = keyScene();
    const secrets: string[] = [];
    for (let count = 0; count < 100; count += 1) secrets.push((await registry.create({}, ANN)).secret);
    for (let count = 0; count < 10_000; count += 1) {
      const secret = secrets[count % secrets.length] ?? '';
      const at = 'sk-mega-'.length + Math.floor(Math.random() * (secret.length - 'sk-mega-'.length));
      const step = 1 + Math.floor(Math.random() * 61);
      const char = BASE62.charAt((BASE62.indexOf(secret.charAt(at)) + step) % 62);
      const mutated = secret.slice(0, at) + char + secret.slice(at + 1);
      assert.equal(await idOrCode(registry, mutated, clock), 'invalid_api_key', mutated);
    }
    assert.equal(asked.length, 0);
    for (const secret of secrets) assert.match((await idOrCode(registry, secret, clock)) ?? '', /^key_/);
    assert.equal(asked.length, 100);
  });
});

describe('A2 leaked keys are recognised', () => {
  it('A2 the expression in the docs finds every secret wherever it stands, and nothing in 20 MB of other random text', () => {
    for (let count = 0; count < 1_000; count += 1) {
      const secret = newSecret();
      for (const text of [secret, `key="${secret}",`, `https://x/?k=${secret}&l`, `\n${secret}\n`, `(${secret})`]) {
        assert.equal(TOLD_EXPRESSION.exec(text)?.[0], secret);
      }
    }
    const bytes = randomBytes(5_000_000);
    const uuids = Array.from({ length: 100_000 }, () => randomUUID()).join(' ');
    for (const text of [bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('hex'), uuids]) {
      assert.doesNotMatch(text, TOLD_EXPRESSION);
    }
  });
});

describe('A3 a stolen store opens nothing', () => {
  it('A3 what is kept holds no secret, and no stored hash is a credential, in any spelling', async () => {
    const { registry, records, clock } = keyScene();
    const issued = [await registry.create({ owner: 'ann' }, ANN), await registry.create({}, ANN)];
    const { id = '' } = issued[0]?.record.key ?? {};
    const rotated = await registry.rotate(id, { overlapMs: 60_000, ...ANN });
    const secrets = [...issued.map(({ secret }) => secret), rotated?.secret ?? ''];
    await served({ keys: registry, clock }, async (host) => {
      for (const secret of secrets) assert.equal(await statusOf(host, secret), 200);
      const kept = inspect([await records.list({}), await records.audits(id)], { depth: 20 });
      for (const secret of secrets) assert.ok(!kept.includes(secret.slice(8, 40)));
      const hashes = (await records.list({})).flatMap((record) => record.secrets.map(({ hash }) => hash));
      assert.deepEqual(new Set(hashes), new Set(secrets.map(hashSecret)));
      for (const hash of hashes) {
        for (const bearer of [hash, `sk-mega-${hash}`, hash.toUpperCase(), `sha256:${hash}`, hash.slice(0, 57)]) {
          const { status, body } = await ask(host, bearer);
          assert.deepEqual([status, JSON.parse(body).error.code], [401, 'invalid_api_key'], bearer);
        }
      }
      assert.equal(hashes.length, 3);
    });
  });
});

describe('A3 a stolen SQLite file', () => {
  it('A3 holds the hashes of what was made and rotated, and no part of a secret but its last four characters', () =>
    withTwoStores(async ({ keys }, _there, folder) => {
      const registry = keyRegistry(keys);
      const { secret, record } = await registry.create({ owner: 'ann' }, ANN);
      const rotated = await registry.rotate(record.key.id, { overlapMs: 60_000, ...ANN });
      for (const known of [secret, rotated?.secret ?? '']) assert.ok(await registry.find(hashSecret(known)));
      // The write-ahead log too, while the file is in use.
      const bytes = Buffer.concat(readdirSync(folder).map((name) => readFileSync(join(folder, name))));
      for (const known of [secret, rotated?.secret ?? '']) {
        assert.ok(bytes.includes(hashSecret(known)));
        for (let at = 8; at + 8 <= known.length; at += 1) assert.ok(!bytes.includes(known.slice(at, at + 8)));
      }
    }));
});

describe('A6 hostile bearers', () => {
  it('A6 SQL, NUL, other alphabets, 8 KB and line ends never reach the store; what does is a digest', async () => {
    const { registry, asked, clock } = keyScene();
    const bearers = [
      "' OR '1'='1",
      "'; DROP TABLE keys; --",
      "x' UNION SELECT hash FROM key_secrets LIMIT 1 --",
      'nul\u0000nul0123456789abc',
      'ключ-от-чужого-дома-0123',
      '漢字漢字漢字漢字漢字漢字漢字漢字',
      'x'.repeat(8_192),
      'sk-mega-',
      `sk-mega-${'0'.repeat(49)}`,
      `sk-mega-${'%'.repeat(49)}`,
      '[object Object]',
      'tab\there-0123456789abcdef',
      '__proto__',
    ];
    await served({ keys: registry, clock }, async (host) => {
      for (const bearer of bearers) {
        // A NUL in a header is the parser's to refuse.
        const status = await statusOf(host, bearer);
        assert.equal(status, bearer.includes('\u0000') ? 400 : 401, inspect(bearer.slice(0, 40)));
      }
      const split = rawRequest('GET', '/v1/models', { authorization: 'Bearer abcdefghijklmnop\r\nx-other: 1' });
      assert.equal((await rawExchange(host.origin, split)).status, 401);
    });
    for (const bearer of bearers) {
      assert.equal(await idOrCode(registry, bearer, clock), 'invalid_api_key', inspect(bearer.slice(0, 40)));
    }
    assert.deepEqual(asked, [hashSecret('abcdefghijklmnop')]);
    // What could be a foreign secret may be asked for, and is a digest before it gets there.
    for (const sql of ["'OR'1'='1'--abcdefgh", '$1;DROP/**/TABLE/**/keys', "x'||(SELECT(hash)FROM(keys))--"]) {
      assert.equal(await idOrCode(registry, sql, clock), 'invalid_api_key');
      assert.equal(asked.at(-1), hashSecret(sql));
    }
    for (const hash of asked) assert.match(hash, /^[0-9a-f]{64}$/);
  });
});

describe('A7 refused keys of a registry', () => {
  it('A7 unknown, expired, revoked and rotated-out secrets get the same bytes', async () => {
    const { registry, clock } = keyScene();
    const { secret, record } = await registry.create({ owner: 'canary_owner' }, ANN);
    const { id } = record.key;
    const refused = async (keys: KeyStore): Promise<string> => {
      let text = '';
      await served({ keys, clock }, async (host) => {
        const { status, headers, body } = await ask(host, secret);
        text = inspect({ status, body, ...headers, 'x-request-id': '-', date: '-' });
      });
      return text;
    };
    const unknown = await refused(keyRegistry(memoryKeyRecords(), { clock }));
    assert.match(unknown, /status: 401/);
    await registry.update(id, { expiresAt: clock.wallMs() }, ANN);
    assert.equal(await refused(registry), unknown, 'expired');
    await registry.update(id, { expiresAt: null }, ANN);
    assert.match(await refused(registry), /status: 200/);
    await registry.rotate(id, { overlapMs: 1, ...ANN });
    clock.advance(1);
    assert.equal(await refused(registry), unknown, 'rotated out, at the end of its overlap');
    await registry.rotate(id, { overlapMs: 0, ...ANN });
    assert.equal(await refused(registry), unknown, 'rotated out');
    await registry.revoke(id, ANN);
    assert.equal(await refused(registry), unknown, 'revoked');
    assert.ok(!unknown.includes(secret) && !unknown.includes(hashSecret(secret)) && !unknown.includes('canary'));
  });
});

describe('A10 revocation', () => {
  it('A10 a revoked key is refused by the next call here, and within 5 s by another process', async () => {
    const { registry, records, clock } = keyScene();
    const { secret, record } = await registry.create({}, ANN);
    const elsewhere = keyRegistry(records, { clock });
    await served({ keys: registry, clock }, async (here) => {
      await served({ keys: elsewhere, clock }, async (there) => {
        for (const host of [here, there]) assert.equal(await statusOf(host, secret), 200);
        clock.advance(1_000);
        await registry.revoke(record.key.id, ANN);
        assert.equal(await statusOf(here, secret), 401);
        // What another process remembers it remembers 5 s from when it asked.
        clock.advance(4_000);
        assert.equal(await statusOf(there, secret), 200);
        clock.advance(1);
        assert.equal(await statusOf(there, secret), 401);
      });
    });
  });

  it('A10 so it is through two stores on one SQLite file', () =>
    withTwoStores(async (mine, theirs) => {
      const clock = frozenClock();
      const here = keyRegistry(mine.keys, { clock });
      const there = keyRegistry(theirs.keys, { clock });
      const { secret, record } = await here.create({}, ANN);
      const { id } = record.key;
      for (const keys of [here, there]) assert.equal(await idOrCode(keys, secret, clock), id);
      await here.revoke(id, ANN);
      assert.equal(await idOrCode(here, secret, clock), 'invalid_api_key');
      clock.advance(5_001);
      assert.equal(await idOrCode(there, secret, clock), 'invalid_api_key');
      assert.equal(await there.rotate(id, { overlapMs: 0, ...ANN }), undefined);
    }));

  it('A10 so are an allow-list, a tier and an expiry that were changed', async () => {
    const { registry, clock } = keyScene();
    const { secret, record } = await registry.create({}, ANN);
    const { id } = record.key;
    await served({ keys: registry, clock }, async (host) => {
      assert.equal(await statusOf(host, secret), 200);
      await registry.update(id, { models: ['gpt-4o'] }, ANN);
      assert.equal(await statusOf(host, secret), 403);
      await registry.update(id, { models: null, expiresAt: clock.wallMs() + 10 }, ANN);
      assert.equal(await statusOf(host, secret), 200);
      clock.advance(10);
      assert.equal(await statusOf(host, secret), 401);
    });
  });
});

describe('A11 a flood of unknown keys', () => {
  it('A11 asks the store once for each in 10 s, and keeps neither old keys nor new ones out', async () => {
    const { registry, asked, clock } = keyScene();
    const old = await registry.create({}, ANN);
    assert.equal(await idOrCode(registry, old.secret, clock), old.record.key.id);
    const unknown = Array.from({ length: 10_000 }, newSecret);
    for (let round = 0; round < 3; round += 1) {
      for (const secret of unknown) assert.equal(await idOrCode(registry, secret, clock), 'invalid_api_key');
    }
    assert.equal(asked.length, 1 + 10_000);
    assert.equal(await idOrCode(registry, old.secret, clock), old.record.key.id);
    assert.equal(asked.length, 1 + 10_000);
    const fresh = await registry.create({}, ANN);
    assert.equal(await idOrCode(registry, fresh.secret, clock), fresh.record.key.id);
    clock.advance(10_001);
    assert.equal(await idOrCode(registry, unknown[0] ?? '', clock), 'invalid_api_key');
    assert.equal(asked.length, 1 + 10_000 + 2);
  });
});

describe('A12 rotation', () => {
  it('A12 both secrets work until the very millisecond at which the overlap ends, and their usage is one key’s', async () => {
    const { registry, clock } = keyScene();
    const old = await registry.create({ owner: 'ann' }, ANN);
    const { id } = old.record.key;
    await served({ keys: registry, clock }, async (host, { records }) => {
      assert.equal(await statusOf(host, old.secret), 200);
      const young = await registry.rotate(id, { overlapMs: 60_000, ...ANN });
      const both = async (): Promise<number[]> => [
        await statusOf(host, old.secret),
        await statusOf(host, young?.secret ?? ''),
      ];
      assert.deepEqual(await both(), [200, 200]);
      clock.advance(59_999);
      assert.deepEqual(await both(), [200, 200]);
      clock.advance(1);
      assert.deepEqual(await both(), [401, 200]);
      clock.advance(3_600_000);
      assert.deepEqual(await both(), [401, 200]);
      assert.deepEqual(new Set(records.map(({ keyId }) => keyId)), new Set([id]));
      assert.equal(records.length, 7);
    });
  });

  it('A12 without an overlap the old secret ends at once', async () => {
    const { registry, clock } = keyScene();
    const old = await registry.create({}, ANN);
    await served({ keys: registry, clock }, async (host) => {
      assert.equal(await statusOf(host, old.secret), 200);
      const young = await registry.rotate(old.record.key.id, { overlapMs: 0, ...ANN });
      assert.deepEqual([await statusOf(host, old.secret), await statusOf(host, young?.secret ?? '')], [401, 200]);
    });
  });
});
