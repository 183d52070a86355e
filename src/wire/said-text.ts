import { isJsonObject, type Json, type JsonObject } from '../base/json.js';
import { isDigit } from '../base/json-letters.js';
import { closingQuote } from '../base/json-scan.js';
import { objectsAmong } from './members.js';

/**
 * Members of a delta, a message or an item that are no words of the model: marks, padding, and data that is paid for otherwise.
 * Every other text counts as output, under whatever name a vendor writes it.
 */
const NO_WORDS = new Set(
  `id type role name index object model status obfuscation signature thought_signature call_id tool_call_id item_id file_id
   finish_reason native_finish_reason stop_reason matched_stop logprobs annotations url image_url images b64_json result data
   format mime_type encrypted_content created_at expires_at phase token_id
   token_ids prompt_token_ids tokens`.split(/\s+/),
);

/** Members that bear what a tool is called with. As a rule that is a text; where it is parsed already, all of it are words. */
const ARGUMENTS: ReadonlySet<string> = new Set(['arguments', 'args', 'parameters', 'input']);

/** Sums of the texts in one chunk or answer. */
export interface SaidText {
  /** Length of all texts, in the unit of `sizeOf`. */
  readonly size: number;
  /** The first of them. */
  readonly first: string;
  /** Whether a text that stands there twice was counted once, as thoughts under the names of two vendors. */
  readonly hasTwice: boolean;
}

/** Whether texts of that name are words of the model. */
export function isWords(name: string): boolean {
  return !NO_WORDS.has(name);
}

/** The words in some choices of a chunk or of a whole completion. */
export function saidInChoices(choices: Json | undefined, sizeOf: (text: string) => number): SaidText {
  const sums = new Sums(sizeOf);
  for (const { delta, message, text } of objectsAmong(choices)) {
    sums.beginAnother();
    sums.add(delta);
    sums.add(message);
    sums.add(text);
  }
  return sums;
}

/** The words in the items of a response, or in a part of one. */
export function saidIn(value: Json | undefined, sizeOf: (text: string) => number): SaidText {
  const sums = new Sums(sizeOf);
  sums.add(value);
  return sums;
}

class Sums implements SaidText {
  size = 0;
  first = '';
  hasTwice = false;
  private last = '';
  private readonly sizeOf: (text: string) => number;

  constructor(sizeOf: (text: string) => number) {
    this.sizeOf = sizeOf;
  }

  /** The depth of answers is bounded, as is this. */
  add(value: Json | undefined): void {
    if (typeof value === 'string') this.addText(value);
    else if (typeof value === 'number' || typeof value === 'boolean') this.size += String(value).length;
    else if (Array.isArray(value)) this.addItems(value);
    else if (isJsonObject(value)) for (const name in value) if (!NO_WORDS.has(name)) this.addMember(name, value[name]);
  }

  /** Begins another answer, call or part: what it says counts even if it is the same. */
  beginAnother(): void {
    this.last = '';
  }

  private addMember(name: string, value: Json | undefined): void {
    const isParsed = ARGUMENTS.has(name) && typeof value === 'object' && value !== null;
    this.add(isParsed ? JSON.stringify(value) : value);
  }

  private addItems(items: readonly Json[]): void {
    let isFirst = true;
    for (const item of items) {
      // The first may be what a member beside the list has said already.
      if (!isFirst) this.beginAnother();
      isFirst = false;
      this.add(item);
    }
  }

  private addText(text: string): void {
    if (text === '') return;
    if (text === this.last) {
      this.hasTwice = true;
      return;
    }
    this.last = text;
    if (this.first === '') this.first = text;
    this.size += this.sizeOf(text);
  }
}

/** A string in the text of an event that changes from one chunk or stream to the next, without its quotes; or a number. */
export interface ChangingString {
  readonly start: number;
  readonly end: number;
  /** Meaning of it: words of the model, a string that says nothing, or a number of digits that says nothing. */
  readonly kind: 'words' | 'padding' | 'number';
}

