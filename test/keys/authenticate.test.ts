import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../../src/base/clock.js';
import type { GatewayRequest } from '../../src/http/exchange.js';
import { authenticate } from '../../src/keys/authenticate.js';
import { keyCheck } from '../../src/keys/check-key.js';
import { memoryKeys } from '../../src/keys/memory.js';
import { createKey } from '../../src/keys/secret.js';

const checkKey = keyCheck({ tiers: new Map(), onNotice: () => {} });
const { secret, hash, key } = createKey({ owner: 'ann' });

/** Asks with this secret, of a store that counts how often it is asked. */
async function ask(bearer: string) {
  const store = memoryKeys([{ ...key, hash }]);
  let finds = 0;
  const keys = {
    find: (wanted: string) => {
      finds += 1;
      return store.find(wanted);
    },
  };
  const request: GatewayRequest = {
    method: 'GET',
    url: '/v1/models',
    headers: { authorization: `Bearer ${bearer}` },
    signal: new AbortController().signal,
    body: { parsed: undefined },
    native: undefined,
  };
  const answer = async () => authenticate(request, { keys, identify: undefined, checkKey, clock: systemClock });
  const found = await answer().catch((error) => error);
  return { found, finds };
}

describe('authenticate', () => {
  it('finds the key of a secret', async () => {
    assert.deepEqual(await ask(secret), { found: key, finds: 1 });
  });

  it('A1 refuses a secret of ours with a wrong checksum without asking the store', async () => {
    const wrong = `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`;
    const { found, finds } = await ask(wrong);
    assert.equal(found.code, 'invalid_api_key');
    assert.equal(finds, 0);
  });

  it('A3 does not take what a stolen store holds for a secret', async () => {
    const { found, finds } = await ask(hash);
    assert.equal(found.code, 'invalid_api_key');
    assert.equal(finds, 1);
  });
});
