import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import type { Vendor } from '../vendor.js';

/** LM Studio, whose errors are texts. */
export const lmStudio: Vendor = {
  name: 'LM Studio',
  sources: [
    'https://lmstudio.ai/docs/developer/openai-compat/chat-completions (supported parameters: max_tokens, no max_completion_tokens)',
    'https://github.com/lmstudio-ai/lmstudio-bug-tracker/issues/2335 (max_tokens, usage, finish reasons)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  whole: (said) => openAiWhole(said, { usage: openAiUsage, also: { stats: {} } }),
  events: (said) => openAiEvents(said, {}),
  badTemperature: { status: 400, body: { error: "'temperature' must be at most 1.5" }, words: /must be at most 1.5/ },
  tooMany: { status: 429, body: { error: 'Too many requests' } },
};
