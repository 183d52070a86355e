/** Form of an answer, by its content: what stands in `content-type` is often wrong. `unknown`: too little has come. */
export type AnswerForm = 'json' | 'events' | 'other' | 'unknown';

const OPENING_BRACE = 0x7b;
const OPENING_BRACKET = 0x5b;

/** Beginnings of the lines of an event stream. */
const FIELDS = ['data', 'event', 'id', 'retry', ''].map((name) => `${name}:`);

/** Longest beginning that has to be seen, after blanks. */
const SEEN_BYTES = 16;

/** Tells an event stream from JSON by its first bytes. */
export function formOf(bytes: Uint8Array): AnswerForm {
  const start = afterBlanks(bytes);
  if (start === bytes.length) return 'unknown';
  if (bytes[start] === OPENING_BRACE || bytes[start] === OPENING_BRACKET) return 'json';
  const seen = Buffer.from(bytes.subarray(start, start + SEEN_BYTES)).toString('latin1');
  if (FIELDS.some((field) => seen.startsWith(field))) return 'events';
  return FIELDS.some((field) => field.startsWith(seen)) ? 'unknown' : 'other';
}

const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf];

/** Index after a byte order mark and blanks. */
function afterBlanks(bytes: Uint8Array): number {
  let at = 0;
  while (at < BYTE_ORDER_MARK.length && bytes[at] === BYTE_ORDER_MARK[at]) at += 1;
  while (at < bytes.length && (bytes[at] ?? 0) <= 0x20) at += 1;
  return at;
}
