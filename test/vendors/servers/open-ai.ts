import { openAiEvents, openAiWhole } from '../open-ai-shape.js';
import { openAiRefusal, type Vendor } from '../vendor.js';

/** OpenAI's own API, as a reasoning model answers. */
export const openAi: Vendor = {
  name: 'OpenAI',
  sources: [
    'shared recordings of api.openai.com',
    'https://platform.openai.com/docs/api-reference/chat (max_completion_tokens; max_tokens deprecated)',
    'https://github.com/ITSpecialist111/ai_automation_suggester/issues/38 (unsupported_parameter for max_tokens, with the bytes)',
  ],
  ceilings: ['max_completion_tokens'],
  reasoningTokens: 15,
  ceilingCountsThoughts: true,
  refuse: (body) => {
    if (!('max_tokens' in body)) return undefined;
    const message =
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    return openAiRefusal(400, { message, param: 'max_tokens', code: 'unsupported_parameter' });
  },
  whole: (said) => openAiWhole(said, { also: { service_tier: 'default' } }),
  events: (said) => openAiEvents(said, { also: { service_tier: 'default', obfuscation: 'aBcDeF' } }),
  badTemperature: {
    ...openAiRefusal(400, {
      message: "Invalid 'temperature': decimal above maximum value. Expected a value <= 1.5, but got 1.97 instead.",
      param: 'temperature',
      code: 'decimal_above_max_value',
    }),
    words: /decimal above maximum value/,
  },
  tooMany: openAiRefusal(429, {
    message:
      'Rate limit reached for house in organization org-1a2b3cQ7 on requests per min (RPM): Limit 3, Used 3, Requested 1.',
    type: 'requests',
    code: 'rate_limit_exceeded',
  }),
};
