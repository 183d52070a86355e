import type { Step } from './scripted-upstream.js';

type Member = Record<string, unknown>;

/** 11 tokens in, 9 out, as OpenAI reports them. */
export const USAGE = {
  prompt_tokens: 11,
  completion_tokens: 9,
  total_tokens: 20,
  prompt_tokens_details: { cached_tokens: 4, audio_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 3, audio_tokens: 0 },
};

interface WholeChat {
  readonly model?: string;
  /** @default USAGE; `null` leaves it out. */
  readonly usage?: Member | null;
  readonly finishReason?: string;
  /** Members of the message besides role and content. */
  readonly message?: Member;
}

/** A whole chat completion as api.openai.com writes it, with a field that no SDK knows. */
export function wholeChat(text: string | null, chat: WholeChat = {}): Member {
  const message = { role: 'assistant', content: text, refusal: null, annotations: [], ...chat.message };
  return {
    id: 'chatcmpl-000000000000000000000000upstr',
    object: 'chat.completion',
    created: 1_770_950_813,
    model: chat.model ?? 'gpt-4o-mini',
    choices: [{ index: 0, message, logprobs: null, finish_reason: chat.finishReason ?? 'stop' }],
    ...(chat.usage === null ? {} : { usage: chat.usage ?? USAGE }),
    service_tier: 'default',
    system_fingerprint: 'fp_560af6e559',
    x_unknown_to_all: { kept: [1, 2.5, 'ü'] },
  };
}

/** Where a stream's usage stands. `merged`: in the chunk with the finish reason, as some servers do. */
export type UsagePlace = 'last' | 'every' | 'never' | 'twice' | 'merged' | 'after-done';

interface StreamChat {
  readonly model?: string;
  /** @default 'last' */
  readonly usage?: UsagePlace;
  /** `null`: the stream says none. @default 'stop' */
  readonly finishReason?: string | null;
  /** Instead of text: deltas as they are. */
  readonly deltas?: readonly Member[];
  /** @default true */
  readonly done?: boolean;
}

/** The events of a streamed answer, each exactly as it stands on the wire. */
export function streamEvents(pieces: readonly string[], chat: StreamChat = {}): string[] {
  const usage = chat.usage ?? 'last';
  const finish = chat.finishReason === undefined ? 'stop' : chat.finishReason;
  const deltas = chat.deltas ?? pieces.map((content) => ({ content }));
  const also = usage === 'every' ? { usage: USAGE } : usage === 'last' || usage === 'twice' ? { usage: null } : {};
  const chunk = (choices: readonly Member[], more: Member): string =>
    sse({ ...chunkBase(chat.model), choices, ...more });
  const choice = (delta: Member, reason: string | null): Member => ({
    index: 0,
    delta,
    logprobs: null,
    finish_reason: reason,
  });
  const events = [
    chunk([choice({ role: 'assistant', content: '', refusal: null }, null)], also),
    ...deltas.map((delta) => chunk([choice(delta, null)], also)),
  ];
  if (finish !== null) events.push(chunk([choice({}, finish)], usage === 'merged' ? { usage: USAGE } : also));
  const last = chunk([], { usage: USAGE });
  if (usage === 'last') events.push(last);
  if (usage === 'twice') events.push(last, last);
  if (chat.done !== false) events.push('data: [DONE]\n\n');
  if (usage === 'after-done') events.push(last);
  return events;
}

/** `streamEvents` as one text. */
export function streamChat(pieces: readonly string[], chat: StreamChat = {}): string {
  return streamEvents(pieces, chat).join('');
}

function chunkBase(model = 'gpt-4o-mini'): Member {
  return {
    id: 'chatcmpl-000000000000000000000000upstr',
    object: 'chat.completion.chunk',
    created: 1_770_950_813,
    model,
    service_tier: 'default',
    system_fingerprint: 'fp_560af6e559',
  };
}

/** One event. */
export function sse(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** Status line and headers. */
export function head(status: number, headers: Readonly<Record<string, string>>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} Scripted\r\n${lines.join('')}\r\n`;
}

export interface ReplyOptions {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly contentType?: string;
}

/** A whole reply with a right `content-length`. */
export function reply(body: unknown, options: ReplyOptions = {}): Step[] {
  return [{ kind: 'send', bytes: replyBytes(body, options) }];
}

export function replyBytes(body: unknown, options: ReplyOptions = {}): Buffer {
  const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const headers = {
    'content-type': options.contentType ?? 'application/json',
    'content-length': String(bytes.length),
    ...options.headers,
  };
  return Buffer.concat([Buffer.from(head(options.status ?? 200, headers)), bytes]);
}

/** An error as OpenAI words it. */
export function errorReply(status: number, error: Member = {}, headers: ReplyOptions['headers'] = {}): Step[] {
  const body = { error: { message: 'Said by the upstream', type: 'server_error', param: null, code: null, ...error } };
  return reply(body, { status, headers });
}

const STREAM_HEAD = { 'content-type': 'text/event-stream; charset=utf-8', 'transfer-encoding': 'chunked' };

export const streamHead = (): Step => ({ kind: 'send', bytes: head(200, STREAM_HEAD) });
export const chunkOf = (bytes: string | Uint8Array): Step => ({ kind: 'send', bytes: chunkBytes(bytes) });
export const lastChunk = (): Step => ({ kind: 'send', bytes: '0\r\n\r\n' });

export function chunkBytes(bytes: string | Uint8Array): Buffer {
  const content = Buffer.from(bytes);
  return Buffer.concat([Buffer.from(`${content.length.toString(16)}\r\n`), content, Buffer.from('\r\n')]);
}

/** A stream in HTTP chunks, one for each piece; the connection stays open for the next request. */
export function streamReply(pieces: readonly (string | Uint8Array)[]): Step[] {
  return [streamHead(), ...pieces.map(chunkOf), lastChunk()];
}

/** The same as one run of bytes. */
export function streamReplyBytes(pieces: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat([Buffer.from(head(200, STREAM_HEAD)), ...pieces.map(chunkBytes), Buffer.from('0\r\n\r\n')]);
}

/** A stream that ends where the connection ends, as HTTP/1.0 servers do: its framing cannot tell a cut from an end. */
export function unframedStreamBytes(text: string): Buffer {
  return Buffer.from(`${head(200, { 'content-type': 'text/event-stream', connection: 'close' })}${text}`);
}
