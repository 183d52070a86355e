import { openAiEvents, openAiUsage, openAiWhole } from '../open-ai-shape.js';
import { type Refusal, unknownNames, type Vendor } from '../vendor.js';

const KNOWN = new Set(
  `model messages temperature top_p max_tokens stream stop random_seed metadata response_format tools tool_choice presence_penalty
   frequency_penalty n prediction parallel_tool_calls prompt_mode reasoning_effort guardrails safe_prompt`.split(/\s+/),
);

/** Pydantic's words for members that the server's model has not. Source: editor-code-assistant/eca issues 231 and 315, with the bytes. */
function extraForbidden(names: readonly string[]): Refusal {
  const detail = names.map((name) => ({
    type: 'extra_forbidden',
    loc: ['body', name],
    msg: 'Extra inputs are not permitted',
    input: 1,
  }));
  return {
    status: 422,
    body: { object: 'error', message: { detail }, type: 'invalid_request_error', param: null, code: null },
  };
}

/** Mistral's own API. */
export const mistral: Vendor = {
  name: 'Mistral',
  sources: [
    'https://docs.mistral.ai/api/ (chat completion: max_tokens, random_seed; no stream_options)',
    'https://github.com/editor-code-assistant/eca/issues/315 (422 with the bytes)',
    'https://github.com/Gitlawb/openclaude/issues/739 (the same refusal with detail at the top)',
  ],
  ceilings: ['max_tokens'],
  reasoningTokens: 0,
  ceilingCountsThoughts: true,
  refuse: (body) => {
    const unknown = unknownNames(body, KNOWN);
    return unknown.length === 0 ? undefined : extraForbidden(unknown);
  },
  whole: (said) => openAiWhole(said, { usage: plainUsage }),
  // The last chunk of a stream bears usage without being asked. Source: docs.mistral.ai, streaming.
  events: (said) => openAiEvents(said, { usage: plainUsage, streamUsage: 'with-finish' }),
  badTemperature: {
    status: 422,
    body: {
      object: 'error',
      message: {
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
      type: 'invalid_request_error',
      param: null,
      code: null,
    },
    words: /temperature: Input should be less than or equal to 1\.5/,
  },
  tooMany: {
    status: 429,
    body: { object: 'error', message: 'Rate limit exceeded', type: 'rate_limited', param: null, code: '1300' },
  },
};

function plainUsage(billed: Parameters<typeof openAiUsage>[0]): Record<string, unknown> {
  const { prompt_tokens, completion_tokens, total_tokens } = openAiUsage(billed);
  return { prompt_tokens, completion_tokens, total_tokens };
}
