import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { compiledFile } from './compiled.js';
import type { PeerReply, PeerTask } from './loop-peer.js';

/** The longest time for which the loop stood still, and the longest for which it worked. */
export interface Still {
  readonly stillMs: number;
  /** Processor time of the longest turn, which others on the machine do not lengthen; `undefined` where nobody tells it. */
  readonly workMs: number | undefined;
}

/** Watches the event loop of this thread while something runs. */
export async function stillWhile(run: () => Promise<unknown>): Promise<Still> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  await sleep(20);
  delay.enable();
  const turns = watchedTurns();
  await run();
  const workMs = turns.stop();
  await sleep(5);
  delay.disable();
  return { stillMs: delay.max / 1e6, workMs };
}

/** Measures each turn of the loop by the processor time of this thread. */
function watchedTurns(): { stop(): number | undefined } {
  let longest = 0;
  let isOver = false;
  let last = processorMs();
  const measure = (): void => {
    const now = processorMs();
    if (now !== undefined && last !== undefined) longest = Math.max(longest, now - last);
    last = now;
    if (!isOver) setImmediate(measure);
  };
  setImmediate(measure);
  return {
    stop() {
      isOver = true;
      measure();
      return last === undefined ? undefined : longest;
    },
  };
}

function processorMs(): number | undefined {
  try {
    // Of the main thread, in nanoseconds.
    return Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[0]) / 1e6;
  } catch {
    return undefined;
  }
}

/** A client and an upstream in another thread. */
export class Peer {
  private readonly worker = new Worker(compiledFile('test/helpers/loop-peer.ts'));
  baseUrl = '';

  static async start(): Promise<Peer> {
    const peer = new Peer();
    const { port }: AddressInfo = await peer.next();
    peer.baseUrl = `http://127.0.0.1:${port}/v1`;
    return peer;
  }

  /** Sends the request, and watches this thread's loop meanwhile. */
  async exchange(task: PeerTask): Promise<PeerReply & Still> {
    const ready = this.next();
    this.worker.postMessage(task);
    await ready;
    let reply: PeerReply | undefined;
    const still = await stillWhile(async () => {
      const told = this.next<PeerReply>();
      this.worker.postMessage('go');
      reply = await told;
    });
    assert.ok(reply !== undefined);
    return { ...reply, ...still };
  }

  async close(): Promise<void> {
    this.worker.postMessage('stop');
    await once(this.worker, 'exit');
  }

  private async next<T>(): Promise<T> {
    const [message] = await once(this.worker, 'message');
    return message;
  }
}
