// Client and upstream of a gateway whose event loop is watched: in a thread of their own, so that only the gateway's work counts.
import { createServer, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort } from 'node:worker_threads';

/** The next request, and what the upstream will answer. */
export interface PeerTask {
  readonly url: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  /** The pieces of the upstream's answer. */
  readonly answer: readonly Uint8Array[];
  readonly answerHeaders: Readonly<Record<string, string>>;
  readonly answerStatus: number;
}

export interface PeerReply {
  readonly status: number;
  readonly bytes: number;
  /** Its beginning and its end. */
  readonly head: string;
  readonly tail: string;
  /** Bytes of the request that reached the upstream; -1: none did. */
  readonly upstreamBytes: number;
}

let task: PeerTask | undefined;
let upstreamBytes = -1;

const upstream = createServer((incoming, outgoing) => {
  let size = 0;
  incoming.on('data', (piece: Buffer) => {
    size += piece.length;
  });
  incoming.on('end', async () => {
    upstreamBytes = size;
    outgoing.writeHead(task?.answerStatus ?? 500, task?.answerHeaders);
    const pieces = task?.answer ?? [];
    for (const piece of pieces) {
      outgoing.write(piece);
      if (pieces.length > 1) await sleep(1);
    }
    outgoing.end();
  });
});

upstream.listen(0, '127.0.0.1', () => parentPort?.postMessage(upstream.address()));

parentPort?.on('message', (message: PeerTask | 'go' | 'stop') => {
  if (message === 'stop') {
    upstream.closeAllConnections();
    upstream.close();
    parentPort?.close();
  } else if (message === 'go') void go();
  else {
    task = message;
    upstreamBytes = -1;
    parentPort?.postMessage('ready');
  }
});

async function go(): Promise<void> {
  if (task === undefined) return;
  const { url, method, headers, body } = task;
  const sent = request(url, {
    method,
    headers: { ...headers, 'content-length': String(body?.byteLength ?? 0) },
    agent: false,
  });
  sent.on('error', (error) =>
    parentPort?.postMessage({ status: 0, bytes: 0, head: String(error), tail: '', upstreamBytes }),
  );
  sent.on('response', (response) => {
    let bytes = 0;
    let head = '';
    let tail = '';
    response.on('data', (piece: Buffer) => {
      bytes += piece.length;
      if (head.length < 300) head += piece.toString('latin1', 0, 300);
      tail = (tail + piece.toString('latin1', Math.max(0, piece.length - 300))).slice(-300);
    });
    response.on('close', () =>
      parentPort?.postMessage({ status: response.statusCode ?? 0, bytes, head, tail, upstreamBytes }),
    );
  });
  sent.end(body);
}
