import { isUtf8 } from 'node:buffer';
import { type Awaitable, guarded, isPending } from '../base/awaitable.js';
import { bufferOf } from '../base/bytes.js';
import { GatheredBytes } from '../base/gathered-bytes.js';
import { iterableOf } from '../base/steps.js';
import type { Running } from '../call/running.js';
import type { Config } from '../config/config.js';
import type { ErrorContext } from '../config/hooks.js';
import type { AnswerStream, GatewayResponse } from '../http/exchange.js';
import type { IdempotentRequest, KeptAnswer } from '../stores/answer-store.js';

/** Takes account of bytes that are kept; negative: that are no longer. @throws when there is no room. */
export type HoldBytes = (bytes: number) => void;

/** Holds a claim until there is an answer to keep, or will be none. */
export interface AnswerKeeper {
  /** Takes note of how the call ends. */
  watch(call: Running): void;
  /** The same answer, kept before the client has the end of it. */
  keep(response: GatewayResponse): Promise<GatewayResponse>;
  giveBack(): Awaitable<void>;
}

/** How long an answer is kept: as long as Stripe promises, from where the header comes. */
const KEEP_MS = 86_400_000;

type Piece = string | Uint8Array;
type OnStep = (step: Piece | undefined) => void;
type OnFailure = (reason: unknown) => void;

/** Keeps good answers, and gives the claim back for all others. */
export function answerKeeper(
  { idempotency, clock, hooks }: Pick<Config, 'idempotency' | 'clock' | 'hooks'>,
  asked: IdempotentRequest,
  context: ErrorContext,
  holdBytes: HoldBytes,
): AnswerKeeper {
  let isFinished = false;
  let finished: Awaitable<void>;
  let isSettledWell = false;
  let isLeft = false;

  /** Once. A store that fails here costs the client nothing: its answer goes on. */
  function finish(answer: () => KeptAnswer | undefined): Awaitable<void> {
    if (isFinished) return finished;
    isFinished = true;
    finished = guarded(
      () => idempotency.finish(asked, answer(), clock.steadyMs() + KEEP_MS),
      (error) => hooks.onError(error, context),
    );
    return finished;
  }
  const giveBack = (): Awaitable<void> => finish(() => undefined);

  return {
    watch(call) {
      call.onSettled((record) => {
        isSettledWell = record?.outcome === 'ok';
        if (!isSettledWell || isLeft) void giveBack();
      });
    },
    async keep(response) {
      const { status, body } = response;
      const copy = answerCopy(response, holdBytes);
      if (status < 200 || status > 299) {
        await giveBack();
        return response;
      }
      if (typeof body === 'string' || body instanceof Uint8Array) {
        copy.takePiece(body);
        await finish(copy.read);
        return response;
      }
      const stream = new KeptStream(body, {
        takePiece: copy.takePiece,
        isSettled: () => isSettledWell,
        end: () => (isSettledWell ? finish(copy.read) : giveBack()),
        leave() {
          isLeft = true;
          if (isSettledWell) void giveBack();
        },
      });
      return { ...response, body: stream };
    },
    giveBack,
  };
}

/** An onlooker of a stream as it goes out. */
interface StreamWatcher {
  takePiece(piece: Piece): void;
  /** Whether all is said and paid for, though not all of it may have gone out. */
  isSettled(): boolean;
  /** Called when only the last piece, or nothing, is left to send. May be called twice. */
  end(): Awaitable<void>;
  /** The client wants no more. */
  leave(): void;
}

class KeptStream implements AnswerStream {
  private readonly stream: AnswerStream;
  private readonly watcher: StreamWatcher;
  /** Read already, to learn which piece is the last. */
  private ahead: { readonly piece: Piece | undefined } | undefined = undefined;

  constructor(stream: AnswerStream, watcher: StreamWatcher) {
    this.stream = stream;
    this.watcher = watcher;
  }

  read(onStep: OnStep, onFailure: OnFailure): void {
    const { ahead } = this;
    this.ahead = undefined;
    if (ahead === undefined) this.stream.read((piece) => this.show(piece, onStep, onFailure), onFailure);
    else this.show(ahead.piece, onStep, onFailure);
  }

  leave(): void {
    this.stream.leave();
    this.watcher.leave();
  }

  [Symbol.asyncIterator](): AsyncIterator<Piece> {
    return iterableOf(this)[Symbol.asyncIterator]();
  }

  private show(piece: Piece | undefined, onStep: OnStep, onFailure: OnFailure): void {
    if (piece === undefined) {
      this.end(() => onStep(undefined));
      return;
    }
    this.watcher.takePiece(piece);
    if (!this.watcher.isSettled()) {
      onStep(piece);
      return;
    }
    // The last one must not go out before the answer is kept, and only the step after it tells which that is.
    this.stream.read((next) => {
      this.ahead = { piece: next };
      if (next === undefined) this.end(() => onStep(piece));
      else onStep(piece);
    }, onFailure);
  }

  private end(done: () => void): void {
    const ended = this.watcher.end();
    if (isPending(ended)) ended.then(done);
    else done();
  }
}

/** Largest body that is kept. */
const MAX_KEPT_BYTES = 1_048_576;
/** Bytes by which an answer grows before it is counted again. */
const COUNTED_BYTES = 65_536;

/** Headers that are true of one request only, and the size, which is counted anew. */
const OF_ONE_REQUEST = /^(?:x-request-id|x-ratelimit-.*|retry-after.*|content-length)$/;

/** An answer as it goes out, piece by piece. */
interface AnswerCopy {
  takePiece(piece: string | Uint8Array): void;
  /** `undefined`: it is too large to be kept. */
  read(): KeptAnswer | undefined;
}

function answerCopy(
  { status, headers }: Pick<GatewayResponse, 'status' | 'headers'>,
  holdBytes: HoldBytes,
): AnswerCopy {
  const gathered = new GatheredBytes();
  let size = 0;
  let held = 0;

  /** In steps, as most answers are small. What finds no room is not kept. */
  function count(): void {
    if (size < held + COUNTED_BYTES) return;
    try {
      holdBytes(size - held);
      held = size;
    } catch {
      letGo();
    }
  }
  function letGo(): void {
    gathered.clear();
    holdBytes(-held);
    held = 0;
    size = Number.POSITIVE_INFINITY;
  }

  return {
    takePiece(piece) {
      const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece;
      size += bytes.byteLength;
      if (size > MAX_KEPT_BYTES) letGo();
      else {
        gathered.add(bytes);
        count();
      }
    },
    read() {
      if (size > MAX_KEPT_BYTES) return undefined;
      const bytes = gathered.take();
      const body = bufferOf(bytes);
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
