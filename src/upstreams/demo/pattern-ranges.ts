/** Code points from the first to the last. */
export type Range = readonly [number, number];

const DIGITS: readonly Range[] = [[48, 57]];
const LOWER: readonly Range[] = [[97, 122]];
const UPPER: readonly Range[] = [[65, 90]];
const WORD: readonly Range[] = [...LOWER, ...UPPER, ...DIGITS, [95, 95]];
/** What `.` and negated classes choose from. */
export const PLAIN: readonly Range[] = [...LOWER, ...UPPER, ...DIGITS, [45, 45], [32, 32], [33, 44], [58, 64]];

/** The single code points of a range that none of the others holds. */
export function outside([from, to]: Range, others: readonly Range[]): readonly Range[] {
  const points = Array.from({ length: to - from + 1 }, (_, index) => from + index);
  const kept = points.filter((point) => !others.some(([low, high]) => low <= point && point <= high));
  return kept.map((point) => [point, point] as const);
}

/** What a backslash and that character stand for. */
export function shorthand(char: string): readonly Range[] {
  const known: Record<string, readonly Range[]> = {
    d: DIGITS,
    w: WORD,
    D: LOWER,
    S: LOWER,
    s: [[32, 32]],
    W: [[45, 45]],
  };
  const control: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };
  if (Object.hasOwn(known, char)) return known[char] ?? [];
  const point = Object.hasOwn(control, char) ? (control[char] ?? 0) : (char.codePointAt(0) ?? 0);
  return [[point, point]];
}

/** What `\p{…}` of that name stands for, roughly. */
export function propertyRanges(name: string): readonly Range[] {
  if (/^(?:N|Nd|Number|Decimal_Number)$/.test(name)) return DIGITS;
  if (/^(?:Lu|Uppercase|Uppercase_Letter)$/.test(name)) return UPPER;
  return LOWER;
}
