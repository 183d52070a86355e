import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import type { Refusal, Vendor } from '../vendor.js';

/** An error as vLLM writes it. Source: vllm/entrypoints/openai/protocol.py `ErrorResponse`; vllm-project/vllm issue 4667 with the bytes. */
function badRequest(message: string, status = 400, type = 'BadRequestError'): Refusal {
  return { status, body: { object: 'error', message, type, param: null, code: status } };
}

/** A vLLM server. */
export const vllm: Vendor = {
  name: 'vLLM',
  sources: [
    'https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html',
    'https://github.com/vllm-project/vllm/issues/20409 (prompt and completion beyond the context)',
    'https://github.com/ogx-ai/ogx/issues/4534 (the same, with the bytes)',
  ],
  ceilings: ['max_completion_tokens', 'max_tokens'],
  reasoningTokens: 14,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  tooLong: (prompt, ceiling, context) =>
    badRequest(
      `'max_tokens' or 'max_completion_tokens' is too large: ${ceiling}. This model's maximum context length is ${context} tokens and your request has ${prompt} input tokens (${ceiling} > ${context} - ${prompt}).`,
    ),
  whole: (said) => openAiWhole(said, { usage: openAiUsage, thoughts: 'reasoning_content' }),
  events: (said) => openAiEvents(said, { thoughts: 'reasoning_content' }),
  badTemperature: {
    ...badRequest('temperature must be in [0, 1.5], got 1.97.0.'),
    words: /temperature must be in \[0, 1.5\]/,
  },
  tooMany: badRequest('The server is handling too many requests.', 429, 'TooManyRequests'),
};
