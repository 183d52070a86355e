import { isTextAt } from '../base/bytes.js';
import { isDigit } from '../base/json-letters.js';
import type { Span } from '../base/json-scan.js';
import { type SaidNumbers, type ToldUsage, toldBy } from './usage.js';

/** Names of one object with the quote behind each, in OpenAI's order: as a rule the next one is the one that comes. */
type Names = readonly string[];

// Names that are not among them make the usage an odd one, whatever they mean.
const USAGE: Names = [
  'prompt_tokens"',
  'completion_tokens"',
  'total_tokens"',
  'prompt_tokens_details"',
  'completion_tokens_details"',
];
const READ: Names = ['cached_tokens"', 'audio_tokens"', 'cache_write_tokens"', 'image_tokens"', 'text_tokens"'];
const MADE: Names = [
  ...[
    'reasoning_tokens"',
    'audio_tokens"',
    'accepted_prediction_tokens"',
    'rejected_prediction_tokens"',
    'text_tokens"',
  ],
];

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const ZERO = 0x30;
const LETTER_N = 0x6e;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** Digits of the largest number that is read here. */
const MAX_DIGITS = 9;
const ODD = -1;

/**
 * Reads a usage of ordinary make in its bytes, a third of what it takes to parse it first: OpenAI's names of a chat, each once, with whole
 * numbers or `null`. `undefined` for any other, which is to be parsed.
 */
export function scanUsage(bytes: Buffer, { start, end }: Span): ToldUsage | undefined {
  const scan = new UsageScan(bytes, start);
  return scan.takeUsage() && scan.at === end ? toldBy(scan) : undefined;
}

/** A scan of one usage. Its methods that take something return whether it was ordinary. */
class UsageScan implements SaidNumbers {
  at: number;
  input: number | undefined = undefined;
  output: number | undefined = undefined;
  total: number | undefined = undefined;
  cached: number | undefined = undefined;
  written: number | undefined = undefined;
  inputAudio: number | undefined = undefined;
  inputImage: number | undefined = undefined;
  reasoning: number | undefined = undefined;
  outputAudio: number | undefined = undefined;
  // Told under names that are not ordinary.
  readonly longWritten = undefined;
  readonly citations = undefined;
  readonly isBesideCache = false;
  readonly isBesideReasoning = false;
  private readonly bytes: Buffer;

  constructor(bytes: Buffer, start: number) {
    this.bytes = bytes;
    this.at = start;
  }

  takeUsage(): boolean {
    return this.takeObject(USAGE);
  }

  private takeObject(names: Names): boolean {
    if (this.peek() !== OPENING_BRACE) return false;
    this.at += 1;
    let seen = 0;
    let place = ODD;
    let next = this.peek();
    if (next !== CLOSING_BRACE) {
      for (;;) {
        if (next !== QUOTE) return false;
        place = this.takeName(names, place + 1);
        if (place === ODD || ((seen >> place) & 1) === 1 || this.peek() !== COLON) return false;
        seen |= 1 << place;
        this.at += 1;
        if (!this.takeMember(names, place)) return false;
        next = this.peek();
        if (next === CLOSING_BRACE) break;
        if (next !== COMMA) return false;
        this.at += 1;
        next = this.peek();
      }
    }
    this.at += 1;
    return true;
  }

  /** Takes one of these names. @param likely the place of the one that is looked for first. @returns Its place, or `ODD`. */
  private takeName(names: Names, likely: number): number {
    const start = this.at + 1;
    for (let tried = 0; tried < names.length; tried += 1) {
      const place = likely + tried < names.length ? likely + tried : likely + tried - names.length;
      const name = names[place] ?? '';
      if (!isTextAt(this.bytes, start, start + name.length, name)) continue;
      this.at = start + name.length;
      return place;
    }
    return ODD;
  }

  private takeMember(names: Names, place: number): boolean {
    const first = this.peek();
    if (first === LETTER_N) {
      this.at += 4;
      return isTextAt(this.bytes, this.at - 4, this.at, 'null');
    }
    if (names === USAGE && place >= 3) return this.takeObject(place === 3 ? READ : MADE);
    const count = this.takeCount(first);
    if (names === USAGE) this.noteWhole(place, count);
    else if (names === READ) this.noteRead(place, count);
    else this.noteMade(place, count);
    return count !== ODD;
  }

  private noteWhole(place: number, count: number): void {
    if (place === 0) this.input = count;
    else if (place === 1) this.output = count;
    else this.total = count;
  }

  private noteRead(place: number, count: number): void {
    if (place === 0) this.cached = count;
    else if (place === 1) this.inputAudio = count;
    else if (place === 2) this.written = count;
    else if (place === 3) this.inputImage = count;
  }

  private noteMade(place: number, count: number): void {
    if (place === 0) this.reasoning = count;
    else if (place === 1) this.outputAudio = count;
  }

  /** Takes a whole number. */
  private takeCount(first: number): number {
    const { bytes, at: start } = this;
    let at = start;
    let count = 0;
    for (let digit = first; isDigit(digit); digit = bytes[at] ?? 0) {
      count = 10 * count + digit - ZERO;
      at += 1;
    }
    this.at = at;
    const isPlain = at > start && at - start <= MAX_DIGITS && (first !== ZERO || at === start + 1);
    return isPlain ? count : ODD;
  }

  /** Skips space. Returns the byte that comes next, which is not taken. */
  private peek(): number {
    const { bytes } = this;
    let { at } = this;
    let byte = bytes[at] ?? 0;
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      at += 1;
      byte = bytes[at] ?? 0;
    }
    this.at = at;
    return byte;
  }
}
