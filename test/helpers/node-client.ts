import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { Duplex } from 'node:stream';

/** An HTTP client's view of one answer. */
export interface SeenAnswer {
  /** `none`: it took no head for good. `cut`: its body broke off or was no good. */
  readonly end: 'none' | 'cut' | 'whole';
  /** 0 where there was no head. */
  readonly status: number;
  /** Names in lower case and their values, in the order in which they came. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** Whether the connection could have had another request when the answer was at its end, and nothing was wrong with it since. */
  readonly isReusable: boolean;
  /** Words about what was wrong. */
  readonly reason: string;
}

/** A socket without a network. */
class Wire extends Duplex {
  override _read(): void {}

  override _write(_piece: Buffer, _encoding: string, onWritten: () => void): void {
    onWritten();
  }

  setKeepAlive(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

/** Gives the one wire, and takes it back where the answer left it fit for another. */
class WireAgent extends Agent {
  constructor(private readonly wire: Wire) {
    super({ keepAlive: true });
  }

  override createConnection(): Wire {
    return this.wire;
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Sees an answer, given in pieces, through Node's own client, whose parser is llhttp; then the connection ends. */
export async function seenByNode(method: string, pieces: readonly Uint8Array[]): Promise<SeenAnswer> {
  const wire = new Wire();
  const agent = new WireAgent(wire);
  const asking = request({ agent, method, path: '/', host: 'localhost', headers: { 'content-length': 0 } });
  const view = new NodeView(asking, wire);
  asking.end();
  await turn();
  for (const piece of pieces) {
    wire.push(piece);
    await turn();
  }
  view.isOver = true;
  wire.push(null);
  await turn();
  await turn();
  wire.destroy();
  return view.seen();
}

class NodeView {
  /** Whether all bytes have come: what is free from then on was not so before the end of the connection. */
  isOver = false;
  private answer: IncomingMessage | undefined;
  private readonly pieces: Buffer[] = [];
  private isWhole = false;
  private isFree = false;
  private error: unknown;

  constructor(asking: ClientRequest, wire: Wire) {
    asking.on('response', (answer) => {
      this.answer = answer;
      answer.on('data', (piece: Buffer) => void this.pieces.push(piece));
      answer.on('end', () => {
        this.isWhole = answer.complete;
      });
      answer.on('error', this.note);
    });
    asking.on('error', this.note);
    wire.on('error', this.note);
    wire.on('free', () => {
      this.isFree ||= !this.isOver;
    });
  }

  private readonly note = (error: unknown): void => {
    this.error ??= error;
  };

  seen(): SeenAnswer {
    const { answer, error, isWhole } = this;
    const raw = answer?.rawHeaders ?? [];
    const headers = Array.from(
      { length: raw.length / 2 },
      (_, at) => [raw[2 * at]?.toLowerCase() ?? '', raw[2 * at + 1] ?? ''] as const,
    );
    return {
      end: answer === undefined ? 'none' : isWhole ? 'whole' : 'cut',
      status: answer?.statusCode ?? 0,
      headers,
      body: Buffer.concat(this.pieces),
      isReusable: this.isFree && error === undefined,
      reason: error instanceof Error ? `${Reflect.get(error, 'code')} ${error.message}` : '',
    };
  }
}
