import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { GatewayError } from '../../src/base/errors.js';
import type { JsonObject } from '../../src/base/json.js';
import type { Upstream, UpstreamCall, UpstreamReply } from '../../src/upstreams/upstream.js';
import { specChecker, specIsMissing } from '../conformance/description.js';
import { within } from '../helpers/deadline.js';
import { joinedChunks } from '../helpers/openai-shapes.js';
import { callWith, wholeBody } from '../helpers/upstream-call.js';

/**
 * What the source behind an upstream does: repeat what comes after `Say: ` in the last message; begin a stream with it
 * and then say no more for long; refuse the model as OpenAI does.
 */
export type Source = 'repeats' | 'stalls' | 'refuses';

export interface UpstreamSubject {
  readonly upstream: Upstream;
  /** How many calls reached the source. Absent where there is no source apart from the upstream. */
  asked?(): number;
  /** Resolves when the source of the first call has stopped its work. Absent where that cannot be seen. */
  stopped?(): Promise<unknown>;
  close?(): Promise<unknown>;
}

/** What the subject must not tell anybody. */
export const UPSTREAM_SECRET = 'sk-CANARY-of-the-operator-0123456789';

/** What every upstream promises. @param make makes one anew for each test. */
export function upstreamContract(name: string, make: (source: Source) => Promise<UpstreamSubject>): void {
  describe(`${name} is an upstream`, () => {
    const made: UpstreamSubject[] = [];
    after(() => Promise.all(made.map((subject) => subject.close?.())));

    async function subjectOf(source: Source): Promise<UpstreamSubject> {
      const subject = await make(source);
      made.push(subject);
      return subject;
    }

    it('has a name without address or key', async () => {
      const { upstream } = await subjectOf('repeats');
      assert.match(upstream.name, /^[\w-]{1,64}$/);
      assert.doesNotMatch(upstream.name, /CANARY|127\.0\.0\.1/);
    });

    it('answers whole, in the shape of OpenAI', { skip: specIsMissing }, async () => {
      const { upstream } = await subjectOf('repeats');
      const answer = await wholeOf(await sent(upstream, callFor('Grüße, 世界 🌍')));
      specChecker()('CreateChatCompletionResponse', answer);
      assert.equal(contentOf(answer), 'Grüße, 世界 🌍');
    });

    it('streams in the shape of OpenAI, with one finish reason', { skip: specIsMissing }, async () => {
      const { upstream } = await subjectOf('repeats');
      const chunks = await chunksOf(await sent(upstream, callFor('Grüße, 世界 🌍', { stream: true })));
      const check = specChecker();
      for (const chunk of chunks) check('CreateChatCompletionStreamResponse', chunk);
      const { content, finish_reason } = joinedChunks(chunks);
      assert.deepEqual({ content, finish_reason }, { content: 'Grüße, 世界 🌍', finish_reason: 'stop' });
      assert.equal(JSON.stringify(chunks).match(/"finish_reason":"/g)?.length, 1);
    });

    it('does not write to the body', async () => {
      const { upstream } = await subjectOf('repeats');
      for (const stream of [false, true]) {
        const call = callFor('unchanged', { stream, metadata: { kept: '1' }, stop: ['nowhere'] });
        const before = JSON.stringify(call.body());
        assert.throws(() => Object.assign(Object(call.body().metadata), { kept: '2' }), TypeError);
        const reply = await sent(upstream, call);
        assert.equal(await textOf(reply), 'unchanged');
        assert.equal(JSON.stringify(call.body()), before);
      }
    });

    it('keeps calls that run side by side apart', async () => {
      const { upstream } = await subjectOf('repeats');
      const words = Array.from({ length: 40 }, (_, index) => `word number ${index}`);
      const texts = await Promise.all(
        words.map(async (word, index) => textOf(await sent(upstream, callFor(word, { stream: index % 2 === 0 })))),
      );
      assert.deepEqual(texts, words);
    });

    it('asks nothing for a call that was aborted before it began', async () => {
      const subject = await subjectOf('repeats');
      for (const stream of [false, true]) {
        const reason = new Error('gone already');
        const call = callFor('never', { stream }, AbortSignal.abort(reason));
        await assert.rejects(sent(subject.upstream, call), (error) => error === reason);
      }
      assert.equal(subject.asked?.() ?? 0, 0);
    });

    it('ends with the reason when the call is aborted in mid-stream, and stops its work', async () => {
      const subject = await subjectOf('stalls');
      const controller = new AbortController();
      const steps = stepsOf(await sent(subject.upstream, callFor('begun', { stream: true }, controller.signal)));
      await within(steps.next(), 'the first step');
      const reason = new Error('gone');
      const rest = assert.rejects(within(toTheEnd(steps), 'the end'), (error) => error === reason);
      controller.abort(reason);
      await rest;
      if (subject.stopped) await within(subject.stopped(), 'the source to stop');
    });

    it('stops its work when the stream is left early', async () => {
      const subject = await subjectOf('stalls');
      const steps = stepsOf(await sent(subject.upstream, callFor('begun', { stream: true })));
      await within(steps.next(), 'the first step');
      await within(Promise.resolve(steps.return?.()), 'the stream to be left');
      if (subject.stopped) await within(subject.stopped(), 'the source to stop');
    });

    it('stops its work when the stream is left before its first step', async () => {
      const subject = await subjectOf('stalls');
      const steps = stepsOf(await sent(subject.upstream, callFor('begun', { stream: true })));
      await within(Promise.resolve(steps.return?.()), 'the stream to be left');
      if (subject.stopped) await within(subject.stopped(), 'the source to stop');
    });

    it('throws a refusal before any answer has begun, and says no secret', async () => {
      const { upstream } = await subjectOf('refuses');
      for (const stream of [false, true]) {
        const call = callFor('never', { stream, model: 'no-such-model' });
        await assert.rejects(sent(upstream, call), (error) => {
          assert.ok(error instanceof GatewayError, String(error));
          assert.deepEqual([error.status, error.code], [404, 'model_not_found']);
          assert.doesNotMatch(error.message, /CANARY|127\.0\.0\.1/);
          return true;
        });
      }
    });
  });
}

function callFor(text: string, more: JsonObject = {}, signal = new AbortController().signal): UpstreamCall {
  const body = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: `Say: ${text}` }], ...more };
  return callWith(body, { signal });
}

