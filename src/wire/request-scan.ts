import { isUtf8 } from 'node:buffer';
import type { Json, JsonObject } from '../base/json.js';
import { JsonBytes, ODD } from '../base/json-bytes.js';
import type { JsonDocument } from '../base/json-document.js';
import { isDigit } from '../base/json-letters.js';
import { type JsonBounds, Members } from '../base/json-scan.js';
import { CLIENT_TOOLS } from './hosted-tools.js';
import { type InputEstimate, InputSum, KNOWN_NAMES, KNOWN_WORDS, READ, SETTINGS } from './input-sum.js';
import { hashed, type KnownText, KnownTexts } from './known-texts.js';
import { MEDIA, MEDIUM_NAMES } from './media.js';
import { OPAQUE, REFERRING } from './references.js';

/** A request as far as anything depends on it, found in its bytes without parsing them. */
export interface ScannedRequest {
  readonly document: JsonDocument;
  /** All members. Shapes and lengths are true; contents of texts, lists and objects only where something depends on them. */
  readonly body: JsonObject;
  readonly estimate: InputEstimate;
}

// Bits of a mode: what is done with what is taken.
/** Texts are counted. */
const COUNTED = 1;
/** All names are the client's own. */
const OPAQUE_NAMES = 2;
/** It is a tool: its type is looked at. */
const TOOL = 4;

// Bits of known texts; those below mark the names of one object that have been there.
/** Members of the body whose texts are counted. */
const IS_READ = 0x0010_0000;
/** Members of the body that no model reads. */
const IS_SETTING = 0x0020_0000;
const IS_CLIENT_TOOL = 0x0040_0000;
const IS_KNOWN_NAME = 0x0080_0000;
const IS_KNOWN_WORD = 0x0100_0000;
/** The types of media, whose parts are estimated by what is in them. */
const IS_MEDIUM = 0x0200_0000;
/** Names under which a medium may stand without a type. */
const NAMES_MEDIUM = 0x0400_0000;
/** Names whose values are types and roles. */
const HAS_WORD = 0x0800_0000;
const IS_OPAQUE = 0x1000_0000;
const REFERS = 0x2000_0000;
/** Parts of names that lead to a prototype. */
const IS_POISON = 0x4000_0000;
const PLACES = 0x000f_ffff;

/** Names that stand often in messages: when one of them stands twice in an object is told by a bit. */
const FREQUENT =
  `role content type text name tool_calls tool_call_id id function arguments index refusal reasoning_content
  cache_control audio detail summary call_id output input`.split(/\s+/);

const KNOWN = new KnownTexts(knownTexts());

function knownTexts(): Map<string, number> {
  const flags = new Map<string, number>();
  const mark = (texts: Iterable<Json | undefined>, flag: number): void => {
    for (const text of texts) if (typeof text === 'string') flags.set(text, (flags.get(text) ?? 0) | flag);
  };
  FREQUENT.forEach((name, place) => {
    mark([name], 1 << place);
  });
  mark(READ, IS_READ);
  // Names that nothing depends on in here are found, too: a string for each would have to be made.
  mark(SETTINGS, IS_SETTING);
  mark(KNOWN_NAMES, IS_KNOWN_NAME);
  mark(KNOWN_WORDS, IS_KNOWN_WORD);
  mark(MEDIA.keys(), IS_MEDIUM);
  mark(MEDIUM_NAMES, NAMES_MEDIUM);
  mark(['type', 'role'], HAS_WORD);
  mark(CLIENT_TOOLS, IS_CLIENT_TOOL);
  mark(OPAQUE, IS_OPAQUE);
  mark(REFERRING, REFERS);
  mark(['__proto__', 'constructor'], IS_POISON);
  return flags;
}

/** The mark of the name `type`. */
const TYPE_PLACE = 1 << FREQUENT.indexOf('type');

/** A text that is none of the known ones. */
const UNKNOWN: KnownText = { text: '', hash: 0, flags: 0 };

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
const BACKSLASH = 0x5c;
const LETTER_F = 0x66;
const LETTER_N = 0x6e;
const LETTER_T = 0x74;

/** Most names of a plain object: each is compared to all others. */
const MAX_NAMES = 64;
/** Most top-level members of a plain body. */
const MAX_MEMBERS = 64;
/** Most items of a list of prompts or inputs that stands in for another. */
const MAX_ITEMS = 2_048;

/**
 * Scans a request to a model that is of ordinary make: valid, within bounds, without names that stand twice or are not plain,
 * without media and references. Of any other, of which it may be that it is refused, nobody learns more than that: the whole
 * is to be parsed.
 * @param actedOn names of the members whose contents something depends on.
 */
