import { randomUUID } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Clock } from '../../base/clock.js';
import { type Database, numberOf, type Row, textOf } from './driver.js';

/** How long a process that is not heard of may still be alive. */
export const LEASE_MS = 15_000;
const DAY_MS = 86_400_000;

/** One opened store: open calls belong to it. */
export interface Instance {
  /** Random: a process that is started again, under its old pid even, is another one. */
  readonly id: string;
  /**
   * Says that it lives, and registers it where it was struck off.
   * @param does `open calls`: the ledger of this file is the one it uses.
   */
  renew(does?: 'open calls'): void;
  /** Those of which nothing is to be expected any more. */
  dead(): readonly DeadInstance[];
  /** Whether it is the only one that may be alive. */
  isAlone(): boolean;
  strikeOff(id: string): void;
  /** Strikes itself off, unless calls of its own are open: they are settled once its lease is over. */
  leave(): void;
}

/** One of which nothing is to be expected any more. */
export interface DeadInstance {
  readonly id: string;
  /** Unix time in milliseconds. */
  readonly renewedAt: number;
  /** Its process has ended. Otherwise its lease is over, and it may be asleep: what it says when it wakes counts. */
  readonly isGone: boolean;
  /**
   * Whether calls are recorded in this file: it did so, or anybody since a day before its end, which may have come before its
   * first call. `false`: its ledger may be another one.
   */
  readonly hasLedger: boolean;
}

export function thisInstance(db: Database, clock: Clock): Instance {
  const id = randomUUID();
  const host = hostOf();
  const startedAt = performance.timeOrigin;
  const upsert = db.prepare(`
    INSERT INTO instances (id, host, pid, process_started_at, renewed_at, has_ledger) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE
    SET renewed_at = excluded.renewed_at, has_ledger = max(has_ledger, excluded.has_ledger)
  `);
  // Rows can outlive their instance's own: a process that was slow has been struck off meanwhile.
  const all = db.prepare(`
    SELECT id, host, pid, process_started_at, renewed_at,
      has_ledger OR EXISTS (SELECT 1 FROM calls WHERE started_at >= renewed_at - ${DAY_MS}) AS has_ledger
    FROM instances
    UNION ALL
    SELECT DISTINCT instance, '', 0, 0, 0, 1 FROM calls WHERE state = 'open' AND instance NOT IN (SELECT id FROM instances)
  `);
  const removeIfIdle = db.prepare(`
    DELETE FROM instances WHERE id = ? AND NOT EXISTS (SELECT 1 FROM calls WHERE state = 'open' AND instance = ?)
  `);
  const remove = db.prepare('DELETE FROM instances WHERE id = ?');

  function isDead(row: Row): boolean {
    if (textOf(row.id) === id) return false;
    return clock.wallMs() - numberOf(row.renewed_at) >= LEASE_MS || isGone(row);
  }

  function isGone(row: Row): boolean {
    if (row.host !== host) return false;
    // Two stores of one process; or its predecessor, when a container starts anew and everything is pid 1.
    if (row.pid === process.pid) return row.process_started_at !== startedAt;
    return !isRunning(numberOf(row.pid));
  }

  return {
    id,
    renew: (does) =>
      void upsert.run(id, host, process.pid, startedAt, Math.floor(clock.wallMs()), does === undefined ? 0 : 1),
    dead: () =>
      all
        .all()
        .filter(isDead)
        .map((row) => ({
          id: textOf(row.id),
          renewedAt: numberOf(row.renewed_at),
          isGone: isGone(row),
          hasLedger: row.has_ledger === 1,
        })),
    isAlone: () => all.all().every((row) => textOf(row.id) === id || isDead(row)),
    strikeOff: (dead) => void remove.run(dead),
    leave: () => void removeIfIdle.run(id, id),
  };
}

/** Pids mean something within one pid namespace only: the containers of one pod share a host name, and are all pid 1. */
function hostOf(): string {
  try {
    return `${hostname()} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return hostname();
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // Not ours to signal, but there.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
