import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createCancellation } from '../../src/base/cancellation.js';
import { GatewayError } from '../../src/base/errors.js';
import type { JsonObject } from '../../src/base/json.js';
import { ANSWER_BOUNDS, parseDocument, REQUEST_BOUNDS } from '../../src/base/json-document.js';
import { done } from '../../src/base/work.js';
import type { OutgoingCall } from '../../src/upstreams/answer.js';
import { type BegunAnswer, callSender } from '../../src/upstreams/send.js';
import type { Upstream } from '../../src/upstreams/upstream.js';
import { MODEL_ENDPOINTS } from '../../src/wire/model-endpoint.js';
import { readChatRequest } from '../../src/wire/model-request.js';
import { contextLengthExceeded, invalidRequest } from '../../src/wire/request-errors.js';

/** An upstream that refuses what `refuse` says, and keeps the bodies it got. */
function picky(refuse: (body: JsonObject) => GatewayError | undefined): Upstream & { readonly bodies: JsonObject[] } {
  const bodies: JsonObject[] = [];
  return {
    name: 'picky',
    bodies,
    async send(call) {
      const body = call.body();
      bodies.push(body);
      const refusal = refuse(body);
      if (refusal !== undefined) throw refusal;
      if (body.stream !== true) return { kind: 'whole', body: { choices: [] } };
      const chunk = { id: 'c', choices: [{ index: 0, delta: { content: 'a' }, finish_reason: 'stop' }] };
      return {
        kind: 'chunks',
        chunks: (async function* () {
          yield chunk;
        })(),
      };
    },
  };
}

function ask(
  upstream: Upstream,
  body: JsonObject,
  outputCeiling?: number,
  more: Partial<OutgoingCall> = {},
): OutgoingCall {
  const result = parseDocument(Buffer.from(JSON.stringify(body)), REQUEST_BOUNDS);
  if (result.kind !== 'document') throw new Error(result.reason);
  const call: OutgoingCall = Object.assign(createCancellation(), {
    holdBytes() {},
    holdInTime() {},
    upstream,
    endpoint: MODEL_ENDPOINTS['chat.completions'],
    keyId: 'k',
    tier: 'basic',
    requestId: 'r',
    isBackground: false,
    document: result.document,
    asks: readChatRequest(result.outline),
    model: { upstreamModel: 'm' },
    outputCeiling,
    requiresCeiling: false,
    inputTokens: 5,
    maxResponseBytes: 1_000_000,
    answerBounds: ANSWER_BOUNDS,
    attempts: 0,
    view: { takes: 'text' as const },
  });
  return Object.assign(call, more);
}

type Sender = (call: OutgoingCall) => Promise<BegunAnswer>;

function sender(...given: Parameters<typeof callSender>): Sender {
  const send = callSender(...given);
  return (call) => done(send(call));
}

/** How often an upstream is asked for one call. */
async function attemptsOf(send: Sender, call: OutgoingCall): Promise<number> {
  await send(call);
  return call.attempts;
}

/** The error that a call fails with. */
async function failureOf(send: Sender, call: OutgoingCall): Promise<GatewayError> {
  const error: unknown = await send(call).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof GatewayError, String(error));
  return error;
}

const BODY = { model: 'm', messages: [{ role: 'user', content: 'hi' }] };

