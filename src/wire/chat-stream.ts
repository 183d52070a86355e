import { isUtf8 } from 'node:buffer';
import { isJsonObject, type Json, type JsonObject } from '../json.js';
import { ANSWER_BOUNDS, parseDocument, replaceMembers } from '../json-document.js';
import { estimateTokens } from './estimate.js';
import { endOfLastEvent, eventData, splitEvents, sseEvent } from './sse.js';
import { readUsage, type TokenUsage } from './usage.js';

/** How a stream of chat completion chunks is to be watched. */
export interface ChatStreamOptions {
  /** The usage chunk is ours alone: the client did not ask for it. */
  readonly hideUsage: boolean;
  /** What to write in place of the upstream's model id; `undefined` leaves it as it is. */
  readonly showModel: string | undefined;
  /** Answers asked for: the stream is finished when so many have a finish reason. */
  readonly n: number;
  /** Longest single event. */
  readonly maxEventBytes: number;
}

/**
 * Watches a stream on its way to the client: passes whole events on as the bytes they came as, and looks inside only
 * where it must. What it holds back is never half delivered: a stream can be ended properly after any `take`.
 */
export interface ChatStream {
  /** Takes what the upstream sent; gives what may go to the client now, `undefined` when no event is complete yet. */
  take(piece: Uint8Array | JsonObject): string | Uint8Array | undefined;
  /** Takes the end of the upstream's stream, which may lack its last blank line. */
  takeEnd(): string | Uint8Array | undefined;
  /** The upstream said `[DONE]`: nothing more is to come. */
  readonly done: boolean;
  /** An event was shown; comments are none. */
  readonly begun: boolean;
  /** Every answer has its finish reason. */
  readonly finished: boolean;
  /** The upstream reported an error, which was not passed on, or sent what is no chunk. */
  readonly failure: StreamFailure | undefined;
  readonly usage: TokenUsage | undefined;
  /** At least what the client got so far. */
  readonly deliveredTokens: number;
}

export type StreamFailure = { readonly kind: 'reported'; readonly error: Json } | { readonly kind: 'malformed' };

/** Text whose bytes are what the model wrote. */
const DELTA_TEXTS = ['"content":"', '"arguments":"', '"reasoning_content":"', '"refusal":"'];

/** In latin1. Parsers skip it; a field name that began with it would be one that nobody knows. */
const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';

