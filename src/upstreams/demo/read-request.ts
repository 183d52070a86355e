import type { JsonObject } from '../../base/json.js';
import { findKnownModel } from '../../models/known-models.js';
import {
  optionalArray,
  optionalBoolean,
  optionalChoice,
  optionalInteger,
  optionalObject,
  optionalString,
} from '../../wire/members.js';
import { readChatRequest } from '../../wire/model-request.js';
import { invalidType, modelNotFound, unsupportedParameter } from '../../wire/request-errors.js';
import { maxTokensTooLarge, topLogprobsWithoutLogprobs, unsupportedValue } from './chat-errors.js';
import { readMessages } from './check-messages.js';
import { checkToolHistory } from './check-tool-history.js';
import { type DemoModel, findDemoModel } from './demo-models.js';
import { type AnswerFormat, readFormat } from './read-format.js';
import { readStop } from './read-stop.js';
import { readTools, type Tools } from './read-tools.js';
import { notAChatModel } from './text-errors.js';

/** A chat completion request, every parameter of which has been looked at. */
export interface DemoRequest {
  readonly modelId: string;
  readonly model: DemoModel;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly messages: readonly JsonObject[];
  readonly n: number;
  /** The smaller of the two ceilings the client may name. */
  readonly maxOutputTokens: number | undefined;
  readonly stop: readonly string[];
  /** How many alternatives to each token; `undefined`: no log probabilities. */
  readonly topLogprobs: number | undefined;
  readonly tools: Tools;
  readonly format: AnswerFormat;
  readonly effort: (typeof EFFORTS)[number];
}

const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh'] as const;
const SERVICE_TIERS = ['auto', 'default', 'flex', 'scale', 'priority'];
const MAX_TOKENS = 1_000_000_000;
const OPERATION = 'chat.completions';

/** Reads a request as strictly as OpenAI does. @throws {GatewayError} 400 or 404, in OpenAI's wording */
export function readRequest(body: JsonObject): DemoRequest {
  const { model: modelId, stream, includeUsage, n } = readChatRequest({ body, isDecoded: true });
  if ((findKnownModel(modelId)?.operation ?? OPERATION) !== OPERATION) throw notAChatModel();
  const model = findDemoModel(modelId);
  if (model === undefined) throw modelNotFound(modelId);
  const messages = readMessages(body.messages, model);
  checkToolHistory(messages);
  checkPlainParameters(body);
  const effort = optionalChoice('reasoning_effort', body.reasoning_effort, EFFORTS) ?? 'medium';
  if (model.reasoning) checkReasoningModel(body, modelId, effort);
  return {
    modelId,
    model,
    stream,
    includeUsage,
    messages,
    n,
    maxOutputTokens: readCeiling(body, model),
    stop: readStop(body),
    topLogprobs: readTopLogprobs(body),
    tools: readTools(body),
    format: readFormat(body, messages),
    effort,
  };
}

/** Parameters the demo takes and has no use for. */
function checkPlainParameters(body: JsonObject): void {
  optionalInteger('seed', body.seed, { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
  for (const name of ['user', 'safety_identifier', 'prompt_cache_key']) optionalString(name, body[name]);
  optionalBoolean('store', body.store);
  optionalChoice('service_tier', body.service_tier, SERVICE_TIERS);
  optionalChoice('verbosity', body.verbosity, ['low', 'medium', 'high']);
  for (const [name, value] of Object.entries(optionalObject('metadata', body.metadata) ?? {})) {
    if (typeof value !== 'string') throw invalidType(`metadata.${name}`, 'a string', value);
  }
  for (const [token, bias] of Object.entries(optionalObject('logit_bias', body.logit_bias) ?? {})) {
    if (typeof bias !== 'number') throw invalidType(`logit_bias.${token}`, 'a decimal', bias);
  }
  for (const modality of optionalArray('modalities', body.modalities, 'strings') ?? []) {
    if (modality !== 'text') throw unsupportedParameter('The demo model answers with text only.', 'modalities');
  }
}

/** What OpenAI's reasoning models refuse. */
function checkReasoningModel(body: JsonObject, modelId: string, effort: string): void {
  if ((body.max_tokens ?? null) !== null) {
    throw unsupportedParameter(
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
      'max_tokens',
    );
  }
  // Later models sample as they are told when they are not to think.
  if (effort === 'none' || /^(?:.*\/)?gpt-5\./.test(modelId)) return;
  for (const name of ['temperature', 'top_p']) {
    const value = body[name] ?? 1;
    if (value !== 1) throw unsupportedValue(name, value);
  }
}

function readCeiling(body: JsonObject, model: DemoModel): number | undefined {
  const ceilings = ['max_tokens', 'max_completion_tokens'].flatMap((param) => {
    const value = optionalInteger(param, body[param], { min: 1, max: MAX_TOKENS });
    if (value === undefined) return [];
    if (model.maxOutputTokens !== undefined && value > model.maxOutputTokens) {
      throw maxTokensTooLarge(param, model.maxOutputTokens, value);
    }
    return [value];
  });
  return ceilings.length === 0 ? undefined : Math.min(...ceilings);
}

function readTopLogprobs(body: JsonObject): number | undefined {
  const logprobs = optionalBoolean('logprobs', body.logprobs) ?? false;
  const top = optionalInteger('top_logprobs', body.top_logprobs, { min: 0, max: 20 });
  if (!logprobs && top !== undefined) throw topLogprobsWithoutLogprobs();
  return logprobs ? (top ?? 0) : undefined;
}
