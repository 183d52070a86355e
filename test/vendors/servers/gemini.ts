import { openAiEvents, openAiWhole } from '../open-ai-shape.js';
import { type Billed, type Member, unknownNames, type Vendor } from '../vendor.js';

const KNOWN = new Set(
  `model messages max_tokens max_completion_tokens temperature top_p n stream stream_options stop tools tool_choice response_format
   reasoning_effort user`.split(/\s+/),
);

/** Thoughts are in the total alone. Source: UKGovernmentBEIS/inspect_ai issue 5528 (candidates without thoughts), ai.google.dev/gemini-api/docs/openai. */
function usage({ inputTokens, outputTokens, reasoningTokens }: Billed): Member {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens - reasoningTokens,
    total_tokens: inputTokens + outputTokens,
  };
}

/** A refusal is an array of one object. Source: MinLL/SkyrimNet-GamePlugin issue 77, yym68686/ChatGPT-Telegram-Bot issue 101, with the bytes. */
function invalid(description: string): unknown {
  const details = [{ '@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{ description }] }];
  return [{ error: { code: 400, message: description, status: 'INVALID_ARGUMENT', details } }];
}

/** Gemini's endpoint in OpenAI's shape. */
export const gemini: Vendor = {
  name: 'Gemini',
  sources: [
    'https://ai.google.dev/gemini-api/docs/openai',
    'https://github.com/MinLL/SkyrimNet-GamePlugin/issues/77 (errors are arrays)',
  ],
  ceilings: ['max_completion_tokens', 'max_tokens'],
  reasoningTokens: 25,
  ceilingCountsThoughts: true,
  refuse: (body) => {
    const unknown = unknownNames(body, KNOWN);
    if (unknown.length === 0) return undefined;
    const words = unknown.map((name) => `Invalid JSON payload received. Unknown name "${name}": Cannot find field.`);
    return { status: 400, body: invalid(words.join('\n')) };
  },
  whole: (said) => openAiWhole(said, { usage }),
  events: (said) => openAiEvents(said, { usage, streamUsage: 'every' }),
  badTemperature: {
    status: 400,
    body: invalid(
      'Unable to submit request because it has a temperature value of 1.97 but the supported range is from 0 to 1.5',
    ),
    words: /supported range is from 0 to 1.5/,
  },
  tooMany: {
    status: 429,
    body: [
      {
        error: {
          code: 429,
          message: 'You exceeded your current quota, please check your plan and billing details.',
          status: 'RESOURCE_EXHAUSTED',
        },
      },
    ],
  },
};
