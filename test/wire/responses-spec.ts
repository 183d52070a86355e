import { isJsonObject, type JsonObject } from '../../src/json.js';
import { specChecker } from '../helpers/openai-shapes.js';

/**
 * Where OpenAI's description is at odds with what OpenAI sends: these members of a response are `null` in every recording
 * where there is nothing to say, and described as never `null`.
 */
const NULL_AGAINST_THE_DESCRIPTION = ['user', 'usage'];

/** Asserts that a value is what OpenAI's description says of that schema, but for the known faults of the description. */
export function responsesChecker(): (schema: string, value: unknown) => void {
  const check = specChecker();
  return (schema, value) => check(schema, withoutFaults(value));
}

function withoutFaults(value: unknown): unknown {
  if (!isJsonObject(value)) return value;
  if (isJsonObject(value.response)) return { ...value, response: withoutFaults(value.response) };
  if (value.object !== 'response') return value;
  const isFault = ([name, member]: [string, unknown]): boolean =>
    member === null && NULL_AGAINST_THE_DESCRIPTION.includes(name);
  return Object.fromEntries(Object.entries(value).filter((entry) => !isFault(entry)));
}

/** One event as it came: the name on its `event:` line and its data. */
export interface ReadEvent {
  readonly name: string;
  readonly data: JsonObject;
}

/** Reads what is written exactly as the gateway must write it: `event:`, `data:` in one line, a blank line. */
export function readEvents(text: string): readonly ReadEvent[] {
  return text
    .split(/(?<=\n\n)/)
    .filter((event) => event !== '')
    .map((event) => {
      const [, name, json] = /^event: (\S+)\ndata: ([^\n]+)\n\n$/.exec(event) ?? [];
      if (name === undefined || json === undefined) throw new Error(`Expected one event, got ${JSON.stringify(event)}`);
      const data: unknown = JSON.parse(json);
      if (!isJsonObject(data)) throw new Error(`Expected an object, got ${json}`);
      return { name, data };
    });
}
