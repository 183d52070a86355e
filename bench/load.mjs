/** The load generator: plain keep-alive sockets, prebuilt requests, every answer checked. */
import { connect } from 'node:net';
import { faultOfWhole, streamBytes, streamCheck } from './answer-check.mjs';
import { answerParent, cpuNow } from './child.mjs';
import { requestBodies, secretOf } from './fixtures.mjs';
import { messageReader } from './http-reader.mjs';

/**
 * What is asked of one subject.
 *
 * @typedef {object} LoadSpec
 * @property {number} port
 * @property {string} [secret] Of the one key, where it is not the first of ours.
 * @property {number} [keys] So many keys take turns, in an order that jumps about.
 * @property {Record<string, string>} [headers] What this subject wants beside the usual.
 * @property {string} [model] Where it goes by another name.
 * @property {boolean} [isLenient] See `faultOfWhole`.
 * @property {boolean} [exact] Every stream is compared byte for byte; all of them ask for their usage.
 * @property {string} [localAddress] Where connections come from: one address has too few ports for tens of thousands.
 * @property {number} bytes Size of a request's body.
 * @property {boolean} [stream]
 * @property {number} [tokens] Of a stream.
 * @property {number} [connections] Each sends again as soon as it has its answer,
 * @property {boolean} [once] or only once.
 * @property {number} [calls] Stops sending after so many.
 * @property {number} [rate] Requests a second, instead of `connections`.
 * @property {number} [rampMs] How long it takes to open all connections.
 */

/** The run under way. */
let run;

/** How long whole answers that are on their way are waited for. */
const STOP_MS = 15_000;
/** So many connections wait for the begin of an answer, at most, where each sends once. */
const MOST_AHEAD = 500;
/** A prime: its multiples visit all keys in an order that no cache foresees. */
const KEY_STEP = 611_953;

