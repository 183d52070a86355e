import { matchesPattern } from './schema-pattern-match.js';
import { type Branches, type Pattern, type PatternPart, parsedPattern, type Repeat } from './schema-pattern-parse.js';

/** What a part of a pattern writes to. */
interface Sink {
  text: string;
  /** Steps left: a pattern such as `(){1000000000}` writes nothing and takes for ever. */
  steps: number;
  readonly names: ReadonlyMap<string, number>;
  /** What the groups wrote, by their number. */
  readonly captures: string[];
  /** Which of so many possibilities. */
  readonly pick: (count: number) => number;
  /** How often more than need be the repeatable parts are repeated. */
  readonly extra: number;
  /** Whether what is looked for is written too: it may well stand in front of the rest. */
  readonly withLookAheads: boolean;
}

const MAX_STEPS = 20_000;
const STEPS_PER_WORK = 16;
const MAX_CHARS = 20_000;
const ATTEMPTS = 60;
const PADDING = 'xyzabcdefghijklmnopqrstuvw';

/** Which text to make of a pattern. Lengths in code points; `variant` asks for another text of the same pattern. */
export interface PatternOptions {
  readonly minLength: number;
  readonly maxLength: number;
  readonly variant: number;
}

/**
 * A text that matches the pattern and has the length, or `undefined` when none is found: the pattern is none, is too
 * long, or asks for more than a few tries can give. It is never given to `RegExp`: whoever wrote it is a stranger.
 */
export function textOfPattern(source: string, options: PatternOptions): string | undefined {
  const pattern = parsedPattern(source);
  if (pattern === undefined) return undefined;
  const budget = { work: 20_000 };
  for (const text of patternTexts(pattern, options, budget)) {
    const length = [...text].length;
    const fits = length >= options.minLength && length <= options.maxLength;
    if (fits && matchesPattern(pattern, text, budget) === true) return text;
  }
  return undefined;
}

/**
 * Texts that the pattern may well match, simple ones first. Assertions are not looked at: whether a text has what they
 * ask for is for the caller to find out.
 */
export function* patternTexts(pattern: Pattern, options: PatternOptions, budget: Work): Generator<string> {
  for (let attempt = 0; attempt < ATTEMPTS && budget.work > 0; attempt += 1) {
    const isPlain = attempt < 2;
    const seed = options.variant * ATTEMPTS + attempt;
    const pickerOf = (): Sink['pick'] => (isPlain ? (count) => options.variant % count : random(seed));
    const text = fittingText(pattern, options, { pickerOf, withLookAheads: attempt % 2 === 1 }, budget);
    yield text;
    // What has no anchor may stand in a longer text, and boundaries need something to be between.
    const missing = Math.max(1, options.minLength - [...text].length);
    const padding = PADDING.repeat(Math.ceil(missing / PADDING.length)).slice(0, missing);
    if (isPlain && options.minLength <= MAX_CHARS) yield* [text + padding, padding + text];
  }
}

/** What may still be spent. */
interface Work {
  work: number;
}

interface Manner {
  readonly pickerOf: () => Sink['pick'];
  readonly withLookAheads: boolean;
}

/** Repeats what can be repeated until the text is long enough. */
function fittingText(pattern: Pattern, { minLength, maxLength }: PatternOptions, manner: Manner, budget: Work): string {
  let steps = MAX_STEPS;
  let best: string | undefined;
  /** The most extra repeats known to be too few, the least known to be too many. */
  let few = -1;
  let many = Number.POSITIVE_INFINITY;
  for (let extra = 0; extra <= Math.max(1, minLength) * 2 && few < extra && extra < many; ) {
    const pick = manner.pickerOf();
    const sink: Sink = { text: '', steps, names: pattern.names, captures: [], pick, extra, ...manner };
    writeBranches(pattern.branches, sink);
    steps = sink.steps;
    best ??= sink.text;
    const length = [...sink.text].length;
    if (length <= maxLength) best = sink.text;
    if (length >= minLength && length <= maxLength && length > 0) break;
    if (length > maxLength) many = extra;
    else few = extra;
    if (many === Number.POSITIVE_INFINITY) extra = extra < 8 ? extra + 1 : extra * 2;
    else extra = Math.floor((few + many) / 2);
  }
  budget.work -= Math.ceil((MAX_STEPS - steps) / STEPS_PER_WORK);
  return best ?? '';
}

function writeBranches(branches: Branches, sink: Sink): void {
  for (const part of branches[sink.pick(branches.length)] ?? []) write(part, sink);
}

function write(part: PatternPart, sink: Sink): void {
  sink.steps -= 1;
  if (sink.steps < 0 || sink.text.length > MAX_CHARS) return;
  switch (part.kind) {
    case 'char': {
      const samples = part.samples();
      sink.text += samples[sink.pick(samples.length)] ?? '';
      return;
    }
    case 'back': {
      const number = typeof part.group === 'string' ? sink.names.get(part.group) : part.group;
      sink.text += sink.captures[number ?? 0] ?? '';
      return;
    }
    case 'group': {
      const start = sink.text.length;
      writeBranches(part.branches, sink);
      if (part.number !== undefined) sink.captures[part.number] = sink.text.slice(start);
      return;
    }
    case 'look':
      if (!part.isNegated && (sink.withLookAheads || !part.isAhead)) writeBranches(part.branches, sink);
      return;
    case 'repeat':
      writeRepeated(part, sink);
  }
}

function writeRepeated({ part, min, max }: Repeat, sink: Sink): void {
  const count = min + Math.min(sink.extra, max - min);
  for (let done = 0; done < count && sink.steps > 0 && sink.text.length < MAX_CHARS; done += 1) write(part, sink);
}

/** Numbers that look thrown and are always the same. */
function random(seed: number): Sink['pick'] {
  let state = seed;
  return (count) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % count;
  };
}
