import { isJsonObject, type JsonObject } from '../base/json.js';

/** The last event of a good stream of chat completions. */
export const DONE_EVENT = 'data: [DONE]\n\n';

/** The end of an event, for a stream that ended before its last blank line. */
export const BLANK_LINE = Buffer.from('\n\n');

/** U+FEFF in latin1. Parsers skip it; left in place, it would make the first field's name unknown. */
export const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf';

/**
 * One event with nothing but data. After an `id:` or `retry:` line openai-python fails at the next blank line; before an error,
 * go-openai fails at any line that is no data.
 */
export function sseEvent(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** Data of one event: its `data:` lines joined to one; `undefined` when it has none, as a comment. */
export function eventData(event: string): string | undefined {
  if (isPlain(event)) return event.slice(event.startsWith('data: ') ? 6 : 5, event.indexOf('\n'));
  const lines = event.split(/\r\n|\n|\r/).flatMap((line) => {
    if (line === 'data') return [''];
    return line.startsWith('data:') ? [line.slice(line.startsWith('data: ') ? 6 : 5)] : [];
  });
  // Between the tokens of JSON a line feed is a space; in a `data:` line of ours it would end the line.
  return lines.length === 0 ? undefined : lines.join(' ');
}

/** Whether an event is one line of data and a blank line, as most are. */
function isPlain(event: string): boolean {
  return (
    event.startsWith('data:') &&
    event.indexOf('\n') === event.length - 2 &&
    event.endsWith('\n\n') &&
    !event.includes('\r')
  );
}

/** Whether data says that nothing more comes. OpenAI's clients look at its beginning alone. */
export function isDone(data: string): boolean {
  return data.trimStart().startsWith('[DONE]');
}

/** Whether data holds no chunk, and no error: nothing at all, or a `null`. */
export function isEmptyData(data: string): boolean {
  const text = data.trim();
  return text === '' || text === 'null';
}

/** Events by which servers keep a connection alive. */
const KEPT_ALIVE = new Set(['ping', 'keepalive', 'keep-alive', 'heartbeat']);

/** The meaning of an event's fields beside its data. */
export function eventKind(event: string): 'data' | 'error' | 'nothing' {
  // Most events are data alone, of one line.
  if (isPlain(event) || (event.startsWith('data:') && !/[\r\n][a-z]/.test(event))) return 'data';
  const name = /(?:^|[\r\n])event: ?([^\r\n]*)/.exec(event)?.[1]?.trim().toLowerCase();
  if (name === 'error') return 'error';
  return name !== undefined && KEPT_ALIVE.has(name) ? 'nothing' : 'data';
}

/** Text of the field `error:`, by which llama.cpp told errors once; `undefined` where there is none. */
export function errorField(event: string): string | undefined {
  return /(?:^|[\r\n])error: ?([^\r\n]*)/.exec(event)?.[1];
}

/** JSON objects in the events of a text, in order; other data is skipped. */
export function* eventObjects(text: string): Generator<JsonObject> {
  for (let at = 0; at < text.length; ) {
    const end = endOfEvent(text, at);
    const data = eventData(text.slice(at, end));
    at = end;
    if (data === undefined || isDone(data) || isEmptyData(data)) continue;
    const object: unknown = JSON.parse(data);
    if (isJsonObject(object)) yield object;
  }
}

/** End of the last complete event in `text`, after its blank line; 0 when no event is complete. */
export function endOfLastEvent(text: string): number {
  if (text.endsWith('\n\n')) return text.length;
  const end = endOfLast(text, '\n\n');
  if (!text.includes('\r')) return end;
  return Math.max(end, endOfLast(text, '\n\r\n'), endOfLast(text, '\r\r'));
}

/** Characters that are looked at first for the end of an event: more than most have. */
const FIRST_LOOK = 1_024;

/** End of the event that begins at `from`, its blank line included; the end of the text when there is no blank line. */
export function endOfEvent(text: string, from: number): number {
  // Expressions take long where an event is. The look widens: what the rest of the text has must not be read for each event.
  for (let width = FIRST_LOOK; ; width *= 4) {
    const part = text.slice(from, from + width);
    const plain = part.indexOf('\n\n');
    const other = part.indexOf('\r');
    if (plain !== -1 && (other === -1 || other > plain)) return from + plain + 2;
    if (other !== -1) break;
    if (from + width >= text.length) return text.length;
  }
  const blankLine = /(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)/g;
  blankLine.lastIndex = from;
  return blankLine.test(text) ? blankLine.lastIndex : text.length;
}

/** The same in bytes whose lines end in line feeds alone. */
export function endOfPlainEvent(bytes: Buffer, from: number): number {
  const blankLine = bytes.indexOf(BLANK_LINE, from);
  return blankLine === -1 ? bytes.length : blankLine + BLANK_LINE.length;
}

function endOfLast(text: string, ending: string): number {
  const at = text.lastIndexOf(ending);
  return at === -1 ? 0 : at + ending.length;
}