export function scanRequest(
  bytes: Buffer,
  bounds: JsonBounds,
  actedOn: ReadonlySet<string>,
): ScannedRequest | undefined {
  if (bytes.length > bounds.maxBytes) return undefined;
  const scan = new RequestScan(bytes, bounds, actedOn);
  if (!scan.takeBody() || !isUtf8(bytes)) return undefined;
  const { members, body, input: estimate } = scan;
  return { document: { bytes, members, hasDistinctNames: true }, body, estimate };
}

/** A scan of one body. Its methods that take something return whether it was plain. */
class RequestScan {
  readonly members = new Members();
  readonly body: { [name: string]: Json } = {};
  readonly input = new InputSum();
  private readonly json: JsonBytes;
  private readonly bounds: JsonBounds;
  private readonly actedOn: ReadonlySet<string>;
  /** Whether all tools so far are the client's own to call. */
  private areClientTools = true;
  private depth = 1;
  private keys = 0;
  private values = 1;
  /** Items of the list that was taken last. */
  private items = 0;
  /** Bytes and hash of the name that was taken last. */
  private nameSize = 0;
  private nameHash = 0;
  /** Hashes of the other names in the objects that are open. */
  private hashes: number[] | undefined = undefined;
  private hashCount = 0;

  constructor(bytes: Buffer, bounds: JsonBounds, actedOn: ReadonlySet<string>) {
    this.json = new JsonBytes(bytes);
    this.bounds = bounds;
    this.actedOn = actedOn;
  }

  takeBody(): boolean {
    const { json, members, bounds } = this;
    if (json.peek() !== OPENING_BRACE) return false;
    do {
      json.at += 1;
      if (json.peek() !== QUOTE || members.size === MAX_MEMBERS) return false;
      const known = this.takeName(false);
      if (known === undefined || (known.flags & (REFERS | IS_POISON)) !== 0) return false;
      const name = known === UNKNOWN ? this.latestName() : known.text;
      if (!this.takeColon()) return false;
      const start = json.at;
      const isPlain = (known.flags & IS_READ) !== 0 ? this.takeRead(name) : this.takeWritten(name, known.flags);
      if (!isPlain || !members.add(name, start, json.at)) return false;
    } while (json.peek() === COMMA);
    if (json.peek() !== CLOSING_BRACE) return false;
    json.at += 1;
    if (json.peek() !== ODD) return false;
    members.keysWithin = this.keys;
    members.valuesWithin = this.values;
    return this.values <= bounds.maxValues && this.keys <= bounds.maxKeys;
  }

  private latestName(): string {
    const { bytes, at } = this.json;
    return bytes.toString('latin1', at - 1 - this.nameSize, at - 1);
  }

  /** Takes a colon, and the space after it. */
  private takeColon(): boolean {
    const { json } = this;
    if (json.peek() !== COLON) return false;
    this.keys += 1;
    json.at += 1;
    json.peek();
    return true;
  }

  /** Takes one of the members whose texts are counted. */
  private takeRead(name: string): boolean {
    const { json, input } = this;
    const areMessages = name === 'messages';
    const first = json.peek();
    input.beginTree();
    if (first === OPENING_BRACKET) {
      json.at += 1;
      const firstItem = json.peek();
      if (!this.takeItems(COUNTED, areMessages)) return false;
      const { items } = this;
      if (areMessages ? items === 0 : items > MAX_ITEMS) return false;
      input.endTree(items, areMessages);
      this.body[name] = areMessages ? SOME_OBJECTS : listLike(firstItem, items);
      return true;
    }
    if (areMessages || (first !== QUOTE && first !== LETTER_N) || !this.takeValue(COUNTED)) return false;
    input.endTree(0, false);
    this.body[name] = first === QUOTE ? '' : null;
    return true;
  }

  /** Takes one of the members that count by the bytes in which they are written. */
  private takeWritten(name: string, flags: number): boolean {
    const { json } = this;
    const first = json.peek();
    const start = json.at;
    const areTools = name === 'tools' && first === OPENING_BRACKET;
    if (areTools) json.at += 1;
    if (!(areTools ? this.takeItems(TOOL, true) : this.takeValue((flags & IS_OPAQUE) === 0 ? 0 : OPAQUE_NAMES)))
      return false;
    this.input.addWritten(name, json.at - start, (flags & IS_SETTING) !== 0);
    const value = areTools && this.areClientTools ? SOME_OBJECTS : this.valueOf(name, first, start);
    if (value === undefined) return false;
    this.body[name] = value;
    return true;
  }

