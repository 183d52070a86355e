import { closingQuote, isSimpleEscape } from '../../base/json-scan.js';

/** The strings in which one chunk differs from the next: what the model wrote, and OpenAI's padding. */
const CHANGING = /"(content|text|input|arguments|reasoning_content|refusal|obfuscation)":"/g;

/**
 * What the chunks of one stream have in common. A chunk that was read, and found to say nothing but text, vouches for all
 * that differ from it in nothing but those strings: comparing takes 0.15 µs, parsing takes 4.
 */
export interface ChunkTemplate {
  /** Where the event ends that begins at `at`; -1 when it is not such a chunk. */
  match(text: string, at: number): number;
  /** Characters the model wrote in the event that matched last. */
  readonly textLength: number;
  /** The event that matched last as it is to be shown; `undefined`: as it came. */
  shown(): string | undefined;
}

/**
 * @param event one event in latin1, JSON and of nothing but text.
 * @param shownEvent the same as it is to be shown.
 * @returns `undefined` when there is nothing in it that changes.
 */
export function chunkTemplate(event: string, shownEvent: string): ChunkTemplate | undefined {
  // Of several lines one may be no JSON.
  if (/[\r\n]/.test(event.trimEnd())) return undefined;
  const isShownAsIs = event === shownEvent;
  const fixed = fixedParts(copied(event));
  const shownFixed = fixedParts(copied(shownEvent));
  if (fixed.parts.length < 2 || fixed.parts.length !== shownFixed.parts.length) return undefined;
  const { parts, isPadding } = fixed;
  const strings: string[] = parts.map(() => '');

  const template = {
    textLength: 0,
    match(text: string, at: number): number {
      template.textLength = 0;
      let from = at;
      for (let index = 0; index < parts.length; index += 1) {
        const part = parts[index] ?? '';
        const end = from + part.length;
        // Not `startsWith`, which takes three times as long.
        if (text.slice(from, end) !== part) return -1;
        if (index === parts.length - 1) return end;
        from = stringEnd(text, end);
        if (from === -1) return -1;
        if (isPadding[index] !== true) template.textLength += from - end;
        // Only where they are needed: a piece of a text keeps all of it alive.
        if (!isShownAsIs) strings[index] = text.slice(end, from);
      }
      return -1;
    },
    shown(): string | undefined {
      if (isShownAsIs) return undefined;
      return shownFixed.parts.reduce((shown, part, index) => shown + (strings[index - 1] ?? '') + part);
    },
  };
  return template;
}

/** Pieces of a text keep all of it alive, here the whole read that the event came in. */
function copied(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('latin1');
}

/** What stands between the strings that change, their quotes included. */
function fixedParts(event: string): { readonly parts: readonly string[]; readonly isPadding: readonly boolean[] } {
  const parts: string[] = [];
  const isPadding: boolean[] = [];
  let from = 0;
  for (const { 0: opening, 1: name, index } of event.matchAll(CHANGING)) {
    // Inside a string that changes, what looks like a name is text.
    if (index < from) continue;
    const start = index + opening.length;
    parts.push(event.slice(from, start));
    isPadding.push(name === 'obfuscation');
    const quote = closingQuote(event, start);
    from = quote === -1 ? event.length : quote;
  }
  parts.push(event.slice(from));
  return { parts, isPadding };
}

/** Where a well-formed JSON string ends that began before `from`; -1 when it is none. */
function stringEnd(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 0x22) return at;
    if (code < 0x20) return -1;
    if (code !== 0x5c) continue;
    at += 1;
    if (text[at] === 'u' && /^[0-9A-Fa-f]{4}$/.test(text.slice(at + 1, at + 5))) at += 4;
    else if (!isSimpleEscape(text[at])) return -1;
  }
  return -1;
}
