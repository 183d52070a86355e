/** An OpenAI-like server that costs next to nothing: prebuilt bytes over plain sockets. */
import { createServer } from 'node:net';
import { answerParent, cpuNow } from './child.mjs';
import { completionText, doneEvent, model, streamEvents } from './fixtures.mjs';
import { messageReader } from './http-reader.mjs';

/** How streams are answered. Set by `configure` before each window. */
let plan = { tokens: 100, perSecond: 100, hold: false };
let frames = { plain: [], usage: [] };
/** Streams being written, in slots: slot k is due at every tick t with t % slots.length === k. */
let slots = [new Set()];
const held = new Set();
/** Streams that have begun and not ended. */
const running = new Set();
/** Most streams open at once since the last `configure`. */
let peak = 0;
let requests = 0;
/** Frames written, and those of them that went out with another because this process was late. */
let written = 0;
let late = 0;

const fields = (length) =>
  [
    'HTTP/1.1 200 OK',
    'date: Mon, 23 Nov 2026 00:00:00 GMT',
    length === undefined ? 'content-type: text/event-stream; charset=utf-8' : 'content-type: application/json',
    length === undefined ? 'transfer-encoding: chunked' : `content-length: ${length}`,
    'openai-organization: bench',
    'openai-processing-ms: 412',
    'openai-version: 2020-10-01',
    'x-request-id: req_0123456789abcdef0123456789abcdef',
    'connection: keep-alive',
    '\r\n',
  ].join('\r\n');
const wholeAnswer = Buffer.from(fields(Buffer.byteLength(completionText)) + completionText);
const refusalText = '{"error":{"message":"the bench upstream got rubbish"}}';
const refusal = Buffer.from(
  `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${refusalText.length}\r\n\r\n${refusalText}`,
);
const streamHead = Buffer.from(fields());
const frame = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

function framesOf(tokens, includeUsage) {
  const events = streamEvents(tokens, includeUsage);
  const first = events.slice(0, tokens + 1).map((event) => Buffer.from(frame(event)));
  const last = [...events.slice(tokens + 1), doneEvent].map(frame).join('');
  return [...first, Buffer.from(`${last}0\r\n\r\n`)];
}

function configure(next) {
  plan = next;
  peak = running.size;
  frames = { plain: framesOf(plan.tokens, false), usage: framesOf(plan.tokens, true) };
  const streams = slots.flatMap((slot) => [...slot]);
  slots = Array.from({ length: Math.max(1, Math.round(1_000 / plan.perSecond)) }, () => new Set());
  for (const stream of streams) stream.slot = undefined;
}

/** Writes the frames that are due, several in one write when the clock or the reader was late. */
function advance(stream, due) {
  stream.due += due;
  if (stream.socket.writableNeedDrain) return;
  if (!plan.hold) {
    written += due;
    late += due - 1;
  }
  const to = Math.min(stream.frames.length, stream.sent + stream.due);
  const pieces = stream.frames.slice(stream.sent, to);
  stream.due = 0;
  stream.sent = to;
  stream.socket.write(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
  if (to === stream.frames.length) finish(stream);
}

function finish(stream) {
  if (stream.ended) return;
  stream.ended = true;
  running.delete(stream);
  stream.slot?.delete(stream);
  held.delete(stream);
}

let tick = Math.floor(performance.now());
setInterval(() => {
  const now = Math.floor(performance.now());
  const ticks = Math.min(now - tick, 1_000);
  for (let k = 0; k < Math.min(ticks, slots.length); k += 1) {
    const due = Math.floor((ticks - 1 - k) / slots.length) + 1;
    for (const stream of slots[(now - k) % slots.length]) advance(stream, due);
  }
  tick = now;
}, 1);

/** Whether blanks after colons need not be looked for: that is a second walk over a large body. */
let isCompact = true;
let nextSlot = 0;
function startStream(socket, includeUsage) {
  const stream = { socket, frames: includeUsage ? frames.usage : frames.plain, sent: 0, due: 0, ended: false };
  running.add(stream);
  peak = Math.max(peak, running.size);
  socket.write(Buffer.concat([streamHead, stream.frames[0], ...(plan.hold ? [stream.frames[1]] : [])]));
  stream.sent = plan.hold ? 2 : 1;
  if (plan.hold) held.add(stream);
  else startPacing(stream);
  return stream;
}

function startPacing(stream) {
  stream.slot = slots[nextSlot++ % slots.length];
  stream.slot.add(stream);
}

/** One request in 256 is read with care, so that a gateway which garbles what it passes on does not go unseen. */
function isSound(bytes) {
  if (requests % 256 !== 0) return bytes.includes('"messages":');
  try {
    const body = JSON.parse(bytes.toString());
    return body.model === model && body.messages.length > 2 && body.temperature === 0.7;
  } catch {
    return false;
  }
}

/** Whether a member is true, as JavaScript and as Python write it. */
function says(body, name) {
  return body.includes(`"${name}":true`) || (!isCompact && body.includes(`"${name}": true`));
}

const server = createServer({ noDelay: true }, (socket) => {
  let stream;
  let pieces = [];
  const push = messageReader({
    onHead() {
      pieces = [];
    },
    onData: (bytes) => pieces.push(bytes),
    onEnd() {
      requests += 1;
      const body = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces);
      if (!isSound(body)) socket.write(refusal);
      else if (says(body, 'stream')) stream = startStream(socket, says(body, 'include_usage'));
      else socket.write(wholeAnswer);
    },
  });
  socket.on('data', push);
  socket.on('error', () => socket.destroy());
  socket.on('close', () => stream && finish(stream));
});

answerParent({
  ready: () =>
    new Promise((resolve) => {
      server.listen(0, '127.0.0.1', 4_096, () => resolve({ port: server.address().port }));
    }),
  configure,
  /** For a gateway that writes JSON anew, with blanks. */
  expectBlanks() {
    isCompact = false;
  },
  snapshot: () => ({ ...cpuNow(), open: running.size, peak, requests, written, late }),
  /** Ends the connections of streams that nobody reads any more. */
  drop() {
    for (const { socket } of running) socket.destroy();
  },
  /** Lets every held stream go on at its pace. */
  pace() {
    plan = { ...plan, hold: false };
    for (const stream of held) startPacing(stream);
    held.clear();
  },
  /** Lets every held stream run to its end. */
  release() {
    for (const stream of [...held]) advance(stream, stream.frames.length);
  },
});
