import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import { openAiRefusal, type Vendor } from '../vendor.js';

/** Ollama, which knows one name for the ceiling, ignores others, and cuts prompts in silence. */
export const ollama: Vendor = {
  name: 'Ollama',
  sources: [
    'https://github.com/ollama/ollama/blob/main/docs/openai.md (supported request fields: max_tokens, stream_options)',
    'https://github.com/ollama/ollama/blob/main/openai/openai.go (type api_error, reasoning)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 10,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  whole: (said) =>
    openAiWhole(said, { usage: openAiUsage, thoughts: 'reasoning', also: { system_fingerprint: 'fp_ollama' } }),
  events: (said) => openAiEvents(said, { thoughts: 'reasoning', also: { system_fingerprint: 'fp_ollama' } }),
  badTemperature: {
    ...openAiRefusal(400, { message: 'invalid temperature: must be at most 1.5' }),
    words: /invalid temperature/,
  },
  tooMany: openAiRefusal(429, {
    message: 'server busy, please try again. maximum pending requests exceeded',
    type: 'api_error',
  }),
};
