import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { redisLimiter } from 'megallm-middleware/redis';
import { type SqliteStore, verifySums } from 'megallm-middleware/sqlite';
import { resolveOptions } from '../../src/config/options.js';
import { answerBytesContract, idempotencyStoreContract } from '../contracts/idempotency-store.js';
import { keyRecordsContract } from '../contracts/key-records.js';
import { limiterStoreContract } from '../contracts/limiter-store.js';
import { objectBytesContract, objectStoreContract } from '../contracts/object-store.js';
import { usageLedgerContract, usageStoreContract } from '../contracts/usage-store.js';
import { sqliteFolder } from '../helpers/sqlite.js';

const folder = sqliteFolder();
after(folder.remove);
const shared = folder.open('shared.db');
const bounded = folder.open('bounded.db', { maxObjectsPerOwner: 4 });
let files = 0;

/** For what does not get along with what other tests did, such as turning a clock forward. */
function fresh(): Promise<SqliteStore> {
  files += 1;
  return folder.open(`fresh${files}.db`, { synchronous: 'normal' });
}

usageStoreContract('sqliteStore', async () => (await shared).usage);
usageLedgerContract('sqliteStore', async () => (await shared).usage);
limiterStoreContract('sqliteStore', async () => (await fresh()).limiter);
objectStoreContract('sqliteStore', async () => (await bounded).objects, 4);
objectBytesContract(
  'sqliteStore',
  async (maxObjectBytes) => (await folder.open(`${randomUUID()}.db`, { maxObjectBytes })).objects,
);
idempotencyStoreContract('sqliteStore', async () => (await shared).idempotency);
answerBytesContract(
  'sqliteStore',
  async (maxAnswerBytes) => (await folder.open(`${randomUUID()}.db`, { maxAnswerBytes })).idempotency,
);
keyRecordsContract('sqliteStore', async () => (await fresh()).keys);

describe('sqliteStore', () => {
  it('has all its methods also in a gateway, which gives each a deadline', async () => {
    const { usage, objects, idempotency } = await shared;
    const limiter = redisLimiter({ client: () => Promise.reject(new Error('There is no Redis')) });
    const config = resolveOptions({ usage, objects, idempotency, limiter, environment: {}, hooks: { onNotice() {} } });
    const { close, ...called } = limiter;
    await close();
    for (const [given, used] of [
      [usage, config.usage],
      [objects, config.objects],
      [idempotency, config.idempotency],
      [called, config.limiter],
    ] as const) {
      assert.deepEqual(Object.keys(used).sort(), Object.keys(given).sort());
    }
  });

  it('has sums, after all that, that are those of the rows', async () => {
    await shared;
    assert.deepEqual(await verifySums(folder.path('shared.db')), []);
  });
});
