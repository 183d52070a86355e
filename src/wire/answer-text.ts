import { isJsonObject, type Json } from '../json.js';

/** UTF-8 bytes of what the model wrote into the choices of a whole answer: text, refusals, thoughts and arguments of calls. */
export function answerTextBytes(choices: Json | undefined): number {
  let bytes = 0;
  const count = (value: Json | undefined): void => {
    if (typeof value === 'string') bytes += Buffer.byteLength(value);
  };
  for (const choice of Array.isArray(choices) ? choices : []) {
    if (!isJsonObject(choice)) continue;
    count(choice.text);
    const message = choice.message ?? null;
    if (!isJsonObject(message)) continue;
    for (const name of ['content', 'refusal', 'reasoning_content']) count(message[name]);
    for (const call of Array.isArray(message.tool_calls) ? message.tool_calls : []) {
      if (!isJsonObject(call)) continue;
      if (isJsonObject(call.function)) count(call.function.arguments);
      if (isJsonObject(call.custom)) count(call.custom.input);
    }
    if (isJsonObject(message.function_call)) count(message.function_call.arguments);
  }
  return bytes;
}
