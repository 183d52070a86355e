import assert from 'node:assert/strict';
import type { JsonObject } from '../../src/base/json.js';
import { tokenDecoder } from '../../src/upstreams/demo/decode-tokens.js';
import type { DemoContext, DemoReply } from '../../src/upstreams/demo/demo-context.js';
import { tokenizers } from '../../src/upstreams/demo/tokenizer.js';

/** What a call of the demo brings with it. */
export function demoContext(rest: Partial<DemoContext> = {}): DemoContext {
  return {
    requestId: 'req_1',
    signal: new AbortController().signal,
    tokenizerOf: tokenizers(),
    decoder: tokenDecoder,
    ...rest,
  };
}

/** The body of a whole answer as a client gets it. */
export async function wholeBody(reply: Promise<DemoReply>): Promise<JsonObject> {
  const answer = await reply;
  assert.equal(answer.kind, 'whole');
  return answer.kind === 'whole' ? JSON.parse(JSON.stringify(answer.body)) : {};
}

/** How long the event loop stood still at most while `run` ran, in milliseconds. */
export async function longestBlock(run: () => Promise<unknown>): Promise<number> {
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  try {
    await run();
  } finally {
    clearInterval(timer);
  }
  return Math.max(longest, performance.now() - last);
}
