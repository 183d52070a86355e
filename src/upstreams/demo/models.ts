import { findKnownModel, type ListedOperation } from '../../models/known-models.js';
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
const CONTEXT_LENGTHS: readonly (readonly [names: RegExp, tokens: number])[] = [
  [/^gpt-3\.5/, 16_385],
  [/^gpt-4-32k/, 32_768],
  [/^gpt-4\.1|^gemini/, 1_047_576],
  [/^gpt-[56]/, 400_000],
  [/^o\d|^(?:\w+\.)?(?:anthropic\.)?claude/, 200_000],
];

/** Names with one purpose that no price list has, without the date at their end. */
const SPECIAL: readonly (readonly [purpose: DemoPurpose, names: RegExp])[] = [
  ['chat.completions', /^(?:chatgpt-4o-latest|codex-mini-latest|computer-use-preview|moonshot-v1-\w+)$/],
  ['completions', /^gpt-3\.5-turbo-instruct$/],
  ['embeddings', /^text-embedding-(?:3-small|3-large|ada-002)$/],
  ['moderations', /^(?:omni|text)-moderation-(?:latest|stable|\d{3})$/],
  ['images', /^(?:dall-e-[23]|chatgpt-image-latest|gpt-image-[12](?:\.5|-mini)?)$/],
  ['speech', /^(?:tts-1|tts-1-hd|gpt-4o-mini-tts)$/],
  ['transcriptions', /^(?:whisper-1|gpt-4o-(?:mini-)?transcribe(?:-diarize)?)$/],
];

const OPENAI_NAME =
  /^(?:gpt-(?:3\.5-turbo|4|4o|4\.1|4\.5|[56]|[56]\.\d|oss|audio|realtime)|gpt-chat-latest|o1|o3|o4)(?=-|:|$)/;
/** A vendor as some write it into the name itself, and the region before it. */
const VENDOR =
  /^(?:(?:us|eu|apac|global)\.)?(?:(?:amazon|anthropic|cohere|google|meta|mistral|qwen)\.|(?:openai|alibaba|zai)-)?/;
const FAMILIES = new Set(
  `claude codellama codestral command deepseek devstral gemini gemma glm granite grok jamba kimi llama magistral meta ministral
   minimax mistral mixtral nemotron nova open phi pixtral qvq qwen qwq voxtral`.split(/\s/),
);
/** Words that names of models are made of. */
const WORDS = new Set(
  `16k a agent air api astra audio base beta chat cloud code coder codex computer deep distill exp extended
   fable fast flash free gguf guard h haiku heavy hf high image instant instruct it k kimi large latest lite
   live llama long low luna m mamba maverick max medium micro mini mistral mixtral multi nano native nemo
   nemotron next non omni opus plus premier preview pro qwen qwen3 r realtime reasoner reasoning research saba
   safeguard scout search small sol sonnet speciale super terminus terra text thinking tiny tts turbo ultra use
   versatile vision vl zai zero`.split(/\s+/),
);
/** Versions, sizes and dates, such as `3.5`, `v0.3`, `70b`, `8x7b`, `a22b`, `128k` and `20241022`. */
const NUMBER = /^(?:[a-z]{0,2}\d{1,2}(?:[.px]\d{1,3})?[a-z]{0,2}|\d{3,8}[a-z]?|[a-z]\d{3}b)$/;

/**
 * The model of that name. A name that bears an organisation, such as `org/model:tag`, may be any.
 * @throws {GatewayError} 404 for a made-up name, 400 for a model that is there for something else.
 */
export function findDemoModel(id: string, purpose: DemoPurpose): DemoModel {
  const tuned = /^ft:([^:]+):[\w:-]*$/.exec(id)?.[1];
  const path = id.split('/');
  const name = tuned ?? path.at(-1) ?? '';
  const isPath = path.length <= 4 && path.every((part) => /^\w[\w.:-]*$/.test(part));
  const made = isPath ? purposeOf(name) : undefined;
  if (made === undefined && !(isPath && path.length > 1)) throw modelNotFound(id);
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

/** The purpose of the model of that name; `undefined`: it is made up. */
function purposeOf(name: string): ListedOperation | DemoPurpose | undefined {
  const undated = name.replace(/-(?:\d{4}-\d\d-\d\d|\d{4})$/, '');
  const special = SPECIAL.find(([, names]) => names.test(undated))?.[0];
  return special ?? findKnownModel(name)?.operation ?? (isChatName(name) ? 'chat.completions' : undefined);
}

function isChatName(name: string): boolean {
  const openai = OPENAI_NAME.exec(name)?.[0];
  if (openai !== undefined) return areKnown(name.slice(openai.length).split(/[-:]/).slice(1));
  // `gpt-oss` is written by some with its vendor, and others' names in upper and lower case.
  const plain = name.toLowerCase().replace(VENDOR, '');
  if (plain.startsWith('gpt-')) return /^gpt-oss(?:-\d+b)?$/.test(plain);
  const [first = '', ...rest] = plain.split(/[-:_.]/);
  const stem = /^[a-z]+/.exec(first)?.[0] ?? '';
  const version = first.slice(stem.length);
  return FAMILIES.has(stem) && areKnown(version === '' ? rest : [version, ...rest]);
}

function areKnown(pieces: readonly string[]): boolean {
  return pieces.every((piece) => WORDS.has(piece) || (NUMBER.test(piece) && !/^[4-9]\d$/.test(piece)));
}
