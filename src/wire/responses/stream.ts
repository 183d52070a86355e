import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { type FinishReason, readFinishReason } from '../chat/answer.js';
import { type EndedResponse, failureEvents, type ResponseFailure, responsesEvent } from './failure.js';
import {
  completedAt,
  endingOf,
  inProgressResponse,
  isSilent,
  queuedResponse,
  type ResponseHead,
  responseSnapshot,
  usedTier,
} from './object.js';
import { logProbabilities, urlCitations } from './output.js';
import { type StreamedCalls, streamedCalls } from './stream-calls.js';
import {
  type StreamedItem,
  type StreamedMessage,
  type StreamedReasoning,
  streamedMessage,
  streamedReasoning,
} from './stream-items.js';
import { responsesUsage } from './usage.js';

/** Writes a stream of chat completion chunks as the stream of a response. */
export interface ResponsesEvents {
  /** The first events. To be written before all others. */
  start(): string;
  /** Takes a chunk; gives the events it makes, perhaps none. Holds the whole answer: bounding it is the caller's. */
  take(chunk: JsonObject): string;
  /**
   * Takes the end of a complete stream.
   * @param usage of the chat completion. `undefined`: what the chunks said. @param nowMs Unix time.
   */
  end(usage: JsonObject | undefined, nowMs: number): EndedResponse;
  /** Takes the end of a stream that broke off. */
  fail(failure: ResponseFailure): EndedResponse;
}

/**
 * The encoder of one stream. Thoughts and text are closed when something else begins, as OpenAI does; calls stay open to
 * the end, for the deltas of parallel calls may take turns.
 */
export function responsesEvents(head: ResponseHead): ResponsesEvents {
  const items: StreamedItem[] = [];
  /** Those that have not had their last event. */
  const open = new Set<StreamedItem>();
  const calls: StreamedCalls = streamedCalls(head.id, place, added);
  let written = '';
  let sequenceNumber = 0;
  let reasoning: StreamedReasoning | undefined;
  let message: StreamedMessage | undefined;
  let finishReason: FinishReason | undefined;
  let usage: Json | undefined;
  let serviceTier: Json | undefined;

  function emit(type: string, members: JsonObject): void {
    written += responsesEvent(type, sequenceNumber, members);
    sequenceNumber += 1;
  }

  /** All that was written since the last time. */
  function flush(): string {
    const text = written;
    written = '';
    return text;
  }

  /** The place of the next item: what else was being said is over. */
  function place(): Parameters<typeof streamedMessage>[0] {
    for (const item of [reasoning, message]) if (item !== undefined) close(item, 'completed');
    reasoning = undefined;
    message = undefined;
    return { responseId: head.id, outputIndex: items.length, emit };
  }

  function added<Item extends StreamedItem>(item: Item): Item {
    items.push(item);
    open.add(item);
    return item;
  }

  function close(item: StreamedItem, status: 'completed' | 'incomplete'): void {
    if (open.delete(item)) item.close(status);
  }

  function takeDelta(delta: JsonObject, logprobs: Json | undefined): void {
    const { reasoning_content, content, annotations, refusal, tool_calls } = delta;
    if (typeof reasoning_content === 'string' && reasoning_content !== '') {
      reasoning ??= added(streamedReasoning(place()));
      reasoning.add(reasoning_content);
    }
    const probabilities = typeof content === 'string' ? logProbabilities(logprobs) : [];
    if (typeof content === 'string' && (content !== '' || probabilities.length > 0)) {
      messageOf().addText(content, probabilities);
    }
    const citations = urlCitations(annotations);
    if (citations.length > 0) messageOf().addAnnotations(citations);
    if (typeof refusal === 'string' && refusal !== '') messageOf().addRefusal(refusal);
    for (const call of Array.isArray(tool_calls) ? tool_calls : []) if (isJsonObject(call)) calls.take(call);
  }

  function messageOf(): StreamedMessage {
    message ??= added(streamedMessage(place()));
    return message;
  }

  /** The items as they are, in `status` where they have not ended. */
  const output = (status: 'completed' | 'incomplete'): readonly JsonObject[] =>
    items.map((item) => item.item(open.has(item) ? status : 'completed'));

  return {
    start() {
      const { background } = head.request;
      const queued = queuedResponse(head);
      emit('response.created', { response: background ? queued : inProgressResponse(head) });
      if (background) emit('response.queued', { response: queued });
      emit('response.in_progress', { response: inProgressResponse(head) });
      return flush();
    },
    take(chunk) {
      usage = isJsonObject(chunk.usage) ? chunk.usage : usage;
      serviceTier = chunk.service_tier ?? serviceTier;
      for (const choice of Array.isArray(chunk.choices) ? chunk.choices : []) {
        if (!isJsonObject(choice) || (choice.index ?? 0) !== 0) continue;
        finishReason = readFinishReason(choice.finish_reason) ?? finishReason;
        if (isJsonObject(choice.delta)) takeDelta(choice.delta, choice.logprobs);
      }
      return flush();
    },
    end(given, nowMs) {
      calls.takeEnd();
      const ending = endingOf(finishReason);
      if (isSilent(items, ending)) messageOf().addText('', []);
      const isCut = (item: StreamedItem): boolean => ending.status === 'incomplete' && item === items.at(-1);
      const response = responseSnapshot(head, {
        ...ending,
        output: items.map((item) => item.item(isCut(item) ? 'incomplete' : 'completed')),
        usage: responsesUsage(given ?? usage),
        serviceTier: usedTier(serviceTier),
        ...completedAt(ending, nowMs),
      });
      for (const item of [...open]) close(item, isCut(item) ? 'incomplete' : 'completed');
      emit(`response.${ending.status}`, { response });
      return { text: flush(), response };
    },
    fail(failure) {
      const soFar = responseSnapshot(head, { status: 'in_progress', output: output('incomplete') });
      const { text, response } = failureEvents(sequenceNumber, soFar, failure);
      return { text: flush() + text, response };
    },
  };
}
