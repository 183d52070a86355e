import type { JsonObject } from '../../base/json.js';
import { CallPlaces, readToolCall, type SaidCall, type ToolKind } from '../chat/tool-calls.js';
import {
  type ItemPlace,
  type ItemStatus,
  outputItem,
  outputItemId,
  ownCallId,
  reasoningPart,
  refusalPart,
  type SaidItem,
  summaryPart,
  type ThoughtsForm,
  textPart,
} from './output.js';

/** Writes one event. */
type EmitEvent = (type: string, members: JsonObject) => void;

/** Position of an item, and the function that writes its events. */
export interface StreamPlace extends ItemPlace {
  readonly emit: EmitEvent;
}

/** An item while the model says it. Making one writes its first event. */
export interface StreamedItem {
  readonly kind: SaidItem['kind'];
  /** The item as it is so far. */
  itemBody(status: ItemStatus): JsonObject;
  /** Writes the last events of the item. */
  closeItem(status: ItemStatus): void;
}

/** Thoughts while the model thinks them. */
export interface StreamedReasoning extends StreamedItem {
  addThought(text: string): void;
}

/** A message while the model says it. */
export interface StreamedMessage extends StreamedItem {
  /** Adds text; an empty text makes a part all the same. */
  addText(text: string, logprobs: readonly JsonObject[]): void;
  addRefusal(text: string): void;
  addAnnotations(annotations: readonly JsonObject[]): void;
}

/** A call of a tool while the model writes its arguments or input. */
export interface StreamedCall extends StreamedItem {
  addInput(text: string): void;
}

/** One part of an item's content. */
interface StreamedPart {
  partBody(): JsonObject;
  closePart(): void;
}

/** A part of plain text. */
interface PlainPart extends StreamedPart {
  addPiece(text: string): void;
}

/** The part of a message that gives the answer: it has annotations and log probabilities besides its text. */
interface AnswerPart extends StreamedPart {
  addPiece(text: string, logprobs: readonly JsonObject[]): void;
  annotate(annotations: readonly JsonObject[]): void;
}

interface PartPlace {
  readonly emit: EmitEvent;
  /** The members by which each event of the part tells where it belongs. */
  readonly at: JsonObject;
}

/** Begins an item of thoughts, which has one part. */
export function streamedReasoning(place: StreamPlace, { isSummary, seal }: ThoughtsForm): StreamedReasoning {
  const parts: StreamedPart[] = [];
  const pieces: string[] = [];
  let sealed: string | undefined;
  const item = openItem(
    place,
    (status) => {
      // Once, as no two seals of a text are the same.
      if (status !== 'in_progress') sealed ??= seal?.(pieces.join(''));
      return { kind: 'reasoning', parts: parts.map((part) => part.partBody()), sealed };
    },
    parts,
  );
  const { emit, at } = partPlace(place, item, 0);
  const part = isSummary
    ? plainPart({ emit, at: summaryPlace(at) }, SUMMARY_EVENTS, 'text', summaryPart)
    : plainPart(
        { emit, at },
        { part: 'response.content_part', text: 'response.reasoning_text' },
        'text',
        reasoningPart,
      );
  parts.push(part);
  return {
    ...item,
    addThought(text) {
      pieces.push(text);
      part.addPiece(text);
    },
  };
}

const SUMMARY_EVENTS = { part: 'response.reasoning_summary_part', text: 'response.reasoning_summary_text' };

/** A part of a summary has an index of its own. */
function summaryPlace({ content_index, ...at }: JsonObject): JsonObject {
  return { ...at, summary_index: content_index ?? 0 };
}

/** Begins a message: a text, a refusal or both. */
export function streamedMessage(place: StreamPlace): StreamedMessage {
  const parts: StreamedPart[] = [];
  const item = openItem(place, () => ({ kind: 'message', parts: parts.map((part) => part.partBody()) }), parts);
  let answer: AnswerPart | undefined;
  let refusal: PlainPart | undefined;

  function begunAnswer(): AnswerPart {
    if (answer !== undefined) return answer;
    const made = answerPart(partPlace(place, item, parts.length));
    parts.push(made);
    answer = made;
    return made;
  }

  return {
    ...item,
    addText: (piece, logprobs) => begunAnswer().addPiece(piece, logprobs),
    addAnnotations: (annotations) => begunAnswer().annotate(annotations),
    addRefusal(piece) {
      if (refusal === undefined) {
        const events = { part: 'response.content_part', text: 'response.refusal' };
        refusal = plainPart(partPlace(place, item, parts.length), events, 'refusal', refusalPart);
        parts.push(refusal);
      }
      refusal.addPiece(piece);
    },
  };
}

/** Begins a call of a function or of a custom tool. */
export function streamedCall(place: StreamPlace, call: Omit<SaidCall, 'text'>): StreamedCall {
  const pieces: string[] = [];
  const said = (): SaidItem => ({ kind: 'call', call: { ...call, text: pieces.join('') } });
  const at = { item_id: outputItemId(place, said()), output_index: place.outputIndex };
  const isCustom = call.kind === 'custom';
  const events = isCustom ? 'response.custom_tool_call_input' : 'response.function_call_arguments';
  const last: StreamedPart = {
    partBody: () => ({}),
    closePart() {
      const text = pieces.join('');
      place.emit(`${events}.done`, {
        ...at,
        ...(isCustom ? { input: text } : { arguments: text, name: call.name }),
      });
    },
  };
  return {
    ...openItem(place, said, [last]),
    addInput(text) {
      pieces.push(text);
      place.emit(`${events}.delta`, { ...at, delta: text });
    },
  };
}

