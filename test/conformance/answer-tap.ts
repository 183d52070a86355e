import type { ServerResponse } from 'node:http';
import { parseHeaderLines } from '../helpers/incoming-requests.js';

/** What becomes of an answer. */
export interface AnswerListener {
  /** A piece of the body as it was written, perhaps compressed, without the framing of HTTP. */
  piece(bytes: Uint8Array, headers: Readonly<Record<string, string>>): void;
  /** The answer was ended, not cut off. */
  ended(): void;
}

/** Listens to what is written to `res`. */
export function tapAnswer(res: ServerResponse, listener: AnswerListener): void {
  const { write, end } = res;
  let headers: Readonly<Record<string, string>> | undefined;

  function take([chunk, encoding]: readonly unknown[]): void {
    if (typeof chunk !== 'string' && !(chunk instanceof Uint8Array)) return;
    const isEncoding = typeof encoding === 'string' && Buffer.isEncoding(encoding);
    headers ??= headOf(res);
    listener.piece(typeof chunk === 'string' ? Buffer.from(chunk, isEncoding ? encoding : 'utf8') : chunk, headers);
  }
  // Only these two are replaced: our adapters write heads in a faster way where `writeHead` is Node's own.
  Object.assign(res, {
    write(...args: readonly unknown[]): unknown {
      const result: unknown = Reflect.apply(write, res, args);
      take(args);
      return result;
    },
    end(...args: readonly unknown[]): unknown {
      const result: unknown = Reflect.apply(end, res, args);
      take(args);
      listener.ended();
      return result;
    },
  });
}

/** The head as Node wrote it: what was given to `writeHead` is to be had nowhere else. */
function headOf(res: ServerResponse): Record<string, string> {
  const head: unknown = Reflect.get(res, '_header');
  return typeof head === 'string' ? parseHeaderLines(head.trim().split('\r\n').slice(1)) : {};
}
