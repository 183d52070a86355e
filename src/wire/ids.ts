import { createHash } from 'node:crypto';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Hexadecimal digits in the ids of responses and of their items. */
const HEX_DIGITS = 48;

/** Id prefixes of a response's items, by type. */
const ITEM_PREFIXES: ReadonlyMap<string, string> = new Map([
  ['message', 'msg'],
  ['reasoning', 'rs'],
  ['function_call', 'fc'],
  ['function_call_output', 'fco'],
  ['custom_tool_call', 'ctc'],
  ['custom_tool_call_output', 'ctco'],
  ['image_generation_call', 'ig'],
]);

/** Id of a chat completion: `chatcmpl-` and 29 letters or digits, always the same for the same seed. */
export const chatCompletionId = (seed: string): string => `chatcmpl-${alphanumeric(seed, 29)}`;

/** Id of a legacy completion: `cmpl-` and 29 letters or digits, always the same for the same seed. */
export const completionId = (seed: string): string => `cmpl-${alphanumeric(seed, 29)}`;

/** Id of a moderation: `modr-` and 29 letters or digits, always the same for the same seed. */
export const moderationId = (seed: string): string => `modr-${alphanumeric(seed, 29)}`;

/** Id of a tool call: `call_` and 24 letters or digits, always the same for the same seed. */
export const toolCallId = (seed: string): string => `call_${alphanumeric(seed, 24)}`;

/** Id of a response: `resp_` and 48 hexadecimal digits, always the same for the same seed. */
export const responseId = (seed: string): string => `resp_${hex(seed)}`;

/** Id of a response's item, always the same for the same seed. @param type such as `function_call`. */
export const itemId = (type: string, seed: string): string => `${ITEM_PREFIXES.get(type) ?? 'item'}_${hex(seed)}`;

/** Letters and digits derived from a seed. SHA-512 gives 64 bytes, more than any id is long. */
function alphanumeric(seed: string, length: number): string {
  const bytes = createHash('sha512').update(seed).digest().subarray(0, length);
  return Array.from(bytes, (byte) => ALPHABET.charAt(byte % ALPHABET.length)).join('');
}

const hex = (seed: string): string => createHash('sha512').update(seed).digest('hex').slice(0, HEX_DIGITS);
