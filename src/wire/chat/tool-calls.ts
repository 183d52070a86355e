import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';

/** Tools that a model may call. A function takes JSON, a custom tool any text. */
export type ToolKind = 'function' | 'custom';

/** A call of a tool in a chat completion, whole or as a delta. */
export interface SaidCall {
  readonly kind: ToolKind;
  readonly id: string;
  readonly name: string;
  /** The arguments of a function, or the input of a custom tool. */
  readonly text: string;
}

const TEXT_OF = { function: 'arguments', custom: 'input' } as const;

/** Reads one of the `tool_calls` of a message or a delta. Texts that it lacks are empty. */
export function readToolCall(call: JsonObject): SaidCall {
  const kind = call.type === 'custom' || isJsonObject(call.custom) ? 'custom' : 'function';
  const named = call[kind];
  const said = isJsonObject(named) ? named : {};
  return { kind, id: stringOf(call.id), name: stringOf(said.name), text: textOf(said[TEXT_OF[kind]]) };
}

/** A whole call, its members in the order in which OpenAI sends them; with an index, the first delta of one. */
export function toolCallBody({ kind, id, name, text }: SaidCall): JsonObject {
  return { id, type: kind, [kind]: { name, [TEXT_OF[kind]]: text } };
}

/** A later delta of a call, without the id, type and name: accumulators would concatenate or compare those. */
export function laterToolCallBody(kind: ToolKind, text: string): JsonObject {
  return { [kind]: { [TEXT_OF[kind]]: text } };
}

const stringOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

/** The text of arguments. Some functions give the value itself where its JSON is due. */
const textOf = (value: Json | undefined): string =>
  typeof value === 'string' || value == null ? (value ?? '') : JSON.stringify(value);
