import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import { type Billed, type Member, openAiRefusal, type Vendor } from '../vendor.js';

const usage = (billed: Billed): Member => ({
  ...openAiUsage(billed),
  search_context_size: 'low',
  num_search_queries: 1,
});

/** Perplexity: usage and citations on every chunk, no `[DONE]`, no tools. */
export const perplexity: Vendor = {
  name: 'Perplexity',
  sources: [
    'https://docs.perplexity.ai/api-reference/chat-completions-post (max_tokens, citations, search_results)',
    'https://github.com/vercel/ai (packages/perplexity, its recorded chunks: usage on each)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: (body) => {
    if (!Array.isArray(body.tools) || body.tools.length === 0) return undefined;
    return openAiRefusal(400, {
      message: 'Tool calling is not supported for this model',
      code: 400,
      type: 'invalid_parameter',
    });
  },
  refusesTools: /Tool calling is not supported/,
  whole: (said) => openAiWhole(said, { usage, also: { citations: ['https://example.com'] } }),
  events: (said) =>
    openAiEvents(said, { usage, streamUsage: 'every', done: false, also: { citations: ['https://example.com'] } }),
  badTemperature: {
    ...openAiRefusal(400, { message: '["At body -> temperature: ensure this value is less than 1.5"]', code: 400 }),
    words: /ensure this value is less than 1.5/,
  },
  // HTML, as of the proxy in front of it.
  tooMany: { status: 429, body: '<html><head><title>429 Too Many Requests</title></head></html>' },
};
