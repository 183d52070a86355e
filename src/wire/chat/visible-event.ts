import { isJsonObject, type Json } from '../../base/json.js';
import { type JsonDocument, memberValue, replaceMembers } from '../../base/json-document.js';
import { isSimpleEscape } from '../../base/json-scan.js';
import { changingStrings } from '../said-text.js';
import { shownUsage } from '../shown-usage.js';
import type { WatchOptions } from '../watched-stream.js';
import { isFinished, readFinishReason } from './answer.js';
import { LEGACY_OBJECT, legacyChoices } from './legacy-choices.js';

/** The `object` of a chat's chunk. */
export const CHAT_CHUNK = 'chat.completion.chunk';

/** One event in latin1, its data, and the JSON that the data is. */
export interface ReadEvent {
  readonly event: string;
  readonly data: string;
  readonly document: JsonDocument;
}

/**
 * The event as the client may see it, in latin1. Usage that the client did not ask for and the upstream's name of the
 * model are hidden; all else stays as it came.
 */
export function visibleEvent(
  { event, data, document }: ReadEvent,
  { hideUsage, showModel, isLegacy = false }: Pick<WatchOptions, 'hideUsage' | 'showModel' | 'isLegacy'>,
): string {
  const { changed, leftOut } = shownUsage(
    (name) => document.members.has(name),
    (name) => (name === 'choices' && !data.includes('"usage"') ? undefined : memberValue(document, name)),
    hideUsage,
  );
  const changes: { [name: string]: Json } = { ...changed };
  if (showModel !== undefined && document.members.has('model')) changes.model = showModel;
  const choices = withKnownReasons(changes.choices ?? choicesOfReasons(document));
  if (choices !== undefined) changes.choices = choices;
  if (isLegacy) {
    const texts = legacyChoices(changes.choices ?? memberValue(document, 'choices'));
    if (texts !== undefined) changes.choices = texts;
    if (memberValue(document, 'object') === CHAT_CHUNK) changes.object = LEGACY_OBJECT;
  }
  const hidden = hasNullError(document) ? [...leftOut, 'error'] : leftOut;
  if (hidden.length > 0 || Object.keys(changes).length > 0) {
    return sseText(replaceMembers(document, changes, ...hidden).toString('latin1'));
  }
  // After an `id:` or `retry:` line openai-python fails at the next blank line: only the data is passed on.
  return event.startsWith('data:') && !/[\r\n](?:id|retry|event):/.test(event) ? event : sseText(data);
}

/** Whether the event has an `error` of null, which makes the SDKs for Go and Java throw. */
function hasNullError(document: JsonDocument): boolean {
  return document.members.has('error') && memberValue(document, 'error') === null;
}

/** The choices, where one of them may have a finish reason of another vendor. */
function choicesOfReasons(document: JsonDocument): Json | undefined {
  const span = document.members.get('choices');
  if (span === undefined) return undefined;
  const text = document.bytes.toString('latin1', span.start, span.end);
  // A name may be written with escapes.
  return /"finish_reason"\s*:\s*"/.test(text) || text.includes('\\u00') ? memberValue(document, 'choices') : undefined;
}

/** The choices with each finish reason as OpenAI calls it; `undefined` where they have no other. */
export function withKnownReasons(choices: Json | undefined): readonly Json[] | undefined {
  if (!Array.isArray(choices)) return undefined;
  let isChanged = false;
  const known = choices.map((choice: Json) => {
    if (!isJsonObject(choice) || typeof choice.finish_reason !== 'string') return choice;
    const reason = isFinished(choice) ? (readFinishReason(choice.finish_reason) ?? choice.finish_reason) : null;
    if (reason === choice.finish_reason) return choice;
    isChanged = true;
    return { ...choice, finish_reason: reason };
  });
  return isChanged ? known : undefined;
}

function sseText(json: string): string {
  return `data: ${json}\n\n`;
}

/**
 * Recognises chunks that differ from an earlier one only in their text. That one was read, and found to say nothing but
 * text; comparing the next ones with it takes 0.15 µs, parsing them would take 4.
 */
export class ChunkTemplate {
  /** UTF-8 bytes of the model's text in the event that matched last. */
  textLength = 0;
  private readonly parts: readonly string[];
  private readonly isPadding: readonly boolean[];
  /** Places of the strings in the event that was read last, where several bear words: those that say the same count once. */
  private readonly wordPlaces: number[] | undefined;
  /** Fixed parts of the event as it is shown; `undefined` when it is shown as it came. */
  private readonly shownParts: readonly string[] | undefined;
  /** Changing strings of the event that matched last, kept only where they are shown in another event. */
  private readonly strings: string[];

