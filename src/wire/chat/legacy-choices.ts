import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { saidText } from './collect-chunks.js';

/** The `object` of a legacy completion and of its chunks. */
export const LEGACY_OBJECT = 'text_completion';

/** Whether a choice was written for a chat: what it says stands in a delta or in a message. */
export function hasChatChoice(choices: Json | undefined): boolean {
  return Array.isArray(choices) && choices.some((choice) => isJsonObject(choice) && isOfChat(choice));
}

/** The choices of a legacy completion, each with a `text`, also where the server has answered as to a chat. */
export function legacyChoices(choices: Json | undefined): readonly Json[] | undefined {
  return Array.isArray(choices) && hasChatChoice(choices)
    ? choices.map((choice: Json) => (isJsonObject(choice) ? legacyChoice(choice) : choice))
    : undefined;
}

/** A choice of a legacy completion, which always has a text. */
export function legacyChoice(given: JsonObject): JsonObject {
  if (typeof given.text === 'string') return given;
  const { delta, message, logprobs, ...choice } = given;
  // The lists of a chat's log probabilities have other names.
  const isOfText = isJsonObject(logprobs) && logprobs.content === undefined;
  return { ...choice, text: saidText(delta ?? message), logprobs: isOfText ? logprobs : null };
}

const isOfChat = ({ text, delta, message }: JsonObject): boolean =>
  typeof text !== 'string' && (isJsonObject(delta) || isJsonObject(message));
