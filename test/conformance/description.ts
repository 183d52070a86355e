import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import { isJsonObject, type JsonObject } from '../../src/base/json.js';
import { KNOWN_FAULTS, type KnownFault } from './known-faults.js';

/** Beside the project, on machines that have it. */
const SPEC = '../shared/data/openai-openapi.json';

/** Why tests that need reference data are skipped. test/run.mjs knows the words. */
export const NO_REFERENCE_DATA = 'the reference data, ../shared/data, is not here';

/** Why tests against OpenAI's own description are skipped; `false`: they are not. */
export const specIsMissing: string | false = existsSync(SPEC) ? false : NO_REFERENCE_DATA;

/** One way in which a value is not what the description says. */
export interface Violation {
  /** Where in the value, such as `/choices/0/index`. */
  readonly at: string;
  readonly message: string;
}

/** What an answer is: enough to find what the description says of it. */
export interface AnswerKind {
  readonly method: string;
  /** Below `/v1`, without query. */
  readonly path: string;
  readonly status: number;
  /** The content type without parameters. */
  readonly mediaType: string;
}

/** OpenAI's description, ready to be asked. */
export interface Description {
  /** The place of the schema of such an answer, or of one event of it; `undefined` when nothing is said of it. */
  schemaOf(kind: AnswerKind): string | undefined;
  /** @param place as `schemaOf` gives it, or the name of a schema. Formats are ignored. */
  violations(place: string, value: unknown): readonly Violation[];
}

let shared: Description | undefined;

/** The description with its known faults mended; read when it is first asked for, once in a process. */
export function openaiDescription(): Description {
  shared ??= readDescription();
  return shared;
}

/** A description of its own. @param faults what is mended in it */
export function readDescription(faults: readonly KnownFault[] = KNOWN_FAULTS): Description {
  const document: unknown = JSON.parse(readFileSync(SPEC, 'utf8'));
  assert.ok(isJsonObject(document));
  for (const { at, mended } of faults) for (const place of at) mendAt(document, place, mended);
  const ajv = new Ajv2020({
    strict: false,
    validateFormats: false,
    // Trusted, and half the cost of loading it.
    validateSchema: false,
    logger: false,
    allErrors: true,
    verbose: true,
  });
  ajv.addSchema(document, 'openai');
  const templates = pathTemplates(document);
  const validators = new Map<string, ValidateFunction>();

  return {
    schemaOf({ method, path, status, mediaType }) {
      if (status >= 400) return '/components/schemas/ErrorResponse';
      const template = templates.find(({ pattern }) => pattern.test(path))?.template;
      if (template === undefined) return undefined;
      const verb = method.toLowerCase();
      const place = pointer('paths', template, verb, 'responses', String(status), 'content', mediaType, 'schema');
      return valueAt(document, place) === undefined ? undefined : place;
    },
    violations(place, value) {
      const full = place.startsWith('/') ? place : `/components/schemas/${place}`;
      const validate = validators.get(full) ?? ajv.compile({ $ref: `openai#${encodeURI(full)}` });
      validators.set(full, validate);
      return validate(value) ? [] : (validate.errors ?? []).map(violationOf);
    },
  };
}

/** Asserts that a value is what OpenAI's description says of that schema; nothing where the description is missing. */
export function specChecker(): (schema: string, value: unknown) => void {
  if (specIsMissing !== false) return () => {};
  return (schema, value) => {
    const plain: unknown = JSON.parse(JSON.stringify(value));
    const found = openaiDescription().violations(schema, plain);
    assert.ok(found.length === 0, `${schema}: ${listed(found)} in ${JSON.stringify(plain)}`);
  };
}

/** The violations that say most, in words: those deepest in the value. */
export function listed(violations: readonly Violation[]): string {
  const depth = ({ at }: Violation): number => at.split('/').length;
  const deepest = [...violations].sort((a, b) => depth(b) - depth(a)).slice(0, 4);
  return [...new Set(deepest.map(({ at, message }) => `${at === '' ? '/' : at} ${message}`))].join('; ');
}

function violationOf({ instancePath, message, params, data }: ErrorObject): Violation {
  const detail = JSON.stringify(params);
  const seen = JSON.stringify(data)?.slice(0, 60);
  return { at: instancePath, message: `${message} ${detail === '{}' ? '' : detail} (is ${seen})` };
}

/** The longer before the shorter, and names before variables, so that the first match is the best. */
function pathTemplates(document: JsonObject): readonly { readonly template: string; readonly pattern: RegExp }[] {
  assert.ok(isJsonObject(document.paths));
  return Object.keys(document.paths)
    .filter((template) => !template.includes('?'))
    .sort((a, b) => a.split('{').length - b.split('{').length)
    .map((template) => {
      const source = template
        .split('/')
        // Ids of models hold slashes.
        .map((part) => (part === '{model}' ? '.+' : part.startsWith('{') ? '[^/]+' : part.replace(/\W/g, '\\$&')))
        .join('/');
      return { template, pattern: new RegExp(`^${source}$`) };
    });
}

function mendAt(document: JsonObject, at: string, mended: KnownFault['mended']): void {
  const end = at.lastIndexOf('/');
  const parent = valueAt(document, at.slice(0, end));
  const name = unescaped(at.slice(end + 1));
  if (!isJsonObject(parent)) throw new Error(`The description has nothing at ${at}`);
  Reflect.set(parent, name, mended(parent[name]));
}

/** A JSON pointer. */
function pointer(...names: readonly string[]): string {
  return names.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function unescaped(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

function valueAt(document: JsonObject, at: string): unknown {
  let value: unknown = document;
  for (const part of at.split('/').slice(1)) {
    const name = unescaped(part);
    if (Array.isArray(value)) value = value[Number(name)];
    else if (isJsonObject(value)) value = value[name];
    else return undefined;
  }
  return value;
}
