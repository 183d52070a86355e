import assert from 'node:assert/strict';
import { isJsonObject, type JsonObject } from '../../src/json.js';

/** The names of all members in their order, lists by their first item: two values of one shape have the same. */
export function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (!isJsonObject(value)) return null;
  return Object.entries(value).map(([name, member]) => [name, shapeOf(member)]);
}

/** Joins the deltas of choice `index` as a client does. */
export function joinedChunks(chunks: readonly JsonObject[], index = 0): JsonObject {
  let content: string | null = null;
  let finishReason: unknown = null;
  const calls: { id: unknown; name: unknown; arguments: string }[] = [];
  for (const chunk of chunks) {
    for (const choice of Array.isArray(chunk.choices) ? chunk.choices : []) {
      if (choice.index !== index) continue;
      finishReason = choice.finish_reason ?? finishReason;
      if (typeof choice.delta.content === 'string') content = (content ?? '') + choice.delta.content;
      for (const call of choice.delta.tool_calls ?? []) {
        assert.ok(Number.isInteger(call.index), 'each tool delta has an index');
        const known = calls[call.index];
        if (known === undefined) {
          assert.equal(call.type, 'function');
          calls[call.index] = { id: call.id, name: call.function.name, arguments: call.function.arguments };
        } else {
          assert.deepEqual(Object.keys(call), ['index', 'function'], 'id and type come once');
          assert.deepEqual(Object.keys(call.function), ['arguments'], 'the name comes once');
          known.arguments += call.function.arguments;
        }
      }
    }
  }
  return {
    content,
    ...(calls.length > 0
      ? {
          tool_calls: calls.map((call) => ({
            id: String(call.id),
            type: 'function',
            function: { name: String(call.name), arguments: call.arguments },
          })),
        }
      : {}),
    finish_reason: String(finishReason),
  };
}
