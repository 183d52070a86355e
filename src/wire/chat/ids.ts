import { createHash } from 'node:crypto';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

/** Id of a chat completion: `chatcmpl-` and 29 letters or digits, always the same for the same seed. */
export const chatCompletionId = (seed: string): string => `chatcmpl-${alphanumeric(seed, 29)}`;

/** Id of a legacy completion: `cmpl-` and 29 letters or digits, always the same for the same seed. */
export const completionId = (seed: string): string => `cmpl-${alphanumeric(seed, 29)}`;

/** Id of a moderation: `modr-` and 29 letters or digits, always the same for the same seed. */
export const moderationId = (seed: string): string => `modr-${alphanumeric(seed, 29)}`;

/** Id of a tool call: `call_` and 24 letters or digits, always the same for the same seed. */
export const toolCallId = (seed: string): string => `call_${alphanumeric(seed, 24)}`;

/** SHA-512 gives 64 bytes, more than any id is long. */
function alphanumeric(seed: string, length: number): string {
  const bytes = createHash('sha512').update(seed).digest().subarray(0, length);
  return Array.from(bytes, (byte) => ALPHABET.charAt(byte % ALPHABET.length)).join('');
}
