import type { JsonObject } from '../../base/json.js';
import type { SaidCall } from '../chat/tool-calls.js';
import {
  type ItemPlace,
  type ItemStatus,
  outputItem,
  outputItemId,
  reasoningPart,
  refusalPart,
  type SaidItem,
  textPart,
} from './output.js';

/** Writes one event. */
type Emit = (type: string, members: JsonObject) => void;

/** Where an item stands, and where its events go. */
export interface StreamPlace extends ItemPlace {
  readonly emit: Emit;
}

/** An item while it is being said. Making one writes its first event. */
export interface StreamedItem {
  readonly kind: SaidItem['kind'];
  /** The item so far. */
  item(status: ItemStatus): JsonObject;
  /** Writes its last events. */
  close(status: ItemStatus): void;
}

export interface StreamedReasoning extends StreamedItem {
  add(text: string): void;
}

export interface StreamedMessage extends StreamedItem {
  /** An empty text makes a part all the same. */
  addText(text: string, logprobs: readonly JsonObject[]): void;
  addRefusal(text: string): void;
  addAnnotations(annotations: readonly JsonObject[]): void;
}

export interface StreamedCall extends StreamedItem {
  add(text: string): void;
}

/** One part of an item's content. */
interface StreamedPart {
  body(): JsonObject;
  close(): void;
}

interface PartPlace {
  readonly emit: Emit;
  /** The members by which each of its events says where it belongs. */
  readonly at: JsonObject;
}

/** Thoughts: one part. */
export function streamedReasoning(place: StreamPlace): StreamedReasoning {
  const parts: StreamedPart[] = [];
  const item = openItem(place, () => ({ kind: 'reasoning', parts: parts.map((part) => part.body()) }), parts);
  const part = streamedText(partPlace(place, item, 0), 'response.reasoning_text', 'text', reasoningPart);
  parts.push(part);
  return { ...item, add: part.add };
}

/** A message: a text, a refusal or both. */
export function streamedMessage(place: StreamPlace): StreamedMessage {
  const parts: StreamedPart[] = [];
  const item = openItem(place, () => ({ kind: 'message', parts: parts.map((part) => part.body()) }), parts);
  let text: ReturnType<typeof streamedOutputText> | undefined;
  let refusal: ReturnType<typeof streamedText> | undefined;

  function textOf(): ReturnType<typeof streamedOutputText> {
    if (text !== undefined) return text;
    const made = streamedOutputText(partPlace(place, item, parts.length));
    parts.push(made);
    text = made;
    return made;
  }

  return {
    ...item,
    addText: (piece, logprobs) => textOf().add(piece, logprobs),
    addAnnotations: (annotations) => textOf().annotate(annotations),
    addRefusal(piece) {
      if (refusal === undefined) {
        refusal = streamedText(partPlace(place, item, parts.length), 'response.refusal', 'refusal', refusalPart);
        parts.push(refusal);
      }
      refusal.add(piece);
    },
  };
}

/** A call of a function or a custom tool. */
export function streamedCall(place: StreamPlace, call: Omit<SaidCall, 'text'>): StreamedCall {
  const pieces: string[] = [];
  const said = (): SaidItem => ({ kind: 'call', call: { ...call, text: pieces.join('') } });
  const at = { item_id: outputItemId(place, said()), output_index: place.outputIndex };
  const isCustom = call.kind === 'custom';
  const events = isCustom ? 'response.custom_tool_call_input' : 'response.function_call_arguments';
  const last: StreamedPart = {
    body: () => ({}),
    close() {
      const text = pieces.join('');
      place.emit(`${events}.done`, {
        ...at,
        ...(isCustom ? { input: text } : { arguments: text, name: call.name }),
      });
    },
  };
  return {
    ...openItem(place, said, [last]),
    add(text) {
      pieces.push(text);
      place.emit(`${events}.delta`, { ...at, delta: text });
    },
  };
}

function openItem(place: StreamPlace, said: () => SaidItem, parts: readonly StreamedPart[]): StreamedItem {
  const { emit, outputIndex } = place;
  const item = (status: ItemStatus): JsonObject => outputItem(place, said(), status);
  emit('response.output_item.added', { output_index: outputIndex, item: item('in_progress') });
  return {
    kind: said().kind,
    item,
    close(status) {
      for (const part of parts) part.close();
      emit('response.output_item.done', { output_index: outputIndex, item: item(status) });
    },
  };
}

function partPlace({ emit, outputIndex }: StreamPlace, { item }: StreamedItem, index: number): PartPlace {
  const { id } = item('in_progress');
  return { emit, at: { item_id: id, output_index: outputIndex, content_index: index } };
}

/** A part of plain text. @param name of the member that says the whole of it at its end. */
function streamedText(
  { emit, at }: PartPlace,
  events: string,
  name: 'text' | 'refusal',
  bodyOf: (text: string) => JsonObject,
): StreamedPart & { add(text: string): void } {
  const pieces: string[] = [];
  const body = (): JsonObject => bodyOf(pieces.join(''));
  emit('response.content_part.added', { ...at, part: body() });
  return {
    body,
    add(text) {
      pieces.push(text);
      emit(`${events}.delta`, { ...at, delta: text });
    },
    close() {
      emit(`${events}.done`, { ...at, [name]: pieces.join('') });
      emit('response.content_part.done', { ...at, part: body() });
    },
  };
}

/** The part with which an answer is given: it has annotations and log probabilities besides. */
function streamedOutputText({ emit, at }: PartPlace): StreamedPart & {
  add(text: string, logprobs: readonly JsonObject[]): void;
  annotate(annotations: readonly JsonObject[]): void;
} {
  const pieces: string[] = [];
  const probabilities: JsonObject[] = [];
  const annotated: JsonObject[] = [];
  const body = (): JsonObject => textPart(pieces.join(''), [...annotated], [...probabilities]);
  emit('response.content_part.added', { ...at, part: body() });
  return {
    body,
    add(text, logprobs) {
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
    close() {
      emit('response.output_text.done', { ...at, text: pieces.join(''), logprobs: [...probabilities] });
      emit('response.content_part.done', { ...at, part: body() });
    },
  };
}
