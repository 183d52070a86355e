/** Decides whether what a client received is the whole, right answer. The same for every subject. */
import { isDeepStrictEqual } from 'node:util';
import { completionText, doneEvent, streamedText } from './fixtures.mjs';

const completionBytes = Buffer.from(completionText);
const completion = JSON.parse(completionText);

/** What is wrong with a whole answer, or `undefined`. Other spacing and order than the upstream's are fine. */
export function faultOfWhole(body) {
  if (body.equals(completionBytes)) return undefined;
  try {
    if (isDeepStrictEqual(JSON.parse(body.toString()), completion)) return undefined;
  } catch {
    return `not JSON: ${body.toString().slice(0, 80)}`;
  }
  return 'the answer is not what the upstream said';
}

/**
 * Watches one stream as its bytes come. Counts events cheaply; every 32nd stream is kept and read whole.
 *
 * @param {{ tokens: number, wantsUsage: boolean, keep: boolean }} expected
 */
export function streamCheck({ tokens, wantsUsage, keep }) {
  let events = 0;
  let endedWithNewline = false;
  let tail = Buffer.alloc(0);
  const kept = [];

  /** Takes bytes of the body; says how many events ended in them. */
  function push(bytes) {
    let ended = endedWithNewline && bytes[0] === 10 ? 1 : 0;
    let at = bytes.indexOf('\n\n');
    while (at !== -1) {
      ended += 1;
      at = bytes.indexOf('\n\n', at + 2);
    }
    endedWithNewline = bytes[bytes.length - 1] === 10 && !(bytes.length > 1 && bytes[bytes.length - 2] === 10);
    tail = bytes.length >= 1_024 ? bytes.subarray(-1_024) : Buffer.concat([tail.subarray(-1_024), bytes]);
    if (keep) kept.push(bytes);
    events += ended;
    return ended;
  }

  /** What is wrong with the stream now that it has ended, or `undefined`. */
  function fault() {
    const expected = tokens + 3 + (wantsUsage ? 1 : 0);
    const end = tail.toString();
    if (!end.endsWith(doneEvent)) return `a stream ended without [DONE]: ${end.slice(-80)}`;
    if (end.includes('"total_tokens":335') !== wantsUsage) return 'the usage chunk is missing, or came unasked';
    if (events !== expected) return `${events} events instead of ${expected}`;
    return keep ? faultOfText(Buffer.concat(kept).toString(), tokens) : undefined;
  }

  return { push, fault };
}

function faultOfText(text, tokens) {
  try {
    const chunks = text.split('\n\n').filter((event) => event.startsWith('data: {'));
    const deltas = chunks.map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? '');
    return deltas.join('') === streamedText(tokens) ? undefined : 'the text of a stream is not what the upstream said';
  } catch (error) {
    return `a chunk is not JSON: ${error.message}`;
  }
}
