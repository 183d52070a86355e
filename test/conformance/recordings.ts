import { existsSync, readFileSync } from 'node:fs';
import { it } from 'node:test';
import { isJsonObject, type JsonObject } from '../../src/base/json.js';
import { NO_REFERENCE_DATA } from './description.js';

const RECORDINGS = '../shared/data/openai-recordings.json';

/** Why tests against recorded traffic are skipped; `false`: they are not. */
export const recordingsAreMissing: string | false = existsSync(RECORDINGS) ? false : NO_REFERENCE_DATA;

/** One exchange that happened. */
export interface Recording {
  /** Parsed JSON; the first lines of a form; `null` for none. */
  readonly request: unknown;
  readonly responseHeaders: Readonly<Record<string, string>>;
  /** Parsed JSON; the first lines of a text or of a stream; base64 of the first bytes of a sound. Strings may end in `…`. */
  readonly response: unknown;
}

/** Exchanges of one method, path, status and media type. */
export interface RecordedGroup {
  /** All four, such as `GET /v1/models 200 application/json`. */
  readonly name: string;
  readonly method: string;
  /** Below `/v1`, with names in braces in place of some ids. */
  readonly path: string;
  readonly status: number;
  readonly mediaType: string;
  readonly examples: readonly Recording[];
}

/** All that is recorded; nothing where the recordings are missing. */
export function recordedGroups(): readonly RecordedGroup[] {
  if (recordingsAreMissing !== false) return [];
  const file: { readonly examples: Record<string, Recording[]> } = JSON.parse(readFileSync(RECORDINGS, 'utf8'));
  return Object.entries(file.examples).map(([name, examples]) => {
    const [method = '', path = '', status = '', mediaType = ''] = name.split(' ');
    return { name, method, path: path.replace(/^\/v1/, ''), status: Number(status), mediaType, examples };
  });
}

/** One test for each recording, but those that are left out. */
export function itForEachRecording(
  test: (group: RecordedGroup, recording: Recording) => Promise<void>,
  isLeftOut: (name: string) => boolean = () => false,
): void {
  for (const group of recordedGroups().filter(({ name }) => !isLeftOut(name))) {
    for (const [index, recording] of group.examples.entries()) {
      it(`${group.name}, ${index + 1}`, { timeout: 30_000 }, () => test(group, recording));
    }
  }
}

/** The recorded answers to that call, such as `POST /v1/chat/completions 200 application/json`. */
export function recordedAnswers(call: string): readonly unknown[] {
  const group = recordedGroups().find(({ name }) => name === call);
  return (group?.examples ?? []).map(({ response }) => response);
}

/** The events in the recorded lines of a stream. The recordings are cut: what was open is closed. */
export function recordedEvents({ response }: Recording): readonly JsonObject[] {
  const lines = (Array.isArray(response) ? response : []).filter((line) => typeof line === 'string');
  return lines.flatMap((line) => {
    const json = /^data: (\{.*)$/s.exec(line)?.[1]?.trim();
    if (json === undefined) return [];
    const event: unknown = JSON.parse(json.endsWith('…') ? closed(json.slice(0, -1)) : json);
    return isJsonObject(event) ? [event] : [];
  });
}

/** Ends JSON where it was cut: a text that is a value ends there, anything else that is not whole is left out. */
function closed(cut: string): string {
  let open: string[] = [];
  let inText = false;
  let isValue = false;
  let safe = { end: 0, open };
  for (let at = 0; at < cut.length; at += 1) {
    const char = cut[at] ?? '';
    if (inText) {
      if (char === '\\') at += 1;
      else if (char === '"') inText = false;
    } else if (char === '"') {
      inText = true;
      isValue = cut[at - 1] === ':';
    } else if (char === '{' || char === '[') open = [char === '{' ? '}' : ']', ...open];
    else if (char === '}' || char === ']') open = open.slice(1);
    else if (char === ',') safe = { end: at, open };
  }
  if (inText && isValue) return `${cut.replace(/\\$/, '')}"${open.join('')}`;
  return cut.slice(0, safe.end) + safe.open.join('');
}
