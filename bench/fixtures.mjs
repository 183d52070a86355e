/** The bytes every party of the benchmark agrees on: what is asked, what the upstream answers, what a client must see. */

/** The secret of the nth key. All are of one length, so that one can be written over another. */
export const secretOf = (nth) => `bench-secret-${String(nth).padStart(10, '0')}`;
export const model = 'gpt-4o-mini';

const answeredModel = 'gpt-4o-mini-2024-07-18';
const words =
  'the gateway reads a request checks who is asking counts what it may cost and passes every byte on as it came '.split(
    ' ',
  );

/** Deterministic prose of about `bytes` bytes, with the escapes and non-ASCII letters real prompts have. */
function prose(bytes, seed) {
  const parts = [];
  for (let length = 0, i = seed; length < bytes; i += 1) {
    const word = i % 17 === 0 ? '"naïve café"\n' : (words[(i * 7 + seed) % words.length] ?? '');
    parts.push(word);
    length += word.length + 1;
  }
  return parts.join(' ').slice(0, bytes);
}

function messages(bytes, seed) {
  const turns = bytes > 10_000 ? 20 : 3;
  const turn = Math.floor(bytes / (turns + 1));
  const list = [{ role: 'system', content: prose(turn, seed) }];
  for (let i = 0; i < turns; i += 1) {
    list.push({ role: i % 2 === 0 ? 'user' : 'assistant', content: prose(turn, seed + i + 1) });
  }
  return list;
}

/** Eight different request bodies of about `bytes` bytes, so that nothing can profit from seeing the same one again. */
export function requestBodies(bytes, extra = {}) {
  return Array.from({ length: 8 }, (_, seed) =>
    JSON.stringify({ model, messages: messages(bytes - 240, seed), temperature: 0.7, max_tokens: 400, ...extra }),
  );
}

const completion = {
  id: 'chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT',
  object: 'chat.completion',
  created: 1_760_000_000,
  model: answeredModel,
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: prose(480, 3), refusal: null, annotations: [] },
      logprobs: null,
      finish_reason: 'stop',
    },
  ],
  usage: {
    prompt_tokens: 231,
    completion_tokens: 104,
    total_tokens: 335,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: 0,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  },
  service_tier: 'default',
  system_fingerprint: 'fp_44added55e',
};

/** The whole answer the upstream gives, about 1.1 KB. */
export const completionText = JSON.stringify(completion);

const token = (i) => `${i === 0 ? '' : ' '}${words[i % words.length] || 'so'}`;

/** The text a client must be able to put together from a stream of `tokens` content chunks. */
export function streamedText(tokens) {
  return Array.from({ length: tokens }, (_, i) => token(i)).join('');
}

/** The `data:` events of one stream, in order, without the final `[DONE]`. */
export function streamEvents(tokens, includeUsage) {
  const base = {
    id: completion.id,
    object: 'chat.completion.chunk',
    created: completion.created,
    model: answeredModel,
    service_tier: 'default',
    system_fingerprint: completion.system_fingerprint,
  };
  const usage = includeUsage ? { usage: null } : {};
  const chunk = (delta, finish) =>
    `data: ${JSON.stringify({ ...base, choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }], ...usage })}\n\n`;
  const events = [chunk({ role: 'assistant', content: '', refusal: null }, null)];
  for (let i = 0; i < tokens; i += 1) events.push(chunk({ content: token(i) }, null));
  events.push(chunk({}, 'stop'));
  if (includeUsage) events.push(`data: ${JSON.stringify({ ...base, choices: [], usage: completion.usage })}\n\n`);
  return events;
}

export const doneEvent = 'data: [DONE]\n\n';
