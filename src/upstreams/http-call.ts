import type { Dispatcher } from 'undici';
import { reasonOf } from '../base/cancellation.js';
import { upstreamBadResponse, upstreamError, upstreamTimeout } from '../base/errors.js';
import type { DirectCall, DirectReply } from './direct.js';
import { type ResponseBody, responseBody } from './response-body.js';
import { retryAfterMsOf, upstreamFailure } from './upstream-failure.js';

/** One request as undici takes it. */
export interface HttpRequest {
  readonly method: Dispatcher.HttpMethod;
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: NonNullable<Dispatcher.DispatchOptions['body']> | null;
}

/** How its answer is to be taken. */
export type HttpReading = Pick<DirectCall, 'stream' | 'maxBytes' | 'cancellation'>;

/** The head of an answer beside what it bears. */
export type HttpReply = DirectReply & { readonly status: number; readonly headers: ResponseHeaders };

/** Enough for any error message. */
const MAX_ERROR_BYTES = 65_536;

/**
 * Sends the call. Resolves at the head of a good stream and at the end of a good whole answer; rejects with what the
 * client should see of a bad one.
 */
export function callOverHttp(
  dispatcher: Dispatcher,
  request: HttpRequest,
  { stream, maxBytes, cancellation }: HttpReading,
): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    let status = 0;
    let headers: ResponseHeaders = {};
    let contentType = '';
    let streamed: ResponseBody | undefined;
    let refusal: ((text: Buffer) => Error) | undefined;
    let controller: Dispatcher.DispatchController | undefined;
    const pieces: Buffer[] = [];
    let size = 0;

    const abort = (): void => {
      const reason = reasonOf(cancellation);
      // Not left to undici, which tells nobody before the call has a connection.
      reject(reason);
      streamed?.fail(reason);
      controller?.abort(reason);
    };
    const release = (): void => cancellation.removeEventListener('abort', abort);
    function giveUp(given: Dispatcher.DispatchController, error: Error): void {
      reject(error);
      given.abort(error);
    }

    if (cancellation.aborted) return reject(cancellation.reason);
    cancellation.addEventListener('abort', abort);
    dispatcher.dispatch(request, {
      onRequestStart(started) {
        controller = started;
        if (cancellation.aborted) abort();
      },
      onResponseStart(started, given, responseHeaders) {
        if (given < 200) return;
        const verdict = judge(given, responseHeaders);
        if (verdict.kind === 'refused') {
          refusal = verdict.error;
          return;
        }
        status = given;
        headers = responseHeaders;
        contentType = verdict.contentType;
        if (!stream) return;
        streamed = responseBody(started);
        resolve({ kind: 'steps', status, headers, contentType, steps: streamed });
      },
      onResponseData(started, piece) {
        if (streamed !== undefined) return streamed.push(piece);
        size += piece.length;
        pieces.push(piece);
        if (refusal !== undefined && size > MAX_ERROR_BYTES) giveUp(started, refusal(Buffer.alloc(0)));
        else if (size > maxBytes) giveUp(started, upstreamBadResponse('The upstream answered with too much.'));
      },
      onResponseEnd() {
        release();
        if (streamed !== undefined) return streamed.end();
        const [only] = pieces;
        const read = pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces);
        if (refusal === undefined) resolve({ kind: 'read', status, headers, contentType, bytes: read });
        else reject(refusal(read));
      },
      onResponseError(_controller, error) {
        release();
        const thrown = cancellation.aborted ? cancellation.reason : transportError(error);
        streamed?.fail(thrown);
        reject(refusal === undefined ? thrown : refusal(Buffer.alloc(0)));
      },
    });
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