/** Most digits of a number that may change. */
export const MAX_DIGITS = 15;

/** An object or a list in the text of an event that is not closed yet. */
interface OpenValue {
  /** Names that its members have had; `undefined` for a list. */
  readonly names: Set<string> | undefined;
  /** Part that its values have in a chunk. */
  readonly place: Place;
}

type Place = 'chunk' | 'choices' | 'choice' | 'words' | 'other';

/** Members of a choice that bear words. */
const WORD_MEMBERS = new Set(['delta', 'message', 'text']);

/**
 * Finds the words of the choices, the padding, and the id and the time of the chunk, in the text of one event. None are found where names are written twice or with
 * escapes: there the text does not say by itself what it means.
 */
export function changingStrings(event: string): ChangingString[] {
  const found: ChangingString[] = [];
  const open: OpenValue[] = [];
  /** Name of the member whose value comes next; '' in a list. */
  let name = '';
  for (let at = 0; at < event.length; at += 1) {
    const character = event[at];
    if (character === '{' || character === '[') {
      const place = placeWithin(open.at(-1), name, character === '[');
      open.push({ names: character === '{' ? new Set() : undefined, place });
      name = '';
    } else if (character === '}' || character === ']') open.pop();
    else if (character === '"') {
      const quote = closingQuote(event, at + 1);
      if (quote === -1) return [];
      const around = open.at(-1);
      if (
        event
          .slice(quote + 1, quote + 8)
          .trimStart()
          .startsWith(':')
      ) {
        name = event.slice(at + 1, quote);
        if (name.includes('\\') || around?.names?.has(name) === true) return [];
        around?.names?.add(name);
        if (name === 'created' && open.length === 1) {
          const number = numberAfter(event, quote + 1);
          if (number !== undefined) found.push(number);
        }
      } else if (around !== undefined) {
        const isPadding =
          around.names !== undefined && (name === 'obfuscation' || (name === 'id' && open.length === 1));
        if (isPadding || bearsWords(around, name)) {
          found.push({ start: at + 1, end: quote, kind: isPadding ? 'padding' : 'words' });
        }
      }
      at = quote;
    }
  }
  return found;
}

/** The number after a name, where it is nothing but digits. */
function numberAfter(event: string, from: number): ChangingString | undefined {
  let start = from;
  while (' :'.includes(event[start] ?? '!')) start += 1;
  let end = start;
  while (end - start <= MAX_DIGITS && isDigit(event.charCodeAt(end))) end += 1;
  const isNumber = end > start && end - start <= MAX_DIGITS && !/[.eE]/.test(event[end] ?? '.');
  return isNumber ? { start, end, kind: 'number' } : undefined;
}

function bearsWords({ names, place }: OpenValue, name: string): boolean {
  if (place === 'choice') return WORD_MEMBERS.has(name);
  return place === 'words' && (names === undefined || isWords(name));
}

/** The part of an object or a list, by where it stands. */
function placeWithin(around: OpenValue | undefined, name: string, isList: boolean): Place {
  if (around === undefined) return isList ? 'other' : 'chunk';
  const isMember = around.names !== undefined;
  switch (around.place) {
    case 'chunk':
      return name === 'choices' && isList ? 'choices' : 'other';
    case 'choices':
      return isList ? 'other' : 'choice';
    case 'choice':
      return WORD_MEMBERS.has(name) ? 'words' : 'other';
    case 'words':
      return !isMember || isWords(name) ? 'words' : 'other';
    case 'other':
      return 'other';
  }
}

/** UTF-8 bytes of the words in a whole answer. @param written the choices of a completion, or the items of a response. */
export function answerTextBytes(written: Json | undefined): number {
  const isOfChoices = objectsAmong(written).some(
    (one: JsonObject) => 'message' in one || 'delta' in one || 'text' in one,
  );
  return isOfChoices ? saidInChoices(written, Buffer.byteLength).size : saidIn(written, Buffer.byteLength).size;
}
