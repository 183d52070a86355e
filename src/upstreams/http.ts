import { isRecord, positiveInteger, unexpected } from '../base/checks.js';
import { MODEL_OPERATIONS, type ModelOperation } from '../wire/operations.js';
import { callOverHttp, singleFields } from './http-call.js';
import type { Transport } from './transport.js';
import { undiciTransport } from './undici.js';
import {
  type AbortPolicy,
  abortPolicy,
  type CeilingName,
  type ForwardCall,
  type ForwardReply,
  type Upstream,
  type UpstreamCall,
  type UpstreamReply,
} from './upstream.js';
import { cancellationOf } from './upstream-call.js';

export interface HttpOptions {
  /** Address up to and with the version, such as `https://api.openai.com/v1`. */
  readonly baseUrl: string;
  /** Key, sent as `authorization: Bearer`. Without it there is no such header. */
  readonly apiKey?: string | undefined;
  /** Further request headers. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Name in logs, usage records and X-Debug, so no address. @default 'http' */
  readonly name?: string | undefined;
  /** Most connections, and so most calls at once: HTTP/1.1 has one call on a connection. Further calls wait. @default 4_096 */
  readonly connections?: number | undefined;
  /** Longest time to connect. @default 5_000 */
  readonly connectTimeoutMs?: number | undefined;
  /** Longest time from the request to the head of the answer; OpenAI's SDKs wait as long. @default 600_000 */
  readonly headersTimeoutMs?: number | undefined;
  /**
   * The server's name for the output ceiling of a chat completion, where you know it: `max_tokens` for Mistral, DeepSeek, Ollama and most
   * others. A client's ceiling of the other name is renamed. @default `max_completion_tokens`, until answers show that it is refused or ignored
   */
  readonly ceiling?: CeilingName | undefined;
  /** Treatment of a call whose client leaves: see `Upstream`. @default 'cancel' */
  readonly onAbort?: AbortPolicy | undefined;
  /** Longest silence inside an answer. Time in which the client does not read is not counted. @default 600_000 */
  readonly bodyTimeoutMs?: number | undefined;
  /** Longest time from the head of a stream to its first event, whatever comments come meanwhile. @default as `bodyTimeoutMs` says */
  readonly firstTokenTimeoutMs?: number | undefined;
  /** Longest time between two events of a stream, whatever comments come meanwhile. @default as `bodyTimeoutMs` says */
  readonly tokenTimeoutMs?: number | undefined;
  /**
   * Time after which the head of a stream goes to the client if only comments have come: proxies between may not wait. An error after that
   * is an event and no status. @default the head waits for the first event
   */
  readonly openHeadAfterMs?: number | undefined;
}

const JSON_HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

/** Largest answer that is read to its end before the gateway hears of it: it counts, and may hold back, what is larger. */
const MAX_WHOLE_BYTES = 262_144;

const PATHS: Readonly<Record<ModelOperation, string>> = {
  'chat.completions': '/chat/completions',
  completions: '/completions',
  embeddings: '/embeddings',
  moderations: '/moderations',
  responses: '/responses',
};

/**
 * Any OpenAI-compatible server, over undici. Answers pass through unchanged, byte for byte. Redirects are not followed, and
 * nothing that a client says can change where a call goes or which key it bears.
 * @throws {TypeError} for options that cannot be right, such as a `baseUrl` with a user name, query or fragment.
 */
