import { findKnownModel } from '../../models/known-models.js';

/** What the demo knows of a model it plays. */
export interface DemoModel {
  readonly contextLength: number;
  /** `undefined`: bounded by the context alone. */
  readonly maxOutputTokens: number | undefined;
  /** Thinks before it answers, and names its ceiling `max_completion_tokens` only. */
  readonly reasoning: boolean;
  /** `undefined`: not known; images are taken. */
  readonly vision: boolean | undefined;
  readonly encoding: 'o200k_base' | 'cl100k_base';
}

const DEFAULT_CONTEXT_LENGTH = 128_000;
/** Tokens in the windows of families whose members are not all known by name. The first that fits counts. */
const WINDOWS: readonly (readonly [RegExp, number])[] = [
  [/^gpt-3\.5-turbo/, 16_385],
  [/^gpt-4-32k/, 32_768],
  [/^gpt-4(?:-\d{4})?$/, 8_192],
  [/^gpt-4\.1/, 1_047_576],
  [/^gpt-[56]/, 400_000],
  [/^(?:o\d|claude)/i, 200_000],
  [/^gemini/i, 1_048_576],
];
const OPENAI_BASE =
  'gpt-(?:3\\.5-turbo|4|4o|4\\.1|4\\.5|5(?:\\.\\d)?|6(?:\\.\\d)?|oss)|o1|o3|o4-mini|chatgpt-4o|codex-mini|computer-use';
/** What families append to their names: sizes, kinds, dates. Anything else is made up. */
const OPENAI_SUFFIX =
  '(?:turbo|mini|nano|pro|max|codex|chat|latest|preview|instruct|vision|audio|realtime|search|transcribe|deep|research|high|low|sol|astra|terra|\\d{1,3}[bk]|\\d{4}(?:-\\d{2}-\\d{2})?)';
const OPENAI = new RegExp(`^(?:ft:)?(?:${OPENAI_BASE})(?:-${OPENAI_SUFFIX})*(?::[\\w:-]*)?$`);
/** Open weights are written in upper and lower case. */
const OTHERS =
  /^(?:(?:openai|alibaba|meta)-)?(?:claude|gemini|gemma|gpt-oss|llama|mistral|mixtral|ministral|codestral|devstral|magistral|deepseek|qwen|qwq|grok|kimi|glm|minimax|phi|command|nova|nemotron|granite|jamba)(?:[-.:\d][\w.:-]*)?$/i;

/** The model of that id, with or without a vendor such as `deepseek-ai/` before it; `undefined` when it is made up. */
export function findDemoModel(id: string): DemoModel | undefined {
  if (id.length > 256 || !/^(?:\w[\w.-]*\/){0,3}[\w.:-]+$/.test(id)) return undefined;
  const name = id.slice(id.lastIndexOf('/') + 1);
  if (!OPENAI.test(name) && !OTHERS.test(name)) return undefined;
  const known = findKnownModel(name);
  return {
    contextLength: known?.contextLength ?? windowOf(name),
    maxOutputTokens: known?.maxOutputTokens,
    reasoning: /^(?:o\d|gpt-5(?!-chat))/.test(name),
    vision: known?.vision,
    encoding: /^(?:ft:)?gpt-(?:3\.5|4(?![o.]))/.test(name) ? 'cl100k_base' : 'o200k_base',
  };
}

function windowOf(name: string): number {
  const family = name.replace(/^ft:/, '').replace(/:.*$/, '');
  return WINDOWS.find(([pattern]) => pattern.test(family))?.[1] ?? DEFAULT_CONTEXT_LENGTH;
}
