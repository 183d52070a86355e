import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';
import { type FinishReason, readFinishReason } from '../chat/answer.js';
import { saidCalls, saidPictures, saidWords, unknownWords } from '../chat/said-words.js';
import { objectsAmong } from '../members.js';
import { responsesUsage } from '../usage.js';
import { type EndedResponse, failureEvents, type ResponseFailure, responsesEvent } from './events.js';
import {
  completedAt,
  endingOf,
  inProgressResponse,
  isSilent,
  messageIn,
  queuedResponse,
  type ResponseHead,
  responseSnapshot,
  usedTier,
} from './object.js';
import { drawn, logProbabilities, urlCitations, withAddresses } from './output.js';
import {
  StreamedCalls,
  type StreamedItem,
  type StreamedMessage,
  type StreamedReasoning,
  type StreamPlace,
  streamedCall,
  streamedMessage,
  streamedPicture,
  streamedReasoning,
} from './stream-items.js';

type LastEvents = readonly (() => string)[];

/**
 * Writes a stream of chat completion chunks as the stream of a response. Thoughts and text are closed when something else
 * begins, as OpenAI does; calls stay open to the end, for the deltas of parallel calls may take turns.
 */
export class TranslatedStream {
  private readonly head: ResponseHead;
  private readonly items: StreamedItem[] = [];
  /** Items that have not had their last event. */
  private readonly open = new Set<StreamedItem>();
  private readonly calls: StreamedCalls;
  private written = '';
  /** The last events, as soon as they are the ones. */
  private last: (() => string)[] | undefined = undefined;
  private sequenceNumber = 0;
  private reasoning: StreamedReasoning | undefined = undefined;
  private message: StreamedMessage | undefined = undefined;
  private finishReason: FinishReason | undefined = undefined;
  /** The usage that the chunks told. */
  usage: Json | undefined = undefined;
  private serviceTier: Json | undefined = undefined;
  /** The number of the one choice; some servers begin at another than 0. */
  private index: Json | undefined = undefined;
  /** Words in members that nobody knows, should there be no others. */
  private unknown = '';

  constructor(head: ResponseHead) {
    this.head = head;
    this.calls = new StreamedCalls(head.id, (call) => this.addItem(streamedCall(this.nextPlace(), call)));
  }

  /** The first events, to be written before all others. */
  encodeStart(): string {
    const { head } = this;
    const { background } = head.request;
    const queued = queuedResponse(head);
    this.emit('response.created', { response: background ? queued : inProgressResponse(head) });
    if (background) this.emit('response.queued', { response: queued });
    this.emit('response.in_progress', { response: inProgressResponse(head) });
    return this.flush();
  }

  /** Takes a chunk. Returns its events, perhaps none. Keeps the whole answer: the caller must bound it. */
  encodeChunk(chunk: JsonObject): string {
    this.usage = isJsonObject(chunk.usage) ? chunk.usage : this.usage;
    this.serviceTier = chunk.service_tier ?? this.serviceTier;
    for (const choice of objectsAmong(chunk.choices)) {
      this.index ??= choice.index ?? 0;
      if ((choice.index ?? 0) !== this.index) continue;
      this.finishReason = readFinishReason(choice.finish_reason) ?? this.finishReason;
      if (isJsonObject(choice.delta)) this.encodeDelta(choice.delta, choice.logprobs);
      // Some servers say all at once, in place of deltas.
      else if (this.items.length === 0) this.encodeDelta(messageIn(choice), choice.logprobs);
    }
    return this.flush();
  }

  /**
   * Takes the end of a complete stream.
   * @param usage usage of the chat completion; `undefined`: the usage that the chunks told. @param nowMs Unix time.
   */
  encodeEnd(usage: JsonObject | undefined, nowMs: number): EndedResponse {
    const { events, response } = this.endEvents(usage, nowMs);
    return { text: events.map((write) => write()).join(''), response };
  }

