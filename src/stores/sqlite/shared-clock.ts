import type { Clock } from '../../base/clock.js';
import { type Database, maybeNumberOf, numberOf } from './driver.js';

/** More than the clocks of one machine differ. */
const TOO_FAR_MS = 60_000;
/** Difference by which somebody has set the machine's clock since this process began. */
const SET_MS = 1_000;
const NANO_PER_MS = 1e6;

/** The store's clock, as its thread reads it. */
export interface StoreClock extends Pick<Clock, 'wallMs' | 'steadyMs'> {
  /** Whether it is the machine's own, so that other processes have the same. */
  readonly isMachines: boolean;
}

/** Milliseconds of the machine's monotonic clock, the same for all its processes: nobody sets it, and it begins anew with the machine. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / NANO_PER_MS;
}

/** A reading of a store's clock, and of the machine's at the same moment. */
export interface Moment {
  readonly wallMs: number;
  readonly steadyMs: number;
  readonly machineMs: number;
}

/** Readings between which others had the processor would differ by however long they had it: the closest of a few is taken. */
const MAX_READINGS = 16;
const CLOSE_MS = 0.05;

/** Reads both clocks at one moment. */
export function momentOf(clock: Pick<Clock, 'wallMs' | 'steadyMs'>): Moment {
  let closest: Moment | undefined;
  let apartMs = Number.POSITIVE_INFINITY;
  for (let readings = 0; readings < MAX_READINGS && apartMs > CLOSE_MS; readings += 1) {
    const before = machineMs();
    const steadyMs = clock.steadyMs();
    const wallMs = clock.wallMs();
    const after = machineMs();
    if (after - before >= apartMs) continue;
    apartMs = after - before;
    closest = { wallMs, steadyMs, machineMs: before + apartMs / 2 };
  }
  return closest ?? { wallMs: clock.wallMs(), steadyMs: clock.steadyMs(), machineMs: machineMs() };
}

/**
 * Finds how far this process's steady clock is behind the one clock of all processes that share the file. A steady clock
 * begins at the wall clock's time, so that those of two processes differ by whatever the wall clock was set by between their
 * starts. The machine's monotonic clock is the same for all: the file keeps the Unix time at which it stood at 0. Runs within
 * the caller's transaction.
 * @returns whole milliseconds to add; 0 for a clock that is not the machine's.
 */
export function behindShared(db: Database, clock: StoreClock, isAlone: boolean): number {
  const { isMachines } = clock;
  const { wallMs, steadyMs: steady, machineMs: machine } = momentOf(clock);
  const isSet = Math.abs(wallMs - steady) > SET_MS;
  const now = isMachines && isSet ? wallMs : steady;
  if (isAlone) setRight(db, now);
  if (!isMachines) return 0;
  const [row] = db.query('SELECT latest, machine_began_at AS began_at FROM limiter_clock');
  const latest = numberOf(row?.latest);
  const began = maybeNumberOf(row?.began_at ?? null);
  // The monotonic clock begins anew with the machine; then what the file keeps is of the time before.
  const isKnown = !isAlone && began !== undefined && began + machine >= latest - SET_MS;
  const beganAt = isKnown ? began : Math.max(now, latest) - machine;
  if (!isKnown) db.query('UPDATE limiter_clock SET machine_began_at = $beganAt', { beganAt });
  return Math.round(beganAt + machine - steady);
}

/**
 * Sets the shared clock and all its instants back when it is ahead of the machine's: it was told a wrong time, and would stand
 * still until then. For a process that is alone with the file.
 */
function setRight(db: Database, now: number): void {
  const [row] = db.query('SELECT latest FROM limiter_clock');
  const ahead = numberOf(row?.latest) - Math.floor(now);
  if (ahead <= TOO_FAR_MS) return;
  const values = { ahead };
  db.query('UPDATE limiter_clock SET latest = latest - $ahead', values);
  db.query('UPDATE buckets SET since = since - $ahead', values);
  db.query('UPDATE held SET expires_at = expires_at - $ahead', values);
  db.query('UPDATE idempotency SET expires_at = expires_at - $ahead', values);
}
