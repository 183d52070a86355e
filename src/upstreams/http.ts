import type { Pool } from 'undici';
import type { Cancellation } from '../base/cancellation.js';
import { positiveInteger } from '../base/checks.js';
import { jsonBytes } from '../base/json-document.js';
import { iterableOf } from '../base/steps.js';
import { MODEL_OPERATIONS, type ModelOperation } from '../wire/operations.js';
import { type DirectCall, type DirectReply, withDirect } from './direct.js';
import { callOverHttp, type HttpReading, type HttpReply, type HttpRequest } from './http-call.js';
import { type AbortPolicy, abortPolicy, type Upstream } from './upstream.js';

export interface HttpOptions {
  /** Address up to and with the version, such as `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  /** Sent as `authorization: Bearer`. Absent: no such header. */
  readonly apiKey?: string;
  /** Further request headers. */
  readonly headers?: Readonly<Record<string, string>>;
  /** For logs, usage records and X-Debug, so no address. @default 'http' */
  readonly name?: string;
  /** Most connections, and so most calls at once: HTTP/1.1 has one call on each. Further calls wait. @default 4_096 */
  readonly connections?: number;
  /** @default 5_000 */
  readonly connectTimeoutMs?: number;
  /** From the request to the head of the answer; OpenAI's SDKs wait as long. @default 600_000 */
  readonly headersTimeoutMs?: number;
  /** What becomes of a call whose client leaves: see `Upstream`. @default 'cancel' */
  readonly onAbort?: AbortPolicy;
  /** Longest silence inside an answer. Time in which the client does not read is not counted. @default 120_000 */
  readonly bodyTimeoutMs?: number;
}

const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

const PATHS: Readonly<Record<ModelOperation, string>> = {
  'chat.completions': '/chat/completions',
  completions: '/completions',
  embeddings: '/embeddings',
  moderations: '/moderations',
  responses: '/responses',
};

/**
 * Any OpenAI-compatible server, over undici. Answers pass through as the bytes they are. Redirects are not followed, and
 * nothing a client says can change where a call goes or which key it bears.
 * @throws {TypeError} for options that cannot be right, such as a `baseUrl` with a user name, query or fragment.
 */
export function http(options: HttpOptions): Upstream {
  checkOptions(options);
  const base = checkedBaseUrl(options.baseUrl);
  const path = base.pathname.replace(/\/+$/, '');
  const headers = requestHeaders(options);
  let pool: Pool | Promise<Pool> = openPool(base.origin, options);
  pool.then(
    (opened) => {
      pool = opened;
    },
    () => {},
  );
  function sendDirect(call: DirectCall): Promise<DirectReply> {
    const request = { method: 'POST', path: path + PATHS[call.operation], headers, body: call.bytes } as const;
    if (pool instanceof Promise) return pool.then((opened) => callOverHttp(opened, request, call));
    return callOverHttp(pool, request, call);
  }

  const upstream: Upstream = {
    name: options.name ?? 'http',
    operations: MODEL_OPERATIONS,
    ...abortPolicy(options.onAbort),
    async send({ operation, body, signal }) {
      const reply = await sendDirect({ operation, bytes: jsonBytes(body), ...unread(signal) });
      return { kind: 'bytes', contentType: reply.contentType, body: stepsOf(reply) };
    },
    async forward({ method, path: below, headers: passed, body, signal }) {
      const request = {
        method: method as HttpRequest['method'],
        path: path + below,
        headers: requestHeaders(options, passed),
        // undici takes iterables too; its types do not say so.
        body: (body ?? null) as HttpRequest['body'],
      };
      const reply = await callOverHttp(await pool, request, unread(signal));
      return { status: reply.status, headers: singleHeaders(reply.headers), body: stepsOf(reply) };
    },
  };
  return withDirect(upstream, sendDirect);
}

/** An answer to be read no faster than its reader takes it. */
const unread = (cancellation: Cancellation): HttpReading => ({
  stream: true,
  maxBytes: Number.POSITIVE_INFINITY,
  cancellation,
});

function stepsOf(reply: DirectReply): AsyncIterable<Uint8Array> {
  if (reply.kind === 'read') throw new TypeError('Expected an answer that was not read yet');
  return iterableOf(reply.steps);
}

/** What stands there once; which of it is passed on is not for an upstream to say. */
function singleHeaders(headers: HttpReply['headers']): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (typeof value === 'string' ? [[name, value]] : [])),
  );
}

/** undici takes 160 ms to load: in the background, and only where it is used. */
async function openPool(origin: string, options: HttpOptions): Promise<Pool> {
  const undici = await import('undici');
  return new undici.Pool(origin, {
    connections: options.connections ?? 4_096,
    pipelining: 1,
    connect: { timeout: options.connectTimeoutMs ?? 5_000 },
    headersTimeout: options.headersTimeoutMs ?? 600_000,
    bodyTimeout: options.bodyTimeoutMs ?? 120_000,
  });
}

const OPTION_NAMES = new Set<string>([
  'baseUrl',
  'apiKey',
  'headers',
  'name',
  'connections',
  'connectTimeoutMs',
  'headersTimeoutMs',
  'bodyTimeoutMs',
  'onAbort',
]);

/** Never shows a value that may be a key. */
function checkOptions(options: HttpOptions): void {
  for (const name of Object.keys(options)) {
    if (!OPTION_NAMES.has(name)) throw new TypeError(`Unknown option \`${name}\` of http`);
  }
  for (const name of ['connections', 'connectTimeoutMs', 'headersTimeoutMs', 'bodyTimeoutMs'] as const) {
    if (options[name] !== undefined) positiveInteger(name, options[name]);
  }
  for (const [name, value] of Object.entries({ authorization: options.apiKey ?? '', ...options.headers })) {
    const isHeader = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && typeof value === 'string' && /^[\t\x20-\x7e]*$/.test(value);
    if (!isHeader) throw new TypeError('Expected `apiKey` and `headers` to be what an HTTP header can hold');
  }
}

/** What a client sent goes first: nothing of it stands in place of the host's own. */
function requestHeaders(
  { apiKey, headers = {} }: HttpOptions,
  passed: HttpOptions['headers'] = JSON_HEADERS,
): string[] {
  return Object.entries({
    ...passed,
    'accept-encoding': 'identity',
    'user-agent': 'megallm-middleware',
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
    ...headers,
  }).flat();
}

function checkedBaseUrl(baseUrl: string): URL {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  const isPlain =
    url !== undefined && url.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new TypeError('Expected `baseUrl` to be an http or https address without user name, query or fragment');
  }
  return url;
}
