import type { GatewayError } from '../base/errors.js';
import { saidIn, statusIn } from './upstream-failure.js';
import { CEILING_ALIASES, CERTAINLY_THE_CLIENTS, NAME_REFUSED, ROOM_LACKING, VALUE_REFUSED } from './upstream-words.js';

/** A field that an upstream may not know, be it the client's or ours: this, or a ceiling. */
export const STREAM_OPTIONS = 'stream_options';

/** Additions that a refused request bore. */
export interface RefusedRequest {
  /** Whether it asked for the usage of a stream, of our own accord. */
  readonly asksUsage: boolean;
  /** Ceiling that the client did not name itself, or not under this name. */
  readonly ceiling: { readonly name: string; readonly tokens: number; readonly isClients: boolean } | undefined;
  /** Members that it bore as the client sent them, and that can go: under another name, or as the gateway knows what they ask for. */
  readonly dispensable: readonly string[];
  /** Whether the client's own request has that member at its top level. */
  hasOwn(name: string): boolean;
}

/** Meaning of a refusal, as far as it concerns what we added, or can take away. */
export interface Refusal {
  /** `room`: prompt and ceiling are too much together. `additions`: fields of ours are named, or names that can go. `clients`: something else is. */
  readonly about: 'room' | 'additions' | 'clients' | 'nothing';
  readonly blamesUsage: boolean;
  readonly blamesCeiling: boolean;
  /** Members of the client's whose names are refused, and that can go. */
  readonly refusedNames: readonly string[];
  /** Whether the words are about the names, so that the next call would be refused like this one. */
  readonly isLasting: boolean;
  /** The words, in lower case. */
  readonly text: string;
}

/** Statuses with which requests are refused for what stands in them. */
const REFUSING = new Set([400, 413, 422]);

/** Reads what a refusal is about. `undefined`: it is about nothing that another try could mend. */
export function readRefusal(error: GatewayError, request: RefusedRequest): Refusal | undefined {
  const { ceiling, asksUsage, dispensable } = request;
  if (ceiling === undefined && !asksUsage && dispensable.length === 0) return undefined;
  const text = saidIn(error).toLowerCase();
  const lacksRoom = has(text, ROOM_LACKING);
  const isRefusing = REFUSING.has(error.status);
  // Some servers fail, in their own words, at what does not fit.
  if (!isRefusing && !(statusIn(error) >= 500 && lacksRoom && ceiling !== undefined)) return undefined;
  const isNamed = has(text, NAME_REFUSED);
  const namesCeiling =
    ceiling !== undefined && CEILING_ALIASES.some((name) => text.includes(name) && !request.hasOwn(name));
  const isAboutValue = namesCeiling && (has(text, VALUE_REFUSED) || hasNumber(text, ceiling.tokens));
  const isRoom = ceiling !== undefined && (lacksRoom || isAboutValue) && !(isNamed && !lacksRoom);
  if (isRoom) {
    if (ceiling.isClients) return undefined;
    return { about: 'room', blamesUsage: false, blamesCeiling: true, refusedNames: [], isLasting: false, text };
  }
  if (error.status !== 400 && error.status !== 422) return undefined;
  const blamesUsage = asksUsage && namesUsage(text, error.param, request);
  const isLasting = isNamed && !lacksRoom;
  const refusedNames = isLasting ? dispensable.filter((name) => namesMember(text, name)) : [];
  if (blamesUsage || namesCeiling || refusedNames.length > 0) {
    return { about: 'additions', blamesUsage, blamesCeiling: namesCeiling, refusedNames, isLasting, text };
  }
  const about = isClients(error, request) ? 'clients' : 'nothing';
  return { about, blamesUsage: false, blamesCeiling: false, refusedNames, isLasting: false, text };
}

function namesUsage(text: string, param: string | null, request: RefusedRequest): boolean {
  if (text.includes('include_usage')) return param === null || !param.startsWith(`${STREAM_OPTIONS}.include_obf`);
  return (text.includes(STREAM_OPTIONS) || text.includes('streamoptions')) && !request.hasOwn(STREAM_OPTIONS);
}

