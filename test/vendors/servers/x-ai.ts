import { openAiEvents, openAiWhole } from '../open-ai-shape.js';
import type { Billed, Member, Vendor } from '../vendor.js';

/**
 * Usage in which thoughts stand beside the completion, and are billed as output. Source: Wei-Shaw/sub2api issue 5771
 * (10120 + 1499 + 2809 = 14428, confirmed by `cost_in_usd_ticks`), UKGovernmentBEIS/inspect_ai issue 5528.
 */
function usage({ inputTokens, outputTokens, reasoningTokens }: Billed): Member {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens - reasoningTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { text_tokens: inputTokens, audio_tokens: 0, image_tokens: 0, cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasoningTokens, audio_tokens: 0 },
    num_sources_used: 0,
  };
}

/** The API of xAI. */
export const xAi: Vendor = {
  name: 'xAI',
  sources: [
    'https://docs.x.ai/docs/api-reference (max_completion_tokens, max_tokens deprecated)',
    'https://github.com/Wei-Shaw/sub2api/issues/5771 (thoughts are not in completion_tokens)',
  ],
  ceilings: ['max_completion_tokens', 'max_tokens'],
  reasoningTokens: 30,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  whole: (said) => openAiWhole(said, { usage, thoughts: 'reasoning_content' }),
  events: (said) => openAiEvents(said, { usage, thoughts: 'reasoning_content' }),
  badTemperature: {
    status: 400,
    // A text in place of an object, beside a code. Source: docs.x.ai, debugging errors.
    body: {
      code: 'Client specified an invalid argument',
      error: 'Invalid request content: temperature must be between 0 and 1.5',
    },
    words: /temperature must be between 0 and 1.5/,
  },
  tooMany: {
    status: 429,
    body: { code: 'Some resource has been exhausted', error: 'Too many requests for team 1a2b3c: 60 per minute' },
  },
};
