import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createKey, hashSecret, isWellFormedSecret } from '../../src/keys/secret.js';

describe('createKey', () => {
  it('makes a secret, its hash and a key that says nothing of either', () => {
    const { secret, hash, key } = createKey({ owner: 'acme', tier: 'pro' });
    assert.ok(isWellFormedSecret(secret));
    assert.equal(hash, hashSecret(secret));
    assert.match(key.id, /^key_/);
    assert.deepEqual(key, { id: key.id, owner: 'acme', tier: 'pro' });
  });

  it('keeps an id that is given', () => {
    assert.deepEqual(createKey({ id: 'mine' }).key, { id: 'mine' });
  });

  it('makes another secret and id each time', () => {
    const [one, other] = [createKey(), createKey()];
    assert.notEqual(one.secret, other.secret);
    assert.notEqual(one.key.id, other.key.id);
  });
});