const sent = (upstream: Upstream, call: UpstreamCall): Promise<UpstreamReply> => within(upstream.send(call), 'a reply');

async function wholeOf(reply: UpstreamReply): Promise<JsonObject> {
  if (reply.kind === 'whole') return wholeBody(reply);
  assert.equal(reply.kind, 'bytes', 'no stream was asked for');
  return reply.kind === 'bytes' ? JSON.parse(await bytesOf(reply.body)) : {};
}

async function chunksOf(reply: UpstreamReply): Promise<JsonObject[]> {
  assert.notEqual(reply.kind, 'whole', 'a stream was asked for');
  if (reply.kind === 'chunks') return within(gathered(reply.chunks), 'all chunks');
  if (reply.kind !== 'bytes') return [];
  assert.match(reply.contentType, /^text\/event-stream/);
  const events = (await bytesOf(reply.body)).split('\n\n').filter((event) => event !== '');
  assert.equal(events.pop(), 'data: [DONE]');
  return events.map((event) => JSON.parse(event.slice('data: '.length)));
}

async function textOf(reply: UpstreamReply): Promise<unknown> {
  const streamed = reply.kind === 'chunks' || (reply.kind === 'bytes' && reply.contentType.includes('event-stream'));
  return streamed ? joinedChunks(await chunksOf(reply)).content : contentOf(await wholeOf(reply));
}

function contentOf(answer: JsonObject): unknown {
  const [choice] = Array.isArray(answer.choices) ? answer.choices : [];
  return choice?.message?.content;
}

async function bytesOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  return Buffer.concat(await within(gathered(body), 'all bytes')).toString();
}

async function gathered<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

function stepsOf(reply: UpstreamReply): AsyncIterator<unknown> {
  if (reply.kind === 'whole') throw new Error('a stream was asked for');
  return reply.kind === 'bytes' ? reply.body[Symbol.asyncIterator]() : reply.chunks[Symbol.asyncIterator]();
}

async function toTheEnd(steps: AsyncIterator<unknown>): Promise<void> {
  let step = await steps.next();
  while (step.done !== true) step = await steps.next();
}
