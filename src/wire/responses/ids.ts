import { createHash } from 'node:crypto';

const HEX_DIGITS = 48;

/** Id of a response: `resp_` and 48 hexadecimal digits, always the same for the same seed. */
export const responseId = (seed: string): string => `resp_${hex(seed)}`;

/** What the id of an item begins with, by its type. */
const PREFIXES: ReadonlyMap<string, string> = new Map([
  ['message', 'msg'],
  ['reasoning', 'rs'],
  ['function_call', 'fc'],
  ['function_call_output', 'fco'],
  ['custom_tool_call', 'ctc'],
  ['custom_tool_call_output', 'ctco'],
]);

/** Id of an item, always the same for the same seed. @param type such as `function_call`. */
export const itemId = (type: string, seed: string): string => `${PREFIXES.get(type) ?? 'item'}_${hex(seed)}`;

const hex = (seed: string): string => createHash('sha512').update(seed).digest('hex').slice(0, HEX_DIGITS);
