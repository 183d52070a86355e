import type { Dispatcher } from 'undici';
import type { Cancellation } from '../cancellation.js';
import { iterableOf } from '../step-source.js';
import { type HttpTarget, judge, MAX_ERROR_BYTES, transportError } from './http-call.js';
import { type ResponseBody, responseBody } from './response-body.js';
import type { ForwardCall, ForwardReply } from './upstream.js';

type DispatchBody = NonNullable<Dispatcher.DispatchOptions['body']> | null;

/** What is told of an answer's body. */
const DESCRIBING = ['content-type', 'content-length', 'content-disposition'];

/**
 * Passes a request on as it comes. Resolves at the head of a good answer, whose body is then read no faster than the client
 * takes it; rejects with what the client should see of any other.
 */
export function forwardOverHttp(
  dispatcher: Dispatcher,
  { path, headers }: HttpTarget,
  { method, body, cancellation }: Pick<ForwardCall, 'method' | 'body'> & { readonly cancellation: Cancellation },
): Promise<ForwardReply> {
  return new Promise((resolve, reject) => {
    let answer: ResponseBody | undefined;
    let refusal: ((text: Buffer) => Error) | undefined;
    let controller: Dispatcher.DispatchController | undefined;
    const pieces: Buffer[] = [];
    let size = 0;

    const abort = (): void => {
      const reason: Error = cancellation.reason;
      reject(reason);
      answer?.fail(reason);
      controller?.abort(reason);
    };
    const release = (): void => cancellation.removeEventListener('abort', abort);

    if (cancellation.aborted) return reject(cancellation.reason);
    cancellation.addEventListener('abort', abort);
    dispatcher.dispatch(
      // undici takes iterables too; its types do not say so.
      { path, method: method as Dispatcher.HttpMethod, headers, body: (body ?? null) as DispatchBody },
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
          answer = responseBody(started);
          resolve({ status, headers: described(responseHeaders), body: iterableOf(answer) });
        },
        onResponseData(started, piece) {
          if (answer !== undefined) return answer.push(piece);
          size += piece.length;
          pieces.push(piece);
          if (size > MAX_ERROR_BYTES) started.abort(new Error('The error is too long.'));
        },
        onResponseEnd() {
          release();
          if (answer !== undefined) answer.end();
          else reject(refusal?.(Buffer.concat(pieces)) ?? transportError(new Error('An answer without a head')));
        },
        onResponseError(_controller, error) {
          release();
          const thrown = cancellation.aborted ? cancellation.reason : transportError(error);
          answer?.fail(thrown);
          reject(refusal?.(Buffer.alloc(0)) ?? thrown);
        },
      },
    );
  });
}

function described(headers: Readonly<Record<string, string | string[] | undefined>>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of DESCRIBING) {
    const value = headers[name];
    if (typeof value === 'string') found[name] = value;
  }
  return found;
}
