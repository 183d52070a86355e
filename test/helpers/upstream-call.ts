import type { JsonObject } from '../../src/base/json.js';
import type { UpstreamCall, UpstreamReply } from '../../src/upstreams/upstream.js';
import { LazyCall } from '../../src/upstreams/upstream-call.js';
import type { ModelOperation } from '../../src/wire/operations.js';

/** What a test wants of a call besides its body. */
export interface CallWishes {
  readonly signal?: AbortSignal;
  readonly operation?: ModelOperation;
  readonly tier?: string;
  readonly requestId?: string;
  readonly isBackground?: boolean;
}

/** One call as an upstream gets it. */
export function callWith(body: JsonObject, wishes: CallWishes = {}): UpstreamCall {
  const { signal = new AbortController().signal, ...named } = wishes;
  return new LazyCall({
    operation: 'chat.completions',
    keyId: 'key_1',
    tier: 'basic',
    requestId: 'req_1',
    ...named,
    bytes: Buffer.from(JSON.stringify(body)),
    stream: body.stream === true,
    maxResponseBytes: 16_777_216,
    cancellation: signal,
  });
}

/** The object of a whole answer, whatever it came as; empty for any other. */
export function wholeBody(reply: UpstreamReply): JsonObject {
  if (reply.kind !== 'whole') return {};
  return reply.body instanceof Uint8Array ? JSON.parse(Buffer.from(reply.body).toString()) : reply.body;
}