export function http(options: HttpOptions): Upstream {
  checkOptions(options);
  const base = checkedBaseUrl(options.baseUrl);
  const path = base.pathname.replace(/(?<!\/)\/+$/, '');
  const headers = requestHeaders(options);
  const opening = undiciTransport(base.origin, {
    connections: options.connections ?? 4_096,
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    headersTimeoutMs: options.headersTimeoutMs ?? 600_000,
    bodyTimeoutMs: Math.min(options.bodyTimeoutMs ?? 600_000, options.tokenTimeoutMs ?? Number.POSITIVE_INFINITY),
  });
  let pool: Transport | undefined;
  opening.then(
    (opened) => {
      pool = opened;
    },
    () => {},
  );

  function send(call: UpstreamCall): Promise<UpstreamReply> {
    if (pool === undefined) return opening.then(() => send(call));
    const opened = pool;
    const { operation, bytes: body, stream, maxResponseBytes } = call;
    const request = { method: 'POST', path: path + PATHS[operation], headers, body } as const;
    const maxWholeBytes = stream ? 0 : Math.min(maxResponseBytes, MAX_WHOLE_BYTES);
    const reading = { maxWholeBytes, cancellation: cancellationOf(call) };
    return new Promise((resolve, reject) => {
      callOverHttp(opened, request, reading, {
        onWhole: (bytes) => resolve({ kind: 'whole', body: bytes }),
        onBegun: (reply) =>
          resolve({ kind: 'bytes', contentType: reply.head.get('content-type') ?? '', body: reply.body }),
        onFailed: reject,
      });
    });
  }

  async function forward(call: ForwardCall): Promise<ForwardReply> {
    const opened = pool ?? (await opening);
    const request = {
      method: call.method,
      path: path + call.path,
      headers: requestHeaders(options, call.headers),
      body: call.body,
    };
    return new Promise((resolve, reject) => {
      callOverHttp(
        opened,
        request,
        { maxWholeBytes: 0, cancellation: cancellationOf(call) },
        {
          onWhole: () => reject(new TypeError('Expected an answer that was not read yet')),
          onBegun: ({ head, body }) => resolve({ status: head.status, headers: singleFields(head), body }),
          onFailed: reject,
        },
      );
    });
  }

  const { name = 'http', onAbort, ceiling, firstTokenTimeoutMs, tokenTimeoutMs, openHeadAfterMs } = options;
  return {
    name,
    operations: MODEL_OPERATIONS,
    ...abortPolicy(onAbort),
    ...(ceiling === undefined ? {} : { ceiling }),
    patience: { firstTokenTimeoutMs, tokenTimeoutMs, openHeadAfterMs },
    send,
    forward,
  };
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
  'firstTokenTimeoutMs',
  'tokenTimeoutMs',
  'openHeadAfterMs',
  'onAbort',
  'ceiling',
]);

const POSITIVE_INTEGERS = [
  'connections',
  'connectTimeoutMs',
  'headersTimeoutMs',
  'bodyTimeoutMs',
  'firstTokenTimeoutMs',
  'tokenTimeoutMs',
  'openHeadAfterMs',
] as const;

/** Checks the options. Its errors show no value that may be a key. */
function checkOptions(options: HttpOptions): void {
  if (!isRecord(options)) throw unexpected('options', 'to be an object with a `baseUrl`', options);
  for (const name of Object.keys(options)) {
    if (!OPTION_NAMES.has(name)) throw new TypeError(`Unknown option \`${name}\` of http`);
  }
  for (const name of POSITIVE_INTEGERS) {
    if (options[name] !== undefined) positiveInteger(name, options[name]);
  }
  const { ceiling } = options;
  if (ceiling !== undefined && ceiling !== 'max_tokens' && ceiling !== 'max_completion_tokens') {
    throw unexpected('ceiling', "to be 'max_tokens' or 'max_completion_tokens'", ceiling);
  }
  const { headers } = options;
  if (headers !== undefined && !isRecord(headers)) throw unexpected('headers', 'to be an object of texts', headers);
  for (const [name, value] of Object.entries({ authorization: options.apiKey ?? '', ...options.headers })) {
    const isHeader = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && typeof value === 'string' && /^[\t\x20-\x7e]*$/.test(value);
    if (!isHeader) throw new TypeError('Expected `apiKey` and `headers` to be what an HTTP header can hold');
  }
}

/** Puts the client's headers first, so that none of them replaces one of the host's. */
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
