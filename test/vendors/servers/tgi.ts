import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import type { Vendor } from '../vendor.js';

/** Text Generation Inference. */
export const tgi: Vendor = {
  name: 'TGI',
  sources: [
    'https://huggingface.co/docs/text-generation-inference/messages_api',
    'https://github.com/huggingface/text-generation-inference/blob/main/router/src/validation.rs (words about the context)',
    'https://github.com/huggingface/text-generation-inference/blob/main/router/src/lib.rs (ErrorResponse: error, error_type)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  tooLong: (prompt, ceiling, context) => ({
    status: 422,
    body: {
      error: `Input validation error: \`inputs\` tokens + \`max_new_tokens\` must be <= ${context}. Given: ${prompt} \`inputs\` tokens and ${ceiling} \`max_new_tokens\``,
      error_type: 'validation',
    },
  }),
  whole: (said) => openAiWhole(said, { usage: openAiUsage }),
  events: (said) => openAiEvents(said, {}),
  badTemperature: {
    status: 422,
    body: { error: 'Input validation error: `temperature` must be at most 1.5', error_type: 'validation' },
    words: /must be at most 1.5/,
  },
  tooMany: { status: 429, body: { error: 'Model is overloaded', error_type: 'overloaded' } },
};
