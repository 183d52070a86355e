/** Decides whether what a client received is the whole, right answer. The same for every subject. */
import { isDeepStrictEqual } from 'node:util';
import { completionText, doneEvent, streamEvents, streamedText } from './fixtures.mjs';

const completionBytes = Buffer.from(completionText);
const completion = JSON.parse(completionText);

/**
 * What is wrong with a whole answer, or `undefined`. Other spacing and order than the upstream's are fine.
 *
 * @param {boolean} isLenient Only text and usage count: some gateways add members or rename the model.
 */
export function faultOfWhole(body, isLenient) {
  if (body.equals(completionBytes)) return undefined;
  try {
    const answer = JSON.parse(body.toString());
    if (isDeepStrictEqual(isLenient ? factsOf(answer) : answer, isLenient ? factsOf(completion) : completion)) {
      return undefined;
    }
  } catch {
    return `not JSON: ${body.toString().slice(0, 80)}`;
  }
  return 'the answer is not what the upstream said';
}

function factsOf({ choices, usage }) {
  return [choices[0].message.content, usage.prompt_tokens, usage.completion_tokens];
}

/** The bytes of a stream with its usage, as the upstream sends them. */
export const streamBytes = (tokens) => Buffer.from([...streamEvents(tokens, true), doneEvent].join(''));

/**
 * Watches one stream as its bytes come. Counts events cheaply; every 32nd stream is kept and read whole.
 *
 * @param {{ tokens: number, wantsUsage: boolean, keep: boolean, isLenient: boolean, exact?: Buffer }} expected
 * `exact` are the bytes that must come, one by one.
 */
export function streamCheck({ tokens, wantsUsage, keep, isLenient, exact }) {
  let at = 0;
  let isExact = true;
  let events = 0;
  let endedWithNewline = false;
  let tail = Buffer.alloc(0);
  const kept = [];

  /** Takes bytes of the body; says how many events ended in them. */
  function push(bytes) {
    if (exact !== undefined) {
      isExact &&= exact.compare(bytes, 0, bytes.length, at, Math.min(exact.length, at + bytes.length)) === 0;
      at += bytes.length;
    }
    let ended = endedWithNewline && bytes[0] === 10 ? 1 : 0;
    let end = bytes.indexOf('\n\n');
    while (end !== -1) {
      ended += 1;
      end = bytes.indexOf('\n\n', end + 2);
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
    if (exact !== undefined && !(isExact && at === exact.length)) return 'the bytes are not those the upstream sent';
    if (isLenient) return undefined;
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
