import type { Clock } from '../base/clock.js';

const WINDOW_MS = 60_000;
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 4_000;
/** Addresses that are remembered; the ones heard of longest ago are forgotten. */
const MAX_ADDRESSES = 10_000;
/** Answers that are held back at one time: each holds a connection. Further ones are given at once. */
const MAX_HELD = 256;

/** Failed guesses of keys and of the admin's secret, counted by address. */
export interface Guesses {
  /**
   * Counts a failure, and resolves when its answer may be given; `undefined`: at once. Who presents the right secret is never
   * here, so never delayed.
   */
  failed(address: string | undefined): Promise<void> | undefined;
  /** Gives all answers that are held back. */
  release(): void;
}

interface Failures {
  count: number;
  since: number;
  isTold: boolean;
}

/** @param freeFailures of one address in a minute that cost nothing: people mistype, and programs start with old keys. */
export function countGuesses(clock: Clock, onNotice: (text: string) => void, freeFailures: number): Guesses {
  /** The address that failed longest ago comes first. */
  const known = new Map<string, Failures>();
  const held = new Set<() => void>();

  function failuresOf(network: string): Failures {
    const now = clock.steadyMs();
    const before = known.get(network);
    const isRecent = before !== undefined && now - before.since < WINDOW_MS;
    const failures = isRecent ? before : { count: 0, since: now, isTold: before?.isTold ?? false };
    known.delete(network);
    known.set(network, failures);
    const [oldest] = known.size > MAX_ADDRESSES ? known.keys() : [];
    if (oldest !== undefined) known.delete(oldest);
    return failures;
  }

  return {
    failed(address) {
      if (address === undefined || address === '') return undefined;
      const network = networkOf(address);
      const failures = failuresOf(network);
      failures.count += 1;
      const above = failures.count - freeFailures;
      if (above <= 0) return undefined;
      if (!failures.isTold) {
        failures.isTold = true;
        onNotice(
          `More than ${freeFailures} wrong keys in a minute from ${network}: answers to more of them are held back.`,
        );
      }
      if (held.size >= MAX_HELD) return undefined;
      const delayMs = Math.min(FIRST_DELAY_MS * 2 ** Math.min(above - 1, 10), LONGEST_DELAY_MS);
      return new Promise((resolve) => {
        const give = (): void => {
          held.delete(give);
          cancel();
          resolve();
        };
        const cancel = clock.setTimer(give, delayMs);
        held.add(give);
      });
    },
    release() {
      for (const give of [...held]) give();
    },
  };
}

/** Longest text that can be an address with a zone. */
const MAX_ADDRESS = 64;

/** The network that one guesser has: an IPv4 address, or the first 64 bits of an IPv6 one. */
export function networkOf(address: string): string {
  const text = address.slice(0, MAX_ADDRESS).toLowerCase();
  if (!text.includes(':')) return text;
  const last = text.slice(text.lastIndexOf(':') + 1);
  if (text.startsWith('::ffff:') && last.includes('.')) return last;
  const [head = '', tail] = text.split('%', 1).join('').split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`;
}
