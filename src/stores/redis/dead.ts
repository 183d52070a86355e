import type { Clock } from '../../base/clock.js';
import type { InterruptedEnd } from '../../limits/limiter-store.js';
import type { RedisScript } from './client.js';
import {
  decodeHeld,
  encodeBury,
  encodeFree,
  encodeHeldBy,
  encodeLook,
  encodeSettle,
  type Naming,
  type ScriptCall,
} from './encode.js';

/** Gives back what machines held that are not heard of any more. */
export interface DeadMachines {
  /** Frees the places of machines that are dead. Called with each beat. @param silent those whose lease is over. */
  sweep(silent: readonly string[]): Promise<void>;
  /** Settles what a dead machine's call held, once the ledger has charged the call. */
  settle(call: InterruptedEnd): Promise<void>;
}

/** Beats in a row in which a machine must be silent: when the clock of Redis leaps, all are until they have told again. */
const SILENT_BEATS = 3;
/** Reservations looked at together. */
const AT_ONCE = 100;

interface DeadMachinesOptions {
  readonly script: RedisScript;
  readonly naming: Naming;
  readonly clock: Clock;
  readonly leaseMs: number;
}

export function deadMachines({ script, naming, clock, leaseMs }: DeadMachinesOptions): DeadMachines {
  let silentBeats = new Map<string, number>();
  let beatAt = Number.NEGATIVE_INFINITY;
  let inTouchSince = 0;

  const run = ({ keys, args }: ScriptCall): Promise<string> => script.run(keys, args);

  async function look(ids: readonly string[]) {
    const lines = (await run(encodeLook(ids, naming))).split('\n');
    return ids.map((id, index) => ({ id, held: decodeHeld(id, lines[index] ?? '') }));
  }

  /** Draws stay: they flow back by the minute, and a budget's are the ledger's to tell. */
  async function free(machine: string): Promise<void> {
    for (;;) {
      const ids = (await run(encodeHeldBy(machine, AT_ONCE, naming))).split(' ').filter((id) => id !== '');
      if (ids.length === 0) break;
      for (const { id, held } of await look(ids)) {
        await run(encodeFree(machine, { id, slots: held?.reservation.slots ?? [] }, naming));
      }
    }
    await run(encodeBury(machine, naming));
  }

  return {
    async sweep(silent) {
      const now = clock.steadyMs();
      // Where Redis, or this process, stood still, all leases are over: those that live must have the time to tell.
      if (now - beatAt >= leaseMs / 2) inTouchSince = now;
      beatAt = now;
      silentBeats = new Map(silent.map((machine) => [machine, (silentBeats.get(machine) ?? 0) + 1]));
      if (now - inTouchSince < leaseMs) return;
      for (const [machine, beats] of silentBeats) if (beats >= SILENT_BEATS) await free(machine);
    },
    async settle({ requestId, costNanoUsd }) {
      for (const { held } of await look([requestId, `${requestId}:shadow`])) {
        if (held === undefined) continue;
        const { reservation, instance } = held;
        const amounts = reservation.draws.map(({ amount, budget }) =>
          budget === undefined ? amount : (costNanoUsd ?? amount),
        );
        const settlement = { reservation, amounts, isGhost: false, isOthers: true };
        await run(encodeSettle(settlement, clock.steadyMs(), { naming, instance }));
      }
    },
  };
}
