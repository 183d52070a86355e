import { createServer, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Dice } from './dice.js';

/** What the upstream knows of one call, which it tells from others by its `max_tokens`. */
export interface UpstreamEntry {
  /** How often it was asked. */
  asked: number;
  /** What the answer uses in all. */
  promptTokens: number;
  completionTokens: number;
  /** So much of the text was written. */
  writtenChars: number;
  /** Whether usage was written. */
  told: boolean;
  /** It failed on purpose. */
  fault: 'status' | 'cut' | undefined;
}

/** Everything that was asked of it. */
export type UpstreamBook = Map<number, UpstreamEntry>;

export interface ChaosUpstream {
  readonly baseUrl: string;
  readonly book: UpstreamBook;
  /**
   * Holds all answers until so many calls are there at once, and a little longer, for those that are one too many.
   * @returns tells the most calls that were answered at once since.
   */
  watchRunning(least: number): () => number;
  close(): Promise<void>;
}

interface Asked {
  readonly max_tokens: number;
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
}

/** How one answer goes. */
export interface Plan {
  readonly completionTokens: number;
  readonly promptTokens: number;
  readonly tokensPerPiece: number;
  readonly pauseMs: () => number;
  readonly fault: UpstreamEntry['fault'];
}

/** Four characters; the gateway, which counts three bytes to a token, never counts fewer than there are. */
export const TOKEN = ' abc';
export const CHARS_PER_TOKEN = TOKEN.length;

/** Answers of all sizes and speeds, some of which fail. */
export function chaosPlan(dice: Dice): (maxTokens: number) => Plan {
  return () => {
    const isLong = dice.chance(0.2);
    const slow = dice.chance(0.5) ? 25 : 2;
    return {
      completionTokens: isLong ? dice.between(200, 2_500) : dice.between(1, 60),
      promptTokens: dice.between(1, 8),
      tokensPerPiece: isLong ? dice.between(20, 120) : dice.between(1, 12),
      pauseMs: () => (dice.chance(0.3) ? 0 : dice.between(0, slow)),
      fault: dice.chance(0.06) ? (dice.chance(0.5) ? 'status' : 'cut') : undefined,
    };
  };
}

/** An upstream that keeps its own book of what it was asked and of how far it came. */
export async function chaosUpstream(planOf: (maxTokens: number) => Plan): Promise<ChaosUpstream> {
  const book: UpstreamBook = new Map();
  let running = 0;
  let mostRunning = 0;
  let gather: { readonly least: number; readonly gathered: Promise<void>; readonly open: () => void } | undefined;
  const server = createServer((req, res) => {
    running += 1;
    mostRunning = Math.max(mostRunning, running);
    if (gather !== undefined && running >= gather.least) setTimeout(gather.open, 100);
    let isRunning = true;
    const over = (): void => {
      if (isRunning) running -= 1;
      isRunning = false;
    };
    // Before the gateway can know of its end, or when it has gone away.
    res.once('prefinish', over).once('close', over);
    const pieces: Buffer[] = [];
    req.on('data', (piece: Buffer) => void pieces.push(piece));
    req.on('error', () => {});
    res.on('error', () => {});
    req.on('end', async () => {
      const asked: Asked = JSON.parse(Buffer.concat(pieces).toString());
      await gather?.gathered;
      void answer(asked, res, { plan: planOf(asked.max_tokens), book });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    baseUrl: `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/v1`,
    book,
    watchRunning(least) {
      mostRunning = running;
      let open = (): void => {};
      const gathered = new Promise<void>((resolve) => {
        open = resolve;
      });
      gather = { least, gathered, open };
      return () => mostRunning;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Answering {
  readonly plan: Plan;
  readonly book: UpstreamBook;
}

async function answer(asked: Asked, res: ServerResponse, { plan, book }: Answering): Promise<void> {
  const { completionTokens, promptTokens, fault } = plan;
  const before = book.get(asked.max_tokens)?.asked ?? 0;
  const entry: UpstreamEntry = {
    ...{ asked: before + 1, promptTokens, completionTokens, fault },
    ...{ writtenChars: 0, told: false },
  };
  book.set(asked.max_tokens, entry);
  if (fault === 'status') {
    res.writeHead(500, { 'content-type': 'application/json' });
    res.end('{"error":{"message":"No luck","type":"server_error","param":null,"code":null}}');
    return;
  }
  const usage = {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
  if (asked.stream === true) await stream(asked, res, { plan, entry, usage });
  else await whole(res, { plan, entry, usage });
}

interface Writing {
  readonly plan: Plan;
  readonly entry: UpstreamEntry;
  readonly usage: object;
}

const HEAD = { id: 'chatcmpl-1', created: 1, model: 'killed' };

async function whole(res: ServerResponse, { plan, entry, usage }: Writing): Promise<void> {
  await sleep(plan.pauseMs() * 4);
  const message = { role: 'assistant', content: TOKEN.repeat(plan.completionTokens) };
  const choices = [{ index: 0, message, finish_reason: 'stop' }];
  const body = JSON.stringify({ ...HEAD, object: 'chat.completion', choices, usage });
  res.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  if (plan.fault === 'cut') {
    res.write(body.slice(0, body.length >> 1), () => res.destroy());
    return;
  }
  entry.writtenChars = plan.completionTokens * CHARS_PER_TOKEN;
  entry.told = true;
  res.end(body);
}

async function stream(asked: Asked, res: ServerResponse, { plan, entry, usage }: Writing): Promise<void> {
  const { completionTokens, tokensPerPiece, fault } = plan;
  const event = (fields: object): string =>
    `data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', ...fields })}\n\n`;
  const delta = (content: object, reason: string | null = null): string =>
    event({ choices: [{ index: 0, delta: content, finish_reason: reason }] });
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  res.write(delta({ role: 'assistant', content: '' }));
  const cutAt = fault === 'cut' ? completionTokens >> 1 : Number.POSITIVE_INFINITY;
  for (let made = 0; made < completionTokens; made += tokensPerPiece) {
    await sleep(plan.pauseMs());
    if (res.destroyed) return;
    if (made >= cutAt) return void res.destroy();
    const text = TOKEN.repeat(Math.min(tokensPerPiece, completionTokens - made));
    entry.writtenChars += text.length;
    res.write(delta({ content: text }));
  }
  if (fault === 'cut') return void res.destroy();
  res.write(delta({}, 'stop'));
  await sleep(plan.pauseMs());
  if (res.destroyed) return;
  if (asked.stream_options?.include_usage === true) {
    entry.told = true;
    res.write(event({ choices: [], usage }));
    await sleep(plan.pauseMs());
  }
  res.end('data: [DONE]\n\n');
}
