/** A regular expression, taken apart. */
export interface Pattern {
  readonly branches: Branches;
  /** Numbers of the named groups. */
  readonly names: ReadonlyMap<string, number>;
}
export type Branches = readonly (readonly PatternPart[])[];
export type PatternPart =
  | { readonly kind: 'char'; readonly matches: (char: string) => boolean; readonly samples: () => readonly string[] }
  | { readonly kind: 'start' | 'end' | 'boundary' | 'no-boundary' }
  | { readonly kind: 'back'; readonly group: number | string }
  | { readonly kind: 'group'; readonly number: number | undefined; readonly branches: Branches }
  | { readonly kind: 'look'; readonly isAhead: boolean; readonly isNegated: boolean; readonly branches: Branches }
  | Repeat;
export interface Repeat {
  readonly kind: 'repeat';
  readonly part: PatternPart;
  readonly min: number;
  readonly max: number;
  readonly isLazy: boolean;
  /** Groups inside: the first one, and the one behind the last. Each round forgets what they held. */
  readonly groups: readonly [number, number];
}

const MAX_CHARS = 1_000;
const MAX_NESTING = 50;
/** Groups and their likes, escapes, classes, quantifiers, and single characters. */
const TOKENS =
  /\(\?(?:[:=!]|<[=!]|<\w+>)|\\(?:u\{[\da-f]+\}|ud[89ab][\da-f]{2}\\ud[c-f][\da-f]{2}|u[\da-f]{4}|x[\da-f]{2}|p\{[^}]*\}|k<\w+>|[1-9]\d*|.)|\[(?:\\.|[^\]\\])*\]|(?:[*+?]|\{\d+(?:,\d*)?\})\??|./gisu;
const QUANTIFIER = /^(?:[*+?]|\{(\d+)(?:(,)(\d*))?\})(\?)?$/;

interface Reader {
  readonly tokens: readonly string[];
  readonly names: Map<string, number>;
  at: number;
  groups: number;
  /** The most that a back-reference refers to. */
  referred: number;
  hasLookBehind: boolean;
  isUnknown: boolean;
}

/**
 * The parts of the regular expression of a schema, or `undefined` when it is none or is too long. It is never given to
 * `RegExp` as a whole: whoever wrote it is a stranger, and may have written one that takes for ever.
 */
export function parsedPattern(source: string): Pattern | undefined {
  if (source.length > MAX_CHARS) return undefined;
  const tokens = source.match(TOKENS) ?? [];
  const reader: Reader = {
    tokens,
    names: new Map(),
    at: 0,
    groups: 0,
    referred: 0,
    hasLookBehind: false,
    isUnknown: false,
  };
  const branches = alternation(reader, 0);
  const isWhole = reader.at === tokens.length && reader.referred <= reader.groups;
  // Look-behinds match from right to left, which decides what the groups in them hold.
  const isOdd = reader.hasLookBehind && reader.referred > 0;
  return reader.isUnknown || isOdd || !isWhole ? undefined : { branches, names: reader.names };
}

function alternation(reader: Reader, nesting: number): Branches {
  if (nesting > MAX_NESTING) reader.isUnknown = true;
  const branches = [sequence(reader, nesting)];
  while (!reader.isUnknown && reader.tokens[reader.at] === '|') {
    reader.at += 1;
    branches.push(sequence(reader, nesting));
  }
  return branches;
}

function sequence(reader: Reader, nesting: number): readonly PatternPart[] {
  const parts: PatternPart[] = [];
  for (;;) {
    const token = reader.tokens[reader.at];
    if (reader.isUnknown || token === undefined || token === '|' || token === ')') return parts;
    parts.push(repeated(reader, nesting));
  }
}

function repeated(reader: Reader, nesting: number): PatternPart {
  const first = reader.groups + 1;
  const part = atom(reader, nesting);
  const found = QUANTIFIER.exec(reader.tokens[reader.at] ?? '');
  if (found === null) return part;
  reader.at += 1;
  const [text, least, comma, most = ''] = found;
  const min = least === undefined ? (text.startsWith('+') ? 1 : 0) : Number(least);
  const open = least === undefined ? !text.startsWith('?') : comma !== undefined && most === '';
  const max = open ? Number.POSITIVE_INFINITY : least === undefined ? 1 : comma === undefined ? min : Number(most);
  return { kind: 'repeat', part, min, max, isLazy: found[4] !== undefined, groups: [first, reader.groups + 1] };
}

