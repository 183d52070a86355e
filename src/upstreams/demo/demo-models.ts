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

/** How the names of a family begin, what may follow in that order and each once, and the tokens in its window. */
type Family = readonly [stem: string, slots: string, contextLength?: number];

const DEFAULT_CONTEXT_LENGTH = 128_000;
/** What the words in capitals below stand for. */
const PIECES: Readonly<Record<string, string>> = {
  /** `2024-08-06`, `20241022`. */
  DAY: '20\\d\\d-[01]\\d-[0-3]\\d|20\\d\\d[01]\\d[0-3]\\d',
  /** `05-20`, `09-2025`. */
  WHEN: '[01]\\d-[0-3]\\d|[01]\\d-20\\d\\d',
  /** `0613` for a day, `2512` for a month. */
  MMDD: '\\d{4}',
  /** `70b`, `1.5b`, `8x7b`, `e4b`. */
  SIZE: '(?:e|\\d{1,2}x)?\\d{1,3}(?:\\.\\d{1,2})?b',
  /** `a22b`, `16e`. */
  EXPERTS: 'a\\d{1,2}b|\\d{1,3}e',
  TUNED: 'instruct|chat|it|base|thinking|reasoning',
  VERSION: 'v\\d(?:\\.\\d)?(?::\\d)?',
  QUANT: 'fp8|fp16|bf16|int4|int8|awq|gptq|gguf|nvfp4|hf|q\\d(?:_0|_k(?:_[sml])?)?',
  /** What routers and runtimes append behind a colon. */
  TAG: 'free|extended|thinking|online|nitro|floor|beta|batch|latest|cloud',
};

/** Names that are written in one way only, and may be fine-tuned. */
const OPENAI: readonly Family[] = [
  ['gpt-3\\.5-turbo', '16k|instruct MMDD', 16_385],
  ['gpt-4-32k', 'MMDD', 32_768],
  ['gpt-4', 'MMDD', 8_192],
  ['gpt-4', 'turbo|MMDD vision preview DAY'],
  ['gpt-4o', 'mini audio|realtime|search|transcribe|tts preview DAY'],
  ['gpt-4\\.1', 'mini|nano DAY', 1_047_576],
  ['gpt-4\\.5-preview', 'DAY'],
  [
    'gpt-[56](?:\\.\\d)?',
    'mini|nano|pro|sol|luna|terra|astra|codex|chat|search|image mini|max|api latest DAY',
    400_000,
  ],
  ['o1', 'mini|pro|preview DAY', 200_000],
  ['o3', 'mini|pro|deep-research high|low DAY', 200_000],
  ['o4-mini', 'deep-research|high|low DAY', 200_000],
  ['chatgpt-4o-latest|gpt-chat-latest|codex-mini-latest|computer-use-preview', 'DAY'],
  ['gpt-(?:audio|realtime)', 'mini DAY'],
];

