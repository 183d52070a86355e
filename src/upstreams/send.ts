import { GatewayError, upstreamError } from '../errors.js';
import { isJsonObject, type JsonObject } from '../json.js';
import { editedBody } from '../json-document.js';
import { orAborted } from './abortable.js';
import { type BegunAnswer, beginStream, type ChatSend, readWhole, renamedError } from './answer.js';
import type { Upstream, UpstreamReply } from './upstream.js';

/** Sends chat completions. The only place that asks an upstream twice: without the field of ours that it refused. */
export type SendChat = (send: ChatSend) => Promise<Sent>;

/** An answer and how often an upstream was asked for it. */
export interface Sent {
  readonly answer: BegunAnswer;
  readonly attempts: number;
}

/** Fields of ours that an upstream refused, for one model; past this many the memory starts afresh. */
const MAX_REFUSALS = 1_000;

/** What we add to a client's body of our own accord, and an upstream may not know. */
type Added = 'stream_options' | 'max_completion_tokens' | 'max_tokens';

export function chatSender(): SendChat {
  const refusals = new WeakMap<Upstream, Set<string>>();

  return async function sendChat(send) {
    const refused = refusals.get(send.upstream) ?? new Set();
    refusals.set(send.upstream, refused);
    let ceiling = send.outputCeiling;
    for (let attempts = 1; ; attempts += 1) {
      const added = additions({ ...send, outputCeiling: ceiling }, refused);
      try {
        return { answer: await attempt(send, added), attempts };
      } catch (error) {
        if (ceiling !== undefined && exceedsContext(error) && send.chat.maxOutputTokens === undefined) {
          // Prompt and our ceiling together were too much; the prompt alone may fit.
          ceiling = undefined;
          continue;
        }
        const blamed = blamedAddition(error, added);
        if (blamed === undefined) throw error;
        if (refused.size >= MAX_REFUSALS) refused.clear();
        refused.add(`${send.upstreamModel} ${blamed}`);
      }
    }
  };
}

/**
 * The fields to add: `include_usage` to know what a stream cost, and the reserved ceiling, in its new or its old name.
 * Without them the upstream's answer is estimated, and bounded by the upstream alone.
 */
function additions({ chat, outputCeiling, upstreamModel }: ChatSend, refused: ReadonlySet<string>): Added[] {
  const accepts = (name: Added): boolean => !refused.has(`${upstreamModel} ${name}`);
  const ceilings: Added[] = ['max_completion_tokens', 'max_tokens'];
  const ceiling =
    outputCeiling === undefined || chat.maxOutputTokens !== undefined ? undefined : ceilings.find(accepts);
  return [
    ...(chat.stream && !chat.includeUsage && accepts('stream_options') ? (['stream_options'] as const) : []),
    ...(ceiling === undefined ? [] : [ceiling]),
  ];
}

/** Which of our additions a refusal is about, so that the client is not told off for a field it never sent. */
function blamedAddition(error: unknown, added: readonly Added[]): Added | undefined {
  if (!(error instanceof GatewayError) || (error.status !== 400 && error.status !== 422)) return undefined;
  return added.find((name) => error.param?.startsWith(name) === true || error.message.includes(name));
}

async function attempt(send: ChatSend, added: readonly Added[]): Promise<BegunAnswer> {
  const body = editedBody(send.document, changesOf(send, added));
  const reply = await ask(send, body);
  return send.chat.stream ? beginStream(send, reply, added.includes('stream_options')) : readWhole(send, reply);
}

/** What the upstream gets differently from what the client sent. */
function changesOf({ document, chat, upstreamModel, outputCeiling }: ChatSend, added: readonly Added[]): JsonObject {
  const options = document.value.stream_options;
  const values = {
    stream_options: { ...(isJsonObject(options) ? options : {}), include_usage: true },
    max_completion_tokens: outputCeiling,
    max_tokens: outputCeiling,
  };
  return {
    ...(upstreamModel === chat.model ? {} : { model: upstreamModel }),
    ...Object.fromEntries(added.map((name) => [name, values[name]])),
  };
}

async function ask({ upstream, call, upstreamModel, chat }: ChatSend, body: JsonObject): Promise<UpstreamReply> {
  try {
    return await orAborted(upstream.send({ ...call, body }), call.signal);
  } catch (error) {
    if (call.signal.aborted) throw call.signal.reason;
    if (!(error instanceof GatewayError)) throw upstreamError('The upstream failed.', error);
    throw renamedError(error, upstreamModel, chat.model);
  }
}

function exceedsContext(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'context_length_exceeded';
}
