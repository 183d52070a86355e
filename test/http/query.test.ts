import assert from 'node:assert/strict';
import { it } from 'node:test';
import { pathOf, queryOf, searchOf } from '../../src/http/url.js';

it('cuts a URL at its first question mark', () => {
  assert.equal(pathOf('/v1/models'), '/v1/models');
  assert.equal(searchOf('/v1/models'), '');
  assert.equal(pathOf('/v1/files?after=a?b'), '/v1/files');
  assert.equal(searchOf('/v1/files?after=a?b'), '?after=a?b');
  assert.equal(queryOf('/v1/files?after=a?b&limit=2').get('after'), 'a?b');
});
