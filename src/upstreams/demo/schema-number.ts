import type { JsonObject } from '../../json.js';

/** Where a number may lie. `-Infinity` and `Infinity`: no bound on that side. */
interface Bounds {
  readonly low: number;
  readonly high: number;
  readonly holds: (value: number) => boolean;
}

/** How many multiples are looked at: of an odd `multipleOf` only some are exact in binary. */
const MAX_TRIES = 200;

/** A number for the schema. @param variant asks for another one, for sets of unique items. */
export function schemaNumber(schema: JsonObject, integer: boolean, variant: number): number {
  const bounds = boundsOf(schema);
  const multipleOf = typeof schema.multipleOf === 'number' && schema.multipleOf > 0 ? schema.multipleOf : undefined;
  if (multipleOf === undefined && !integer) return anyNumber(bounds, variant);
  const isFine = (value: number): boolean =>
    (!integer || Number.isInteger(value)) &&
    (multipleOf === undefined || Number.isInteger(value / multipleOf)) &&
    bounds.holds(value);
  return multiple(bounds, multipleOf ?? 1, isFine, variant);
}

function boundsOf(schema: JsonObject): Bounds {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  const inclusiveLow = typeof minimum === 'number' ? minimum : -Infinity;
  const inclusiveHigh = typeof maximum === 'number' ? maximum : Infinity;
  // Draft 4 and OpenAPI 3.0 write `exclusiveMinimum: true` beside `minimum`.
  const above =
    typeof exclusiveMinimum === 'number' ? exclusiveMinimum : exclusiveMinimum === true ? inclusiveLow : -Infinity;
  const below =
    typeof exclusiveMaximum === 'number' ? exclusiveMaximum : exclusiveMaximum === true ? inclusiveHigh : Infinity;
  return {
    low: Math.max(inclusiveLow, above),
    high: Math.min(inclusiveHigh, below),
    holds: (value) =>
      value >= inclusiveLow &&
      value <= inclusiveHigh &&
      (value > above || above === -Infinity) &&
      (value < below || below === Infinity),
  };
}

/** The multiples of `step` from 1 up, or where the bounds forbid that, from a bound on. */
function multiple({ low, high }: Bounds, step: number, isFine: (value: number) => boolean, variant: number): number {
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
  return found[variant] ?? found[0] ?? 0;
}

function anyNumber({ low, high, holds }: Bounds, variant: number): number {
  const middle =
    Number.isFinite(low) && Number.isFinite(high) ? low + (high - low) * (1 - 1 / (variant + 2)) : Number.NaN;
  const candidates = [1.5 + variant, low + 0.5 + variant, high - 0.5 - variant, middle, low * 2, high * 2, low, high];
  return candidates.find((value) => Number.isFinite(value) && holds(value)) ?? 0;
}
