/** The load generator: plain keep-alive sockets, prebuilt requests, every answer checked. */
import { connect } from 'node:net';
import { faultOfWhole, streamCheck } from './answer-check.mjs';
import { answerParent, cpuNow } from './child.mjs';
import { requestBodies, secret } from './fixtures.mjs';
import { messageReader } from './http-reader.mjs';

/** The run under way. */
let run;

function requestsOf(port, { bytes, stream }) {
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
  ].join('\r\n');
  const encode = (body) => Buffer.from(`${head}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
  const plain = requestBodies(bytes, stream ? { stream: true } : {}).map(encode);
  if (!stream) return plain;
  const asking = requestBodies(bytes, { stream: true, stream_options: { include_usage: true } }).map(encode);
  return plain.map((request, i) => (i % 2 === 0 ? request : asking[i]));
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
  const socket = connect({ port: spec.port, host: '127.0.0.1', noDelay: true });

  function lose(reason) {
    if (current.connections.delete(connection) && run === current && !(current.stopping && (!busy || spec.stream))) {
      fail(reason);
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
      check = streamCheck({ tokens: spec.tokens, wantsUsage: nth % 2 === 1, keep: nth % 32 < 2 });
    }
    sentAt = performance.now();
    socket.write(current.requests[nth % current.requests.length]);
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
    return check ? check.fault() : faultOfWhole(pieces.length === 1 ? pieces[0] : Buffer.concat(pieces));
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
  const again = (connection) => {
    if (!current.stopping) connection.send();
  };
  const { connections, rampMs = 0 } = current.spec;
  const open = () => {
    if (!current.stopping) openConnection(current, again).send();
  };
  for (let i = 0; i < connections; i += 1) setTimeout(open, (i * rampMs) / connections);
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
    requests: requestsOf(spec.port, spec),
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
  else if (spec.once) for (let i = 0; i < spec.connections; i += 1) openConnection(run, () => undefined).send();
  else closedLoop(run);
}

/** What happened so far; latencies are those since the last snapshot. */
function snapshot() {
  const { answers, events, begun, failures, firstFailure } = run;
  const now = cpuNow();
  const sorted = run.latencies.sort((a, b) => a - b);
  run.latencies = [];
  return { ...now, answers, events, begun, failures, firstFailure, p50Ms: sorted[Math.floor(sorted.length / 2)] };
}

/** Ends the run: whole answers are waited for, streams are left in the middle. */
async function stop() {
  const ended = run;
  ended.stopping = true;
  clearInterval(ended.timer);
  const deadline = performance.now() + 5_000;
  while (!ended.spec.stream && [...ended.connections].some((c) => c.isBusy())) {
    if (performance.now() > deadline) {
      fail('an answer did not come within 5 s');
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  for (const connection of ended.connections) connection.close();
  return snapshot();
}

answerParent({ ready: () => undefined, start, snapshot, stop });