  /** The same, with each of the last events yet to be written: the whole text stands in several of them. */
  endEvents(usage: JsonObject | undefined, nowMs: number): Pick<EndedResponse, 'response'> & { events: LastEvents } {
    const events: (() => string)[] = [];
    this.last = events;
    const { items } = this;
    this.calls.beginUnnamed();
    const ending = endingOf(this.finishReason);
    if (isSilent(items, ending)) this.begunMessage().addText(this.unknown, []);
    const isCut = (item: StreamedItem): boolean => ending.status === 'incomplete' && item === items.at(-1);
    const response = responseSnapshot(this.head, {
      ...ending,
      output: items.map((item) => item.itemBody(isCut(item) ? 'incomplete' : 'completed')),
      usage: responsesUsage(usage ?? this.usage),
      serviceTier: usedTier(this.serviceTier),
      ...completedAt(ending, nowMs),
    });
    for (const item of [...this.open]) this.closeItem(item, isCut(item) ? 'incomplete' : 'completed');
    this.emit(`response.${ending.status}`, { response });
    return { events, response };
  }

  /** Takes the end of a stream that broke off. */
  encodeFailure(failure: ResponseFailure): EndedResponse {
    const output = this.items.map((item) => item.itemBody(this.open.has(item) ? 'incomplete' : 'completed'));
    const soFar = responseSnapshot(this.head, { status: 'in_progress', output });
    const { text, response } = failureEvents(this.sequenceNumber, soFar, failure);
    return { text: this.flush() + text, response };
  }

  private encodeDelta(delta: JsonObject, logprobs: Json | undefined): void {
    const { text: words, thoughts, refusal } = saidWords(delta);
    const pictures = saidPictures(delta);
    const text = withAddresses(words, pictures);
    if (thoughts !== '') {
      this.reasoning ??= this.addItem(streamedReasoning(this.nextPlace(), this.head.thoughts));
      this.reasoning.addThought(thoughts);
    }
    const probabilities = typeof delta.content === 'string' ? logProbabilities(logprobs) : [];
    if (text !== '' || probabilities.length > 0) this.begunMessage().addText(text, probabilities);
    const citations = urlCitations(delta.annotations);
    if (citations.length > 0) this.begunMessage().addAnnotations(citations);
    if (refusal !== '') this.begunMessage().addRefusal(refusal);
    for (const picture of drawn(pictures)) {
      this.closeItem(this.addItem(streamedPicture(this.nextPlace(), picture)), 'completed');
    }
    const calls = saidCalls(delta);
    for (const call of calls) this.calls.addCallDelta(call);
    if (this.items.length === 0) this.unknown += unknownWords(delta);
  }

  private begunMessage(): StreamedMessage {
    this.message ??= this.addItem(streamedMessage(this.nextPlace()));
    return this.message;
  }

  /** The place of the next item. Closes the thoughts or the message before it. */
  private nextPlace(): StreamPlace {
    for (const item of [this.reasoning, this.message]) if (item !== undefined) this.closeItem(item, 'completed');
    this.reasoning = undefined;
    this.message = undefined;
    return {
      responseId: this.head.id,
      outputIndex: this.items.length,
      emit: (type, members) => this.emit(type, members),
    };
  }

  private addItem<Item extends StreamedItem>(item: Item): Item {
    this.items.push(item);
    this.open.add(item);
    return item;
  }

  private closeItem(item: StreamedItem, status: 'completed' | 'incomplete'): void {
    if (this.open.delete(item)) item.closeItem(status);
  }

  private emit(type: string, members: JsonObject): void {
    const { sequenceNumber, last } = this;
    this.sequenceNumber += 1;
    if (last === undefined) this.written += responsesEvent(type, sequenceNumber, members);
    else last.push(() => responsesEvent(type, sequenceNumber, members));
  }

  /** The text written since the last flush. */
  private flush(): string {
    const text = this.written;
    this.written = '';
    return text;
  }
}
