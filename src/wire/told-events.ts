import { bufferOf } from '../base/bytes.js';
import { isJsonObject, type Json } from '../base/json.js';
import { endOfEvent, errorField, eventData, eventKind, isEmptyData } from './sse.js';

/** Events that a client may see, and the error that one of them told in place of more. */
export interface ToldEvents {
  readonly shown: Uint8Array;
  /** `undefined`: none. */
  readonly error: Json | undefined;
}

const ERROR = Buffer.from('error');
const COMMENT_LINE = Buffer.from('\n:');
const COLON = 0x3a;
/** Longer events are pictures and sounds, and no errors. */
const MAX_ERROR_LENGTH = 65_536;

/**
 * Ends whole events at the first that is an error, as what it says may not be for the client, and takes out comments that say too much.
 * Events that have neither, as almost all, are not looked at one by one.
 * @param mayShow whether a comment may be read by anybody, as `: ping`.
 */
export function readToldEvents(given: Uint8Array, mayShow: (comment: string) => boolean): ToldEvents {
  const bytes = bufferOf(given);
  const hasComment = bytes[0] === COLON || bytes.includes(COMMENT_LINE);
  if (!hasComment && !bytes.includes(ERROR)) return { shown: given, error: undefined };
  const text = bytes.toString('latin1');
  let shown = '';
  for (let at = 0; at < text.length; ) {
    const end = endOfEvent(text, at);
    const event = text.slice(at, end);
    at = end;
    const error = event.length > MAX_ERROR_LENGTH ? undefined : errorIn(event);
    if (error !== undefined) return { shown: Buffer.from(shown, 'latin1'), error };
    shown += hasComment ? withComments(event, mayShow) : event;
  }
  return { shown: shown.length === text.length ? given : Buffer.from(shown, 'latin1'), error: undefined };
}

/** The error that an event is, whatever says so: its name, a field of its own, or a member. */
function errorIn(event: string): Json | undefined {
  const data = eventData(event);
  if (data === undefined) return wordsOf(errorField(event));
  if (isEmptyData(data)) return undefined;
  const isNamed = eventKind(event) === 'error';
  if (!isNamed && !data.includes('"error"')) return undefined;
  let told: unknown;
  try {
    told = JSON.parse(Buffer.from(data, 'latin1').toString());
  } catch {
    return isNamed ? wordsOf(data) : undefined;
  }
  if (!isJsonObject(told)) return isNamed ? wordsOf(data) : undefined;
  const { error } = told;
  if (error !== undefined && error !== null) return typeof error === 'string' ? { message: error } : error;
  return isNamed || told.type === 'error' ? told : undefined;
}

function wordsOf(text: string | undefined): Json | undefined {
  return text === undefined ? undefined : { message: Buffer.from(text, 'latin1').toString() };
}

function withComments(event: string, mayShow: (comment: string) => boolean): string {
  if (!event.startsWith(':') && !/[\r\n]:/.test(event)) return event;
  const isShown = (line: string): boolean => !line.startsWith(':') || mayShow(line);
  const lines = event.split(/(?<=\r\n|\n|\r(?!\n))/).filter(isShown);
  // What is left of a comment alone is a blank line.
  return lines.some((line) => line.trim() !== '') ? lines.join('') : '';
}
