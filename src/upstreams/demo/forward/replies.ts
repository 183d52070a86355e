import type { JsonObject } from '../../../base/json.js';
import type { ForwardReply } from '../../upstream.js';

const SLICE_BYTES = 64 * 1024;

/** A JSON answer with status 200. */
export function jsonReply(body: JsonObject): ForwardReply {
  return bytesReply('application/json', Buffer.from(JSON.stringify(body)));
}

/** Bytes of that type, which go out in slices so that a slow reader can leave between them. */
export function bytesReply(
  contentType: string,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): ForwardReply {
  return streamReply(contentType, slices(bytes), headers);
}

/** An answer that is made while it is read. */
export function streamReply(
  contentType: string,
  body: AsyncIterable<Uint8Array>,
  headers: Readonly<Record<string, string>> = {},
): ForwardReply {
  return { status: 200, headers: { 'content-type': contentType, ...headers }, body };
}

/**
 * An event stream. Its events end as they do in OpenAI's recordings of audio, with CRLF, and in the examples of its
 * images, which also name the event.
 */
export function eventsReply(
  events: AsyncIterable<JsonObject>,
  { signal, named }: { readonly signal: AbortSignal; readonly named: boolean },
): ForwardReply {
  const headers = { 'cache-control': 'no-store' };
  return streamReply('text/event-stream; charset=utf-8', eventBytes(events, signal, named), headers);
}

async function* eventBytes(
  events: AsyncIterable<JsonObject>,
  signal: AbortSignal,
  named: boolean,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const event of events) {
    signal.throwIfAborted();
    const data = JSON.stringify(event);
    yield Buffer.from(named ? `event: ${event.type}\ndata: ${data}\n\n` : `data: ${data}\r\n\r\n`);
  }
}

async function* slices(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) yield bytes.subarray(at, at + SLICE_BYTES);
}