export function watchChatStream(options: ChatStreamOptions): ChatStream {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let heldTail = '';
  let done = false;
  /** Indexes of the choices that have their reason: some upstreams say one twice. */
  const finished = new Set<Json>();
  let failure: StreamFailure | undefined;
  let usage: TokenUsage | undefined;
  let events = 0;
  let textBytes = 0;

  function takeBytes(bytes: Uint8Array): string | Uint8Array | undefined {
    const piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const text = heldTail + piece.toString('latin1');
    const end = endOfLastEvent(text) - heldTail.length;
    if (end <= 0) {
      hold(piece, text);
      return undefined;
    }
    if (held.length === 0 && end === piece.length) return inspect(piece, text);
    const complete = Buffer.concat([...held, piece.subarray(0, end)]);
    release();
    if (end < piece.length) hold(piece.subarray(end), text.slice(end));
    return inspect(complete, complete.toString('latin1'));
  }

  function hold(piece: Uint8Array, text: string): void {
    held.push(piece);
    heldBytes += piece.byteLength;
    heldTail = text.slice(-3);
    if (heldBytes > options.maxEventBytes) failure = { kind: 'malformed' };
  }

  function release(): void {
    held = [];
    heldBytes = 0;
    heldTail = '';
  }

  function inspect(bytes: Buffer, text: string): string | Uint8Array | undefined {
    const plain = options.showModel === undefined && isUtf8(bytes) ? plainEvents(text) : 0;
    if (plain > 0) {
      count(text, plain);
      return bytes;
    }
    return inspectEach(text);
  }

  function inspectEach(text: string): Uint8Array | undefined {
    let shown = '';
    for (const event of splitEvents(text)) {
      if (failure !== undefined) break;
      shown += inspectEvent(event);
    }
    return shown === '' ? undefined : Buffer.from(shown, 'latin1');
  }

  /** The event as it is to be shown, in latin1; empty when it is not. */
  function inspectEvent(given: string): string {
    const event = given.startsWith(BYTE_ORDER_MARK) ? given.slice(BYTE_ORDER_MARK.length) : given;
    const data = eventData(event);
    if (data === undefined) return event.startsWith(':') ? event : '';
    if (data === '[DONE]') {
      done = true;
      return '';
    }
    const result = parseDocument(Buffer.from(data, 'latin1'), ANSWER_BOUNDS);
    if (result.kind === 'refused') {
      failure = { kind: 'malformed' };
      return '';
    }
    const { document } = result;
    if (!observe(document.value)) return '';
    count(event, 1);
    if (options.showModel === undefined || !document.members.has('model')) {
      // Lines such as `id:` break some SDKs (wire.md §2.2): only the data is passed on.
      return event.startsWith('data:') && !/[\r\n](?:id|retry|event):/.test(event) ? event : `data: ${data}\n\n`;
    }
    return `data: ${replaceMembers(document, { model: options.showModel }).toString('latin1')}\n\n`;
  }

  function takeChunk(chunk: JsonObject): string | undefined {
    if (!observe(chunk)) return undefined;
    const renamed = options.showModel !== undefined && 'model' in chunk;
    const event = sseEvent(renamed ? { ...chunk, model: options.showModel } : chunk);
    count(event, 1);
    return event;
  }

  /** Notes what a chunk says; `false` when the client must not see it. */
  function observe(chunk: JsonObject): boolean {
    if (chunk.error !== undefined && chunk.error !== null) {
      failure = { kind: 'reported', error: chunk.error };
      return false;
    }
    usage = readUsage(chunk.usage) ?? usage;
    const choices = Array.isArray(chunk.choices) ? chunk.choices : [];
    for (const choice of choices) {
      if (isJsonObject(choice) && typeof choice.finish_reason === 'string') finished.add(choice.index ?? 0);
    }
    const isUsageChunk = choices.length === 0 && isJsonObject(chunk.usage);
    return !(isUsageChunk && options.hideUsage);
  }

  function count(text: string, eventCount: number): void {
    events += eventCount;
    for (const start of DELTA_TEXTS) {
      for (let at = text.indexOf(start); at !== -1; at = text.indexOf(start, at + start.length)) {
        textBytes += closingQuote(text, at + start.length) - at - start.length;
      }
    }
  }

  return {
    take: (piece) => (piece instanceof Uint8Array ? takeBytes(piece) : takeChunk(piece)),
    takeEnd() {
      if (heldBytes === 0) return undefined;
      const last = Buffer.concat([...held, Buffer.from('\n\n')]);
      release();
      // An event that the end cut short can look whole from outside: `{"a":{}` ends in a brace too.
      return inspectEach(last.toString('latin1'));
    },
    get done() {
      return done;
    },
    get begun() {
      return events > 0;
    },
    get finished() {
      return finished.size >= options.n;
    },
    get failure() {
      return failure;
    },
    get usage() {
      return usage;
    },
    get deliveredTokens() {
      return textBytes === 0 ? 0 : Math.max(events, estimateTokens(textBytes));
    },
  };
}

/** How many chunks the text holds when there is nothing in them that we act on (end, usage, finish, error); else 0. */
function plainEvents(text: string): number {
  if (text.includes('[DONE]') || text.includes('"error"')) return 0;
  if (!onlyNull(text, '"usage"') || !onlyNull(text, '"finish_reason"')) return 0;
  let count = 0;
  for (let at = 0; at < text.length; count += 1) {
    const end = text.indexOf('\n', at);
    if (!text.startsWith('data: {', at) || text[end - 1] !== '}' || text[end + 1] !== '\n') return 0;
    at = end + 2;
  }
  return count;
}

function onlyNull(text: string, name: string): boolean {
  for (let at = text.indexOf(name); at !== -1; at = text.indexOf(name, at + name.length)) {
    if (!text.startsWith(':null', at + name.length) && !text.startsWith(': null', at + name.length)) return false;
  }
  return true;
}

/** Where the JSON string that began before `from` ends. */
function closingQuote(text: string, from: number): number {
  let at = text.indexOf('"', from);
  while (at !== -1) {
    let slashes = 0;
    while (text[at - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return at;
    at = text.indexOf('"', at + 1);
  }
  return text.length;
}
