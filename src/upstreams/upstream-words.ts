/**
 * Words by which upstreams say why they refuse a request, in lower case. Data for the rules of `refusal.ts` and `upstream-failure.ts`;
 * the source of each stands beside it, and those with an example were seen in public reports, recordings or the server's own code.
 */

/** A field that the upstream does not know or want, whatever its value: true of the next call, too. */
export const NAME_REFUSED: readonly string[] = [
  'extra_forbidden', // pydantic 2, as Mistral, vLLM and every FastAPI server answer
  'extra inputs are not permitted', // pydantic 2; Anthropic, Fireworks
  'extra fields not permitted', // pydantic 1: `value_error.extra`
  'value_error.extra',
  'unrecognized request argument', // OpenAI, Azure
  'unrecognized parameter',
  'unrecognized field', // Jackson, of Java servers
  'unrecognized key', // zod, of TypeScript servers
  'unknown parameter', // OpenAI
  'unknown_parameter',
  'unknown field', // serde, of TGI and other Rust servers; Go's encoding/json
  'unknown name', // Gemini: `Invalid JSON payload received. Unknown name "x"`
  'unknown argument',
  'unknown property',
  'unknown key',
  'unsupported parameter', // OpenAI: `Unsupported parameter: 'max_tokens' is not supported with this model`
  'unsupported_parameter',
  'unsupported field',
  'unsupported property',
  "' is unsupported", // Groq: `property 'x' is unsupported, did you mean 'y'?`, vercel/ai pull request 1578
  'unexpected keyword argument', // Python: llama-cpp-python, LiteLLM
  'unexpected argument',
  'unexpected property',
  'unexpected field',
  'additional properties are not allowed', // jsonschema
  'additionalproperties', // ajv
  'must not have additional properties', // ajv
  'should not exist', // class-validator, of Nest servers
  'is not a recognized parameter',
  'no such field',
  'argument not supported', // xAI: `Argument not supported on this model: presencePenalty`, in snake or camel case
  'does not support parameter', // xAI: `Model x does not support parameter reasoningEffort`; LiteLLM: `x does not support parameters: ['y']`
  'unsupportedparamserror', // LiteLLM
];

/** Says that prompt and ceiling together are too much, or the prompt alone: true of this call and no other. */
export const ROOM_LACKING: readonly string[] = [
  'context length', // OpenAI, vLLM, OpenRouter, DeepSeek
  'context_length', // OpenAI, Groq, LM Studio: `context_length_exceeded`
  'context window', // LiteLLM `ContextWindowExceededError`; MiniMax: `context window exceeds limit`; llama-cpp-python: `exceed context window of N`
  'context_window', // Z.ai: `model_context_window_exceeded`
  'contextwindow',
  'context size', // llama.cpp: `request (N tokens) exceeds the available context size`; DS4: `the configured context size is N tokens`
  'exceed_context_size', // llama.cpp: `exceed_context_size_error`
  'context limit', // Anthropic: `exceed context limit`
  'context the overflow', // LM Studio, in these words: `Trying to keep the first N tokens when context the overflows`
  'exceeds the context',
  'exceed the context',
  'n_ctx', // llama.cpp
  'max_model_len', // vLLM, SGLang
  'max_total_tokens', // TGI
  'max_seq_len', // TensorRT-LLM, TabbyAPI
  'max_num_tokens', // TensorRT-LLM: `should not exceed max_num_tokens (N)`
  'max_position_embeddings',
  'maximum sequence length',
  'sequence length', // TensorRT-LLM
  'maximum tokens you requested', // Bedrock: `The maximum tokens you requested exceeds the model limit of 4096`
  'input length', // Anthropic: `input length and `max_tokens` exceed context limit: N + M > L`; Alibaba: `Range of input length should be [1, N]`; OpenRouter
  'input is too long', // Bedrock: `Input is too long for requested model.`
  'inputs` tokens + `max_new_tokens`', // TGI, Together: `` `inputs` tokens + `max_new_tokens` must be <= N. Given: … ``
  'inputs` must have less than', // TGI, in router/src/validation.rs
  'token limit', // Moonshot: `Your request exceeded model token limit: N (requested: M)`
  'maximum model length',
  'exceeds max length', // Z.ai: `Prompt exceeds max length`
  'exceeds maximum length',
  '最大长度', // Alibaba, Zhipu: `超出最大长度`
  '超长',
  'input tokens', // vLLM: `your request has N input tokens`
  'prompt tokens',
  'prompt is too long', // Anthropic, Fireworks
  'prompt too long', // Ollama: `prompt too long; exceeded max context length by N tokens`
  'prompt contains', // Mistral: `Prompt contains N tokens, too large for model with M maximum context length`
  'prompt length', // xAI: `maximum prompt length is N but the request contains M tokens`; TensorRT-LLM: `The sum of prompt length (N), …`
  'prompt has', // DS4: `Prompt has N tokens, but the configured context size is M tokens`
  'too large for model', // Mistral
  'requested tokens', // llama-cpp-python: `Requested tokens (N) exceed context window of M`
  'total tokens',
  'total number of tokens', // Cohere: `too many tokens: total number of tokens in the prompt cannot exceed`
  'token count', // Gemini: `The input token count (N) exceeds the maximum number of tokens allowed`
  'too many tokens', // Cohere, Bedrock
  'too many input tokens',
  'reduce the length', // Groq, OpenAI: `Please reduce the length of the messages or completion`
  'reduce your prompt', // OpenAI's old completions: `Please reduce your prompt; or completion length.`
  'decrease input length', // Anthropic
  'kv cache', // MLC, Ollama
  'tokens per minute', // Groq's 413: `Request too large for model … on tokens per minute (TPM): Limit 8000, Requested 8894`
  'request too large', // Groq's 413
];

