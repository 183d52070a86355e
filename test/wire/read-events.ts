import { isJsonObject, type JsonObject } from '../../src/base/json.js';

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