describe('callSender', () => {
  it('remembers an upstream that refuses stream_options', async () => {
    const upstream = picky((body) =>
      body.stream_options ? invalidRequest('Unknown field stream_options') : undefined,
    );
    const send = sender();
    assert.equal(await attemptsOf(send, ask(upstream, { ...BODY, stream: true })), 2);
    assert.equal(await attemptsOf(send, ask(upstream, { ...BODY, stream: true })), 1);
    assert.deepEqual(
      upstream.bodies.map((body) => body.stream_options !== undefined),
      [true, false, false],
    );
  });

  it('names the ceiling as old servers do where they refuse the new name, and leaves it out where they refuse both', async () => {
    const upstream = picky((body) =>
      body.max_completion_tokens ? invalidRequest('Unknown parameter', 'max_completion_tokens') : undefined,
    );
    const send = sender();
    await send(ask(upstream, BODY, 100));
    await send(ask(upstream, BODY, 100));
    assert.deepEqual(
      upstream.bodies.map((body) => [body.max_completion_tokens, body.max_tokens]),
      [
        [100, undefined],
        [undefined, 100],
        [undefined, 100],
      ],
    );
    const stubborn = picky((body) =>
      'max_tokens' in body || 'max_completion_tokens' in body
        ? invalidRequest(`no ${Object.keys(body).join()}`)
        : undefined,
    );
    assert.equal(await attemptsOf(send, ask(stubborn, BODY, 100)), 3);
  });

  it('does not fail a prompt that fits because of a ceiling the client never named, and does not remember it', async () => {
    const upstream = picky((body) =>
      body.max_completion_tokens ? contextLengthExceeded(8_192, 7_000, 4_096) : undefined,
    );
    const send = sender();
    for (let round = 0; round < 2; round += 1) {
      assert.equal(await attemptsOf(send, ask(upstream, BODY, 4_096)), 3);
      const sent = upstream.bodies.slice(-3).map((body) => body.max_completion_tokens);
      assert.deepEqual(sent, [4_096, 1_192, undefined], 'what the numbers leave, then none');
    }
  });

  it('remembers no refusal that is about what a client wrote, whatever it wrote', async () => {
    const upstream = picky(({ stream_options, messages }) => {
      const said = JSON.stringify(messages);
      if (said.includes('role?')) return invalidRequest(`Invalid value: ${said}`);
      const isOdd = JSON.stringify(stream_options ?? null).includes('include_obfuscation');
      return isOdd ? invalidRequest('Invalid type', 'stream_options.include_obfuscation') : undefined;
    });
    const send = sender();
    const names = 'role? max_completion_tokens max_tokens stream_options';
    const odd = { ...BODY, messages: [{ role: names, content: 'x' }], stream: true };
    await failureOf(send, ask(upstream, odd, 100));
    const options = { ...BODY, stream: true, stream_options: { include_obfuscation: 'x' } };
    await failureOf(send, ask(upstream, options, 100));
    assert.equal(await attemptsOf(send, ask(upstream, { ...BODY, stream: true }, 100)), 1);
    assert.deepEqual(upstream.bodies.at(-1)?.stream_options, { include_usage: true });
    assert.equal(upstream.bodies.at(-1)?.max_completion_tokens, 100);
  });

  it('forgets after an hour what was refused, as servers are updated', async () => {
    let refuses = true;
    const upstream = picky((body) =>
      refuses && body.max_completion_tokens ? invalidRequest('Unknown parameter', 'max_completion_tokens') : undefined,
    );
    let now = 0;
    const send = sender({ steadyMs: () => now });
    const names = async (): Promise<string[]> => {
      await send(ask(upstream, BODY, 100));
      return Object.keys(upstream.bodies.at(-1) ?? {}).filter((name) => name.startsWith('max_'));
    };
    assert.deepEqual(await names(), ['max_tokens']);
    refuses = false;
    now = 3_599_999;
    assert.deepEqual(await names(), ['max_tokens']);
    now = 3_600_001;
    assert.deepEqual(await names(), ['max_completion_tokens']);
  });

  it('believes a refusal of a name only after three in a row where the prompt is long', async () => {
    const upstream = picky((body) =>
      body.max_completion_tokens ? invalidRequest('Unknown parameter', 'max_completion_tokens') : undefined,
    );
    const send = sender();
    const attempts: number[] = [];
    for (let round = 0; round < 4; round += 1) {
      attempts.push(await attemptsOf(send, ask(upstream, BODY, 100, { inputTokens: 5_000 })));
    }
    assert.deepEqual(attempts, [2, 2, 2, 1]);
  });

  it("passes the client's own mistakes on at once", async () => {
    const upstream = picky(() => contextLengthExceeded(8_192, 9_000, 100));
    const call = ask(upstream, { ...BODY, max_tokens: 100 }, 100);
    assert.equal((await failureOf(sender(), call)).code, 'context_length_exceeded');
    assert.deepEqual([call.attempts, upstream.bodies.length], [1, 1]);
  });

  it('does not ask without the ceiling where money depends on it', async () => {
    const upstream = picky((body) =>
      'max_completion_tokens' in body || 'max_tokens' in body
        ? invalidRequest('max_tokens and max_completion_tokens are unknown')
        : undefined,
    );
    const send = sender();
    for (let round = 0; round < 2; round += 1) {
      const { status, code } = await failureOf(send, ask(upstream, BODY, 500, { requiresCeiling: true }));
      assert.deepEqual([status, code], [403, 'model_not_allowed']);
    }
    assert.ok(upstream.bodies.every((body) => 'max_completion_tokens' in body || 'max_tokens' in body));
    const named = { ...BODY, max_completion_tokens: 9 };
    const willing = picky(() => undefined);
    await send(ask(willing, named, 9, { requiresCeiling: true }));
    assert.equal(willing.bodies.length, 1, 'the client’s own ceiling is one');
  });

  it('lowers the ceiling instead where it is too much for the context', async () => {
    const upstream = picky(({ max_completion_tokens: ceiling }) =>
      typeof ceiling === 'number' && ceiling < 100 ? undefined : contextLengthExceeded(100, 5, 1_000),
    );
    await sender()(ask(upstream, BODY, 1_000, { requiresCeiling: true }));
    assert.deepEqual(
      upstream.bodies.map((body) => body.max_completion_tokens),
      [1_000, 95],
    );
  });
});