function requestsOf({ port, bytes, stream, secret = secretOf(0), headers = {}, model, exact }) {
  const head = [
    'POST /v1/chat/completions HTTP/1.1',
    `host: 127.0.0.1:${port}`,
    'connection: keep-alive',
    'accept: application/json',
    'content-type: application/json',
    'user-agent: OpenAI/JS 6.49.0',
    'x-stainless-lang: js',
    'x-stainless-package-version: 6.49.0',
    'x-stainless-os: Linux',
    'x-stainless-runtime: node',
    `authorization: Bearer ${secret}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ].join('\r\n');
  const named = (body) => (model === undefined ? body : JSON.stringify({ ...JSON.parse(body), model }));
  const framed = (body) => Buffer.from(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  const encode = (body) => framed(named(body));
  const plain = requestBodies(bytes, stream ? { stream: true } : {}).map(encode);
  if (!stream) return plain;
  const asking = requestBodies(bytes, { stream: true, stream_options: { include_usage: true } }).map(encode);
  return plain.map((request, i) => (i % 2 === 0 && !exact ? request : asking[i]));
}

function fail(reason) {
  run.failures += 1;
  run.firstFailure ??= reason;
}

/** One keep-alive connection that sends a request whenever told, and calls `onFree` after each right answer. */
function openConnection(current, onFree) {
  const { spec } = current;
  let pieces = [];
  let check;
  let status = '';
  let sentAt = 0;
  let busy = false;
  let waitsForFirst = false;
  const { port, localAddress } = spec;
  const socket = connect({ port, host: '127.0.0.1', noDelay: true, ...(localAddress ? { localAddress } : {}) });
  // Copies of its own: only this connection writes a key's secret into them.
  const requests = spec.keys ? current.requests.map((request) => Buffer.from(request)) : current.requests;
  const secretAt = requests[0].indexOf(secretOf(0));

  function lose(reason) {
    if (current.connections.delete(connection) && run === current && !(current.stopping && (!busy || spec.stream))) {
      const where =
        status === ''
          ? 'before an answer'
          : `in an answer of ${status}, ${Math.round(performance.now() - sentAt)} ms after its request`;
      fail(`${reason} ${where}`);
    }
    socket.destroy();
  }

  function send() {
    const nth = current.sent++;
    busy = true;
    pieces = [];
    check = undefined;
    if (spec.stream) {
      waitsForFirst = true;
      const { tokens, isLenient = false } = spec;
      const wantsUsage = spec.exact === true || nth % 2 === 1;
      check = streamCheck({ tokens, wantsUsage, keep: nth % 32 < 2 && !isLenient, isLenient, exact: current.exact });
    }
    const request = requests[nth % requests.length];
    if (spec.keys) request.latin1Write(secretOf((nth * KEY_STEP) % spec.keys), secretAt);
    sentAt = performance.now();
    socket.write(request);
  }

  function onData(bytes) {
    if (!check || !status.startsWith('200')) {
      pieces.push(bytes);
      return;
    }
    current.events += check.push(bytes);
    if (waitsForFirst) {
      waitsForFirst = false;
      current.begun += 1;
      current.latencies.push(performance.now() - sentAt);
    }
  }

  function onEnd() {
    busy = false;
    const fault = faultOfAnswer();
    if (fault === undefined) {
      current.answers += 1;
      if (!check) current.latencies.push(performance.now() - sentAt);
    } else if (run === current) fail(fault);
    onFree(connection);
  }

  function faultOfAnswer() {
    if (!status.startsWith('200')) return `status ${status}: ${Buffer.concat(pieces).toString().slice(0, 120)}`;
    return check
      ? check.fault()
      : faultOfWhole(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces), spec.isLenient);
  }

  const push = messageReader({
    onHead(head) {
      status = head.slice(9, head.indexOf('\r\n'));
    },
    onData,
    onEnd,
  });
  socket.on('data', (bytes) => {
    try {
      push(bytes);
    } catch (error) {
      lose(`unreadable answer: ${error.message}`);
    }
  });
  socket.on('error', (error) => lose(`socket: ${error.message}`));
  socket.on('close', () => lose('the connection was closed'));

  const connection = { send, isBusy: () => busy, close: () => socket.destroy() };
  current.connections.add(connection);
  return connection;
}

/** Every connection sends again as soon as it has its answer. */
function closedLoop(current) {
  const { connections, rampMs = 0 } = current.spec;
  const again = (connection) => {
    if (!current.stopping && !(current.sent >= current.spec.calls)) connection.send();
  };
  const open = () => {
    if (!current.stopping) openConnection(current, again).send();
  };
  for (let i = 0; i < connections; i += 1) setTimeout(open, (i * rampMs) / connections);
}

/** Every connection sends once. They open no faster than the subject begins to answer: its queue of new ones has an end. */
function onceEach(current) {
  const { connections, rampMs = 0 } = current.spec;
  const startedAt = performance.now();
  current.timer = setInterval(() => {
    const due = Math.min(1, (performance.now() - startedAt) / rampMs) * connections;
    while (current.sent < due && current.sent - current.begun < MOST_AHEAD) {
      openConnection(current, () => undefined).send();
    }
    if (current.sent === connections) clearInterval(current.timer);
  }, 5);
}

/** A request every `1000 / rate` ms, however long answers take; a new connection when none is free. */
function openLoop(current) {
  const idle = [];
  const free = (connection) => idle.push(connection);
  const intervalMs = 1_000 / current.spec.rate;
  let due = performance.now();
  current.timer = setInterval(() => {
    while (due <= performance.now()) {
      due += intervalMs;
      if (current.connections.size > 500) fail('more than 500 requests in flight: it does not hold this rate');
      else (idle.pop() ?? openConnection(current, free)).send();
    }
  }, intervalMs);
}

function start(spec) {
  run = {
    spec,
    requests: requestsOf(spec),
    exact: spec.exact ? streamBytes(spec.tokens) : undefined,
    connections: new Set(),
    latencies: [],
    sent: 0,
    answers: 0,
    events: 0,
    begun: 0,
    failures: 0,
    firstFailure: undefined,
    stopping: false,
    timer: undefined,
  };
  if (spec.rate) openLoop(run);
  else if (spec.once) onceEach(run);
  else closedLoop(run);
}

/** What happened so far; latencies are those since the last snapshot. */
function snapshot() {
  const { answers, events, begun, failures, firstFailure } = run;
  const now = cpuNow();
  const sorted = run.latencies.sort((a, b) => a - b);
  run.latencies = [];
  const at = (share) => sorted[Math.floor(sorted.length * share)];
  return { ...now, answers, events, begun, failures, firstFailure, p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** Ends the run: whole answers are waited for, streams are left in the middle. */
async function stop() {
  const ended = run;
  ended.stopping = true;
  clearInterval(ended.timer);
  const deadline = performance.now() + STOP_MS;
  while (!ended.spec.stream && [...ended.connections].some((c) => c.isBusy())) {
    if (performance.now() > deadline) {
      fail(`an answer did not come within ${STOP_MS / 1_000} s`);
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const connection of ended.connections) connection.close();
  return snapshot();
}

answerParent({ ready: () => undefined, start, snapshot, stop });
