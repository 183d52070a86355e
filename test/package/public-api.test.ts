import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { unpackedPackage } from './packed.js';
import { type PublicApi, publicApi } from './public-api.js';

const COMMITTED = 'test/package/public-api.txt';

describe('the public declarations', () => {
  let api: PublicApi = { text: '', unexported: [], exact: [] };

  before(async () => {
    api = publicApi(await unpackedPackage());
    if (process.env.MEGALLM_UPDATE_API !== undefined) writeFileSync(COMMITTED, api.text);
  });

  it(`are those of ${COMMITTED}; a wanted change is written there with MEGALLM_UPDATE_API=1`, () => {
    assert.equal(api.text, readFileSync(COMMITTED, 'utf8'));
  });

  it('have no optional field that refuses `undefined`, but a filter that must not get lost on the way', () => {
    assert.deepEqual(api.exact, ['KeyQuery.owner']);
  });

  it('name no type that a user cannot import', () => {
    assert.deepEqual(api.unexported, []);
  });
});
