import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import { openAiRefusal, unknownNames, type Vendor } from '../vendor.js';

const KNOWN = new Set(
  `model messages max_completion_tokens max_tokens temperature top_p n stream stop seed tools tool_choice response_format user
   parallel_tool_calls reasoning_effort reasoning_format service_tier presence_penalty frequency_penalty`.split(/\s+/),
);

/** Groq, which once refused `stream_options` and tells usage under a name of its own. */
export const groq: Vendor = {
  name: 'Groq',
  sources: [
    'https://console.groq.com/docs/api-reference (max_completion_tokens, service_tier)',
    "https://github.com/vercel/ai/pull/1578 (400: property 'stream_options' is unsupported, with the bytes)",
    'https://github.com/vercel/ai/issues/1651 (x_groq.usage in the last chunk, with the bytes)',
  ],
  ceilings: ['max_completion_tokens', 'max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: (body) => {
    const [unknown] = unknownNames(body, KNOWN);
    if (unknown === undefined) return undefined;
    const body400 = { error: { message: `property '${unknown}' is unsupported`, type: 'invalid_request_error' } };
    return { status: 400, body: body400 };
  },
  whole: (said) => openAiWhole(said, { also: { x_groq: { id: 'req_1' } } }),
  events: (said) =>
    openAiEvents(said, {
      streamUsage: 'with-finish',
      place: (usage) => ({ x_groq: { id: 'req_1', usage: { queue_time: 0.07, ...usage, total_time: 0.02 } } }),
      usage: openAiUsage,
    }),
  badTemperature: {
    ...openAiRefusal(400, { message: "'temperature' : number must be at most 1.5" }),
    words: /number must be at most 1.5/,
  },
  tooMany: openAiRefusal(429, {
    message:
      'Rate limit reached for model `house` in organization `org_1a2b3cq7w8` service tier `on_demand` on tokens per minute (TPM): Limit 6000, Used 6000, Requested 12. Please try again in 1s.',
    type: 'tokens',
    code: 'rate_limit_exceeded',
  }),
};
