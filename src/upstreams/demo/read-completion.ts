import type { JsonObject } from '../../base/json.js';
import type { KnownModel } from '../../models/known-models.js';
import { optionalBoolean, optionalInteger, optionalObject, optionalString } from '../../wire/members.js';
import { checkDecimals, readModel, readN, readStream } from '../../wire/model-request.js';
import { arrayAboveMaxLength, invalidType } from '../../wire/request-errors.js';
import { modelFor } from './model-for.js';
import { readStop } from './read-stop.js';
import { MAX_INPUTS, readTextInputs, type TextInput } from './read-text-inputs.js';
import { bestOfBelowN, echoWithLogprobs, notACompletionModel, suffixNotSupported } from './text-errors.js';

/** A legacy completion request, every parameter of which has been looked at. */
export interface CompletionRequest {
  readonly modelId: string;
  readonly contextLength: number;
  readonly prompts: readonly TextInput[];
  /** Choices for each prompt. */
  readonly n: number;
  /** Texts that are made for each prompt, of which `n` are shown. */
  readonly bestOf: number;
  readonly maxTokens: number;
  readonly echo: boolean;
  readonly suffix: string | undefined;
  readonly stop: readonly string[];
  /** How many alternatives to each token; `undefined`: no log probabilities. */
  readonly logprobs: number | undefined;
  readonly stream: boolean;
  readonly includeUsage: boolean;
}

const DEFAULT_MAX_TOKENS = 16;
const MAX_TOKENS = 1_000_000_000;
const MAX_LOGPROBS = 5;
const MAX_BEST_OF = 20;

/** Reads a legacy completion request as strictly as OpenAI does. @throws {GatewayError} 400 or 404 */
export function readCompletion(body: JsonObject): CompletionRequest {
  const modelId = readModel({ body, isDecoded: true });
  const model = modelFor('completions', modelId);
  if (model === undefined) throw notACompletionModel();
  // Without a prompt the model writes as at the beginning of a document.
  const prompts = readTextInputs('prompt', body.prompt ?? '');
  const n = readN(body);
  const maxPrompts = Math.floor(MAX_INPUTS / n);
  if (prompts.length > maxPrompts) throw arrayAboveMaxLength('prompt', maxPrompts, prompts.length);
  checkDecimals(body);
  checkUnused(body);
  return {
    modelId,
    contextLength: model.contextLength ?? Number.POSITIVE_INFINITY,
    prompts,
    n,
    bestOf: readBestOf(body, n),
    maxTokens: optionalInteger('max_tokens', body.max_tokens, { min: 0, max: MAX_TOKENS }) ?? DEFAULT_MAX_TOKENS,
    suffix: readSuffix(body, model),
    stop: readStop(body),
    ...readEcho(body, model),
    ...readStream(body),
  };
}

/** Parameters the demo takes and has no use for. */
function checkUnused(body: JsonObject): void {
  optionalInteger('seed', body.seed, { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
  optionalString('user', body.user);
  for (const [token, bias] of Object.entries(optionalObject('logit_bias', body.logit_bias) ?? {})) {
    if (typeof bias !== 'number') throw invalidType(`logit_bias.${token}`, 'a decimal', bias);
  }
}

function readBestOf(body: JsonObject, n: number): number {
  const bestOf = optionalInteger('best_of', body.best_of, { min: 1, max: MAX_BEST_OF }) ?? n;
  if (bestOf < n) throw bestOfBelowN(n, bestOf);
  return bestOf;
}

function readSuffix(body: JsonObject, { id }: KnownModel): string | undefined {
  const suffix = optionalString('suffix', body.suffix);
  if (suffix !== undefined && id !== 'gpt-3.5-turbo-instruct') throw suffixNotSupported();
  return suffix;
}

function readEcho(body: JsonObject, { id }: KnownModel): Pick<CompletionRequest, 'echo' | 'logprobs'> {
  const echo = optionalBoolean('echo', body.echo) ?? false;
  const logprobs = optionalInteger('logprobs', body.logprobs, { min: 0, max: MAX_LOGPROBS });
  if (echo && logprobs !== undefined && id === 'gpt-3.5-turbo-instruct') throw echoWithLogprobs();
  return { echo, logprobs };
}
