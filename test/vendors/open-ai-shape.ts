import { sse } from '../helpers/chat-answers.js';
import type { Billed, Member, Said } from './vendor.js';

/** Usage as OpenAI writes it: thoughts are part of the completion. */
export function openAiUsage({ inputTokens, outputTokens, reasoningTokens }: Billed): Member {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: 0, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: reasoningTokens, audio_tokens: 0 },
  };
}

/** Ways in which vendors that follow OpenAI's shape differ from it. */
export interface ShapeOptions {
  readonly usage?: (billed: Billed) => Member;
  /** Name of the member that bears thoughts; absent: thoughts are not shown. */
  readonly thoughts?: string;
  /** Members beside those of each answer or chunk. */
  readonly also?: Member;
  /** Writes one event. @default compact JSON after `data: ` */
  readonly write?: (chunk: Member) => string;
  /**
   * Place of a stream's usage. `asked`: a chunk of its own, without choices, where it was asked for. `with-finish`: on the chunk of the finish
   * reason, asked for or not. `every`: on each chunk, cumulative. `none`.
   */
  readonly streamUsage?: 'asked' | 'with-finish' | 'every' | 'none';
  /** Usage of the last chunk, where its place differs from `usage` (Groq's `x_groq`). */
  readonly place?: (usage: Member) => Member;
  /** @default true */
  readonly done?: boolean;
}

/** A whole chat completion. */
export function openAiWhole(said: Said, { usage = openAiUsage, thoughts, also }: ShapeOptions = {}): Member {
  const call = said.call;
  const message: Member = { role: 'assistant', content: call === undefined ? said.words.join('') : null };
  if (thoughts !== undefined && said.thoughts !== '') message[thoughts] = said.thoughts;
  if (call !== undefined) {
    message.tool_calls = [{ id: call.id, type: 'function', function: { name: call.name, arguments: call.arguments } }];
  }
  return {
    id: 'chatcmpl-1',
    object: 'chat.completion',
    created: 1_790_000_000,
    model: said.model,
    choices: [{ index: 0, message, finish_reason: said.finish, logprobs: null }],
    usage: usage(said.billed),
    ...also,
  };
}

/** The events of a streamed chat completion. */
export function openAiEvents(said: Said, options: ShapeOptions = {}): string[] {
  const { usage = openAiUsage, thoughts, also, write = sse, streamUsage = 'asked', done = true } = options;
  const place = options.place ?? ((counts: Member): Member => ({ usage: counts }));
  const base = {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1_790_000_000,
    model: said.model,
    ...also,
  };
  let written = 0;
  const cumulative = (): Member =>
    streamUsage === 'every'
      ? place(usage({ ...said.billed, outputTokens: said.billed.reasoningTokens + written }))
      : {};
  const chunk = (delta: Member, finish: string | null = null, more: Member = {}): string =>
    write({ ...base, choices: [{ index: 0, delta, finish_reason: finish }], ...more });
  const events = [chunk({ role: 'assistant', content: '' }, null, cumulative())];
  if (thoughts !== undefined && said.thoughts !== '')
    events.push(chunk({ [thoughts]: said.thoughts }, null, cumulative()));
  for (const word of said.words) {
    written += 1;
    events.push(chunk({ content: word }, null, cumulative()));
  }
  const { call } = said;
  if (call !== undefined) {
    const begin = { index: 0, id: call.id, type: 'function', function: { name: call.name, arguments: '' } };
    events.push(chunk({ tool_calls: [begin] }));
    events.push(chunk({ tool_calls: [{ index: 0, function: { arguments: call.arguments } }] }));
  }
  const atFinish = streamUsage === 'with-finish' || streamUsage === 'every';
  events.push(chunk({}, said.finish, atFinish ? place(usage(said.billed)) : {}));
  if (streamUsage === 'asked' && said.asksUsage)
    events.push(write({ ...base, choices: [], ...place(usage(said.billed)) }));
  if (done) events.push('data: [DONE]\n\n');
  return events;
}