function atom(reader: Reader, nesting: number): PatternPart {
  const token = reader.tokens[reader.at] ?? '';
  reader.at += 1;
  if (token.startsWith('(')) return group(reader, token, nesting);
  if (token === '^') return { kind: 'start' };
  if (token === '$') return { kind: 'end' };
  if (token === '\\b') return { kind: 'boundary' };
  if (token === '\\B') return { kind: 'no-boundary' };
  if (/^\\[1-9]/.test(token)) {
    reader.referred = Math.max(reader.referred, Number(token.slice(1)));
    return { kind: 'back', group: Number(token.slice(1)) };
  }
  if (token.startsWith('\\k<')) {
    reader.referred = Math.max(reader.referred, 1);
    return { kind: 'back', group: token.slice(3, -1) };
  }
  if (/^\\./s.test(token) || token === '.' || /^\[.*\]$/s.test(token)) return oneOf(reader, token);
  if (QUANTIFIER.test(token) || token === '[' || token === '\\') reader.isUnknown = true;
  return { kind: 'char', matches: (char) => char === token, samples: () => [token] };
}

function group(reader: Reader, opening: string, nesting: number): PatternPart {
  const name = /^\(\?<(\w+)>$/.exec(opening)?.[1];
  const isCapturing = opening === '(' || name !== undefined;
  if (isCapturing) reader.groups += 1;
  const number = isCapturing ? reader.groups : undefined;
  if (name !== undefined && number !== undefined) reader.names.set(name, number);
  if (opening === '(?<=' || opening === '(?<!') reader.hasLookBehind = true;
  const branches = alternation(reader, nesting + 1);
  if (reader.tokens[reader.at] !== ')') reader.isUnknown = true;
  reader.at += 1;
  if (isCapturing || opening === '(?:') return { kind: 'group', number, branches };
  return { kind: 'look', isAhead: !opening.startsWith('(?<'), isNegated: opening.endsWith('!'), branches };
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyz';
const USUAL = [...LETTERS, ...LETTERS.toUpperCase(), ...'0123456789-_ .,:;/@!?#$%&*+=~^|<>()[]{}\'"`\\'];

/** A class, an escape or a dot. One character at a time, `RegExp` cannot take long. */
function oneOf(reader: Reader, source: string): PatternPart {
  const tester = tried(source, 'u') ?? tried(source, '');
  if (tester === undefined) reader.isUnknown = true;
  const matches = (char: string): boolean => tester?.test(char) ?? false;
  let samples: readonly string[] | undefined;
  return {
    kind: 'char',
    matches,
    samples: () => {
      samples ??= [...new Set([...USUAL, ...named(source), ...farther()])].filter(matches);
      return samples;
    },
  };
}

function tried(source: string, flags: string): RegExp | undefined {
  try {
    return new RegExp(`^${source}$`, flags);
  } catch {
    return undefined;
  }
}

/** The characters that the source of a class spells out, and those that only an escape can. */
function named(source: string): readonly string[] {
  const escapes = [...source.matchAll(/\\(?:u\{([\da-f]+)\}|u([\da-f]{4})|x([\da-f]{2}))/gi)];
  const points = escapes.map(([, braced, four, two]) => Number.parseInt(braced ?? four ?? two ?? '0', 16));
  const spelt = points.filter((point) => point <= 0x10ffff).map((point) => String.fromCodePoint(point));
  return [...source, ...spelt, ...'\t\n\v\f\r\0'];
}

/** A character out of each script. */
function farther(): readonly string[] {
  return Array.from({ length: 1_000 }, (_, index) => 0xa1 + index * 53)
    .filter((point) => point < 0xd800)
    .map((point) => String.fromCodePoint(point));
}
