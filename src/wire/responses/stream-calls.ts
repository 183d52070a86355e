import type { JsonObject } from '../../base/json.js';
import { readToolCall, type ToolKind } from '../chat/tool-calls.js';
import { ownCallId } from './output.js';
import { type StreamedCall, type StreamedItem, type StreamPlace, streamedCall } from './stream-items.js';

/** The parallel calls of one stream. */
export interface StreamedCalls {
  /** Takes a delta of `tool_calls`. */
  take(delta: JsonObject): void;
  /** Takes the end of the stream: calls that were never named come out as they are. */
  takeEnd(): void;
}

interface Gathered {
  kind: ToolKind;
  id: string;
  name: string;
  /** What came before the name. */
  text: string;
  streamed: StreamedCall | undefined;
}

/**
 * Sorts the deltas of calls by their index. An item cannot be announced before its name is known.
 * @param place gives the place of the next item. @param added takes the item made there.
 */
export function streamedCalls(
  responseId: string,
  place: () => StreamPlace,
  added: <Item extends StreamedItem>(item: Item) => Item,
): StreamedCalls {
  const calls = new Map<number, Gathered>();

  function announce(call: Gathered, order: number): StreamedCall {
    const { kind, name, text } = call;
    const id = call.id === '' ? ownCallId(responseId, order) : call.id;
    const streamed = added(streamedCall(place(), { kind, id, name }));
    if (text !== '') streamed.add(text);
    call.text = '';
    call.streamed = streamed;
    return streamed;
  }

  return {
    take(delta) {
      const index = typeof delta.index === 'number' ? delta.index : 0;
      const { kind, id, name, text } = readToolCall(delta);
      const call = calls.get(index) ?? { kind, id, name, text: '', streamed: undefined };
      if (!calls.has(index)) calls.set(index, call);
      if (call.streamed === undefined) {
        if (kind === 'custom') call.kind = kind;
        call.id ||= id;
        call.name ||= name;
        call.text += text;
        if (call.name !== '') announce(call, [...calls.values()].indexOf(call));
      } else if (text !== '') {
        call.streamed.add(text);
      }
    },
    takeEnd() {
      for (const [order, call] of [...calls.values()].entries()) if (call.streamed === undefined) announce(call, order);
    },
  };
}