/** Says that a number is too much (of a ceiling: of what the model can make), not that its name is unknown. */
export const VALUE_REFUSED: readonly string[] = [
  'too large', // OpenAI: `max_tokens is too large: N. This model supports at most M completion tokens`
  'too high',
  'too big',
  'too long',
  'too many',
  'at most', // OpenAI
  'less than or equal', // Groq, pydantic: `Input should be less than or equal to 8192`
  'less_than_equal', // pydantic
  'must be less', // Together
  'must be <=',
  'must be between',
  'valid range', // DeepSeek: `Invalid max_tokens value, the valid range of max_tokens is [1, 8192]`
  'in the range',
  'range of', // DashScope: `Range of max_tokens should be [1, 8192]`
  'out of range',
  'within the range',
  'maximum',
  'exceed', // and `exceeds`, `exceeded`
  'supported range', // Gemini: `The supported range is from 1 (inclusive) to 8193 (exclusive)`
  'greater than', // Perplexity
  'limit of',
  'allowed number of output tokens', // Anthropic
  'length',
  'prompt',
];

/** Other names under which a ceiling is spoken of in refusals of its value. */
export const CEILING_ALIASES: readonly string[] = [
  'max_completion_tokens',
  'max_tokens',
  'max_output_tokens',
  'max_new_tokens', // TGI, Together
  'maxoutputtokens', // Gemini
  'maxcompletiontokens', // xAI names members in camel case, too
  'maxtokens',
  'max_tokens_to_sample', // Anthropic's old API
  'num_predict', // Ollama
  'n_predict', // llama.cpp
];

/**
 * Members of a request by which its client may get more output than the ceiling says: rejected predictions are billed as output
 * (OpenAI, "Predicted Outputs"), and other servers have further names for a ceiling. Such a call proves nothing about a name.
 */
export const CEILING_ESCAPES: readonly string[] = [
  'prediction', // OpenAI
  'best_of', // vLLM
  'use_beam_search', // vLLM
  'min_tokens', // vLLM
  'max_new_tokens', // TGI, SGLang
  'max_length',
  'max_output_tokens',
  'num_predict', // Ollama
  'n_predict', // llama.cpp
  'options', // Ollama's native options
  'extra_body', // LiteLLM passes its members on
  'generation_config', // Gemini
  'generationConfig',
];

/** Codes and types of refusals that no field of ours can have caused. */
export const CERTAINLY_THE_CLIENTS: ReadonlySet<string> = new Set([
  'model_not_found', // OpenAI
  'invalid_image_url', // OpenAI
  'invalid_base64', // OpenAI
  'image_parse_error', // OpenAI
  'content_filter', // Azure
  'content_policy_violation', // OpenAI, Azure
  'moderation_blocked', // OpenAI
  'invalid_prompt', // OpenAI: reasoning models' refusals of a prompt
  'previous_response_not_found', // OpenAI
]);

/** A 403, 421 or 451 that is about the user's own words: OpenRouter's moderation, Azure's filter, Gemini, Alibaba, Zhipu. */
export const PROMPT_REFUSED: readonly string[] = [
  'flagged', // OpenRouter: `x requires moderation on y. Your input was flagged for "z".`
  'guardrail', // OpenRouter, Bedrock
  'moderation', // OpenRouter's metadata, OpenAI
  'content_filter', // Azure
  'content filter',
  'content management policy', // Azure
  'content policy',
  'content_policy',
  'safety', // Gemini, xAI: `Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_…`
  'usage guidelines', // xAI
  'usage policies', // OpenAI
  'usage policy', // Anthropic
  'inappropriate content', // Alibaba: `data_inspection_failed`
  'data_inspection_failed', // Alibaba
  'datainspectionfailed',
  'sensitive', // Zhipu, Moonshot
  'prohibited_content', // Gemini
  'harmful',
  'violates',
];

/** Words about the path that some servers say with a 200: LM Studio. */
export const ROUTE_UNKNOWN_INSIDE = 'unexpected endpoint or method';

/** A 404 that is about the path. */
export const ROUTE_UNKNOWN: readonly string[] = [
  '"not found"', // FastAPI, as vLLM, SGLang and llama-cpp-python: `{"detail":"Not Found"}`
  'page not found', // Go's net/http, as Ollama
  'file not found', // llama.cpp
  'no route', // Kong, as Mistral: `no Route matched with those values`
  'route not found',
  'route post',
  'cannot post', // Express
  'invalid url', // OpenAI
  'unknown url',
  'unknown request url', // Groq: `Unknown request URL: POST /x`
  'unknown endpoint',
  'unexpected endpoint', // LM Studio, with a 404 or a 200: `Unexpected endpoint or method. (POST /x)`
  'endpoint not found',
  'path not found',
  'resource not found', // Azure
  '404 not found', // nginx
  '<html',
  '<!doctype',
];
