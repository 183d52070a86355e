import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import type { Vendor } from '../vendor.js';

/** llama.cpp's server, of the time before it knew `max_completion_tokens`. */
export const llamaCpp: Vendor = {
  name: 'llama.cpp',
  sources: [
    'https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md',
    'https://github.com/ggml-org/llama.cpp/issues/13700 (max_completion_tokens is ignored)',
    'https://github.com/ggml-org/llama.cpp/issues/19774 (exceed_context_size_error, with the bytes)',
  ],
  ceilings: ['max_tokens', 'n_predict'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  whole: (said) =>
    openAiWhole(said, { usage: openAiUsage, also: { timings: { predicted_n: said.billed.outputTokens } } }),
  events: (said) => openAiEvents(said, { also: { system_fingerprint: 'b8064-1a2b3c' } }),
  badTemperature: {
    status: 400,
    body: { error: { code: 400, message: 'temperature must be a number up to 1.5', type: 'invalid_request_error' } },
    words: /temperature must be a number up to 1.5/,
  },
  tooMany: { status: 429, body: { error: { code: 429, message: 'Too many requests', type: 'unavailable_error' } } },
};
