import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';

/**
 * UTF-8 bytes of what the model wrote into a whole answer: text, refusals, thoughts and arguments of calls.
 * @param written the choices of a completion, or the items of a response.
 */
export function answerTextBytes(written: Json | undefined): number {
  return sum(objectsOf(written).map((one) => choiceBytes(one) + itemBytes(one)));
}

function choiceBytes({ text, message }: JsonObject): number {
  if (!isJsonObject(message)) return size(text);
  const { content, refusal, reasoning_content, tool_calls, function_call } = message;
  const calls = objectsOf(tool_calls).map((call) => member(call.function, 'arguments') + member(call.custom, 'input'));
  return sum([
    size(text),
    size(content),
    size(refusal),
    size(reasoning_content),
    member(function_call, 'arguments'),
    ...calls,
  ]);
}

function itemBytes({ content, summary, arguments: args, input }: JsonObject): number {
  const parts = [...objectsOf(content), ...objectsOf(summary)].map(({ text, refusal }) => size(text) + size(refusal));
  return sum([size(args), size(input), ...parts]);
}

const objectsOf = (value: Json | undefined): readonly JsonObject[] =>
  Array.isArray(value) ? value.filter(isJsonObject) : [];

const member = (value: Json | undefined, name: string): number => (isJsonObject(value) ? size(value[name]) : 0);

const size = (value: Json | undefined): number => (typeof value === 'string' ? Buffer.byteLength(value) : 0);

const sum = (sizes: readonly number[]): number => sizes.reduce((total, one) => total + one, 0);