/** Names that are written in upper and lower case. */
const OTHERS: readonly Family[] = [
  ['gpt-oss', 'safeguard 20b|120b 1:0'],
  ['claude-3(?:[.-][57])?-(?:opus|sonnet|haiku)', 'DAY|latest VERSION', 200_000],
  ['claude-(?:opus|sonnet|haiku|fable)-[45](?:[.-]\\d)?', 'fast DAY|latest VERSION', 200_000],
  ['claude-4-(?:opus|sonnet)|claude-(?:opus|sonnet|haiku|fable)-latest', 'DAY', 200_000],
  ['claude-2(?:\\.[01])?|claude-instant-1(?:\\.[12])?', '', 200_000],
  [
    'gemini-(?:live-)?[1-3](?:\\.\\d)?-(?:pro|flash-lite|flash-8b|flash)',
    'image|live|vision|tts|native-audio|thinking preview|exp image|tts|native-audio dialog 00\\d|MMDD|WHEN|latest',
    1_048_576,
  ],
  ['gemini-(?:pro-vision|pro|flash-lite|flash)', '1\\.5 8b exp|latest', 1_048_576],
  ['gemini-exp|gemini-omni-flash|gemini-2\\.5-computer-use', 'preview MMDD|WHEN', 1_048_576],
  ['gemma(?:-?[2-4]n?)?', 'SIZE EXPERTS it|pt maas QUANT'],
  [
    '(?:meta-)?llama-?v?[2-4](?:[.p_-]\\d)?',
    'scout|maverick|nemotron|sonar|groq|vision nano|super|ultra|small|large SIZE EXPERTS 8192|4096|128k vision|text|tool-use TUNED|versatile|instant|specdec|preview|online turbo|lite|basic QUANT|VERSION',
  ],
  ['llama-guard-?[2-4]', 'SIZE'],
  ['codellama', 'SIZE TUNED|python QUANT'],
  [
    '(?:open-)?mistral',
    'tiny|small|medium|large|nemo|nemotron|saba \\d(?:[.-]\\d)? SIZE TUNED MMDD|latest VERSION QUANT',
  ],
  ['(?:open-)?mixtral', 'SIZE TUNED 32768|VERSION QUANT'],
  ['ministral(?:-3)?', 'SIZE TUNED MMDD|latest'],
  ['codestral|devstral|magistral|pixtral|voxtral', 'mamba|mini|small|medium|large 2 SIZE MMDD|latest'],
  [
    'deepseek[.-](?:chat|reasoner|coder|prover|r1|v[234](?:[.p]\\d)?)',
    'VERSION zero|lite|flash|pro|terminus|speciale|exp|distill-qwen|distill-llama MMDD qwen3 SIZE instruct|base QUANT',
  ],
  [
    'qwen(?:-?[123](?:[.p]\\d)?)?',
    'coder|math|vl|omni|audio|long|next next|max|plus|turbo|flash SIZE EXPERTS TUNED preview|latest MMDD|DAY|WHEN QUANT|VERSION',
  ],
  ['qwq|qvq', '32b|72b|max|plus preview|latest'],
  ['grok-[1-4](?:\\.\\d{1,2}|-1)?', 'mini|vision|heavy|multi-agent fast non-reasoning|reasoning beta|latest|MMDD'],
  ['grok-(?:vision-)?beta|grok-code-fast-1|grok-build-0\\.1', ''],
  ['kimi-k[123](?:[.p]\\d)?', 'instruct|thinking|turbo|code|fast turbo|highspeed MMDD preview'],
  ['kimi-latest|kimi-dev-72b|kimi-vl-a3b-thinking|moonshot-v1-(?:8k|32k|128k|auto)', ''],
  ['glm-[345](?:[.p]\\d)?v?|glm-z1', 'plus|air|airx|flash|flashx|long|turbo|rumination SIZE chat MMDD QUANT'],
  ['minimax-(?:m[123](?:[.p]\\d)?|01|text-01|vl-01)', 'her|highspeed'],
  ['phi-?[1-4](?:\\.5)?', 'mini|small|medium|multimodal|moe|vision 4k|8k|128k SIZE TUNED plus'],
  ['command(?:-a|-r-plus|-r7b|-r|-light)?', 'vision|reasoning|translate WHEN VERSION'],
  ['nova-(?:2-)?(?:micro|lite|pro|premier|sonic)', 'preview DAY VERSION'],
  ['nemotron(?:-[34](?:\\.\\d)?)?', 'nano|super|ultra|mini 3 omni SIZE EXPERTS VERSION vl|TUNED QUANT'],
  ['granite-?[34](?:[.-]\\d)?', 'h|guardian|code|vision|dense|moe micro|tiny|small SIZE TUNED|preview'],
  ['jamba-(?:1[.-][5-7]|instruct|large|mini)', 'large|mini 1\\.[5-7] VERSION'],
];

/** A vendor as some write it into the name itself, and the region before it: `us.anthropic.`, `alibaba-`. */
const VENDOR =
  /^(?:(?:us|eu|jp|au|ca|apac|global)\.)?(?:(?:ai21|amazon|anthropic|cohere|google|meta|mistral|nvidia|openai|qwen)\.|(?:openai|alibaba|zai)-)?/;
const KNOWN = [...OPENAI.map((family) => compiled(family, '')), ...OTHERS.map((family) => compiled(family, 'i'))];

/** The model of that id, with or without a vendor such as `deepseek-ai/` before it; `undefined` when it is made up. */
export function findDemoModel(id: string): DemoModel | undefined {
  if (id.length > 256 || !/^(?:\w[\w.-]*\/){0,3}[\w.:-]+$/.test(id)) return undefined;
  const tuned = /^ft:([^:]+):[\w:-]*$/.exec(id)?.[1];
  const name = tuned ?? id.slice(id.lastIndexOf('/') + 1).replace(VENDOR, '');
  const family = (tuned === undefined ? KNOWN : KNOWN.slice(0, OPENAI.length)).find(({ names }) => names.test(name));
  if (family === undefined) return undefined;
  const known = findKnownModel(name);
  return {
    contextLength: known?.contextLength ?? family.contextLength,
    maxOutputTokens: known?.maxOutputTokens,
    reasoning: /^(?:o\d|gpt-5(?!-chat))/.test(name),
    vision: known?.vision,
    encoding: /^gpt-(?:3\.5|4(?![o.]))/.test(name) ? 'cl100k_base' : 'o200k_base',
  };
}

function compiled([stem, slots, contextLength = DEFAULT_CONTEXT_LENGTH]: Family, flags: string) {
  const source = `${slots} TAG`.trim().replace(/[A-Z]{2,}/g, (piece) => PIECES[piece] ?? piece);
  const optional = source.split(' ').map((slot) => `(?:[:-](?:${slot}))?`);
  return { names: new RegExp(`^(?:${stem})${optional.join('')}$`, flags), contextLength };
}
