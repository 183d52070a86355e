import { type JsonObject, shownValue } from '../../base/json.js';
import {
  objectsAmong,
  optionalBoolean,
  optionalChoice,
  optionalInteger,
  optionalObject,
  stringsIn,
} from '../../wire/members.js';
import { type ModelRequest, readCeiling, readChatRequest } from '../../wire/model-request.js';
import { type DemoModel, findDemoModel } from './models.js';
import { checkStrictSchema } from './strict.js';
import { readTools, type Tools } from './tools.js';

/** Members of a chat completion request that the answer depends on. Nothing else is looked at. */
export interface DemoRequest extends Pick<ModelRequest, 'stream' | 'includeUsage' | 'n'> {
  readonly modelId: string;
  readonly model: DemoModel;
  readonly messages: readonly JsonObject[];
  /** The smaller of the two ceilings that the client may name. */
  readonly maxOutputTokens: number | undefined;
  readonly stop: readonly string[];
  /** Number of alternatives to each token; `undefined`: no log probabilities. */
  readonly topLogprobs: number | undefined;
  readonly tools: Tools;
  readonly format: AnswerFormat;
}

/** The form of an answer's text. */
export type AnswerFormat =
  | { readonly kind: 'text' | 'object' }
  | { readonly kind: 'schema'; readonly schema: JsonObject };

const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const;
const VERBOSITIES = ['low', 'medium', 'high'] as const;

/** Reads a request. @throws {GatewayError} 400 or 404 */
export function readRequest(body: JsonObject): DemoRequest {
  const { model: modelId, stream, includeUsage, n } = readChatRequest({ body, isDecoded: true });
  optionalChoice('reasoning_effort', body.reasoning_effort, EFFORTS);
  optionalChoice('verbosity', body.verbosity, VERBOSITIES);
  const ceilings = ['max_tokens', 'max_completion_tokens'].flatMap((name) => readCeiling(body, name) ?? []);
  return {
    modelId,
    model: findDemoModel(modelId, 'chat.completions'),
    stream,
    includeUsage,
    messages: objectsAmong(body.messages),
    n,
    maxOutputTokens: ceilings.length === 0 ? undefined : Math.min(...ceilings),
    stop: readStop(body),
    topLogprobs: readTopLogprobs(body),
    tools: readTools(body),
    format: readFormat(body),
  };
}

/** Texts at which answers are to stop, empty ones left out. @throws {GatewayError} 400 */
export function readStop({ stop }: JsonObject): readonly string[] {
  return stringsIn('stop', typeof stop === 'string' ? [stop] : stop, 4).filter((text) => text !== '');
}

/** The text before the first of the stops. */
export function untilStop(text: string, stops: readonly string[]): string {
  const places = stops.map((stop) => text.indexOf(stop)).filter((place) => place !== -1);
  return places.length === 0 ? text : text.slice(0, Math.min(...places));
}

/** The text of a message, its text parts joined by line ends; '' when it has none. */
export function textOf({ content }: JsonObject): string {
  if (typeof content === 'string') return content;
  return objectsAmong(content)
    .flatMap((part) => (part.type === 'text' && typeof part.text === 'string' ? [part.text] : []))
    .join('\n');
}

/** The image parts of a message. */
export function imagesOf({ content }: JsonObject): readonly JsonObject[] {
  return objectsAmong(content).filter((part) => part.type === 'image_url');
}

function readTopLogprobs(body: JsonObject): number | undefined {
  const top = optionalInteger('top_logprobs', body.top_logprobs, { min: 0, max: 20 });
  return optionalBoolean('logprobs', body.logprobs) === true ? (top ?? 0) : undefined;
}

function readFormat(body: JsonObject): AnswerFormat {
  const format = optionalObject('response_format', body.response_format);
  if (format?.type === 'json_object') return { kind: 'object' };
  if (format?.type !== 'json_schema') return { kind: 'text' };
  const { name, schema: given, strict } = optionalObject('response_format.json_schema', format.json_schema) ?? {};
  const schema = optionalObject('response_format.json_schema.schema', given) ?? { type: 'object' };
  if (strict === true) checkStrictSchema(schema, 'response_format', `response_format '${shownValue(name)}'`);
  return { kind: 'schema', schema };
}
