import type { Branches, Pattern, PatternPart, Repeat } from './schema-pattern-parse.js';
import type { Scope } from './schema-scope.js';

interface Run {
  readonly chars: readonly string[];
  readonly names: ReadonlyMap<string, number>;
  /** What the groups hold, by their number. */
  captures: (readonly string[] | undefined)[];
  /** Steps left: below 0, what was found out means nothing. */
  steps: number;
  depth: number;
}
type Next = (at: number) => boolean;

const MAX_STEPS = 20_000;
const STEPS_PER_WORK = 16;
/** So many rounds that take nothing are gone through one by one: the next may take something. */
const MAX_EMPTY_ROUNDS = 16;
/** Each level takes a few frames of the stack. */
const MAX_DEPTH = 500;

/** Whether the text has what the regular expression looks for; `undefined` when that is not to be found out. */
export function textMatches(source: string, text: string, scope: Scope): boolean | undefined {
  const pattern = scope.pattern(source);
  return pattern === undefined ? undefined : matchesPattern(pattern, text, scope.budget);
}

/** The same for a pattern that is known; `undefined` when it takes too long. */
export function matchesPattern(pattern: Pattern, text: string, budget: { work: number }): boolean | undefined {
  const steps = Math.min(MAX_STEPS, Math.max(0, budget.work) * STEPS_PER_WORK);
  const run: Run = { chars: [...text], names: pattern.names, captures: [], steps, depth: 0 };
  let isFound = false;
  for (let start = 0; start <= run.chars.length && !isFound && run.steps >= 0; start += 1) {
    run.captures = [];
    isFound = anyBranch(pattern.branches, start, () => true, run);
  }
  budget.work -= Math.ceil((steps - run.steps) / STEPS_PER_WORK);
  return run.steps < 0 ? undefined : isFound;
}

function anyBranch(branches: Branches, at: number, next: Next, run: Run): boolean {
  return branches.some((parts) => sequence(parts, 0, at, next, run));
}

function sequence(parts: readonly PatternPart[], from: number, at: number, next: Next, run: Run): boolean {
  let place = at;
  for (let index = from; index < parts.length; index += 1) {
    const part = parts[index];
    if (part?.kind === 'char') {
      if (!isNext(part, place, run)) return false;
      place += 1;
    } else if (part !== undefined) {
      return matchPart(part, place, (end) => sequence(parts, index + 1, end, next, run), run);
    }
  }
  return next(place);
}

function isNext(part: PatternPart, at: number, run: Run): boolean {
  run.steps -= 1;
  const char = run.chars[at];
  return run.steps >= 0 && char !== undefined && part.kind === 'char' && part.matches(char);
}

function matchPart(part: PatternPart, at: number, next: Next, run: Run): boolean {
  run.steps -= 1;
  if (run.depth > MAX_DEPTH) run.steps = -1;
  if (run.steps < 0) return false;
  run.depth += 1;
  const result = matchKind(part, at, next, run);
  run.depth -= 1;
  return result;
}

function matchKind(part: PatternPart, at: number, next: Next, run: Run): boolean {
  switch (part.kind) {
    case 'char':
      return isNext(part, at, run) && next(at + 1);
    case 'start':
      return at === 0 && next(at);
    case 'end':
      return at === run.chars.length && next(at);
    case 'boundary':
      return isBoundary(at, run) && next(at);
    case 'no-boundary':
      return !isBoundary(at, run) && next(at);
    case 'back': {
      const number = typeof part.group === 'string' ? (run.names.get(part.group) ?? 0) : part.group;
      const held = run.captures[number] ?? [];
      run.steps -= held.length;
      return held.every((char, index) => char === run.chars[at + index]) && next(at + held.length);
    }
    case 'group':
      return anyBranch(part.branches, at, (end) => captured(part.number, [at, end], () => next(end), run), run);
    case 'look':
      return look(part, at, run) !== part.isNegated && next(at);
    case 'repeat':
      return repeat(part, at, 0, next, run);
  }
}

function captured(
  number: number | undefined,
  [from, to]: readonly [number, number],
  next: () => boolean,
  run: Run,
): boolean {
  if (number === undefined) return next();
  run.steps -= to - from;
  const before = run.captures;
  run.captures = [...before];
  run.captures[number] = run.chars.slice(from, to);
  if (next()) return true;
  run.captures = before;
  return false;
}

function look(part: PatternPart & { kind: 'look' }, at: number, run: Run): boolean {
  const before = run.captures;
  const starts = part.isAhead ? [at] : Array.from({ length: at + 1 }, (_, index) => at - index);
  const isFound = starts.some((start) => anyBranch(part.branches, start, (end) => part.isAhead || end === at, run));
  // What is looked for and must not be there leaves nothing behind.
  if (part.isNegated) run.captures = before;
  return isFound;
}

function repeat(part: Repeat, at: number, done: number, next: Next, run: Run): boolean {
  if (part.part.kind === 'char') return repeatChar(part, part.part, at, next, run);
  const before = run.captures;
  const again = (): boolean => {
    if (done >= part.max) return false;
    run.captures = before.slice();
    run.captures.fill(undefined, ...part.groups);
    const isRound = (end: number): boolean => {
      // A round that takes nothing gets nowhere. Of very many that are asked for, all can be like it.
      const isSkip = end === at && part.min - done > MAX_EMPTY_ROUNDS;
      return (end > at || done < part.min) && repeat(part, end, isSkip ? part.min : done + 1, next, run);
    };
    if (matchPart(part.part, at, isRound, run)) return true;
    run.captures = before;
    return false;
  };
  if (done < part.min) return again();
  return part.isLazy ? next(at) || again() : again() || next(at);
}

/** Without going a level deeper for each character. */
function repeatChar({ min, max, isLazy }: Repeat, part: PatternPart, at: number, next: Next, run: Run): boolean {
  let count = 0;
  while (count < (isLazy ? min : max) && isNext(part, at + count, run)) count += 1;
  if (count < min) return false;
  if (!isLazy) {
    while (count > min && !next(at + count) && run.steps >= 0) count -= 1;
    return count > min || next(at + count);
  }
  while (!next(at + count)) {
    if (count >= max || !isNext(part, at + count, run)) return false;
    count += 1;
  }
  return true;
}

function isBoundary(at: number, { chars }: Run): boolean {
  return /^\w$/.test(chars[at - 1] ?? '') !== /^\w$/.test(chars[at] ?? '');
}
