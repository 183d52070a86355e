import { sse } from '../../helpers/chat-answers.js';
import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import type { Member, Vendor } from '../vendor.js';

/** The proxy's own words at the end of each error. */
const NOTE = "\n\nLiteLLM: model group 'house' failed with the error above. No fallback was attempted.";

/** LiteLLM's proxy, as its streams and errors stand on the wire. */
export const liteLlm: Vendor = {
  name: 'LiteLLM',
  sources: [
    'LiteLLM 1.108.7 itself, as test/vendors/lite-llm-proxy.test.ts installs it: chunks, usage, errors and their words, with the bytes',
    'https://docs.litellm.ai/docs/exception_mapping (litellm.BadRequestError, code as a text)',
  ],
  ceilings: ['max_completion_tokens', 'max_tokens'],
  reasoningTokens: 9,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  whole: (said) => openAiWhole(said, { usage: openAiUsage, thoughts: 'reasoning_content' }),
  events: (said) => {
    const events = openAiEvents(said, { thoughts: 'reasoning_content', streamUsage: 'none', done: false, write });
    const last = {
      id: 'chatcmpl-1',
      object: 'chat.completion.chunk',
      created: 1_790_000_000,
      model: said.model,
      choices: [{ index: 0, delta: {} }],
      usage: { ...openAiUsage(said.billed), cost: 0.001 },
    };
    return [...events, ...(said.asksUsage ? [sse(last)] : []), 'data: [DONE]\n\n'];
  },
  badTemperature: {
    status: 400,
    body: {
      error: {
        message: `litellm.BadRequestError: OpenAIException - temperature must be at most 1.5${NOTE}`,
        type: 'invalid_request_error',
        param: 'temperature',
        code: '400',
      },
    },
    words: /temperature must be at most 1.5/,
  },
  tooMany: {
    status: 429,
    body: {
      error: {
        message: `litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached${NOTE}`,
        type: 'throttling_error',
        param: null,
        code: '429',
      },
    },
  },
};

/** Chunks have no finish reason before the last. */
function write(chunk: Member): string {
  const text = JSON.stringify(chunk);
  return `data: ${text.replace(',"finish_reason":null', '')}\n\n`;
}
