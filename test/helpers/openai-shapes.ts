import assert from 'node:assert/strict';
import { isJsonObject, type JsonObject } from '../../src/base/json.js';

/** The names of all members in their order, lists by their first item: two values of one shape have the same. */
export function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0])];
  if (!isJsonObject(value)) return null;
  return Object.entries(value).map(([name, member]) => [name, shapeOf(member)]);
}

/** Where the text of a call stands. */
const TEXT_OF = { function: 'arguments', custom: 'input' };

/** Joins the deltas of choice `index` as a client does. */
export function joinedChunks(chunks: readonly JsonObject[], index = 0): JsonObject {
  let content: string | null = null;
  let finishReason: unknown = null;
  const calls: { id: unknown; kind: 'function' | 'custom'; name: unknown; text: string }[] = [];
  for (const chunk of chunks) {
    for (const choice of Array.isArray(chunk.choices) ? chunk.choices : []) {
      if (choice.index !== index) continue;
      finishReason = choice.finish_reason ?? finishReason;
      if (typeof choice.delta.content === 'string') content = (content ?? '') + choice.delta.content;
      for (const call of choice.delta.tool_calls ?? []) {
        assert.ok(Number.isInteger(call.index), 'each tool delta has an index');
        const known = calls[call.index];
        const kind: 'function' | 'custom' = known?.kind ?? call.type;
        assert.ok(kind in TEXT_OF, 'the first delta has a type');
        if (known === undefined) {
          calls[call.index] = { id: call.id, kind, name: call[kind].name, text: call[kind][TEXT_OF[kind]] };
        } else {
          assert.deepEqual(Object.keys(call), ['index', kind], 'id and type come once');
          assert.deepEqual(Object.keys(call[kind]), [TEXT_OF[kind]], 'the name comes once');
          known.text += call[kind][TEXT_OF[kind]];
        }
      }
    }
  }
  return {
    content,
    ...(calls.length > 0
      ? {
          tool_calls: calls.map(({ id, kind, name, text }) => ({
            id: String(id),
            type: kind,
            [kind]: { name: String(name), [TEXT_OF[kind]]: text },
          })),
        }
      : {}),
    finish_reason: String(finishReason),
  };
}
