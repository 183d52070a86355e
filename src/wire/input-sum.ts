import { estimateTokens } from './estimate.js';
import { MEDIA, type MediumTokens } from './media.js';

/** Input tokens of a request, as far as they can be told from the outside. */
export interface InputEstimate {
  /** At the usual rates: for limits by the minute. */
  readonly tokens: number;
  /** The most that they can come to: for money. */
  readonly mostTokens: number;
}

/**
 * Most tokens that a text may have for each estimated one: tokenizers never make more of a byte than a token, and runes,
 * random letters or rare scripts come near to that.
 */
const MOST_PER_ESTIMATED_TOKEN = 3;

/** Bytes that stand for a token which was given as a number, or for another value that is no text. */
export const BYTES_PER_VALUE = 3;
/** Tokens that OpenAI adds to each message. */
const TOKENS_PER_MESSAGE = 4;
/** Tokens that OpenAI adds to prime the answer. */
const TOKENS_PER_REPLY = 3;

/** Members that are read value by value; all others count by the bytes in which they are written. */
export const READ: ReadonlySet<string> = new Set(['messages', 'input', 'prompt', 'instructions']);
const MAX_SETTING_BYTES = 64;
/** Members that no model reads, as long as they are short. */
export const SETTINGS: ReadonlySet<string> = new Set(
  `model stream stream_options n best_of max_tokens max_completion_tokens max_output_tokens temperature top_p top_k min_p seed
   stop user store background metadata service_tier parallel_tool_calls tool_choice function_call logprobs top_logprobs
   logit_bias presence_penalty frequency_penalty reasoning_effort reasoning verbosity modalities audio encoding_format
   dimensions echo include truncation previous_response_id conversation max_tool_calls safety_identifier prompt_cache_key
   prompt_cache_retention text speed`.split(/\s+/),
);
/** Members whose names are no news to a model. */
export const KNOWN_NAMES: ReadonlySet<string> = new Set(
  `${[...READ].join(' ')} tools functions response_format role content type input_audio file source output summary text image_url url detail name refusal tool_calls
   function_call`.split(/\s+/),
);
/** Roles and types that the tokens of each message pay for. */
export const KNOWN_WORDS: ReadonlySet<string> = new Set(
  `system developer user assistant tool function message text input_text output_text refusal ${[...MEDIA.keys()].join(' ')}`.split(
    /\s+/,
  ),
);

/** Lists and objects that a message has: itself, its content and a few parts. */
const CONTAINERS_PER_ITEM = 4;
const FEW_ITEMS = 4;

/** The sums of one pass, over a tree or over its bytes. Texts are counted in bytes, and become tokens at the end. */
export class InputSum implements InputEstimate {
  bytes: number;
  /** Members, lists and objects of the tree at hand, and the bytes of its texts and names, whatever they cost. */
  members = 0;
  containers = 0;
  seenBytes = 0;
  /** Tokens around messages. */
  private framing = 0;
  private mediaTokens = 0;
  private mostMediaTokens = 0;

  constructor(unparsedBytes = 0) {
    this.bytes = unparsedBytes;
  }

  get tokens(): number {
    return this.framing + estimateTokens(this.bytes) + this.mediaTokens;
  }

  get mostTokens(): number {
    return MOST_PER_ESTIMATED_TOKEN * (this.framing + estimateTokens(this.bytes)) + this.mostMediaTokens;
  }

  beginTree(): void {
    this.members = 0;
    this.containers = 0;
    this.seenBytes = 0;
  }

  /** @param items of the tree, where it is a list. */
  endTree(items: number, areMessages: boolean): void {
    if (areMessages) this.framing += TOKENS_PER_REPLY + TOKENS_PER_MESSAGE * items;
    // Brackets are text, too, where a model is shown the JSON of something.
    this.bytes += BYTES_PER_VALUE * Math.max(0, this.containers - CONTAINERS_PER_ITEM * (items + FEW_ITEMS));
  }

  /** Adds a member by the bytes that it takes. */
  addWritten(name: string, size: number, isSetting = SETTINGS.has(name)): void {
    if (size <= MAX_SETTING_BYTES && isSetting) return;
    this.bytes += size + (isSetting || KNOWN_NAMES.has(name) ? 0 : name.length);
  }

  /** Adds a name in the tree at hand. */
  addName(size: number, isKnown: boolean): void {
    this.members += 1;
    this.seenBytes += size;
    if (!isKnown) this.bytes += size;
  }

  /** Adds a value that is no text. */
  addValue(): void {
    this.bytes += BYTES_PER_VALUE;
  }

  addText(size: number): void {
    this.bytes += size;
    this.seenBytes += size;
  }

  addMedium({ tokens, mostTokens }: MediumTokens): void {
    this.mediaTokens += tokens;
    this.mostMediaTokens += mostTokens;
  }
}
