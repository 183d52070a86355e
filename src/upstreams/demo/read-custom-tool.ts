import { isJsonObject, type Json, type JsonObject, shownValue } from '../../base/json.js';
import { invalidType, invalidValue, missingParameter, unsupportedParameter } from '../../wire/request-errors.js';
import { textOfLark } from './lark-text.js';
import { type GrammarBudget, textOfRegex } from './regex-text.js';
import { readToolName } from './tool-name.js';

/** A tool the client offers that takes a text instead of JSON. */
export interface OfferedCustomTool {
  readonly kind: 'custom';
  readonly name: string;
  /** The text it is called with. */
  readonly input: string;
}

/** Reads the `custom` of a tool. Its input is made here, which tells whether its grammar can be followed. @throws {GatewayError} 400 */
export function readCustomTool(custom: Json | undefined, param: string, budget: GrammarBudget): OfferedCustomTool {
  const tool = requireObject(custom, param);
  const name = readToolName(tool, param);
  const description = tool.description ?? '';
  if (typeof description !== 'string') throw invalidType(`${param}.description`, 'a string', description);
  const input = inputOf(tool.format ?? { type: 'text' }, `${param}.format`, budget);
  return { kind: 'custom', name, input: input ?? `Input for ${name}, made up by the demo model.` };
}

/** A text of that format; `undefined`: any will do. */
function inputOf(given: Json, param: string, budget: GrammarBudget): string | undefined {
  const format = requireObject(given, param);
  if (format.type === undefined) throw missingParameter(`${param}.type`);
  if (format.type === 'text') return undefined;
  if (format.type !== 'grammar') throw invalidValue(`${param}.type`, shownValue(format.type), ['text', 'grammar']);
  const { syntax, definition } = requireObject(format.grammar, `${param}.grammar`);
  if (syntax === undefined) throw missingParameter(`${param}.grammar.syntax`);
  if (syntax !== 'lark' && syntax !== 'regex') {
    throw invalidValue(`${param}.grammar.syntax`, shownValue(syntax), ['lark', 'regex']);
  }
  if (definition === undefined) throw missingParameter(`${param}.grammar.definition`);
  if (typeof definition !== 'string') throw invalidType(`${param}.grammar.definition`, 'a string', definition);
  const made = syntax === 'lark' ? textOfLark(definition, budget) : textOfRegex(definition, budget);
  if (made.kind === 'text') return made.text;
  throw unsupportedParameter(
    `The demo model cannot follow this grammar: it does not support ${made.what}.`,
    `${param}.grammar.definition`,
  );
}

function requireObject(value: Json | undefined, param: string): JsonObject {
  if (value === undefined) throw missingParameter(param);
  if (!isJsonObject(value)) throw invalidType(param, 'an object', value);
  return value;
}
