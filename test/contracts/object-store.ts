import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import type { ObjectStore, StoredObject } from '../../src/stores/object-store.js';

/**
 * What every object store promises. Owners are made anew for each test, so that a store may keep what it holds.
 * @param make makes a store that keeps at least three objects of an owner.
 * @param maxObjectsPerOwner how many that are; absent: the bound is not looked at.
 */
export function objectStoreContract(
  name: string,
  make: () => ObjectStore | PromiseLike<ObjectStore>,
  maxObjectsPerOwner?: number,
): void {
  describe(`${name} is an object store`, () => {
    const owners = () => ({ ann: `owner:ann ${randomUUID()}`, bob: `owner:bob ${randomUUID()}` });
    const objectOf = (owner: string, id: string, more: Partial<StoredObject> = {}): StoredObject => ({
      owner,
      kind: 'file',
      id,
      createdAt: 1_800_000_000_000,
      body: {},
      ...more,
    });
    const idsOf = async (store: ObjectStore, owner: string) => (await store.list(owner, 'file')).map(({ id }) => id);

    it('finds by owner, kind and id together', async () => {
      const store = await make();
      const { ann, bob } = owners();
      const body = { text: 'Größe "\u0000" \u{1f600}', list: [1, null, { deep: true }], __proto: 1 };
      await store.put(objectOf(ann, 'a', { body }));
      assert.deepEqual(await store.find(ann, 'file', 'a'), objectOf(ann, 'a', { body }));
      assert.equal(await store.find(bob, 'file', 'a'), undefined);
      assert.equal(await store.find(ann, 'batch', 'a'), undefined);
      assert.equal(await store.find(`${ann}","file`, 'file', 'a'), undefined);
      assert.equal(await store.find('__proto__', 'file', 'constructor'), undefined);
      await store.remove(bob, 'file', 'a');
      assert.deepEqual(await idsOf(store, ann), ['a']);
      await store.remove(ann, 'file', 'a');
      assert.equal(await store.find(ann, 'file', 'a'), undefined);
      assert.deepEqual(await idsOf(store, ann), []);
    });

    it('keeps an object as it was when it was put, whatever becomes of it afterwards', async () => {
      const store = await make();
      const { ann } = owners();
      const body = { text: 'one', list: [{ deep: 1 }] };
      await store.put(objectOf(ann, 'a', { body }));
      Object.assign(body, { text: 'two' });
      Object.assign(body.list[0] ?? {}, { deep: 2 });
      assert.deepEqual((await store.find(ann, 'file', 'a'))?.body, { text: 'one', list: [{ deep: 1 }] });
    });

    it('lists in the order in which they were first put, whatever is used since', async () => {
      const store = await make();
      const { ann } = owners();
      for (const id of ['c', 'a', 'b']) await store.put(objectOf(ann, id));
      await store.put(objectOf(ann, 'c', { body: { new: true }, createdAt: 5 }));
      await store.find(ann, 'file', 'a');
      assert.deepEqual(await idsOf(store, ann), ['c', 'a', 'b']);
      if (store.listIds !== undefined) assert.deepEqual(await store.listIds(ann, 'file'), ['c', 'a', 'b']);
      const [first] = await store.list(ann, 'file');
      assert.deepEqual(first, objectOf(ann, 'c', { body: { new: true }, createdAt: 5 }));
    });

    it('keeps owners and kinds apart where ids are the same', async () => {
      const store = await make();
      const { ann, bob } = owners();
      await store.put(objectOf(ann, 'x', { body: { of: 'ann' } }));
      await store.put(objectOf(bob, 'x', { body: { of: 'bob' } }));
      await store.put(objectOf(bob, 'x', { body: { of: 'batch' }, kind: 'batch' }));
      assert.deepEqual((await store.find(ann, 'file', 'x'))?.body, { of: 'ann' });
      assert.deepEqual((await store.find(bob, 'file', 'x'))?.body, { of: 'bob' });
      assert.deepEqual((await store.find(bob, 'batch', 'x'))?.body, { of: 'batch' });
    });

    it('takes many at once', async () => {
      const store = await make();
      const all = Array.from({ length: 100 }, () => owners().ann);
      await Promise.all(all.map((owner) => store.put(objectOf(owner, 'x', { body: { owner } }))));
      const found = await Promise.all(all.map((owner) => store.find(owner, 'file', 'x')));
      assert.deepEqual(
        found.map((object) => object?.body.owner),
        all,
      );
    });

    if (maxObjectsPerOwner === undefined) return;
    it('lets go of an owner’s unused for longest, and of no other’s', async () => {
      const store = await make();
      const { ann, bob } = owners();
      await store.put(objectOf(bob, 'b'));
      const ids = Array.from({ length: maxObjectsPerOwner }, (_, index) => `f${index}`);
      for (const id of ids) await store.put(objectOf(ann, id));
      await store.find(ann, 'file', 'f0');
      await store.put(objectOf(ann, 'new'));
      assert.deepEqual(await idsOf(store, ann), ['f0', ...ids.slice(2), 'new']);
      assert.deepEqual(await idsOf(store, bob), ['b']);
    });
  });
}

/**
 * Promises of a store whose bytes are bounded.
 * @param make makes an empty store that holds at most so many bytes in all.
 */
export function objectBytesContract(name: string, make: (maxBytes: number) => Promise<ObjectStore>): void {
  describe(`${name} bounds the bytes of objects`, () => {
    const body = { text: 'x'.repeat(10_000) };
    const put = (store: ObjectStore, owner: string, id: string) =>
      store.put({ owner, kind: 'file', id, createdAt: 1, body });
    const idsOf = async (store: ObjectStore, owner: string) => (await store.list(owner, 'file')).map(({ id }) => id);

    it('of one owner to a quarter, and of no other', async () => {
      const store = await make(200_000);
      await put(store, 'bob', 'b');
      for (const id of ['1', '2', '3', '4', '5']) {
        await put(store, 'ann', id);
        await store.find('ann', 'file', '1');
      }
      assert.deepEqual(await idsOf(store, 'ann'), ['1', '3', '4', '5'].slice(0, 4));
      assert.deepEqual(await idsOf(store, 'bob'), ['b']);
    });

    it('in all, whoever holds them', async () => {
      const store = await make(55_000);
      for (let owner = 0; owner < 12; owner += 1) await put(store, `o${owner}`, 'x');
      const kept = await Promise.all(Array.from({ length: 12 }, (_, owner) => idsOf(store, `o${owner}`)));
      assert.equal(kept.flat().length, 5);
      assert.deepEqual(kept.at(-1), ['x']);
    });
  });
}
