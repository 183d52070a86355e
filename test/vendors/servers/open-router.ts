import { sse } from '../../helpers/chat-answers.js';
import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import type { Billed, Member, Vendor } from '../vendor.js';

const usage = (billed: Billed): Member => ({ ...openAiUsage(billed), cost: 0.000_51, is_byok: false });

/** OpenRouter, which speaks while a provider waits and puts usage on a chunk with a choice that says nothing. */
export const openRouter: Vendor = {
  name: 'OpenRouter',
  sources: [
    'https://openrouter.ai/docs/api-reference/streaming (`: OPENROUTER PROCESSING`)',
    'https://openrouter.ai/docs/use-cases/usage-accounting (usage in the last message, with cost)',
    'https://openrouter.ai/docs/api-reference/errors (code is the status, metadata)',
  ],
  ceilings: ['max_tokens', 'max_completion_tokens'],
  reasoningTokens: 18,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  whole: (said) => openAiWhole(said, { usage, thoughts: 'reasoning', also: { provider: 'Hidden' } }),
  events: (said) => {
    const events = openAiEvents(said, { usage, thoughts: 'reasoning', streamUsage: 'none', done: false });
    const last = {
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1_790_000_000,
      model: said.model,
      choices: [
        { index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null, native_finish_reason: null },
      ],
      usage: usage(said.billed),
    };
    return [': OPENROUTER PROCESSING\n\n', ...events, sse(last), 'data: [DONE]\n\n'];
  },
  badTemperature: {
    status: 400,
    body: {
      error: {
        message: 'Provider returned error',
        code: 400,
        metadata: { raw: '{"error":{"message":"temperature must be at most 1.5"}}', provider_name: 'Hidden' },
      },
      user_id: 'user_1a2b3c',
    },
    words: /Provider returned error|temperature must be at most 1.5/,
  },
  tooMany: {
    status: 429,
    body: { error: { message: 'Rate limit exceeded: free-models-per-min', code: 429 }, user_id: 'user_1a2b3c' },
  },
};
