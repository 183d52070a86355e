import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import { type Member, openAiRefusal, type Vendor } from '../vendor.js';

/** Python's `json.dumps`: a blank after each colon and comma outside strings. */
function withBlanks(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(withBlanks).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([name, inner]) => `${JSON.stringify(name)}: ${withBlanks(inner)}`)
    .join(', ')}}`;
}

/** The server of llama-cpp-python: one name for the ceiling, blanks in its JSON, no usage in streams. */
export const llamaCppPython: Vendor = {
  name: 'llama-cpp-python',
  sources: [
    'https://github.com/abetlen/llama-cpp-python/blob/main/llama_cpp/server/types.py (max_tokens; no stream_options)',
    'https://github.com/abetlen/llama-cpp-python/issues/1907 (max_completion_tokens is ignored)',
    'https://github.com/abetlen/llama-cpp-python/blob/main/llama_cpp/server/errors.py (context_length_exceeded)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: () => undefined,
  tooLong: (prompt, ceiling, context) =>
    openAiRefusal(400, {
      message: `This model's maximum context length is ${context} tokens. However, you requested ${prompt + ceiling} tokens (${prompt} in the messages, ${ceiling} in the completion). Please reduce the length of the messages or completion.`,
      param: 'messages',
      code: 'context_length_exceeded',
    }),
  hidesStreamUsage: true,
  whole: (said) => openAiWhole(said, { usage: openAiUsage }),
  events: (said) =>
    openAiEvents(said, { streamUsage: 'none', write: (chunk: Member) => `data: ${withBlanks(chunk)}\r\n\r\n` }),
  badTemperature: {
    status: 422,
    body: {
      detail: [
        {
          type: 'less_than_equal',
          loc: ['body', 'temperature'],
          msg: 'Input should be less than or equal to 1.5',
          input: 1.97,
          ctx: { le: 1.5 },
        },
      ],
    },
    words: /temperature: Input should be less than or equal to 1.5/,
  },
  tooMany: openAiRefusal(429, { message: 'Another request interrupted', type: 'server_error' }),
};
