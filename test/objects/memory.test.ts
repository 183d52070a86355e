import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memoryIdempotency, memoryObjects, type StoredObject } from 'megallm-middleware';
import { objectBytesContract, objectStoreContract } from '../contracts/object-store.js';

const object = (id: string, more: Partial<StoredObject> = {}): StoredObject => ({
  owner: 'ann',
  kind: 'file',
  id,
  createdAt: 1,
  body: {},
  ...more,
});
const ids = (objects: readonly StoredObject[]): string[] => objects.map(({ id }) => id);

objectStoreContract('memoryObjects', () => memoryObjects({ maxObjectsPerOwner: 4 }), 4);
objectBytesContract('memoryObjects', async (maxBytes) => memoryObjects({ maxBytes }));

describe('objects in memory', () => {
  it('of one owner that are unused for longest go first, and no other’s', async () => {
    const store = memoryObjects({ maxObjectsPerOwner: 3 });
    store.put(object('b', { owner: 'bob' }));
    for (const id of ['1', '2', '3']) store.put(object(id));
    await store.find('ann', 'file', '1');
    await store.list('ann', 'file');
    store.put(object('4'));
    assert.deepEqual(ids(await store.list('ann', 'file')), ['1', '3', '4']);
    assert.ok(await store.find('bob', 'file', 'b'));
  });

  it('weigh what they hold; one that is too large is not kept, nor what it was to replace', async () => {
    const store = memoryObjects({ maxBytes: 8_000 });
    store.put(object('a'));
    store.put(object('big', { body: { text: 'x'.repeat(1_400) } }));
    assert.equal(await store.find('ann', 'file', 'a'), undefined);
    store.put(object('big', { body: { text: 'x'.repeat(3_000) } }));
    assert.equal(await store.find('ann', 'file', 'big'), undefined);
    assert.deepEqual(await store.list('ann', 'file'), []);
    store.put(object('big'));
    assert.deepEqual(ids(await store.list('ann', 'file')), ['big']);
  });

  it('an owner at its limit costs the same however much others have', () => {
    const store = memoryObjects({ maxObjectsPerOwner: 100 });
    for (let owner = 0; owner < 1_000; owner += 1) {
      for (let index = 0; index < 100; index += 1) store.put(object(`f${index}`, { owner: `owner${owner}` }));
    }
    const start = performance.now();
    for (let index = 0; index < 1_000; index += 1) store.put(object(`g${index}`, { owner: 'owner999' }));
    assert.ok(performance.now() - start < 500, 'looked through all of them');
  });

  for (const options of [{ maxBytes: 0 }, { maxObjectsPerOwner: 1.5 }, { maxObjectsPerOwner: -1 }]) {
    it(`refuses ${JSON.stringify(options)}`, () => assert.throws(() => memoryObjects(options), TypeError));
  }
});

it('what is found is read anew each time: an object lies in memory as JSON, which takes a tenth of what its values do', async () => {
  const store = memoryObjects();
  const body = { list: Array.from({ length: 1_000 }, () => []) };
  store.put(object('1', { body }));
  const [first, again] = [await store.find('ann', 'file', '1'), await store.find('ann', 'file', '1')];
  assert.deepEqual(first?.body, body);
  assert.notEqual(first?.body, again?.body);
});

it('answers in memory take a quarter of its bytes for one owner, the oldest going first, and none of another owner', async () => {
  const store = memoryIdempotency({ maxBytes: 40_000 });
  const kindOf = async (id: string) => (await store.claim({ id, fingerprint: 'f' }, 1, 10)).kind;
  const keep = async (id: string, owner: string): Promise<void> => {
    await store.claim({ id, fingerprint: 'f', owner }, 1, 10);
    const answer = { status: 200, headers: {}, body: 'x'.repeat(3_000), isBase64: false };
    await store.finish({ id, fingerprint: 'f', owner }, answer, 1_000);
  };
  await keep('b', 'bob');
  for (const id of ['1', '2', '3', '4', '5']) await keep(id, 'ann');
  const kinds = await Promise.all(['b', '3', '4', '5', '1'].map(kindOf));
  assert.deepEqual(kinds, ['answered', 'claimed', 'answered', 'answered', 'claimed']);
});
