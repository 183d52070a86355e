import type { Dispatcher } from 'undici';
import { upstreamBadResponse, upstreamError, upstreamTimeout } from '../errors.js';
import type { DirectCall, DirectReply } from './direct.js';
import { type ResponseBody, responseBody } from './response-body.js';
import { retryAfterMsOf, upstreamFailure } from './upstream-failure.js';

export interface HttpTarget {
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
}

/** Enough for any error message. */
export const MAX_ERROR_BYTES = 65_536;

/**
 * Sends the call. Resolves at the head of a good stream and at the end of a good whole answer; rejects with what the
 * client should see of a bad one.
 */
export function callOverHttp(
  dispatcher: Dispatcher,
  { path, headers }: HttpTarget,
  { bytes, stream, maxBytes, cancellation }: DirectCall,
): Promise<DirectReply> {
  return new Promise((resolve, reject) => {
    let contentType = '';
    let streamed: ResponseBody | undefined;
    let refusal: ((text: Buffer) => Error) | undefined;
    let controller: Dispatcher.DispatchController | undefined;
    const pieces: Buffer[] = [];
    let size = 0;

    const abort = (): void => {
      const reason: Error = cancellation.reason;
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
    dispatcher.dispatch(
      { path, method: 'POST', headers, body: bytes },
      {
        onRequestStart(started) {
          controller = started;
          if (cancellation.aborted) abort();
        },
        onResponseStart(started, status, responseHeaders) {
          if (status < 200) return;
          const verdict = judge(status, responseHeaders);
          if (verdict.kind === 'refused') {
            refusal = verdict.error;
            return;
          }
          contentType = verdict.contentType;
          if (!stream) return;
          streamed = responseBody(started);
          resolve({ kind: 'steps', contentType, steps: streamed });
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
          if (refusal === undefined) resolve({ kind: 'read', contentType, bytes: read });
          else reject(refusal(read));
        },
        onResponseError(_controller, error) {
          release();
          const thrown = cancellation.aborted ? cancellation.reason : transportError(error);
          streamed?.fail(thrown);
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

/** Whether an answer is one that can be passed on. */
export function judge(status: number, headers: ResponseHeaders): Judgement {
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
export function transportError(error: Error): Error {
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
