import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { isJsonObject, type JsonObject } from '../../src/json.js';

const SPEC = new URL('../../../shared/data/openai-openapi.json', import.meta.url);
const RECORDINGS = new URL('../../../shared/data/openai-recordings.json', import.meta.url);

/** Why tests against OpenAI's own description are skipped; `false`: they are not. */
export const specIsMissing: string | false = existsSync(SPEC) ? false : `no ${SPEC.pathname}`;

/** Why tests against recorded traffic are skipped; `false`: they are not. */
export const recordingsAreMissing: string | false = existsSync(RECORDINGS) ? false : `no ${RECORDINGS.pathname}`;

/** Asserts that a value is what OpenAI's own description says of that schema. Formats are ignored. */
export function specChecker(): (schema: string, value: unknown) => void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, logger: false });
  ajv.addSchema(JSON.parse(readFileSync(SPEC, 'utf8'), withNull), 'openai');
  const validators = new Map<string, ValidateFunction>();
  return (schema, value) => {
    const validate = validators.get(schema) ?? ajv.compile({ $ref: `openai#/components/schemas/${schema}` });
    validators.set(schema, validate);
    const plain = JSON.parse(JSON.stringify(value));
    assert.ok(validate(plain), `${schema}: ${ajv.errorsText(validate.errors)} in ${JSON.stringify(plain)}`);
  };
}

/** OpenAPI 3.0's `nullable`, which is not in JSON Schema, said in JSON Schema. */
function withNull(_: string, value: unknown): unknown {
  if (!isJsonObject(value) || value.nullable !== true) return value;
  const { nullable, ...schema } = value;
  return { anyOf: [schema, { type: 'null' }] };
}

/** The recorded answers to that call, such as `POST /v1/chat/completions 200 application/json`. */
export function recordedAnswers(call: string): readonly unknown[] {
  const { examples }: { examples: Record<string, { response: unknown }[]> } = JSON.parse(
    readFileSync(RECORDINGS, 'utf8'),
  );
  return (examples[call] ?? []).map(({ response }) => response);
}

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