/** Whether the refusal names a member that the client sent, or has a reason that is none of ours. */
function isClients({ param, code, type }: GatewayError, request: RefusedRequest): boolean {
  if (CERTAINLY_THE_CLIENTS.has(code ?? '') || CERTAINLY_THE_CLIENTS.has(type)) return true;
  if (param === null) return false;
  const path = param.startsWith('body.') ? param.slice('body.'.length) : param;
  const end = path.search(/[.[]/);
  return request.hasOwn(end === -1 ? path : path.slice(0, end));
}

function has(text: string, words: readonly string[]): boolean {
  return words.some((word) => text.includes(word));
}

/** Whether a text in lower case names a member, be it in camel case. */
function namesMember(text: string, name: string): boolean {
  return hasWord(text, name) || hasWord(text, name.replaceAll('_', ''));
}

/** Whether a name stands in the text, and not as a part of a longer one. */
function hasWord(text: string, name: string): boolean {
  for (let at = text.indexOf(name); at !== -1; at = text.indexOf(name, at + name.length)) {
    if (!/\w/.test(text.charAt(at - 1)) && !/\w/.test(text.charAt(at + name.length))) return true;
  }
  return false;
}

/** Whether a number stands in the text by itself. */
function hasNumber(text: string, value: number): boolean {
  return numbersIn(text).includes(value);
}

/** Most numbers that are looked at. */
const MAX_NUMBERS = 24;

/** The whole numbers of a text, with or without commas between thousands. */
function numbersIn(text: string): readonly number[] {
  const numbers: number[] = [];
  for (const [digits] of text.slice(0, 4_000).matchAll(/\d[\d,]{0,14}/g)) {
    const value = Number(digits.replaceAll(',', ''));
    if (Number.isSafeInteger(value)) numbers.push(value);
    if (numbers.length === MAX_NUMBERS) break;
  }
  return numbers;
}

/** Below this a ceiling is not lowered without a hint. */
const LEAST_CEILING = 64;

/**
 * A lower ceiling: first by what the numbers of the refusal leave between the context and the prompt, or by a number that it says
 * where it is not about a prompt; then the other way round; then by quarters. `undefined`: no lower one makes sense.
 */
export function lowerCeiling(ceiling: number, text: string, round: number): number | undefined {
  const numbers = numbersIn(text);
  const isLeft = (round === 0) === has(text, ROOM_LACKING);
  const room = round === 0 ? roomBySum(numbers, ceiling, text) : undefined;
  if (room !== undefined) return room;
  const hints = round > 1 ? [] : isLeft ? differences(withoutCeiling(numbers, ceiling)) : numbers;
  const hint = Math.max(0, ...hints.filter((value) => value > 0 && value < ceiling));
  // What the prompt leaves is worth a try, however little; a number may be anything.
  if (hint >= (isLeft ? 1 : LEAST_CEILING)) return hint;
  return ceiling < LEAST_CEILING ? undefined : Math.floor(ceiling / 4);
}

/** Room that is left where a refusal tells the limit, and what was requested with our ceiling in it: Moonshot, Groq. */
function roomBySum(numbers: readonly number[], ceiling: number, text: string): number | undefined {
  const [one, other, ...more] = new Set(numbers);
  if (one === undefined || other === undefined || more.length > 0 || !text.includes('requested')) return undefined;
  const prompt = Math.max(one, other) - ceiling;
  const left = Math.min(one, other) - prompt;
  return prompt > 0 && left > 0 && left < ceiling ? left : undefined;
}

/** The numbers that may be of the context and the prompt: not our ceiling, nor the sum of it and another. */
function withoutCeiling(numbers: readonly number[], ceiling: number): readonly number[] {
  const others = numbers.filter((_, at) => at !== numbers.indexOf(ceiling));
  // With nothing to compare it was the context's own number, and not the ceiling.
  if (others.length < 2) return numbers;
  return others.filter((sum) => !others.includes(sum - ceiling));
}

function differences(numbers: readonly number[]): readonly number[] {
  return numbers.flatMap((one) => numbers.map((other) => one - other));
}