/** Begins a picture, which comes in one piece. */
export function streamedPicture(place: StreamPlace, said: Extract<SaidItem, { kind: 'picture' }>): StreamedItem {
  const at = { item_id: outputItemId(place, said), output_index: place.outputIndex };
  const last: StreamedPart = {
    partBody: () => ({}),
    closePart: () => place.emit('response.image_generation_call.completed', at),
  };
  const item = openItem(place, () => said, [last]);
  place.emit('response.image_generation_call.in_progress', at);
  return item;
}

/** One of the parallel calls of a stream. */
interface PendingCall {
  kind: ToolKind;
  id: string;
  name: string;
  /** Text that came before the name. */
  text: string;
  streamed: StreamedCall | undefined;
}

/** Sorts the deltas of a stream's parallel calls. A call cannot become an item before its name is known. */
export class StreamedCalls {
  private readonly responseId: string;
  private readonly addItem: (call: Omit<SaidCall, 'text'>) => StreamedCall;
  private readonly calls = new Map<number, PendingCall>();
  private readonly places = new CallPlaces();

  /** @param addItem begins the item of a call. */
  constructor(responseId: string, addItem: (call: Omit<SaidCall, 'text'>) => StreamedCall) {
    this.responseId = responseId;
    this.addItem = addItem;
  }

  /** Takes one of the `tool_calls` of a delta. */
  addCallDelta(delta: JsonObject): void {
    const index = this.places.placeOf(delta);
    const { kind, id, name, text } = readToolCall(delta);
    const call = this.calls.get(index) ?? { kind, id, name, text: '', streamed: undefined };
    if (!this.calls.has(index)) this.calls.set(index, call);
    if (call.streamed === undefined) {
      if (kind === 'custom') call.kind = kind;
      call.id ||= id;
      call.name ||= name;
      call.text += text;
      if (call.name !== '') this.beginCall(call, [...this.calls.values()].indexOf(call));
    } else if (text !== '') {
      call.streamed.addInput(text);
    }
  }

  /** Takes the end of the stream: calls that were never named become items as they are. */
  beginUnnamed(): void {
    for (const [order, call] of [...this.calls.values()].entries()) {
      if (call.streamed === undefined) this.beginCall(call, order);
    }
  }

  private beginCall(call: PendingCall, order: number): void {
    const { kind, name, text } = call;
    const id = call.id === '' ? ownCallId(this.responseId, order) : call.id;
    call.streamed = this.addItem({ kind, id, name });
    if (text !== '') call.streamed.addInput(text);
    call.text = '';
  }
}

function openItem(
  place: StreamPlace,
  said: (status: ItemStatus) => SaidItem,
  parts: readonly StreamedPart[],
): StreamedItem {
  const { emit, outputIndex } = place;
  const itemBody = (status: ItemStatus): JsonObject => outputItem(place, said(status), status);
  emit('response.output_item.added', { output_index: outputIndex, item: itemBody('in_progress') });
  return {
    kind: said('in_progress').kind,
    itemBody,
    closeItem(status) {
      for (const part of parts) part.closePart();
      emit('response.output_item.done', { output_index: outputIndex, item: itemBody(status) });
    },
  };
}

function partPlace({ emit, outputIndex }: StreamPlace, { itemBody }: StreamedItem, index: number): PartPlace {
  const { id } = itemBody('in_progress');
  return { emit, at: { item_id: id, output_index: outputIndex, content_index: index } };
}

/** Begins a part of plain text. @param name the member of its last event that bears the whole text. */
function plainPart(
  { emit, at }: PartPlace,
  events: { readonly part: string; readonly text: string },
  name: 'text' | 'refusal',
  bodyOf: (text: string) => JsonObject,
): PlainPart {
  const pieces: string[] = [];
  const partBody = (): JsonObject => bodyOf(pieces.join(''));
  emit(`${events.part}.added`, { ...at, part: partBody() });
  return {
    partBody,
    addPiece(text) {
      pieces.push(text);
      emit(`${events.text}.delta`, { ...at, delta: text });
    },
    closePart() {
      emit(`${events.text}.done`, { ...at, [name]: pieces.join('') });
      emit(`${events.part}.done`, { ...at, part: partBody() });
    },
  };
}

function answerPart({ emit, at }: PartPlace): AnswerPart {
  const pieces: string[] = [];
  const probabilities: JsonObject[] = [];
  const annotated: JsonObject[] = [];
  const partBody = (): JsonObject => textPart(pieces.join(''), [...annotated], [...probabilities]);
  emit('response.content_part.added', { ...at, part: partBody() });
  return {
    partBody,
    addPiece(text, logprobs) {
      if (text === '' && logprobs.length === 0) return;
      pieces.push(text);
      probabilities.push(...logprobs);
      emit('response.output_text.delta', { ...at, delta: text, logprobs });
    },
    annotate(annotations) {
      for (const annotation of annotations) {
        const place = { ...at, annotation_index: annotated.length };
        annotated.push(annotation);
        emit('response.output_text.annotation.added', { ...place, annotation });
      }
    },
    closePart() {
      emit('response.output_text.done', { ...at, text: pieces.join(''), logprobs: [...probabilities] });
      emit('response.content_part.done', { ...at, part: partBody() });
    },
  };
}
