import { memberOf, refuseOthers, unexpected } from '../base/checks.js';
import { GatewayError, upstreamBadResponse, upstreamError, upstreamTimeout } from '../base/errors.js';
import { isJsonObject, type JsonObject } from '../base/json.js';
import { MODEL_OPERATIONS, type ModelOperation } from '../wire/operations.js';
import { type AbortPolicy, abortPolicy, type Upstream, type UpstreamCall, type UpstreamReply } from './upstream.js';
import { retryAfterMsOf, upstreamFailure } from './upstream-failure.js';

/** The part of a resource of OpenAI's SDK that is used here. */
export interface OpenAIResource {
  create(
    body: object,
    options: {
      readonly signal: AbortSignal;
      readonly maxRetries: number;
      readonly fetchOptions: { readonly redirect: 'manual' };
    },
  ): PromiseLike<unknown>;
}

/** The part of an `OpenAI` or `AzureOpenAI` instance that is used here, of the package `openai` 6 or 7. */
export interface OpenAIClient {
  readonly chat: { readonly completions: OpenAIResource };
  readonly completions?: OpenAIResource | undefined;
  readonly embeddings?: OpenAIResource | undefined;
  readonly moderations?: OpenAIResource | undefined;
  readonly responses?: OpenAIResource | undefined;
}

/**
 * The host's own instance of OpenAI's SDK as an upstream: its key, address, proxy and timeout are the client's. Its
 * retries are not used. A stream that the server cuts off without an error looks to the SDK as if it had ended.
 * @param options.name For logs and usage records. @default 'openai'
 * @param options.onAbort Treatment of a call whose client leaves: see `Upstream`. @default 'cancel'
 * @throws {TypeError} when `client` is no such instance.
 */
export function openaiClient(
  client: OpenAIClient,
  options: { readonly name?: string | undefined; readonly onAbort?: AbortPolicy | undefined } = {},
): Upstream {
  if (typeof client?.chat?.completions?.create !== 'function') {
    throw unexpected('client', 'to be an instance of OpenAI or AzureOpenAI', client);
  }
  refuseOthers('options', options, { name: true, onAbort: true });
  return {
    name: options.name ?? 'openai',
    ...abortPolicy(options.onAbort),
    operations: MODEL_OPERATIONS.filter((operation) => resourceOf(client, operation) !== undefined),
    async send({ operation, body: bodyOf, stream, signal }) {
      signal.throwIfAborted();
      const body = bodyOf();
      try {
        // A redirect would take the host's key along to wherever it points.
        const fetchOptions = { redirect: 'manual' } as const;
        const resource = resourceOf(client, operation) ?? client.chat.completions;
        const answer = await resource.create(body, { signal, maxRetries: 0, fetchOptions });
        if (stream) return await openStream(answer, signal);
        return { kind: 'whole', body: asAnswered(checked(answer)) };
      } catch (error) {
        throw signal.aborted ? signal.reason : failureOf(error);
      }
    },
  };
}

/** A resource of the client; `undefined` where an older package, or another client of the same shape, lacks it. */
function resourceOf(client: OpenAIClient, operation: ModelOperation): OpenAIResource | undefined {
  return operation === 'chat.completions' ? client.chat.completions : client[operation];
}

/** Waits for the first chunk: until then a failure is an ordinary error. */
async function openStream(answer: unknown, signal: UpstreamCall['signal']): Promise<UpstreamReply> {
  if (!isAsyncIterable(answer)) return { kind: 'whole', body: asAnswered(checked(answer)) };
  const iterator = answer[Symbol.asyncIterator]();
  let first: IteratorResult<unknown> | undefined = await iterator.next();
  // The SDK ends a stream that was aborted as if it were complete.
  signal.throwIfAborted();
  if (first.done !== true) checked(first.value);

  async function next(): Promise<IteratorResult<JsonObject, undefined>> {
    try {
      const step = first ?? (await iterator.next());
      first = undefined;
      signal.throwIfAborted();
      return step.done === true ? { done: true, value: undefined } : { done: false, value: checked(step.value) };
    } catch (error) {
      throw signal.aborted ? signal.reason : failureOf(error);
    }
  }
  const chunks = {
    [Symbol.asyncIterator]: () => ({
      next,
      async return() {
        // A generator that is waiting for the next chunk would hear of `return` only after it.
        abortStream(answer);
        await iterator.return?.();
        return { done: true, value: undefined } as const;
      },
    }),
  };
  return { kind: 'chunks', chunks };
}

/** Takes out the summary that the SDK adds to a response; OpenAI's API has no such member. */
function asAnswered(body: JsonObject): JsonObject {
  if (body.object !== 'response') return body;
  const { output_text: _, ...response } = body;
  return response;
}

function checked(value: unknown): JsonObject {
  if (isJsonObject(value)) return value;
  throw upstreamBadResponse('The upstream answered with something other than a JSON object.');
}

/** Tells errors by their shape, as their classes belong to the host's copy of the package, of any version. */
function failureOf(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const status = memberOf(error, 'status');
  const said = memberOf(error, 'error');
  if (typeof status === 'number' || isJsonObject(said)) {
    const headers = memberOf(error, 'headers');
    const retryAfterMs = hasGet(headers) ? retryAfterMsOf(headers) : undefined;
    return upstreamFailure({
      // An error event inside a stream has no status of its own.
      status: typeof status === 'number' ? status : 'inside',
      body: { error: said },
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      cause: error,
    });
  }
  if (error instanceof SyntaxError) {
    return upstreamBadResponse('The upstream answered with JSON that cannot be read.', error);
  }
  if (/timed? ?out/i.test(String(memberOf(error, 'message')))) return upstreamTimeout(error);
  return upstreamError('The connection to the upstream failed.', error);
}

/** Aborts the request of a stream, whose controller the SDK's streams bear. */
function abortStream(stream: object): void {
  const controller = memberOf(stream, 'controller');
  if (controller instanceof AbortController) controller.abort();
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof memberOf(value, Symbol.asyncIterator) === 'function';
}

function hasGet(value: unknown): value is { get(name: string): string | null | undefined } {
  return typeof memberOf(value, 'get') === 'function';
}
