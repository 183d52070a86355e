import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { JsonObject } from '../../src/base/json.js';
import type { DemoContext } from '../../src/upstreams/demo/demo-context.js';
import { recordedAnswers, recordingsAreMissing } from '../conformance/recordings.js';
import { demoContext } from './demo-context.js';
import { shapeOf } from './openai-shapes.js';

/** What is refused, under a name: what is sent, and in what the error is not a bare 400. */
export type Refusals = readonly (readonly [name: string, sent: JsonObject, error: JsonObject])[];

/** What OpenAI's endpoints of texts say of what is neither a text nor tokens. */
export const malformed = (param: string): string =>
  `'$.${param}' is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference.`;

/** One test for each. */
export function refusesEach(refusals: Refusals, send: (sent: JsonObject) => Promise<unknown>): void {
  for (const [name, sent, error] of refusals) {
    it(name, async () => {
      const expected = { status: 400, type: 'invalid_request_error', code: null, param: null, ...error };
      await assert.rejects(send(sent), expected);
    });
  }
}

/** @param compose begins work that takes many turns of the event loop. */
export function stopsWhenTheClientLeaves(compose: (context: DemoContext) => Promise<unknown>): void {
  it('stops when the client leaves', async () => {
    const controller = new AbortController();
    const reason = new Error('gone');
    const running = compose(demoContext({ signal: controller.signal }));
    setImmediate(() => controller.abort(reason));
    await assert.rejects(running, reason);
  });
}

/** @param call such as `POST /v1/embeddings 200 application/json`. */
export function hasTheRecordedMembers(call: string, send: () => Promise<JsonObject>): void {
  it('has the members of the recordings', { skip: recordingsAreMissing }, async () => {
    const recorded = recordedAnswers(call);
    assert.ok(recorded.length > 0);
    const answer = await send();
    for (const one of recorded) assert.deepEqual(shapeOf(answer), shapeOf(one));
  });
}
