import type { Plain } from './schema-plain.js';

/** Where a number may lie. `-Infinity` and `Infinity`: no bound on that side. */
interface Bounds {
  readonly low: number;
  readonly high: number;
  readonly holds: (value: number) => boolean;
}

/** How many multiples are looked at: of an odd `multipleOf` only some are exact in binary. */
const MAX_TRIES = 200;

/** A number for the schema. @param variant asks for another one, for sets of unique items. */
export function schemaNumber(plain: Plain, integer: boolean, variant: number): number | undefined {
  const bounds = boundsOf(plain);
  const { multipleOf } = plain;
  if (multipleOf === undefined && !integer) return anyNumber(bounds, variant);
  const isFine = (value: number): boolean =>
    (!integer || Number.isInteger(value)) &&
    (multipleOf === undefined || Number.isInteger(value / multipleOf)) &&
    bounds.holds(value);
  return multiple(bounds, multipleOf ?? 1, isFine, variant);
}

function boundsOf({ minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below }: Plain): Bounds {
  return {
    low: Math.max(minimum, above),
    high: Math.min(maximum, below),
    holds: (value) => value >= minimum && value <= maximum && value > above && value < below,
  };
}
/** The multiples of `step` from 1 up, or where the bounds forbid that, from a bound on. */
function multiple(
  { low, high }: Bounds,
  step: number,
  isFine: (value: number) => boolean,
  variant: number,
): number | undefined {
  const starts = [Math.ceil(Math.max(1, low) / step), Math.ceil(low / step), Math.floor(high / step)];
  const found: number[] = [];
  for (const start of starts.filter(Number.isFinite)) {
    for (const direction of [1, -1]) {
      for (let tries = 0; tries < MAX_TRIES + variant && found.length <= variant; tries += 1) {
        const value = (start + direction * tries) * step;
        if (value < low || value > high) break;
        if (isFine(value) && !found.includes(value)) found.push(value + 0);
      }
    }
  }
  return found[variant] ?? found[0];
}

function anyNumber({ low, high, holds }: Bounds, variant: number): number | undefined {
  const middle =
    Number.isFinite(low) && Number.isFinite(high) ? low + (high - low) * (1 - 1 / (variant + 2)) : Number.NaN;
  const candidates = [1.5 + variant, low + 0.5 + variant, high - 0.5 - variant, middle, low * 2, high * 2, low, high];
  return candidates.find((value) => Number.isFinite(value) && holds(value));
}
