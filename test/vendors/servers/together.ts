import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import { openAiRefusal, type Vendor } from '../vendor.js';

/** Together, whose words about the context are those of the server behind it. */
export const together: Vendor = {
  name: 'Together',
  sources: [
    'https://docs.together.ai/reference/chat-completions (max_tokens)',
    'https://github.com/stanford-crfm/helm/issues/2080 (the words about inputs and max_new_tokens)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  tooLong: (prompt, ceiling, context) =>
    openAiRefusal(422, {
      message: `Input validation error: \`inputs\` tokens + \`max_new_tokens\` must be <= ${context + 1}. Given: ${prompt} \`inputs\` tokens and ${ceiling} \`max_new_tokens\``,
    }),
  whole: (said) => openAiWhole(said, { usage: openAiUsage }),
  events: (said) => openAiEvents(said, { streamUsage: 'with-finish' }),
  badTemperature: {
    ...openAiRefusal(400, { message: 'temperature must be between 0 and 1.5, was 1.97', param: 'temperature' }),
    words: /between 0 and 1.5/,
  },
  tooMany: openAiRefusal(429, {
    message:
      'You have reached the rate limit specific to this model house. The maximum rate limit is 60 queries per minute.',
    type: 'model_rate_limit',
  }),
};
