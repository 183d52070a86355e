import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import { unknownNames, type Vendor } from '../vendor.js';

const KNOWN = new Set(
  `model messages tools tool_choice max_tokens prompt_truncate_len temperature top_p top_k frequency_penalty presence_penalty n stop
   response_format stream context_length_exceeded_behavior user reasoning_effort`.split(/\s+/),
);

/** Fireworks, strict about names, and silent about the length of prompts: it cuts them. */
export const fireworks: Vendor = {
  name: 'Fireworks',
  sources: [
    'https://docs.fireworks.ai/api-reference/post-chatcompletions (max_tokens, context_length_exceeded_behavior)',
    'https://github.com/FlowiseAI/Flowise/issues/2866 (400: Extra inputs are not permitted, field: stream_options)',
    'https://github.com/web-infra-dev/midscene/issues/1322 (the same words for another name)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: (body) => {
    const [unknown] = unknownNames(body, KNOWN);
    if (unknown === undefined) return undefined;
    const message = `Extra inputs are not permitted, field: '${unknown}', value: 1`;
    return { status: 400, body: { error: { object: 'error', type: 'invalid_request_error', message } } };
  },
  whole: (said) => openAiWhole(said, { usage: openAiUsage }),
  events: (said) => openAiEvents(said, { streamUsage: 'with-finish' }),
  badTemperature: {
    status: 400,
    body: {
      error: {
        object: 'error',
        type: 'invalid_request_error',
        message: "Input should be less than or equal to 1.5, field: 'temperature', value: 1.97",
      },
    },
    words: /less than or equal to 1.5/,
  },
  tooMany: {
    status: 429,
    body: { error: { object: 'error', type: 'rate_limit_exceeded', message: 'rate limit exceeded, account: 1a2b3c' } },
  },
};
