import { sse } from '../../helpers/chat-answers.js';
import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import type { Vendor } from '../vendor.js';

/** LiteLLM's proxy, as its streams and errors stand on the wire. */
export const liteLlm: Vendor = {
  name: 'LiteLLM',
  sources: [
    'https://docs.litellm.ai/docs/exception_mapping (litellm.BadRequestError, code as a text)',
    'https://github.com/BerriAI/litellm (litellm/main.py, stream_chunk_builder: usage on a chunk whose delta says nothing)',
  ],
  ceilings: ['max_completion_tokens', 'max_tokens'],
  reasoningTokens: 9,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  whole: (said) => openAiWhole(said, { usage: openAiUsage, thoughts: 'reasoning_content' }),
  events: (said) => {
    const events = openAiEvents(said, { thoughts: 'reasoning_content', streamUsage: 'none', done: false });
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
        message: 'litellm.BadRequestError: OpenAIException - temperature must be at most 1.5',
        type: null,
        param: null,
        code: '400',
      },
    },
    words: /temperature must be at most 1.5/,
  },
  tooMany: {
    status: 429,
    body: { error: { message: 'Max parallel request limit reached', type: 'None', param: 'None', code: '429' } },
  },
};
