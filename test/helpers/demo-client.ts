import assert from 'node:assert/strict';
import { GatewayError } from '../../src/base/errors.js';
import { isJsonObject, type JsonObject } from '../../src/base/json.js';
import type { DemoOptions } from '../../src/upstreams/demo/context.js';
import { offlineOpenAI } from '../../src/upstreams/demo/offline.js';
import type { DemoBounds } from '../../src/upstreams/demo/store.js';
import type { ModelOperation } from '../../src/wire/operations.js';
import { recordedAnswers } from '../conformance/recordings.js';
import { shapeOf } from './openai-shapes.js';
import { type CallWishes, callWith, wholeBody } from './upstream-call.js';

/** The answer to a forwarded request. */
export interface Answer {
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** A file or a field of a form. */
export type FormValue = string | { readonly bytes: Uint8Array; readonly filename: string };

/** Asks a demo without a gateway around it. */
export interface DemoClient {
  /** A whole answer. */
  whole(body: JsonObject, operation?: ModelOperation, more?: CallWishes): Promise<JsonObject>;
  /** The chunks of a stream. */
  streamed(body: JsonObject, operation?: ModelOperation): Promise<JsonObject[]>;
  /** A forwarded request with and for JSON. */
  json(method: string, path: string, body?: unknown): Promise<JsonObject>;
  form(path: string, values: readonly (readonly [name: string, value: FormValue])[]): Promise<Answer>;
  /** A forwarded request with any body of any content type. */
  raw(method: string, path: string, body?: Uint8Array, headers?: Record<string, string>): Promise<Answer>;
}

/** A client of a demo of its own. Request ids are numbered. */
export function demoClient(options: DemoOptions = {}, bounds: Partial<DemoBounds> = {}): DemoClient {
  const { send, forward } = offlineOpenAI(options, bounds);
  let requests = 0;
  const context = () => {
    requests += 1;
    const { signal } = new AbortController();
    return { keyId: 'key_1', tier: 'basic', requestId: `req_${requests}`, signal };
  };
  const raw: DemoClient['raw'] = async (method, path, bytes, headers = {}) => {
    const body = bytes === undefined ? undefined : inPieces(bytes);
    const reply = await forward({ ...context(), operation: 'files', method, path, headers, body });
    assert.equal(reply.status, 200);
    return { type: reply.headers['content-type'] ?? '', headers: reply.headers, bytes: await readAll(reply.body) };
  };
  return {
    raw,
    async whole(body, operation = 'chat.completions', more = {}) {
      const reply = await send(callWith(body, { operation, ...more }));
      assert.ok(reply.kind === 'whole');
      return JSON.parse(JSON.stringify(wholeBody(reply)));
    },
    async streamed(body, operation = 'chat.completions') {
      const reply = await send(callWith({ ...body, stream: true }, { operation }));
      assert.ok(reply.kind === 'chunks');
      const chunks: JsonObject[] = [];
      for await (const chunk of reply.chunks) chunks.push(JSON.parse(JSON.stringify(chunk)));
      return chunks;
    },
    async json(method, path, body) {
      const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      return jsonOf(await raw(method, path, bytes, { 'content-type': 'application/json' }));
    },
    async form(path, values) {
      const form = new FormData();
      for (const [name, value] of values) {
        if (typeof value === 'string') form.append(name, value);
        else form.append(name, new Blob([Buffer.from(value.bytes)]), value.filename);
      }
      const request = new Response(form);
      const contentType = request.headers.get('content-type') ?? '';
      return raw('POST', path, Buffer.from(await request.arrayBuffer()), { 'content-type': contentType });
    },
  };
}

export function jsonOf({ bytes, type }: Answer): JsonObject {
  assert.equal(type, 'application/json');
  const value: unknown = JSON.parse(bytes.toString());
  assert.ok(isJsonObject(value));
  return value;
}

/** The data of an answer's events. */
export function eventsOf({ bytes, type }: Answer): JsonObject[] {
  assert.match(type, /^text\/event-stream/);
  const events = bytes.toString().split(/\r?\n\r?\n/);
  return events.filter((event) => event !== '').map((event) => JSON.parse(/^data: (.*)$/m.exec(event)?.[1] ?? 'null'));
}

/** Asserts a refusal. @param expected members of the error beside its status of 400, or their replacement. */
export async function refuses(
  promise: Promise<unknown>,
  message: RegExp,
  expected: Partial<Record<'status' | 'code' | 'param', unknown>> = {},
): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof GatewayError, String(error));
    assert.match(error.message, message);
    for (const [name, value] of Object.entries({ status: 400, ...expected }))
      assert.equal(Reflect.get(error, name), value);
    return true;
  });
}

/** Asserts that an answer has the members of recorded ones. @param call such as `POST /v1/embeddings 200 application/json`. */
export function hasTheRecordedMembers(answer: JsonObject, call: string): void {
  const recorded = recordedAnswers(call);
  assert.ok(recorded.length > 0);
  for (const one of recorded) assert.deepEqual(shapeOf(answer), shapeOf(one));
}

/**
 * Asserts that eight times the input costs nowhere near 64 times the processor: work grows with its input, not with the
 * square of it.
 * @param run takes an input of that size.
 */
export async function growsWithItsInput(run: (size: number) => Promise<unknown>, size: number): Promise<void> {
  const costMs = async (times: number): Promise<number> => {
    const startedAt = process.cpuUsage();
    await run(size * times);
    return process.cpuUsage(startedAt).user / 1_000;
  };
  await costMs(1);
  const [small, large] = [await costMs(1), await costMs(8)];
  assert.ok(large < 24 * Math.max(small, 10), `${size}: ${small} ms, eight times as much: ${large} ms`);
}

async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 60_000) yield bytes.subarray(at, at + 60_000);
}
