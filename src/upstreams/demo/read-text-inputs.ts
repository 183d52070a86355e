import type { Json } from '../../base/json.js';
import { missingParameter } from '../../wire/request-errors.js';
import { MAX_TOKEN } from './decode-tokens.js';
import { malformedInput, tooManyInputs } from './text-errors.js';

/** A text, or the tokens of one. */
export type TextInput = string | readonly number[];

/** OpenAI's own bound. */
export const MAX_INPUTS = 2_048;

/** Reads a text, tokens, or an array of texts or of tokens. @throws {GatewayError} 400 */
export function readTextInputs(param: string, value: Json | undefined): readonly TextInput[] {
  if (value === undefined || value === null) throw missingParameter(param);
  if (typeof value === 'string') return [value];
  if (!Array.isArray(value)) throw malformedInput(param);
  const single = tokensIn(value);
  if (single !== undefined) return [single];
  if (value.length > MAX_INPUTS) throw tooManyInputs(param, MAX_INPUTS);
  const texts: readonly string[] = value.filter((item) => typeof item === 'string');
  const tokens = value.flatMap((item) => {
    const found = tokensIn(item);
    return found === undefined ? [] : [found];
  });
  const inputs: readonly TextInput[] = texts.length > 0 ? texts : tokens;
  if (inputs.length === 0 || inputs.length < value.length) throw malformedInput(param);
  return inputs;
}

function tokensIn(value: Json | undefined): readonly number[] | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const tokens: readonly number[] = value.filter(
    (token) => typeof token === 'number' && Number.isInteger(token) && token >= 0 && token <= MAX_TOKEN,
  );
  return tokens.length === value.length ? tokens : undefined;
}
