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
const OPENAI = /^(?:ft:)?(?:gpt-(?:3\.5|[4-9](?!\d)|oss\b)|o[134](?![\w])|chatgpt-|codex-)[\w.:-]*$/;
/** Open weights are written in upper and lower case. */
const OTHERS =
  /^(?:(?:openai|alibaba|meta)-)?(?:claude|gemini|gemma|gpt-oss|llama|mistral|mixtral|ministral|codestral|devstral|magistral|deepseek|qwen|qwq|grok|kimi|glm|minimax|phi|command|nova|nemotron|granite|jamba)(?:[-.:\d][\w.:-]*)?$/i;

/** The model of that id, with or without a vendor such as `deepseek-ai/` before it; `undefined` when it is made up. */
export function findDemoModel(id: string): DemoModel | undefined {
  if (id.length > 256 || !/^(?:[\w.-]+\/){0,3}[\w.:-]+$/.test(id)) return undefined;
  const name = id.slice(id.lastIndexOf('/') + 1);
  if (!OPENAI.test(name) && !OTHERS.test(name)) return undefined;
  const known = findKnownModel(name);
  return {
    contextLength: known?.contextLength ?? DEFAULT_CONTEXT_LENGTH,
    maxOutputTokens: known?.maxOutputTokens,
    reasoning: /^(?:o\d|gpt-5(?!-chat))/.test(name),
    vision: known?.vision,
    encoding: /^gpt-(?:3\.5|4(?![o.]))/.test(name) ? 'cl100k_base' : 'o200k_base',
  };
}
