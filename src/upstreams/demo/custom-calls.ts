import { isJsonObject, type Json, type JsonObject } from '../../json.js';
import type { OfferedTool } from './read-tools.js';

/**
 * An answer, whole or a chunk of one, with calls of custom tools in their own shape: it was written as if all tools were
 * functions, which are called in the order in which they are offered. OpenAI's description has no streamed form of
 * these calls; they stream as functions do, with `custom` for `function` and `input` for `arguments`.
 */
export function withCustomCalls(body: JsonObject, offered: readonly OfferedTool[]): JsonObject {
  if (!Array.isArray(body.choices) || offered.every(({ kind }) => kind === 'function')) return body;
  return { ...body, choices: body.choices.map(reshapedChoice) };

  function reshapedChoice(choice: Json): Json {
    if (!isJsonObject(choice)) return choice;
    const name = 'delta' in choice ? 'delta' : 'message';
    const said = choice[name];
    if (!isJsonObject(said) || !Array.isArray(said.tool_calls)) return choice;
    return { ...choice, [name]: { ...said, tool_calls: said.tool_calls.map(reshapedCall) } };
  }

  function reshapedCall(call: Json, place: number): Json {
    if (!isJsonObject(call) || !isJsonObject(call.function)) return call;
    const { function: called, type, ...rest } = call;
    const index = typeof call.index === 'number' ? call.index : place;
    if (offered[index]?.kind !== 'custom') return call;
    const { arguments: input, ...named } = called;
    return { ...rest, ...(type === undefined ? {} : { type: 'custom' }), custom: { ...named, input: input ?? '' } };
  }
}
