import { isRecord, positiveInteger, unexpected } from '../base/checks.js';
import { systemClock } from '../base/clock.js';
import { MODEL_OPERATIONS, type ModelOperation } from '../wire/operations.js';
import { dispatcherTransport, type HttpDispatcher } from './dispatcher.js';
import { callOverHttp, type HttpOutcome, type HttpReply, singleFields } from './http-call.js';
import { Http1Transport } from './http1/pool.js';
import { RequestHeads } from './http1/request-head.js';
import { type ServerAddress, serverAddressOf } from './server-address.js';
import type { Transport } from './transport.js';
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
import { cancellationOf, copyingNoCall } from './upstream-call.js';

export interface HttpOptions {
  /** Address up to and with the version, such as `https://api.openai.com/v1`; over a Unix socket `unix:/run/llm.sock:/v1`. */
  readonly baseUrl: string;
  /** Key, sent as `authorization: Bearer`. Without it there is no such header. */
  readonly apiKey?: string | undefined;
  /** Further request headers. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Name in logs, usage records and X-Debug, so no address. @default 'http' */
  readonly name?: string | undefined;
  /** Most connections, and so most calls at once: HTTP/1.1 has one call on a connection. Further calls wait. @default 16_384, above `maxConcurrentCalls` */
  readonly connections?: number | undefined;
  /** Certificates, in PEM, of the authorities that are trusted for an `https:` address. @default those that Node trusts */
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[] | undefined;
  /**
   * Something of undici 7 or 8 that carries the calls instead of the gateway's own client: a `ProxyAgent`, `MockAgent`, `Agent` with
   * HTTP/2 and so on. Connections, their certificates and their number are its own then. @default the gateway's own client
   */
  readonly dispatcher?: HttpDispatcher | undefined;
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

/** Paths of model calls. Made once: the client knows the last one again, and need not check it. */
function pathsBelow(path: string): Readonly<Record<ModelOperation, string>> {
  return {
    'chat.completions': `${path}/chat/completions`,
    completions: `${path}/completions`,
    embeddings: `${path}/embeddings`,
    moderations: `${path}/moderations`,
    responses: `${path}/responses`,
  };
}

/**
 * Any OpenAI-compatible server. Answers pass through unchanged, byte for byte. Redirects are not followed, and
 * nothing that a client says can change where a call goes or which key it bears.
 * @throws {TypeError} for options that cannot be right, such as a `baseUrl` with a user name, query or fragment.
 */
export function http(options: HttpOptions): Upstream {
  checkOptions(options);
  const address = serverAddressOf(options.baseUrl);
  const { path } = address;
  const paths = pathsBelow(path);
  const headers = requestHeaders(options);
  checkHead(address, headers);
  const transport = transportTo(address, options);

  function send(call: UpstreamCall): Promise<UpstreamReply> {
    const { operation, bytes: body, stream, maxResponseBytes } = call;
    const request = { method: 'POST', path: paths[operation], headers, body };
    const maxWholeBytes = stream ? 0 : Math.min(maxResponseBytes, MAX_WHOLE_BYTES);
    const reading = { maxWholeBytes, cancellation: cancellationOf(call) };
    return new Promise((resolve, reject) => {
      callOverHttp(transport, request, reading, new ModelOutcome(resolve, reject));
    });
  }

  function forward(call: ForwardCall): Promise<ForwardReply> {
    const request = {
      method: call.method,
      path: path + call.path,
      headers: requestHeaders(options, call.headers),
      body: call.body,
    };
    return new Promise((resolve, reject) => {
      callOverHttp(
        transport,
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
    send: copyingNoCall(send),
    forward,
  };
}

/** The reply to a model call, for the promise of it. */
class ModelOutcome implements HttpOutcome {
  private readonly resolve: (reply: UpstreamReply) => void;
  readonly onFailed: (error: unknown) => void;

  constructor(resolve: (reply: UpstreamReply) => void, reject: (error: unknown) => void) {
    this.resolve = resolve;
    this.onFailed = reject;
  }

  onWhole(bytes: Buffer): void {
    this.resolve({ kind: 'whole', body: bytes });
  }

  onBegun({ head, body }: HttpReply): void {
    this.resolve({ kind: 'bytes', contentType: head.get('content-type') ?? '', body });
  }
}

const OPTION_NAMES = new Set<string>([
  'baseUrl',
  'apiKey',
  'headers',
  'name',
  'connections',
  'ca',
  'dispatcher',
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
  const { headers, dispatcher } = options;
  if (dispatcher !== undefined) checkDispatcher(options, dispatcher);
  if (headers !== undefined && !isRecord(headers)) throw unexpected('headers', 'to be an object of texts', headers);
  const names = Object.keys(headers ?? {}).map((name) => name.toLowerCase());
  if (new Set(names).size < names.length) throw new TypeError('Expected each of `headers` once, in whatever case');
  for (const [name, value] of Object.entries({ authorization: options.apiKey ?? '', ...options.headers })) {
    const isHeader = /^[\w!#$%&'*+.^`|~-]+$/.test(name) && typeof value === 'string' && /^[\t\x20-\x7e]*$/.test(value);
    if (!isHeader) throw new TypeError('Expected `apiKey` and `headers` to be what an HTTP header can hold');
  }
}

/** @throws {TypeError} for headers that only a connection itself may say, rather than at each call. */
function checkHead({ host, path }: ServerAddress, headers: readonly string[]): void {
  new RequestHeads(host).headOf({ method: 'GET', path: `${path}/`, headers, body: undefined });
}

/** Puts the client's headers first, so that none of them replaces one of the host's. One name, in whatever case, goes out once. */
function requestHeaders(
  { apiKey, headers = {} }: HttpOptions,
  passed: HttpOptions['headers'] = JSON_HEADERS,
): string[] {
  return Object.entries({
    ...passed,
    'accept-encoding': 'identity',
    'user-agent': 'megallm-middleware',
    ...(apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }),
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  }).flat();
}

/** Options that a dispatcher of the host's decides itself. */
const DISPATCHERS_OWN = ['connections', 'ca', 'connectTimeoutMs'] as const;

function checkDispatcher(options: HttpOptions, dispatcher: HttpDispatcher): void {
  const isOne = typeof dispatcher === 'object' && dispatcher !== null && typeof dispatcher.dispatch === 'function';
  if (!isOne) throw unexpected('dispatcher', 'to be a dispatcher of undici 7 or 8', dispatcher);
  for (const name of DISPATCHERS_OWN) {
    if (options[name] !== undefined)
      throw new TypeError(`Expected no \`${name}\` beside \`dispatcher\`, which decides it itself`);
  }
}

function transportTo(address: ServerAddress, options: HttpOptions): Transport {
  const { connections = 16_384, connectTimeoutMs = 5_000, headersTimeoutMs = 600_000, ca, dispatcher } = options;
  const bodyTimeoutMs = Math.min(options.bodyTimeoutMs ?? 600_000, options.tokenTimeoutMs ?? Number.POSITIVE_INFINITY);
  if (dispatcher !== undefined) {
    if (address.socketPath !== undefined) throw new TypeError('Expected no Unix socket beside `dispatcher`');
    return dispatcherTransport(dispatcher, address.origin, { headersTimeoutMs, bodyTimeoutMs });
  }
  if (ca !== undefined && !address.isSecure) throw new TypeError('Expected `ca` beside an https address alone');
  const bounds = { connections, connectTimeoutMs, headersTimeoutMs, bodyTimeoutMs };
  return new Http1Transport(address, ca, bounds, systemClock);
}
