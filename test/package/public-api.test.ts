import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { application } from './packed.js';
import { type PublicApi, publicApi } from './public-api.js';

const COMMITTED = 'test/package/public-api.txt';

describe('the public declarations', () => {
  let api: PublicApi = { text: '', unexported: [], exact: [] };

  before(async () => {
    const app = await application('typescript5.ts', ['@types/node', '@types/express', '@types/koa']);
    api = publicApi(join(app, 'node_modules', 'megallm-middleware'));
    if (process.env.MEGALLM_UPDATE_API !== undefined) writeFileSync(COMMITTED, api.text);
  });

  it(`are those of ${COMMITTED}; a wanted change is written there with MEGALLM_UPDATE_API=1`, () => {
    assert.equal(api.text, readFileSync(COMMITTED, 'utf8'));
  });

  it('name no type that a user cannot import', () => {
    assert.deepEqual(api.unexported, []);
  });
});
