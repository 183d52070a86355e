import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { listed, openaiDescription, readDescription, specIsMissing } from './description.js';
import { KNOWN_FAULTS } from './known-faults.js';
import { recordedGroups, recordingsAreMissing } from './recordings.js';

/** Recordings that the description has left behind, or that are cut; we answer as it wants. */
const OUTDATED: Readonly<Record<string, RegExp>> = {
  'GET /v1/chat/completions 200 application/json': /refusal|tool_calls|function_call/,
  'GET /v1/chat/completions/{chatcmpl_id} 200 application/json': /refusal|tool_calls|function_call/,
  'POST /v1/chat/completions/{chatcmpl_id} 200 application/json': /refusal|tool_calls|function_call/,
  'POST /v1/embeddings 200 application/json': /pattern.*…|data\/0\/embedding/,
  'POST /v1/responses 200 application/json': /cache_write_tokens/,
  'GET /v1/responses/{resp_id} 200 application/json': /cache_write_tokens/,
  'POST /v1/responses/compact 200 application/json': /cache_write_tokens/,
};

describe('the known faults of the description', { skip: specIsMissing || recordingsAreMissing }, () => {
  it('are all that stands between it and what was recorded', () => {
    const description = openaiDescription();
    for (const { name, method, path, status, mediaType, examples } of recordedGroups()) {
      if (mediaType !== 'application/json') continue;
      const place = description.schemaOf({ method, path: path.replace(/[{}]/g, ''), status, mediaType });
      assert.ok(place !== undefined, name);
      for (const { response } of examples) {
        const found = description.violations(place, response);
        if (found.length > 0) assert.match(listed(found), OUTDATED[name] ?? /^$/, name);
      }
    }
  });

  it('are faults: each mends something', () => {
    // Mending twice tells that the place is still there; a description without faults would fail here.
    assert.ok(KNOWN_FAULTS.length > 0);
    const bare = readDescription([]);
    const said = (place: string, value: unknown, description = bare): boolean =>
      description.violations(place, value).length === 0;
    const list = { object: 'list', data: [], first_id: null, last_id: null, has_more: false };
    for (const name of ['ChatCompletionList', 'ListFilesResponse', 'ListVectorStoresResponse', 'ResponseItemList']) {
      assert.ok(!said(name, list), name);
      assert.ok(said(name, list, openaiDescription()), name);
    }
    assert.equal(
      bare.schemaOf({ method: 'GET', path: '/usage', status: 200, mediaType: 'application/json' }),
      undefined,
    );
  });
});