  /** The value that ends here, or one like it; `undefined` for one that is acted on and whose texts are not plain. */
  private valueOf(name: string, first: number, start: number): Json | undefined {
    return isScalar(first) || this.actedOn.has(name) ? this.contents(first, start) : shapeOf(first);
  }

  private contents(first: number, start: number): Json | undefined {
    const { bytes, at: end } = this.json;
    if (first === LETTER_N) return null;
    if (first === LETTER_T || first === LETTER_F) return first === LETTER_T;
    if (first === QUOTE) return plainText(bytes, start + 1, end - 1);
    if (first !== OPENING_BRACE && first !== OPENING_BRACKET) return numberIn(bytes, start, end);
    const text = bytes.toString('latin1', start, end);
    if (!IS_ASCII.test(text)) return undefined;
    const value: Json = JSON.parse(text);
    return value;
  }

  /** Takes a name or word without escapes. @param isAny whether it need not be spelt in small letters. */
  private takeName(isAny: boolean): KnownText | undefined {
    const { json } = this;
    const { bytes } = json;
    const start = json.at + 1;
    let hash = 0;
    let isSmall = true;
    for (let at = start; at < bytes.length; at += 1) {
      const byte = bytes[at] ?? 0;
      if (!isSmallLetter(byte)) {
        if (byte === QUOTE) {
          json.at = at + 1;
          this.nameSize = at - start;
          this.nameHash = hash;
          return KNOWN.find(hash, bytes, start, at) ?? (isSmall || isAny ? UNKNOWN : undefined);
        }
        if (byte < 0x20 || byte > 0x7e || byte === BACKSLASH) return undefined;
        isSmall = false;
      }
      hash = hashed(hash, byte);
    }
    return undefined;
  }

  private takeValue(mode: number): boolean {
    const { json } = this;
    const first = json.peek();
    if (first === QUOTE) {
      this.values += 1;
      if (!json.takeText()) return false;
      if ((mode & COUNTED) !== 0) this.input.addText(json.textSize);
      return true;
    }
    if (first === OPENING_BRACE) return this.takeObject(mode);
    if (first === OPENING_BRACKET) {
      json.at += 1;
      return this.takeItems(mode, false);
    }
    this.values += 1;
    if ((mode & COUNTED) !== 0 && first !== LETTER_N) this.input.addValue();
    return json.takeScalar(first);
  }

  /** Takes a list from its first item on. */
  private takeItems(mode: number, areObjects: boolean): boolean {
    const { json, input } = this;
    let items = 0;
    if (!this.enter(mode)) return false;
    let next = json.peek();
    while (next !== CLOSING_BRACKET) {
      items += 1;
      if (areObjects && next !== OPENING_BRACE) return false;
      if (next === LETTER_N && (mode & COUNTED) !== 0) input.addValue();
      if (!this.takeValue(mode)) return false;
      next = json.peek();
      if (next === CLOSING_BRACKET) break;
      if (next !== COMMA) return false;
      json.at += 1;
      next = json.peek();
      if (next === CLOSING_BRACKET) return false;
    }
    json.at += 1;
    this.depth -= 1;
    this.items = items;
    return true;
  }

  private takeObject(mode: number): boolean {
    const { json } = this;
    if (!this.enter(mode)) return false;
    /** Places of the frequent names that have been there. */
    let seen = 0;
    const from = this.hashCount;
    json.at += 1;
    let next = json.peek();
    if (next !== CLOSING_BRACE) {
      for (;;) {
        if (next !== QUOTE) return false;
        seen = this.takeMember(mode, seen, from);
        if (seen === ODD) return false;
        next = json.peek();
        if (next === CLOSING_BRACE) break;
        if (next !== COMMA) return false;
        json.at += 1;
        next = json.peek();
      }
    }
    json.at += 1;
    this.depth -= 1;
    this.hashCount = from;
    if ((mode & TOOL) !== 0 && (seen & TYPE_PLACE) === 0) this.areClientTools = false;
    return true;
  }

  private enter(mode: number): boolean {
    this.values += 1;
    this.depth += 1;
    if ((mode & COUNTED) !== 0) this.input.containers += 1;
    return this.depth <= this.bounds.maxDepth;
  }

