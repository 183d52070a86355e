import { optionalInteger, type Range } from './members.js';
import { invalidValue } from './request-errors.js';

// Readers of parameters of a query, with OpenAI's 400 for what is of another type.

/** The last second of the year 9999: beyond it nobody writes a date. */
const MAX_UNIX_SECONDS = 253_402_300_799;

/** The whole number of a parameter that may be absent. */
export function integerParameter(query: URLSearchParams, name: string, range: Range): number | undefined {
  const text = query.get(name);
  const isNumber = text !== null && /^-?\d{1,15}(?:\.\d{1,15})?$/.test(text);
  return optionalInteger(name, isNumber ? Number(text) : text, range);
}

/** Unix time in seconds, of a parameter that may be absent. */
export function secondsParameter(query: URLSearchParams, name: string): number | undefined {
  return integerParameter(query, name, { min: 0, max: MAX_UNIX_SECONDS });
}

/** All texts of a list that may be absent, however a client writes lists: `name`, `name[]` or `name[0]`, again and again. */
export function listParameter(query: URLSearchParams, name: string): readonly string[] {
  return [...query].filter(([given]) => given.replace(/\[\d*\]$/, '') === name).map(([, value]) => value);
}

/** The same for a list of these names, which may also be separated by commas. Each is there once. */
export function choicesParameter<T extends string>(
  query: URLSearchParams,
  name: string,
  choices: readonly T[],
): readonly T[] {
  const given = listParameter(query, name).flatMap((text) => text.split(','));
  const chosen = given.map((text) => {
    const choice = choices.find((known) => known === text.trim());
    if (choice === undefined) throw invalidValue(name, text.slice(0, 64), choices);
    return choice;
  });
  return [...new Set(chosen)];
}
