import type { ListedOperation } from '../../models/known-model.js';
import { findKnownModel } from '../../models/known-models.js';
import { invalidRequest, modelNotFound } from '../../wire/request-errors.js';
import type { Encoding } from './tokenizer.js';

/** A model as the demo plays it. */
export interface DemoModel {
  /** Tokens of input and output together. */
  readonly contextLength: number;
  /** `undefined`: bounded by the context alone. */
  readonly maxOutputTokens: number | undefined;
  /** Thinks before it answers. */
  readonly reasoning: boolean;
  readonly encoding: Encoding;
}

/** Purposes for which a model may be asked. */
export type DemoPurpose = Exclude<ListedOperation, 'audio' | 'responses'> | 'speech' | 'transcriptions';

const DEFAULT_CONTEXT_LENGTH = 128_000;
/** Windows of families that no price list has. */
const CONTEXT_LENGTHS: readonly (readonly [names: RegExp, tokens: number])[] = [
  [/^gpt-3\.5/, 16_385],
  [/^gpt-4-32k/, 32_768],
  [/^gpt-4\.1|^gemini/, 1_047_576],
  [/^gpt-[56]/, 400_000],
  [/^o\d|^(?:\w+\.){0,2}claude/, 200_000],
];

/** OpenAI's models that do not chat and that no price list has, or not with their purpose. */
const SPECIAL: readonly (readonly [purpose: DemoPurpose, names: RegExp])[] = [
  ['moderations', /^(?:omni|text)-moderation-(?:latest|stable|\d{3})$/],
  ['images', /^(?:dall-e-[23]|chatgpt-image-latest|gpt-image-[12](?:\.5|-mini)?)$/],
  ['speech', /^(?:tts-1|tts-1-hd|gpt-4o-mini-tts)(?:-\d{4}-\d\d-\d\d|-\d{4})?$/],
  ['transcriptions', /^(?:whisper-1|gpt-4o-(?:mini-)?transcribe(?:-diarize)?)(?:-\d{4}-\d\d-\d\d)?$/],
];

/** OpenAI's models that chat. */
const OPENAI_CHAT =
  /^(?:chatgpt-4o|codex|computer-use|gpt-(?:3\.5-turbo|4|4o|4\.[15]|[56](?:\.\d)?|audio|chat|oss|realtime)|o[134])(?=[-:]|$)/;
/** Words that may follow such a name, beside sizes and dates. */
const VARIANTS = new Set(
  'audio chat codex deep instruct latest max mini nano preview pro realtime research search sol spark turbo vision'.split(
    ' ',
  ),
);
/** Beginnings of other vendors' names, which may go on in any way. */
const FAMILIES = new Set(
  `claude codellama codestral command deepseek devstral gemini gemma glm grok jamba kimi llama magistral meta ministral
   minimax mistral mixtral nemotron nova phi pixtral qwen qwq`.split(/\s+/),
);

/**
 * The model of that name. A name that bears an organisation, such as `org/model:tag`, may be any.
 * @throws {GatewayError} 404 for a made-up name, 400 for a model that is there for something else.
 */
export function findDemoModel(id: string, purpose: DemoPurpose): DemoModel {
  const name = nameIn(id);
  const made = isPath(id) ? purposeOf(name) : undefined;
  if (!isDemoModel(id)) throw modelNotFound(id);
  if (made !== undefined && made !== purpose) {
    throw invalidRequest(`The model \`${id}\` cannot be used for ${purpose}.`, 'model');
  }
  const known = findKnownModel(name);
  const found = CONTEXT_LENGTHS.find(([names]) => names.test(name));
  return {
    contextLength: known?.contextLength ?? found?.[1] ?? DEFAULT_CONTEXT_LENGTH,
    maxOutputTokens: known?.maxOutputTokens,
    reasoning: /^(?:o\d|gpt-5(?!-chat))/.test(name),
    encoding: /^gpt-(?:3\.5|4(?![o.]))/.test(name) ? 'cl100k_base' : 'o200k_base',
  };
}

/** Whether the demo plays a model of that name, for any purpose. */
export function isDemoModel(id: string): boolean {
  return isPath(id) && (id.includes('/') || purposeOf(nameIn(id)) !== undefined);
}

function isPath(id: string): boolean {
  return /^\w[\w.:-]*(?:\/\w[\w.:-]*){0,3}$/.test(id);
}

/** The name without an organisation before it, or that of the model which a tuned one was made from. */
function nameIn(id: string): string {
  return /^ft:([^:]+):/.exec(id)?.[1] ?? id.slice(id.lastIndexOf('/') + 1);
}

/** The purpose of the model of that name; `undefined`: it is made up. */
function purposeOf(name: string): ListedOperation | DemoPurpose | undefined {
  const special = SPECIAL.find(([, names]) => names.test(name))?.[0];
  return special ?? findKnownModel(name)?.operation ?? (isChatName(name) ? 'chat.completions' : undefined);
}

function isChatName(name: string): boolean {
  const own = OPENAI_CHAT.exec(name)?.[0];
  if (own !== undefined) {
    const words = name.slice(own.length).split(/[-:]/).slice(1);
    return words.every((word) => VARIANTS.has(word) || /^(?:\d{1,3}[bk]|\d\d|\d{4})$/.test(word));
  }
  // Some write a region and the vendor first.
  const family = /^(?:[a-z]+\.){0,2}([a-z]+)/i.exec(name)?.[1] ?? '';
  return FAMILIES.has(family.toLowerCase());
}