  /**
   * Takes a member. Returns `seen` with the place of its name; `ODD` where it is not plain, or its name stands there twice.
   * @param from the place of the object's first hash
   */
  private takeMember(mode: number, seen: number, from: number): number {
    const known = this.takeName((mode & OPAQUE_NAMES) !== 0);
    if (known === undefined || !this.takeColon()) return ODD;
    const { flags } = known;
    if ((flags & ((mode & OPAQUE_NAMES) === 0 ? IS_POISON | REFERS : IS_POISON)) !== 0) return ODD;
    const place = flags & PLACES;
    if (place === 0 ? !this.isNew(from) : (seen & place) !== 0) return ODD;
    const inner = (flags & IS_OPAQUE) === 0 ? mode & ~TOOL : (mode & COUNTED) | OPAQUE_NAMES;
    if ((mode & COUNTED) !== 0) {
      if ((flags & NAMES_MEDIUM) !== 0) return ODD;
      this.input.addName(this.nameSize, (flags & IS_KNOWN_NAME) !== 0);
    } else if (known.text === 'tools') this.areClientTools = false;
    const hasWord = (flags & HAS_WORD) !== 0 && (mode & (COUNTED | TOOL)) !== 0;
    return (hasWord ? this.takeWord(mode, inner) : this.takeValue(inner)) ? seen | place : ODD;
  }

  /** Whether the name that was taken last is the first of its hash in an object of not too many names. */
  private isNew(from: number): boolean {
    const { nameHash, hashCount } = this;
    this.hashes ??= [];
    for (let at = from; at < hashCount; at += 1) if (this.hashes[at] === nameHash) return false;
    this.hashes[hashCount] = nameHash;
    this.hashCount += 1;
    return hashCount - from < MAX_NAMES;
  }

  /** Takes a type or role. */
  private takeWord(mode: number, inner: number): boolean {
    const isTool = (mode & TOOL) !== 0;
    if (this.json.peek() !== QUOTE) {
      if (isTool) this.areClientTools = false;
      return this.takeValue(inner);
    }
    this.values += 1;
    const known = this.takeName(true);
    if (known === undefined) return false;
    if (isTool) {
      if ((known.flags & IS_CLIENT_TOOL) === 0) this.areClientTools = false;
      return true;
    }
    if ((known.flags & IS_MEDIUM) !== 0) return false;
    if ((known.flags & IS_KNOWN_WORD) === 0) this.input.addText(this.nameSize);
    return true;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are ASCII, too.
const IS_ASCII = /^[\x00-\x7f]*$/;

function isSmallLetter(code: number): boolean {
  return (code >= 0x61 && code <= 0x7a) || code === 0x5f || (code >= 0x30 && code <= 0x39);
}

/** Whether a value that begins so is a number, a truth value or null. */
function isScalar(first: number): boolean {
  return first !== QUOTE && first !== OPENING_BRACE && first !== OPENING_BRACKET;
}

function numberIn(bytes: Buffer, start: number, end: number): number {
  let number = 0;
  /** Ten for each digit behind the point. */
  let scale = 0;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte === POINT && scale === 0) scale = 1;
    else if (isDigit(byte) && at - start < MAX_DIGITS) {
      number = 10 * number + byte - ZERO;
      scale *= 10;
    } else return Number(bytes.toString('latin1', start, end));
  }
  // Both are whole and exact, so that their quotient is the number nearest to what is written.
  return scale === 0 ? number : number / scale;
}

const POINT = 0x2e;
const ZERO = 0x30;
/** Digits that a number holds exactly, whatever they are. */
const MAX_DIGITS = 15;

/** Something of the same type. */
function shapeOf(first: number): Json {
  if (first === QUOTE) return '';
  return first === OPENING_BRACE ? SOME_OBJECT : SOME_OBJECTS;
}

const SOME_OBJECT: JsonObject = Object.freeze({});
const SOME_OBJECTS: readonly Json[] = Object.freeze([SOME_OBJECT]);

/** A list of as many items, of texts unless the first of them is a number. */
function listLike(firstItem: number, items: number): readonly Json[] {
  if (items === 0) return NO_ITEMS;
  return firstItem === 0x2d || (firstItem >= 0x30 && firstItem <= 0x39) ? SOME_NUMBERS : Array<string>(items).fill('');
}

const NO_ITEMS: readonly Json[] = Object.freeze([]);
const SOME_NUMBERS: readonly Json[] = Object.freeze([0]);

/** A text of ASCII without escapes; `undefined` for any other. */
function plainText(bytes: Buffer, start: number, end: number): string | undefined {
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0;
    if (byte > 0x7e || byte === BACKSLASH) return undefined;
  }
  return bytes.toString('latin1', start, end);
}
