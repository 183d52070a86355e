import type { Json, JsonObject } from '../../base/json.js';
import {
  objectsIn,
  optionalBoolean,
  optionalInteger,
  optionalObject,
  optionalString,
  readMetadata,
  requiredString,
} from '../members.js';
import { checkDecimals, readCeiling, readModel, readStream } from '../model-request.js';
import { emptyArray, invalidType, invalidValue, missingParameter } from '../request-errors.js';
import { backgroundWithoutStore } from './errors.js';

/** The few fields of a call of `/v1/responses` that we act on, and the body they were read from. */
export interface ResponsesRequest {
  /** The client's body, its texts decoded. */
  readonly body: JsonObject;
  readonly model: string;
  readonly stream: boolean;
  /** Whether the response is to be kept for later calls. */
  readonly store: boolean;
  /** Whether the call is answered at once, and the response made afterwards. */
  readonly background: boolean;
  readonly previousResponseId: string | undefined;
  /** Most tokens of the answer; `undefined`: the client named no ceiling. */
  readonly maxOutputTokens: number | undefined;
}

/** OpenAI's own bound. */
const MIN_OUTPUT_TOKENS = 16;
const MAX_TOP_LOGPROBS = 20;
/** Ids of other gateways hold what they must remember. */
const MAX_ID_LENGTH = 4_096;

/** Further members that must be texts, if they are there. */
const TEXTS = ['instructions', 'user', 'prompt_cache_key', 'service_tier'];

/**
 * Reads and checks the request of a response.
 * @param body with its texts decoded: the members checked here return to the client in each snapshot.
 * @throws {GatewayError} 400 in OpenAI's wording for what a gateway must not pass on.
 */
export function readResponsesRequest(body: JsonObject): ResponsesRequest {
  const model = readModel({ body, isDecoded: true });
  const { stream } = readStream(body);
  const previousResponseId = optionalString('previous_response_id', body.previous_response_id, MAX_ID_LENGTH);
  checkInput(body);
  for (const name of TEXTS) optionalString(name, body[name]);
  optionalString('safety_identifier', body.safety_identifier, 64);
  checkDecimals(body);
  readMetadata(body.metadata);
  checkTools(body);
  checkText(body.text);
  checkReasoning(body.reasoning);
  checkInclude(body.include);
  checkTruncation(body.truncation);
  optionalInteger('top_logprobs', body.top_logprobs, { min: 0, max: MAX_TOP_LOGPROBS });
  const options = optionalObject('stream_options', body.stream_options);
  optionalBoolean('stream_options.include_obfuscation', options?.include_obfuscation);
  const store = optionalBoolean('store', body.store) ?? true;
  const background = optionalBoolean('background', body.background) ?? false;
  if (background && !store) throw backgroundWithoutStore();
  const maxOutputTokens = readCeiling(body, 'max_output_tokens', MIN_OUTPUT_TOKENS);
  return { body, model, stream, store, background, previousResponseId, maxOutputTokens };
}

function checkInput({ input, previous_response_id, conversation, prompt }: JsonObject): void {
  const goesOn = [previous_response_id, conversation, prompt].some((value) => value !== undefined && value !== null);
  if (input === undefined || input === null) {
    if (goesOn) return;
    throw missingParameter('input');
  }
  if (typeof input === 'string') return;
  if (!Array.isArray(input)) throw invalidType('input', 'one of a string or array of objects', input);
  if (input.length === 0 && !goesOn) throw emptyArray('input');
  objectsIn('input', input);
}

function checkTools({ tools, tool_choice, parallel_tool_calls, max_tool_calls }: JsonObject): void {
  for (const [index, tool] of objectsIn('tools', tools).entries()) requiredString(`tools[${index}].type`, tool.type);
  if (typeof tool_choice !== 'string') optionalObject('tool_choice', tool_choice);
  optionalBoolean('parallel_tool_calls', parallel_tool_calls);
  optionalInteger('max_tool_calls', max_tool_calls, { min: 0, max: Number.MAX_SAFE_INTEGER });
}

function checkText(value: Json | undefined): void {
  const text = optionalObject('text', value);
  optionalString('text.verbosity', text?.verbosity);
  const format = optionalObject('text.format', text?.format);
  if (format === undefined) return;
  const type = requiredString('text.format.type', format.type);
  const known = ['text', 'json_schema', 'json_object'];
  if (!known.includes(type)) throw invalidValue('text.format.type', type, known);
  if (type !== 'json_schema') return;
  requiredString('text.format.name', format.name);
  if (optionalObject('text.format.schema', format.schema) === undefined) throw missingParameter('text.format.schema');
  optionalBoolean('text.format.strict', format.strict);
}

function checkReasoning(value: Json | undefined): void {
  const reasoning = optionalObject('reasoning', value);
  optionalString('reasoning.effort', reasoning?.effort);
  optionalString('reasoning.summary', reasoning?.summary);
}

function checkInclude(include: Json | undefined): void {
  if (include === undefined || include === null) return;
  if (!Array.isArray(include)) throw invalidType('include', 'an array of strings', include);
  for (const [index, name] of include.entries()) requiredString(`include[${index}]`, name);
}

function checkTruncation(value: Json | undefined): void {
  const truncation = optionalString('truncation', value);
  const known = ['auto', 'disabled'];
  if (truncation !== undefined && !known.includes(truncation)) throw invalidValue('truncation', truncation, known);
}
