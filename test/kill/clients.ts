import { Agent, type IncomingMessage, request } from 'node:http';
import type { Dice } from './dice.js';
import type { SceneKey } from './scene.js';

/** What a client knows of one call of its own. */
export interface ClientEntry {
  /** Its `max_tokens`, which no other call has: what the three books are joined by. */
  readonly id: number;
  readonly keyId: string;
  readonly isStream: boolean;
  /** Which server process it was sent to. */
  readonly epoch: number;
  status: number | undefined;
  requestId: string | undefined;
  /** So much of the body was received. */
  bytes: number;
  /** So much text was delivered. */
  chars: number;
  usage: ClientUsage | undefined;
  /**
   * `complete`: the whole body, or `[DONE]`. `refused`: an answer that is an error. `failed`: a stream that ended with an
   * error event. `broken`: the connection ended first. `left`: the client did.
   */
  end: 'complete' | 'refused' | 'failed' | 'broken' | 'left' | undefined;
}

export interface ClientUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

/** Where a client calls. */
export interface ClientTarget {
  readonly port: number;
  readonly agent: Agent;
  readonly epoch: number;
}

/** One call of a client. */
export interface CallOrder {
  readonly id: number;
  readonly model: 'killed' | 'raced';
  readonly caller: SceneKey;
  readonly isStream: boolean;
  /** Leaves after so many milliseconds; `undefined`: stays. */
  readonly leaveMs: number | undefined;
}

export function newAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY });
}

/** What a client orders next: whole or streamed, and now and then it does not wait for the end. */
export function callOrder(dice: Dice, id: number, caller: SceneKey): CallOrder {
  return {
    id,
    model: 'killed',
    caller,
    isStream: dice.chance(0.6),
    leaveMs: dice.chance(0.08) ? dice.between(0, 120) : undefined,
  };
}

/** Makes one call. Resolves when it is over, however it ended. */
export function makeCall(
  { port, agent, epoch }: ClientTarget,
  order: CallOrder,
): { entry: ClientEntry; over: Promise<void> } {
  const entry: ClientEntry = {
    ...{ id: order.id, keyId: order.caller.key.id, isStream: order.isStream, epoch },
    ...{ status: undefined, requestId: undefined, bytes: 0, chars: 0, usage: undefined, end: undefined },
  };
  const over = new Promise<void>((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const finish = (end: ClientEntry['end']): void => {
      clearTimeout(timer);
      entry.end ??= end;
      resolve();
    };
    const body = JSON.stringify({
      model: order.model,
      messages: [{ role: 'user', content: 'Tell me more than you can.' }],
      max_tokens: order.id,
      ...(order.isStream ? { stream: true, stream_options: { include_usage: true } } : {}),
    });
    const headers = {
      authorization: `Bearer ${order.caller.secret}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    };
    const sent = request({ port, host: '127.0.0.1', agent, method: 'POST', path: '/v1/chat/completions', headers });
    sent.on('error', () => {
      if (entry.status === undefined) finish('broken');
    });
    sent.on('close', () => {
      if (entry.status === undefined) finish('broken');
    });
    sent.on('response', (response) => void readAnswer(response, entry).then(finish));
    sent.end(body);
    if (order.leaveMs !== undefined) {
      timer = setTimeout(() => {
        entry.end ??= 'left';
        sent.destroy();
        finish('left');
      }, order.leaveMs);
    }
  });
  return { entry, over };
}

async function readAnswer(response: IncomingMessage, entry: ClientEntry): Promise<ClientEntry['end']> {
  entry.status = response.statusCode;
  const requestId = response.headers['x-request-id'];
  if (typeof requestId === 'string') entry.requestId = requestId;
  response.setEncoding('latin1');
  let text = '';
  try {
    for await (const piece of response) {
      entry.bytes += piece.length;
      text += piece;
      if (entry.isStream && entry.status === 200) text = readEvents(text, entry);
    }
  } catch {
    return 'broken';
  }
  if (entry.status !== 200) return 'refused';
  // Only an error event or `[DONE]` ends a stream, not the end of the connection.
  return entry.isStream ? 'broken' : readWhole(text, entry);
}

/** @returns what is not a whole event yet. */
function readEvents(text: string, entry: ClientEntry): string {
  const events = text.split('\n\n');
  const rest = events.pop() ?? '';
  for (const event of events) {
    const data = event.replace(/^data: /, '');
    if (data === '[DONE]') entry.end ??= 'complete';
    else readChunk(JSON.parse(data), entry);
  }
  return rest;
}

interface Chunk {
  readonly error?: object;
  readonly usage?: ClientUsage | null;
  readonly choices?: readonly { readonly delta?: { readonly content?: string } }[];
}

function readChunk({ error, usage, choices }: Chunk, entry: ClientEntry): void {
  if (error !== undefined) entry.end ??= 'failed';
  if (usage) entry.usage = usage;
  entry.chars += choices?.[0]?.delta?.content?.length ?? 0;
}

interface Whole {
  readonly usage?: ClientUsage;
  readonly choices: readonly { readonly message: { readonly content: string } }[];
}

function readWhole(text: string, entry: ClientEntry): ClientEntry['end'] {
  const whole: Whole = JSON.parse(text);
  entry.usage = whole.usage;
  entry.chars = whole.choices[0]?.message.content.length ?? 0;
  return 'complete';
}
