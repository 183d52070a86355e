import type { BudgetPeriod, BudgetSpan, FindPeriod } from './limiter-store.js';

const HOUR_MS = 3_600_000;

interface LocalDate {
  readonly year: number;
  /** From 0. */
  readonly month: number;
  readonly day: number;
}

/**
 * Days and months of a named time zone. A day begins at its first instant there, which is not always midnight, and may
 * have 23 or 25 hours.
 * @param timeZone such as `Europe/Berlin`.
 * @throws {RangeError} for an unknown zone.
 */
export function periodsOf(timeZone: string): FindPeriod {
  const offsetMsAt = offsetsOf(timeZone);

  /**
   * The first instant of that date: the offset of the night before decides, unless the clock changes that very night.
   */
  function beginOf({ year, month, day }: LocalDate): number {
    const local = Date.UTC(year, month, day);
    const before = local - offsetMsAt(local - 24 * HOUR_MS);
    const after = local - offsetMsAt(local + 24 * HOUR_MS);
    const candidates = [Math.min(before, after), Math.max(before, after)];
    return candidates.find((at) => at + offsetMsAt(at) >= local) ?? after;
  }

  function dateAt(wallMs: number): LocalDate {
    const local = new Date(wallMs + offsetMsAt(wallMs));
    return { year: local.getUTCFullYear(), month: local.getUTCMonth(), day: local.getUTCDate() };
  }

  function findAnew(span: BudgetSpan, wallMs: number): BudgetPeriod {
    const date = dateAt(wallMs);
    const first = span === 'day' ? date : { ...date, day: 1 };
    const next = span === 'day' ? { ...date, day: date.day + 1 } : { ...date, month: date.month + 1, day: 1 };
    const from = beginOf(first);
    // Where clocks go back over midnight a date comes twice; the second time it belongs to the day that has begun.
    const to = beginOf(next);
    return {
      name: new Date(Date.UTC(first.year, first.month, first.day)).toISOString().slice(0, span === 'day' ? 10 : 7),
      from,
      to,
    };
  }

  const current: { [Span in BudgetSpan]?: BudgetPeriod } = {};
  return (span, wallMs) => {
    const known = current[span];
    if (known !== undefined && known.from <= wallMs && wallMs < known.to) return known;
    const found = findAnew(span, wallMs);
    current[span] = found;
    return found;
  };
}

/** Milliseconds by which the zone's clocks are ahead of UTC at an instant. */
function offsetsOf(timeZone: string): (wallMs: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    calendar: 'gregory',
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  return (wallMs) => {
    const seconds = Math.floor(wallMs / 1_000) * 1_000;
    const parts = new Map(format.formatToParts(seconds).map(({ type, value }) => [type, Number(value)]));
    const part = (name: Intl.DateTimeFormatPartTypes): number => parts.get(name) ?? 0;
    const local = Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
    return local - seconds;
  };
}
