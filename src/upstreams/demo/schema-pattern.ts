import { outside, PLAIN, propertyRanges, type Range, shorthand } from './pattern-ranges.js';

/** What a part of a pattern writes to. */
interface Sink {
  text: string;
  /** Steps left: a pattern such as `(){1000000000}` writes nothing and takes for ever. */
  steps: number;
  readonly maxChars: number;
  readonly variant: number;
  /** How often more than need be the repeatable parts are repeated. */
  readonly extra: number;
}
type Emit = (sink: Sink) => void;

const MAX_STEPS = 20_000;
const MAX_PATTERN_CHARS = 1_000;
const MAX_NESTING = 50;

/** Which text to make of a pattern. Lengths in code points; `variant` asks for another text of the same pattern. */
export interface PatternOptions {
  readonly minLength: number;
  readonly maxLength: number;
  readonly variant: number;
}

/**
 * A text for the pattern of a JSON schema, or `undefined` when it uses what is not known here: look-behinds and
 * back-references. Look-aheads are ignored. The pattern is never run: whoever wrote it is a stranger.
 */
export function textOfPattern(pattern: string, options: PatternOptions): string | undefined {
  const emit = pattern.length > MAX_PATTERN_CHARS ? undefined : parsePattern(pattern);
  if (emit === undefined) return undefined;
  let steps = MAX_STEPS;
  let best: string | undefined;
  /** The most extra repeats known to be too few, the least known to be too many. */
  let few = -1;
  let many = Number.POSITIVE_INFINITY;
  for (let extra = 0; extra <= Math.max(1, options.minLength) * 2 && few < extra && extra < many; ) {
    const sink: Sink = { text: '', steps, maxChars: 20_000, variant: options.variant, extra };
    emit(sink);
    steps = sink.steps;
    best ??= sink.text;
    const length = [...sink.text].length;
    if (length <= options.maxLength) best = sink.text;
    if (length >= options.minLength && length <= options.maxLength && length > 0) break;
    if (length > options.maxLength) many = extra;
    else few = extra;
    if (many === Number.POSITIVE_INFINITY) extra = extra < 8 ? extra + 1 : extra * 2;
    else extra = Math.floor((few + many) / 2);
  }
  return best;
}

function parsePattern(pattern: string): Emit | undefined {
  const chars = [...pattern];
  let at = 0;
  let unknown = false;

  function alternation(nesting: number): Emit {
    if (nesting > MAX_NESTING) unknown = true;
    const branches = [sequence(nesting)];
    while (!unknown && chars[at] === '|') {
      at += 1;
      branches.push(sequence(nesting));
    }
    return (sink) => branches[sink.variant % branches.length]?.(sink);
  }

  function sequence(nesting: number): Emit {
    const parts: Emit[] = [];
    while (!unknown && at < chars.length && chars[at] !== '|' && chars[at] !== ')') parts.push(repeated(nesting));
    return (sink) => {
      for (const part of parts) part(sink);
    };
  }

  function repeated(nesting: number): Emit {
    const part = atom(nesting);
    const [min, max] = quantifier();
    return (sink) => {
      const count = min + Math.min(sink.extra, max - min);
      for (let done = 0; done < count && sink.steps > 0 && sink.text.length < sink.maxChars; done += 1) {
        sink.steps -= 1;
        part(sink);
      }
    };
  }

  function quantifier(): Range {
    const known: Record<string, Range> = { '*': [0, Infinity], '+': [1, Infinity], '?': [0, 1] };
    const char = chars[at] ?? '';
    const counts = char === '{' ? /^\{(\d+)(?:(,)(\d*))?\}/.exec(chars.slice(at, at + 32).join('')) : null;
    const range = Object.hasOwn(known, char) ? known[char] : undefined;
    if (range === undefined && counts === null) return [1, 1];
    at += counts?.[0].length ?? 1;
    if (chars[at] === '?') at += 1;
    if (range !== undefined) return range;
    const min = Number(counts?.[1]);
    if (counts?.[2] === undefined) return [min, min];
    return [min, counts[3] === '' ? Infinity : Number(counts[3])];
  }

  function atom(nesting: number): Emit {
    const char = chars[at] ?? '';
    at += 1;
    if (char === '^' || char === '$') return nothing;
    if (char === '.') return oneOf(PLAIN);
    if (char === '[') return characterClass();
    if (char === '(') return group(nesting);
    if (char === '\\') return escapeAtom();
    return (sink) => {
      sink.text += char;
    };
  }

  function group(nesting: number): Emit {
    const opening = /^\?(?:[:=!]|<[=!]|<[^>]*>)/.exec(chars.slice(at, at + 64).join(''))?.[0] ?? '';
    at += [...opening].length;
    const inside = alternation(nesting + 1);
    if (chars[at] !== ')') unknown = true;
    at += 1;
    if (opening.startsWith('?<=') || opening.startsWith('?<!')) unknown = true;
    return opening === '?=' || opening === '?!' ? nothing : inside;
  }

  function escapeAtom(): Emit {
    const char = chars[at] ?? '';
    if (/[1-9k]/.test(char)) unknown = true;
    if (char === 'b' || char === 'B') {
      at += 1;
      return nothing;
    }
    return oneOf(escapeRanges());
  }

  /** What the escape behind a backslash stands for, inside a class and outside. */
  function escapeRanges(): readonly Range[] {
    const rest = chars.slice(at, at + 40).join('');
    const code = /^(?:u\{([0-9a-f]+)\}|u([0-9a-f]{4})|x([0-9a-f]{2}))/i.exec(rest);
    if (code !== null) {
      at += code[0].length;
      const point = Math.min(Number.parseInt(code[1] ?? code[2] ?? code[3] ?? '61', 16), 0x10ffff);
      return [[point, point]];
    }
    const property = /^[pP]\{([^}]*)\}/.exec(rest);
    if (property !== null) {
      at += property[0].length;
      return propertyRanges(property[1] ?? '');
    }
    at += 1;
    return shorthand(rest[0] ?? '\\');
  }

  function characterClass(): Emit {
    const negated = chars[at] === '^';
    if (negated) at += 1;
    const ranges: Range[] = [];
    while (at < chars.length && chars[at] !== ']') {
      const low = classMember();
      const [from] = low[0] ?? [0, 0];
      if (chars[at] === '-' && chars[at + 1] !== ']' && chars[at + 1] !== undefined && low.length === 1) {
        at += 1;
        const [, to] = classMember().at(-1) ?? [0, 0];
        ranges.push([from, Math.max(from, to)]);
      } else {
        ranges.push(...low);
      }
    }
    if (chars[at] !== ']') unknown = true;
    at += 1;
    return oneOf(negated ? PLAIN.flatMap((range) => outside(range, ranges)) : ranges);
  }

  function classMember(): readonly Range[] {
    const char = chars[at] ?? '';
    at += 1;
    if (char === '\\') return escapeRanges();
    const point = char.codePointAt(0) ?? 0;
    return [[point, point]];
  }

  const emit = alternation(0);
  return unknown || at < chars.length ? undefined : emit;
}

const nothing: Emit = () => {};

/** Writes one character of the ranges: the first one, or the one that far on. */
function oneOf(ranges: readonly Range[]): Emit {
  const size = ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  return (sink) => {
    let left = size === 0 ? 0 : sink.variant % size;
    for (const [from, to] of ranges) {
      if (left <= to - from) {
        sink.text += String.fromCodePoint(from + left);
        return;
      }
      left -= to - from + 1;
    }
  };
}