  /**
   * Makes a template of an event.
   * @param event one event in latin1, JSON that says nothing but text.
   * @param shownEvent the same event as it is shown.
   * @returns `undefined` when no later event could match.
   */
  static learn(event: string, shownEvent: string): ChunkTemplate | undefined {
    // An event of several lines need not be JSON.
    if (/[\r\n]/.test(event.trimEnd())) return undefined;
    const fixed = fixedParts(copied(event));
    const shown = fixedParts(copied(shownEvent));
    if (fixed.parts.length < 2 || fixed.parts.length !== shown.parts.length) return undefined;
    return new ChunkTemplate(fixed, event === shownEvent ? undefined : shown.parts);
  }

  private constructor({ parts, isPadding }: FixedParts, shownParts: readonly string[] | undefined) {
    this.parts = parts;
    this.isPadding = isPadding;
    this.shownParts = shownParts;
    this.strings = parts.map(() => '');
    const words = isPadding.filter((pads) => !pads).length;
    this.wordPlaces = words > 1 ? [] : undefined;
  }

  /** End of the event that begins at `at`; -1 when the event does not match. */
  matchEvent(text: string, at: number): number {
    const { parts } = this;
    this.textLength = 0;
    let from = at;
    for (let index = 0; index < parts.length; index += 1) {
      const part = parts[index] ?? '';
      const end = from + part.length;
      // Not `startsWith`, which takes three times as long.
      if (text.slice(from, end) !== part) return -1;
      if (index === parts.length - 1)
        return this.wordPlaces === undefined || this.differ(text, this.wordPlaces) ? end : -1;
      from = this.stringEnd(text, end, this.isPadding[index] !== true);
      if (from === -1) return -1;
      if (this.wordPlaces !== undefined) {
        this.wordPlaces[2 * index] = end;
        this.wordPlaces[2 * index + 1] = from;
      }
      // Only where they are needed: a piece of a text keeps all of it alive.
      if (this.shownParts !== undefined) this.strings[index] = text.slice(end, from);
    }
    return -1;
  }

  /** Whether the words of the event that matched last say something else each: several names may bear the same thoughts. */
  private differ(text: string, places: readonly number[]): boolean {
    const said = this.isPadding
      .map((pads, index) => (pads ? '' : text.slice(places[2 * index], places[2 * index + 1])))
      .filter((words) => words !== '');
    // With escapes the same may be written otherwise.
    return said.length < 2 || (new Set(said).size === said.length && !said.some((words) => words.includes('\\')));
  }

  /** End of the well-formed JSON string that began before `from`; -1 when it is malformed. Counts the bytes that it means. */
  private stringEnd(text: string, from: number, counts: boolean): number {
    let saved = 0;
    for (let at = from; at < text.length; at += 1) {
      const code = text.charCodeAt(at);
      if (code === 0x22) {
        if (counts) this.textLength += at - from - saved;
        return at;
      }
      if (code < 0x20) return -1;
      if (code !== 0x5c) continue;
      at += 1;
      const hex = text[at] === 'u' ? text.slice(at + 1, at + 5) : '';
      if (hex !== '' && /^[0-9A-Fa-f]{4}$/.test(hex)) {
        at += 4;
        const isPair = SURROGATE_BEFORE.test(hex) && SURROGATE_AFTER.test(text.slice(at + 1, at + 7));
        if (isPair) at += 6;
        saved += isPair ? 8 : 6 - escapedBytes(hex);
      } else if (isSimpleEscape(text[at])) saved += 1;
      else return -1;
    }
    return -1;
  }

  /** The event that matched last as it is shown; `undefined` when it is shown as it came. */
  shownEvent(): string | undefined {
    return this.shownParts?.reduce((shown, part, index) => shown + (this.strings[index - 1] ?? '') + part);
  }
}

interface FixedParts {
  /** Texts between the strings that change, the quotes of those included. */
  readonly parts: readonly string[];
  /** For each string that changes: whether it is padding. */
  readonly isPadding: readonly boolean[];
}

/** A copy of its own: a piece of a text would keep the whole read alive that the event came in. */
function copied(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('latin1');
}

function fixedParts(event: string): FixedParts {
  const parts: string[] = [];
  const isPadding: boolean[] = [];
  let from = 0;
  for (const { start, end, isPadding: pads } of changingStrings(event)) {
    parts.push(event.slice(from, start));
    isPadding.push(pads);
    from = end;
  }
  parts.push(event.slice(from));
  return { parts, isPadding };
}

/** The halves of a surrogate pair: together one character of four bytes, alone the three of U+FFFD. */
const SURROGATE_BEFORE = /^[dD][89abAB]/;
const SURROGATE_AFTER = /^\\u[dD][c-fC-F][0-9A-Fa-f]{2}$/;

/** UTF-8 bytes of the character that four hexadecimal digits stand for. */
function escapedBytes(hex: string): number {
  const code = Number.parseInt(hex, 16);
  if (code < 0x80) return 1;
  return code < 0x800 ? 2 : 3;
}
