import type { Dispatcher, Pool } from 'undici';
import { upstreamBadResponse, upstreamError, upstreamTimeout } from '../errors.js';
import { jsonBytes } from '../json-document.js';
import { type ResponseBody, responseBody } from './response-body.js';
import type { Operation, Upstream, UpstreamCall, UpstreamReply } from './upstream.js';
import { retryAfterMsOf, upstreamFailure } from './upstream-failure.js';

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
  /** Longest silence inside an answer. Time in which the client does not read is not counted. @default 120_000 */
  readonly bodyTimeoutMs?: number;
}

const PATHS: Readonly<Record<Operation, string>> = { 'chat.completions': '/chat/completions' };

/** Enough for any error message. */
const MAX_ERROR_BYTES = 65_536;

/**
 * Any OpenAI-compatible server, over undici. Answers pass through as the bytes they are. Redirects are not followed, and
 * nothing a client says can change where a call goes or which key it bears.
 * @throws {TypeError} when `baseUrl` is not an http(s) address, or carries a user name, query or fragment.
 */
export function http(options: HttpOptions): Upstream {
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
  return {
    name: options.name ?? 'http',
    async send(call) {
      const dispatcher = pool instanceof Promise ? await pool : pool;
      const answer = await begin(dispatcher, { path: path + PATHS[call.operation], headers }, call);
      return answer;
    },
  };
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

interface Target {
  readonly path: string;
  readonly headers: string[];
}

/** Sends the call; resolves at the head of a good answer, rejects with what the client should see of a bad one. */
function begin(pool: Pool, { path, headers }: Target, call: UpstreamCall): Promise<UpstreamReply> {
  const { signal } = call;
  return new Promise((resolve, reject) => {
    let body: ResponseBody | undefined;
    let refusal: ((text: Buffer) => Error) | undefined;
    let controller: Dispatcher.DispatchController | undefined;
    const abort = (): void => {
      const reason: unknown = signal.reason;
      controller?.abort(reason instanceof Error ? reason : new Error('aborted'));
    };
    const release = (): void => signal.removeEventListener('abort', abort);
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });

    pool.dispatch(
      { path, method: 'POST', headers, body: jsonBytes(call.body) },
      {
        onRequestStart(started) {
          controller = started;
          if (signal.aborted) abort();
        },
        onResponseStart(started, status, responseHeaders) {
          if (status < 200) return;
          const verdict = judge(status, responseHeaders);
          body = responseBody(started);
          if (verdict.kind === 'refused') {
            refusal = verdict.error;
            return;
          }
          resolve({ kind: 'bytes', contentType: verdict.contentType, body: body.bytes });
        },
        onResponseData(started, chunk) {
          body?.push(chunk);
          if (refusal !== undefined && body !== undefined && body.size > MAX_ERROR_BYTES) {
            reject(refusal(Buffer.alloc(0)));
            started.abort(new Error('The error body is too large.'));
          }
        },
        onResponseEnd() {
          release();
          if (refusal !== undefined && body !== undefined) reject(refusal(body.takeAll()));
          body?.end();
        },
        onResponseError(_controller, error) {
          release();
          const thrown = signal.aborted ? signal.reason : transportError(error);
          body?.fail(thrown);
          reject(refusal === undefined ? thrown : refusal(Buffer.alloc(0)));
        },
      },
    );
  });
}

type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

type Judgement =
  | { readonly kind: 'good'; readonly contentType: string }
  | { readonly kind: 'refused'; readonly error: (text: Buffer) => Error };

function judge(status: number, headers: ResponseHeaders): Judgement {
  if (status >= 300 && status < 400) {
    const error = upstreamBadResponse('The upstream answered with a redirect, which is not followed.');
    return { kind: 'refused', error: () => error };
  }
  if (status >= 400) {
    const retryAfterMs = retryAfterMsOf({ get: (name) => single(headers[name]) });
    return {
      kind: 'refused',
      error: (text) =>
        upstreamFailure({ status, body: parsed(text), ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }),
    };
  }
  const encoding = single(headers['content-encoding']) ?? 'identity';
  if (encoding !== 'identity') {
    const error = upstreamBadResponse('The upstream sent a compressed answer although none was asked for.');
    return { kind: 'refused', error: () => error };
  }
  return { kind: 'good', contentType: single(headers['content-type']) ?? '' };
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function parsed(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'));
  } catch {
    return undefined;
  }
}

/** What undici throws, in our words: its messages name addresses. */
function transportError(error: Error): Error {
  const code: unknown = Reflect.get(error, 'code');
  switch (code) {
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return upstreamTimeout(error);
    case 'UND_ERR_CONNECT_TIMEOUT':
      return upstreamError('The upstream cannot be reached.', error);
    default:
      return upstreamError('The connection to the upstream failed.', error);
  }
}

function requestHeaders({ apiKey, headers = {} }: HttpOptions): string[] {
  return Object.entries({
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
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
