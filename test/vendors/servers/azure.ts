import { sse } from '../../helpers/chat-answers.js';
import { openAiEvents, openAiWhole } from '../open-ai-shape.js';
import { openAiRefusal, type Vendor } from '../vendor.js';

const SAFE = { hate: { filtered: false, severity: 'safe' } };

/** Azure OpenAI, at an API version from before `max_completion_tokens`. */
export const azure: Vendor = {
  name: 'Azure',
  sources: [
    'https://learn.microsoft.com/azure/ai-services/openai/reference (content_filter_results, prompt_filter_results)',
    'https://github.com/openai/openai-python/issues/1724 (Unrecognized request argument supplied: max_completion_tokens, with the bytes)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: (body) => {
    if (!('max_completion_tokens' in body)) return undefined;
    return openAiRefusal(400, { message: 'Unrecognized request argument supplied: max_completion_tokens' });
  },
  whole: (said) =>
    openAiWhole(said, { also: { prompt_filter_results: [{ prompt_index: 0, content_filter_results: SAFE }] } }),
  // The first chunk has no choices, but the filter's verdict on the prompt.
  events: (said) => [
    sse({
      id: '',
      object: '',
      created: 0,
      model: '',
      choices: [],
      prompt_filter_results: [{ prompt_index: 0, content_filter_results: SAFE }],
    }),
    ...openAiEvents(said),
  ],
  badTemperature: {
    ...openAiRefusal(400, { message: "1.97 is greater than the maximum of 1.5 - 'temperature'", param: null }),
    words: /greater than the maximum of 1.5/,
  },
  // No `type`, and a code that is a text of a number. Source: Azure's throttling answers, as in its documentation of quotas.
  tooMany: {
    status: 429,
    headers: { 'retry-after': '7' },
    body: {
      error: {
        code: '429',
        message: 'Requests to the ChatCompletions_Create Operation have exceeded call rate limit.',
      },
    },
  },
};
