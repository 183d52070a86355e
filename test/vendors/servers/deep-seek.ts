import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import { type Billed, type Member, openAiRefusal, type Vendor } from '../vendor.js';

/** Usage with the cache's hits and misses beside the prompt. Source: api-docs.deepseek.com, create chat completion. */
function usage(billed: Billed): Member {
  return { ...openAiUsage(billed), prompt_cache_hit_tokens: 0, prompt_cache_miss_tokens: billed.inputTokens };
}

/** DeepSeek, which takes any name of a ceiling and obeys one. */
export const deepSeek: Vendor = {
  name: 'DeepSeek',
  sources: [
    'https://api-docs.deepseek.com/api/create-chat-completion (max_tokens, reasoning_content, prompt_cache_hit_tokens)',
    'https://github.com/musistudio/claude-code-router/issues/895 (prompt and ceiling beyond the context, with the bytes)',
    'https://github.com/Gitlawb/openclaude/issues/35 (Invalid max_tokens value, with the bytes)',
    'https://api-docs.deepseek.com/quick_start/rate_limit (blank lines and `: keep-alive` while a request waits)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 12,
  ceilingCountsThoughts: true,
  refuse: (body) => {
    const format = body.response_format;
    const isSchema = typeof format === 'object' && format !== null && 'type' in format && format.type === 'json_schema';
    if (!isSchema) return undefined;
    const message = 'This response_format type is unavailable now';
    return openAiRefusal(400, { message, code: 'invalid_request_error' });
  },
  tooLong: (prompt, ceiling, context) =>
    openAiRefusal(400, {
      message: `This model's maximum context length is ${context} tokens. However, you requested ${prompt + ceiling} tokens (${prompt} in the messages, ${ceiling} in the completion). Please reduce the length of the messages or completion.`,
      code: 'invalid_request_error',
    }),
  whole: (said) => openAiWhole(said, { usage, thoughts: 'reasoning_content' }),
  events: (said) => [': keep-alive\n\n', ...openAiEvents(said, { usage, thoughts: 'reasoning_content' })],
  refusesSchema: /This response_format type is unavailable now/,
  badTemperature: {
    ...openAiRefusal(400, {
      message: 'Invalid temperature value, the valid range of temperature is [0, 1.5]',
      code: 'invalid_request_error',
    }),
    words: /the valid range of temperature is \[0, 1.5\]/,
  },
  tooMany: openAiRefusal(429, { message: 'Rate limit reached', type: 'rate_limit_error', code: 'rate_limit_error' }),
};
