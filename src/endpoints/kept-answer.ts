import { isUtf8 } from 'node:buffer';
import type { GatewayResponse } from '../http/exchange.js';
import type { KeptAnswer } from '../stores/answer-store.js';

/** Largest body that is kept. */
export const MAX_KEPT_BYTES = 1_048_576;

/** Headers that are true of one request only, and the size, which is counted anew. */
const OF_ONE_REQUEST = /^(?:x-request-id|x-ratelimit-.*|retry-after.*|content-length)$/;

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
      const kept: Record<string, string> = {};
      for (let at = 0; at < headers.length; at += 2) {
        const name = headers[at] ?? '';
        if (!OF_ONE_REQUEST.test(name)) kept[name] = headers[at + 1] ?? '';
      }
      return { status, headers: kept, body: body.toString(isBase64 ? 'base64' : 'utf8'), isBase64 };
    },
  };
}

/** The same answer once more, to another request. */
export function respondAgain({ status, headers, body, isBase64 }: KeptAnswer, requestId: string): GatewayResponse {
  const shown = isBase64 ? Buffer.from(body, 'base64') : body;
  const ours = ['x-request-id', requestId, 'idempotency-replayed', 'true'];
  const size = ['content-length', String(Buffer.byteLength(shown))];
  return { status, headers: [...Object.entries(headers).flat(), ...ours, ...size], body: shown };
}
