import { isUtf8 } from 'node:buffer';
import type { GatewayResponse } from '../http/exchange.js';
import type { KeptAnswer } from '../stores/answer-store.js';

/** Largest body that is kept. */
export const MAX_KEPT_BYTES = 1_048_576;

/** Says what is true of one request only. */
const OF_ONE_REQUEST = /^(?:x-request-id|x-ratelimit-.*|retry-after.*)$/;

/** An answer as it goes out, piece by piece. */
export interface AnswerCopy {
  take(piece: string | Uint8Array): void;
  /** `undefined`: it is too large to be kept. */
  read(): KeptAnswer | undefined;
}

export function answerCopy({ status, headers }: Pick<GatewayResponse, 'status' | 'headers'>): AnswerCopy {
  let pieces: Uint8Array[] = [];
  let size = 0;
  return {
    take(piece) {
      const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
      size += bytes.byteLength;
      if (size <= MAX_KEPT_BYTES) pieces.push(bytes);
      else pieces = [];
    },
    read() {
      if (size > MAX_KEPT_BYTES) return undefined;
      const body = Buffer.concat(pieces);
      // Postgres keeps no text with a zero in it.
      const isBase64 = !isUtf8(body) || body.includes(0);
      const kept = Object.fromEntries(Object.entries(headers).filter(([name]) => !OF_ONE_REQUEST.test(name)));
      return { status, headers: kept, body: body.toString(isBase64 ? 'base64' : 'utf8'), isBase64 };
    },
  };
}

/** The same answer once more, to another request. */
export function respondAgain({ status, headers, body, isBase64 }: KeptAnswer, requestId: string): GatewayResponse {
  return {
    status,
    headers: { ...headers, 'x-request-id': requestId, 'idempotency-replayed': 'true' },
    body: isBase64 ? Buffer.from(body, 'base64') : body,
  };
}
