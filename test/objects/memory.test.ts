import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { memoryObjects, type StoredObject } from 'megallm-middleware';

const object = (id: string, more: Partial<StoredObject> = {}): StoredObject => ({
  owner: 'ann',
  kind: 'file',
  id,
  createdAt: 1,
  body: {},
  ...more,
});
const ids = (objects: readonly StoredObject[]): string[] => objects.map(({ id }) => id);

describe('objects in memory', () => {
  it('are found by owner, kind and id together', async () => {
    const store = memoryObjects();
    store.put(object('a'));
    assert.equal((await store.find('ann', 'file', 'a'))?.id, 'a');
    assert.equal(await store.find('bob', 'file', 'a'), undefined);
    assert.equal(await store.find('ann', 'batch', 'a'), undefined);
    assert.equal(await store.find('ann","file', 'file', 'a'), undefined);
    assert.equal(await store.find('__proto__', 'file', 'constructor'), undefined);
    store.remove('bob', 'file', 'a');
    store.remove('ann', 'file', 'a');
    assert.equal(await store.find('ann', 'file', 'a'), undefined);
    assert.deepEqual(await store.list('ann', 'file'), []);
  });

  it('are listed in the order in which they were first put, whatever is used since', async () => {
    const store = memoryObjects();
    for (const id of ['a', 'b', 'c']) store.put(object(id));
    store.put(object('x', { kind: 'batch' }));
    store.put(object('a', { body: { new: true } }));
    await store.find('ann', 'file', 'b');
    const listed = await store.list('ann', 'file');
    assert.deepEqual(ids(listed), ['a', 'b', 'c']);
    assert.deepEqual(listed[0]?.body, { new: true });
  });

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
    const store = memoryObjects({ maxBytes: 2_000 });
    store.put(object('a'));
    store.put(object('big', { body: { text: 'x'.repeat(1_500) } }));
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
