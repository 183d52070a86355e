import { isJsonObject, type JsonObject } from '../base/json.js';

/** What ends a good stream of chat completions. */
export const DONE_EVENT = 'data: [DONE]\n\n';

/** What ends an event whose stream ended before its blank line. */
export const BLANK_LINE = Buffer.from('\n\n');

/** In latin1. Parsers skip it; a field name that began with it would be one that nobody knows. */
export const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';

/** Headers of an event stream. `no-transform` keeps `compression()`, `x-accel-buffering` keeps nginx from holding events back. */
export const STREAM_HEADERS: Readonly<Record<string, string>> = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

/** One event: no `event:`, `id:` or `retry:` line, which some SDKs cannot take (wire.md §2.2). */
export function sseEvent(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** The data of one event's text: its `data:` lines joined to one, or `undefined` when it has none (a comment, say). */
export function eventData(event: string): string | undefined {
  const lines = event.split(/\r\n|\n|\r/).flatMap((line) => {
    if (line === 'data') return [''];
    return line.startsWith('data:') ? [line.slice(line.startsWith('data: ') ? 6 : 5)] : [];
  });
  // Between the tokens of JSON a line feed is a space; in a `data:` line of ours it would end the line.
  return lines.length === 0 ? undefined : lines.join(' ');
}

/** The JSON objects that are the data of a text's events, in order. What is no object is passed over. */
export function* objectsIn(text: string): Generator<JsonObject> {
  for (let at = 0; at < text.length; ) {
    const end = endOfEvent(text, at);
    const data = eventData(text.slice(at, end));
    at = end;
    if (data === undefined || data === '[DONE]') continue;
    const object: unknown = JSON.parse(data);
    if (isJsonObject(object)) yield object;
  }
}

/** Where the last complete event in `text` ends: after the last blank line; 0 when no event is complete. */
export function endOfLastEvent(text: string): number {
  if (text.endsWith('\n\n')) return text.length;
  const end = after(text, '\n\n');
  if (!text.includes('\r')) return end;
  return Math.max(end, after(text, '\n\r\n'), after(text, '\r\r'));
}

/** Where the event that begins at `from` ends, its blank line included; the end of the text when it has none. */
export function endOfEvent(text: string, from: number): number {
  const blankLine = /(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)/g;
  blankLine.lastIndex = from;
  return blankLine.test(text) ? blankLine.lastIndex : text.length;
}

function after(text: string, ending: string): number {
  const at = text.lastIndexOf(ending);
  return at === -1 ? 0 : at + ending.length;
}
