import type { IncomingMessage } from 'node:http';
import type { Lingering } from '../src/adapter.js';

/**
 * Takes and drops what a client still sends after an early answer, as nginx does. Closing at once would reset the
 * connection, and a client that writes before it reads would never see the answer; reading on for ever would swallow
 * gigabytes for nothing.
 * @param onOver called once, when the body has ended, the client is gone or a bound is reached
 */
export function dropRest(req: IncomingMessage, lingering: Lingering, onOver: () => void): void {
  const { idleMs, totalMs, maxBytes } = lingering.bounds;
  let dropped = 0;
  let isOver = false;
  let idleTimer: NodeJS.Timeout | undefined;
  let totalTimer: NodeJS.Timeout | undefined;
  const over = (): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(idleTimer);
    clearTimeout(totalTimer);
    req.off('data', onData).off('end', over).off('close', over);
    req.pause();
    lingering.leave(over);
    onOver();
  };
  const onData = (piece: Uint8Array | string): void => {
    dropped += piece.length;
    if (dropped > maxBytes) over();
    else idleTimer?.refresh();
  };
  if (!lingering.enter(over)) {
    onOver();
    return;
  }
  idleTimer = setTimeout(over, idleMs);
  totalTimer = setTimeout(over, totalMs);
  req.on('data', onData).on('end', over).on('close', over);
  // A client that resets its connection now is none of the host's errors.
  req.on('error', over);
  req.resume();
}
