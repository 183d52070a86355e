import assert from 'node:assert/strict';
import { GatewayError } from '../../src/base/errors.js';
import { isJsonObject, type JsonObject } from '../../src/base/json.js';
import { demo } from '../../src/upstreams/demo/demo.js';
import { type DemoForwardOptions, demoForward } from '../../src/upstreams/demo/forward/demo-forward.js';
import type { ForwardCall, ForwardReply, Upstream } from '../../src/upstreams/upstream.js';

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** A file or a field of a form. */
export type FormValue = string | { readonly bytes: Uint8Array; readonly filename: string };

export interface ForwardClient {
  json(method: string, path: string, body?: unknown): Promise<JsonObject>;
  form(path: string, values: readonly (readonly [name: string, value: FormValue])[]): Promise<Answer>;
  /** Any body with any content type. */
  raw(method: string, path: string, body?: Uint8Array, headers?: Record<string, string>): Promise<Answer>;
  call(call: Partial<ForwardCall> & Pick<ForwardCall, 'method' | 'path'>): Promise<ForwardReply>;
}

/** A client of a demo of its own. */
export function forwardClient(options: DemoForwardOptions = {}, send: Upstream['send'] = demo().send): ForwardClient {
  const forward = demoForward(send, options);
  let requests = 0;
  const call: ForwardClient['call'] = (given) => {
    requests += 1;
    return forward({
      operation: 'files',
      keyId: 'key_1',
      tier: 'basic',
      requestId: `req_${requests}`,
      signal: new AbortController().signal,
      headers: {},
      body: undefined,
      ...given,
    });
  };
  const raw: ForwardClient['raw'] = async (method, path, body, headers = {}) => {
    const reply = await call({ method, path, headers, body: body === undefined ? undefined : inPieces(body) });
    const bytes = await readAll(reply.body);
    return { status: reply.status, type: reply.headers['content-type'] ?? '', headers: reply.headers, bytes };
  };
  return {
    call,
    raw,
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

export async function readAll(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** The data of an answer's events. */
export function eventsOf({ bytes, type }: Answer): JsonObject[] {
  assert.match(type, /^text\/event-stream/);
  return bytes
    .toString()
    .split(/\r?\n\r?\n/)
    .filter((event) => event !== '')
    .map((event) => JSON.parse(/^data: (.*)$/m.exec(event)?.[1] ?? 'null'));
}

/** Asserts a refusal in OpenAI's words. */
export async function refuses(promise: Promise<unknown>, status: number, message: RegExp): Promise<GatewayError> {
  const error = await promise.then(
    () => assert.fail(`Expected a refusal with ${message}`),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof GatewayError, String(error));
  assert.equal(error.status, status, error.message);
  assert.match(error.message, message);
  return error;
}

async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 60_000) yield bytes.subarray(at, at + 60_000);
}
