import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memoryKeyRecords } from '../../src/keys/memory-records.js';
import { auditOf, keyRecordOf, keyRecordsContract, nextOf } from '../contracts/key-records.js';

keyRecordsContract('memoryKeyRecords', () => memoryKeyRecords());

describe('memoryKeyRecords', () => {
  it('remembers the latest maxAudits changes', async () => {
    const records = memoryKeyRecords({ maxAudits: 2 });
    const one = keyRecordOf();
    const two = nextOf(one, {});
    const three = nextOf(two, {});
    for (const record of [one, two, three]) assert.equal(await records.write(record, auditOf(record)), true);
    assert.deepEqual(await records.audits(one.key.id), [auditOf(two), auditOf(three)]);
    for (const maxAudits of [0, -1, 0.5, Number.NaN]) assert.throws(() => memoryKeyRecords({ maxAudits }), TypeError);
  });

  it('gives out what cannot be changed', async () => {
    const records = memoryKeyRecords();
    const record = keyRecordOf({ limits: { concurrency: 1 }, models: ['a'] });
    await records.write(record, auditOf(record));
    const key = await records.find(record.secrets[0]?.hash ?? '');
    const [listed] = await records.list({});
    for (const inner of [key, key?.limits, key?.models, listed, listed?.secrets[0]]) {
      assert.throws(() => Object.assign(inner ?? {}, { hash: 'x' }), TypeError);
    }
  });
});
