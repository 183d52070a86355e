import { readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { memberOf } from '../../base/checks.js';
import { type Database, maybeNumberOf, numberOf, type Row, textOf } from './driver.js';
import { machineMs, type StoreClock } from './shared-clock.js';

/** Milliseconds for which a process that is not heard of may still be alive. */
export const LEASE_MS = 15_000;
const DAY_MS = 86_400_000;

/** One opened store, to which its open calls belong. */
export interface Instance {
  /** Random: a process that is started again is another instance, even under its old pid. */
  readonly id: string;
  /**
   * Tells that the instance lives, and registers it anew where it was struck off.
   * @param does `open calls`: the instance uses the ledger of this file.
   */
  renew(does?: 'open calls'): void;
  /** Instances whose processes have ended, or whose leases are over. */
  dead(): readonly DeadInstance[];
  /** Whether another instance has ended, as far as anybody can tell: one that only sleeps has not. */
  isOver(id: string): boolean;
  /** Whether no other instance may be alive. */
  isAlone(): boolean;
  strikeOff(id: string): void;
  /** Strikes itself off unless calls of its own are open, which are settled once its lease is over. */
  leave(): void;
}

/** An instance whose process has ended, or whose lease is over. */
export interface DeadInstance {
  readonly id: string;
  /** Unix time in milliseconds. */
  readonly renewedAt: number;
  /**
   * Whether its process has ended. Otherwise its lease is over, but it may be asleep: its word counts when it wakes.
   */
  readonly isGone: boolean;
  /** Whether its lease is over, but its process is there, and may wake. */
  readonly isAsleep: boolean;
  /**
   * Whether this file is the ledger of its calls: it recorded some here, or any instance did since a day before its
   * end, which may have come before its first call. `false`: its ledger may be another one.
   */
  readonly hasLedger: boolean;
}

/**
 * Makes the instance of this store; `renew` registers it.
 * @param startedAt `performance.timeOrigin` of the process, which is another in each thread.
 */
export function thisInstance(
  db: Database,
  { id, startedAt, clock }: { readonly id: string; readonly startedAt: number; readonly clock: StoreClock },
): Instance {
  const host = hostOf();
  const { isMachines } = clock;
  const upsert = db.prepare(`
    INSERT INTO instances (id, host, pid, process_started_at, renewed_at, renewed_machine_ms, has_ledger)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE
    SET renewed_at = excluded.renewed_at, renewed_machine_ms = excluded.renewed_machine_ms,
      has_ledger = max(has_ledger, excluded.has_ledger)
  `);
  // Calls can outlive their instance's row: a process that was slow has been struck off meanwhile.
  const all = db.prepare(`
    SELECT id, host, pid, process_started_at, renewed_at, renewed_machine_ms,
      has_ledger OR EXISTS (SELECT 1 FROM calls WHERE started_at >= renewed_at - ${DAY_MS}) AS has_ledger
    FROM instances
    UNION ALL
    SELECT DISTINCT instance, '', 0, 0, 0, NULL, 1 FROM calls WHERE state = 'open' AND instance NOT IN (SELECT id FROM instances)
  `);
  const find = db.prepare('SELECT * FROM instances WHERE id = ?');
  const removeIfIdle = db.prepare(`
    DELETE FROM instances WHERE id = ? AND NOT EXISTS (SELECT 1 FROM calls WHERE state = 'open' AND instance = ?)
  `);
  const remove = db.prepare('DELETE FROM instances WHERE id = ?');

  function isDead(row: Row): boolean {
    if (textOf(row.id) === id) return false;
    return isSilent(row) || isGone(row);
  }

  /** By the machine's clock, where both have it: somebody may set the wall clock, and not all are dead then. */
  function isSilent({ renewed_at: renewedAt, renewed_machine_ms: machine }: Row): boolean {
    const renewed = isMachines ? maybeNumberOf(machine) : undefined;
    if (renewed === undefined) return clock.wallMs() - numberOf(renewedAt) >= LEASE_MS;
    const silentMs = machineMs() - renewed;
    return silentMs >= LEASE_MS || silentMs < 0;
  }

  /** Not for ever: the process of that pid may be another by now. */
  function isAsleep(row: Row): boolean {
    return row.host === host && !isGone(row) && clock.wallMs() - numberOf(row.renewed_at) < DAY_MS;
  }

  function isGone(row: Row): boolean {
    if (row.host !== host) return false;
    // Another store of this process; or its predecessor, when a container starts anew and everything is pid 1.
    if (row.pid === process.pid) return row.process_started_at !== startedAt;
    return !isRunning(numberOf(row.pid));
  }

  return {
    id,
    renew(does) {
      const machine = isMachines ? machineMs() : null;
      const hasLedger = does === undefined ? 0 : 1;
      upsert.run(id, host, process.pid, startedAt, Math.floor(clock.wallMs()), machine, hasLedger);
    },
    dead: () =>
      all
        .all()
        .filter(isDead)
        .map((row) => ({
          id: textOf(row.id),
          renewedAt: numberOf(row.renewed_at),
          isGone: isGone(row),
          isAsleep: isAsleep(row),
          hasLedger: row.has_ledger === 1,
        })),
    isOver(other) {
      const row = find.get(other);
      return row !== undefined && isDead(row) && !isAsleep(row);
    },
    isAlone: () => all.all().every((row) => textOf(row.id) === id || isDead(row)),
    strikeOff: (dead) => void remove.run(dead),
    leave: () => void removeIfIdle.run(id, id),
  };
}

/**
 * Names the pid namespace, as pids mean nothing outside: the containers of one pod share a host name, and all are pid
 * 1.
 */
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
    // The process is there, but is not ours to signal.
    return memberOf(error, 'code') === 'EPERM';
  }
}
