import { isJsonObject, type Json, type JsonObject } from '../../../base/json.js';
import { nextIdleTurn } from '../turns.js';

/** One request of a batch. */
export interface BatchLine {
  readonly customId: string;
  readonly body: JsonObject;
}

/** What a batch's input file is found to be. */
export interface CheckedLines {
  readonly total: number;
  /** The one model of all its requests. */
  readonly model: string | null;
  /** In OpenAI's shape; not empty: the batch cannot be run. */
  readonly errors: readonly JsonObject[];
}

interface LineFault {
  readonly code: string;
  readonly message: string;
  readonly param?: string;
}

const MAX_ERRORS = 100;
const LINES_PER_TURN = 256;
const LINE_FEED = 0x0a;

/** The lines that are not blank, with their numbers from 1. */
export function* textLines(bytes: Buffer): Generator<readonly [number: number, text: string], void, undefined> {
  let number = 0;
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(LINE_FEED, at);
    const end = found === -1 ? bytes.length : found;
    const text = bytes.toString('utf8', at, end).trim();
    at = end + 1;
    number += 1;
    if (text !== '') yield [number, text];
  }
}

/** Looks through a whole input file, as OpenAI does while a batch is `validating`. */
export async function checkLines(
  bytes: Buffer,
  {
    endpoint,
    maxLines,
    signal,
  }: { readonly endpoint: string; readonly maxLines: number; readonly signal: AbortSignal },
): Promise<CheckedLines> {
  const errors: JsonObject[] = [];
  const customIds = new Set<string>();
  let model: string | null = null;
  let total = 0;
  for (const [line, text] of textLines(bytes)) {
    if (errors.length === MAX_ERRORS) break;
    total += 1;
    if (total > maxLines) {
      const message = `A batch of the demo has at most ${maxLines} requests.`;
      return { total, model, errors: [faultBody({ code: 'too_many_tasks', message })] };
    }
    if (total % LINES_PER_TURN === 0) await nextIdleTurn(signal);
    const request = readLine(text, endpoint);
    const fault = 'code' in request ? request : faultAmong(request, customIds, model);
    if (fault !== undefined) errors.push(faultBody(fault, line));
    if ('code' in request) continue;
    customIds.add(request.customId);
    model ??= modelOf(request);
  }
  if (total === 0) errors.push(faultBody({ code: 'empty_file', message: 'The input file is empty.' }));
  return { total, model, errors };
}

/** A line of an input file, or what is wrong with it. */
export function readLine(text: string, endpoint: string): BatchLine | LineFault {
  const line = parsed(text);
  if (!isJsonObject(line)) return { code: 'invalid_json_line', message: 'This line is not parseable as valid JSON.' };
  const { custom_id: customId, method, url, body } = line;
  const missing = Object.entries({ custom_id: customId, method, url, body }).find(([, value]) => value === undefined);
  if (missing !== undefined) {
    const [param] = missing;
    return { code: 'missing_required_parameter', message: `Missing required parameter: '${param}'.`, param };
  }
  if (typeof customId !== 'string' || customId === '' || customId.length > 512)
    return invalid('custom_id', 'a string of 1 to 512 characters');
  if (method !== 'POST') return invalid('method', "'POST'");
  if (!isJsonObject(body)) return invalid('body', 'an object');
  if (url === endpoint) return { customId, body };
  const message = "The URL provided for this request does not match the batch's endpoint.";
  return { code: 'url_mismatch', message, param: 'url' };
}

function faultAmong(line: BatchLine, known: ReadonlySet<string>, model: string | null): LineFault | undefined {
  if (known.has(line.customId)) {
    const message = `The custom_id '${line.customId}' is used twice. It must be unique for each request in a batch.`;
    return { code: 'duplicate_custom_id', message, param: 'custom_id' };
  }
  if (model === null || modelOf(line) === model) return undefined;
  const message = `All requests of a batch must have the same model, and the first one has '${model.slice(0, 256)}'.`;
  return { code: 'model_mismatch', message, param: 'body.model' };
}

function modelOf({ body }: BatchLine): string | null {
  return typeof body.model === 'string' ? body.model : null;
}

function invalid(param: string, expected: string): LineFault {
  return { code: 'invalid_type', message: `Invalid value for '${param}': expected ${expected}.`, param };
}

function faultBody({ code, message, param }: LineFault, line: number | null = null): JsonObject {
  return { code, message, param: param ?? null, line };
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
