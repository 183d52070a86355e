import { randomUUID } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Clock } from '../../clock.js';
import { type Database, numberOf, type Row, textOf } from './driver.js';

/** How long a process that is not heard of may still be alive. */
export const LEASE_MS = 15_000;

/** One opened store: open calls belong to it. */
export interface Instance {
  /** Random: a process that is started again, under its old pid even, is another one. */
  readonly id: string;
  /** Says that it lives, and registers it where it was struck off. */
  renew(): void;
  /** Those of which nothing is to be expected any more. */
  dead(): readonly { readonly id: string; readonly renewedAt: number }[];
  /** Whether it is the only one that may be alive. */
  isAlone(): boolean;
  strikeOff(id: string): void;
  /** Strikes itself off, unless calls of its own are open: they are settled once its lease is over. */
  leave(): void;
}

export function thisInstance(db: Database, clock: Clock): Instance {
  const id = randomUUID();
  const host = hostOf();
  const startedAt = performance.timeOrigin;
  const upsert = db.prepare(`
    INSERT INTO instances (id, host, pid, process_started_at, renewed_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET renewed_at = excluded.renewed_at
  `);
  // Rows can outlive their instance's own: a process that was slow has been struck off meanwhile.
  const all = db.prepare(`
    SELECT id, host, pid, process_started_at, renewed_at FROM instances
    UNION ALL
    SELECT DISTINCT instance, '', 0, 0, 0 FROM calls WHERE state = 'open' AND instance NOT IN (SELECT id FROM instances)
  `);
  const removeIfIdle = db.prepare(`
    DELETE FROM instances WHERE id = ? AND NOT EXISTS (SELECT 1 FROM calls WHERE state = 'open' AND instance = ?)
  `);
  const remove = db.prepare('DELETE FROM instances WHERE id = ?');

  function isDead(row: Row): boolean {
    if (textOf(row.id) === id) return false;
    if (clock.wallMs() - numberOf(row.renewed_at) >= LEASE_MS) return true;
    if (row.host !== host) return false;
    // Two stores of one process; or its predecessor, when a container starts anew and everything is pid 1.
    if (row.pid === process.pid) return row.process_started_at !== startedAt;
    return !isRunning(numberOf(row.pid));
  }

  return {
    id,
    renew: () => void upsert.run(id, host, process.pid, startedAt, Math.floor(clock.wallMs())),
    dead: () =>
      all
        .all()
        .filter(isDead)
        .map((row) => ({ id: textOf(row.id), renewedAt: numberOf(row.renewed_at) })),
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
