import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
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
  const writeRaw: unknown = Reflect.get(res, '_writeRaw');
  // The compatible API of HTTP/2 has none.
  if (typeof writeRaw === 'function') tapBytes(res, (args) => Reflect.apply(writeRaw, res, args), listener);
  else tapCalls(res, listener);
}

/** Takes the bytes of the answers that are tapped. */
const taps = new WeakMap<object, (args: readonly unknown[]) => void>();
/** Connections whose own `write` is tapped. */
const tapped = new WeakSet<object>();
/** Whether Node itself is writing what was taken already. */
let isNodes = false;

/** Listens to the bytes themselves: our adapters write streams in a faster way where `write` is Node's own. */
function tapBytes(res: ServerResponse, write: (args: readonly unknown[]) => unknown, listener: AnswerListener): void {
  const { end } = res;
  const flush: unknown = Reflect.get(res, '_flushOutput');
  const frames = new Frames();
  let headers: Readonly<Record<string, string>> | undefined;
  taps.set(res, (args) => {
    const bytes = bytesOf(args);
    if (bytes === undefined) return;
    const isFirst = headers === undefined;
    headers ??= headOf(res);
    const body = isFirst ? withoutHead(bytes, res) : bytes;
    const piece = headers['transfer-encoding'] === 'chunked' ? frames.take(body) : body;
    if (piece.length > 0) listener.piece(piece, headers);
  });
  Object.assign(res, {
    _writeRaw(...args: readonly unknown[]): unknown {
      if (res.socket !== null) tapConnection(res.socket);
      const result = byNode(() => write(args));
      taps.get(res)?.(args);
      return result;
    },
    // What had to wait for its turn was taken when it was given.
    _flushOutput: (...args: readonly unknown[]) =>
      typeof flush === 'function' ? byNode(() => Reflect.apply(flush, res, args)) : undefined,
    end(...args: readonly unknown[]): unknown {
      const result: unknown = Reflect.apply(end, res, args);
      listener.ended();
      return result;
    },
  });
}

/** Listens to what goes to a connection past Node's own way of writing an answer. */
function tapConnection(socket: Socket): void {
  if (tapped.has(socket)) return;
  tapped.add(socket);
  const { write } = socket;
  Object.assign(socket, {
    write(...args: readonly unknown[]): unknown {
      const result: unknown = Reflect.apply(write, socket, args);
      const res: unknown = Reflect.get(socket, '_httpMessage');
      if (!isNodes && typeof res === 'object' && res !== null) taps.get(res)?.(args);
      return result;
    },
  });
}

function byNode<T>(run: () => T): T {
  const before = isNodes;
  isNodes = true;
  try {
    return run();
  } finally {
    isNodes = before;
  }
}

function tapCalls(res: ServerResponse, listener: AnswerListener): void {
  const { write, end } = res;
  let headers: Readonly<Record<string, string>> | undefined;

  function take(args: readonly unknown[]): void {
    const bytes = bytesOf(args);
    if (bytes === undefined) return;
    headers ??= headOf(res);
    listener.piece(bytes, headers);
  }
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

function bytesOf([chunk, encoding]: readonly unknown[]): Buffer | undefined {
  if (chunk instanceof Uint8Array) return Buffer.from(chunk);
  const isEncoding = typeof encoding === 'string' && Buffer.isEncoding(encoding);
  return typeof chunk === 'string' ? Buffer.from(chunk, isEncoding ? encoding : 'utf8') : undefined;
}

/** Node puts the head before the first text of a body. */
function withoutHead(bytes: Buffer, res: ServerResponse): Buffer {
  const head = Buffer.from(headTextOf(res) ?? '', 'latin1');
  return bytes.subarray(0, head.length).equals(head) ? bytes.subarray(head.length) : bytes;
}

/** Takes the frames of HTTP's chunks away, wherever they are cut. */
class Frames {
  private line = '';
  /** Bytes that are still to come of the chunk, with the line end after it. */
  private left = 0;

  take(bytes: Buffer): Buffer {
    const pieces: Buffer[] = [];
    for (let at = 0; at < bytes.length; ) {
      if (this.left === 0) {
        this.line += String.fromCharCode(bytes[at] ?? 0);
        at += 1;
        if (!this.line.endsWith('\n')) continue;
        const size = Number.parseInt(this.line, 16);
        this.left = size > 0 ? size + 2 : 0;
        this.line = '';
        continue;
      }
      const end = Math.min(at + this.left, bytes.length);
      pieces.push(bytes.subarray(at, Math.min(end, at + Math.max(0, this.left - 2))));
      this.left -= end - at;
      at = end;
    }
    return Buffer.concat(pieces);
  }
}

/** The head as Node wrote it: what was given to `writeHead` is to be had nowhere else. */
function headOf(res: ServerResponse): Record<string, string> {
  const head = headTextOf(res);
  return head === undefined ? {} : parseHeaderLines(head.trim().split('\r\n').slice(1));
}

function headTextOf(res: ServerResponse): string | undefined {
  const head: unknown = Reflect.get(res, '_header');
  return typeof head === 'string' ? head : undefined;
}
