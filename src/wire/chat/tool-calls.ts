import { isJsonObject, type Json, type JsonObject } from '../../base/json.js';

/** Tools that a model may call. A function takes JSON, a custom tool any text. */
export type ToolKind = 'function' | 'custom';

/** A call of a tool in a chat completion, whole or as a delta. */
export interface SaidCall {
  readonly kind: ToolKind;
  readonly id: string;
  readonly name: string;
  /** The arguments of a function, or the input of a custom tool. */
  readonly text: string;
}

const TEXT_OF = { function: 'arguments', custom: 'input' } as const;

/** Reads one of the `tool_calls` of a message or a delta. Texts that it lacks are empty. */
export function readToolCall(call: JsonObject): SaidCall {
  const kind = call.type === 'custom' || isJsonObject(call.custom) ? 'custom' : 'function';
  const named = call[kind];
  const said = isJsonObject(named) ? named : {};
  return { kind, id: stringOf(call.id), name: stringOf(said.name), text: textOf(said[TEXT_OF[kind]]) };
}

/**
 * Sorts the deltas of parallel calls. Some servers number none of them, or all of them 0: then an id that is new, or a name
 * after one was named, begins a call.
 */
export class CallPlaces {
  private readonly calls = new Map<number, { id: string; name: string }>();
  private readonly placesById = new Map<string, number>();
  /** Places of the calls that last had each index, where it is another. */
  private readonly moved = new Map<number, number>();
  private last = -1;
  private free = 0;

  /** The place of the call that a delta belongs to: its index, unless another call has it. */
  placeOf(delta: JsonObject): number {
    const { id, name } = readToolCall(delta);
    const { index } = delta;
    const isNumbered = typeof index === 'number' && Number.isSafeInteger(index) && index >= 0;
    const place = isNumbered ? this.numberedPlace(index, id, name) : this.unnumberedPlace(id, name);
    this.last = place;
    const call = this.calls.get(place);
    if (call === undefined) this.calls.set(place, { id, name });
    else {
      call.id ||= id;
      call.name ||= name;
    }
    if (id !== '') this.placesById.set(id, place);
    this.free = Math.max(this.free, place + 1);
    return place;
  }

  private numberedPlace(index: number, id: string, name: string): number {
    const place = this.moved.get(index) ?? index;
    const call = this.calls.get(place);
    // A new id alone is no new call: some servers make one for each delta.
    const isOther =
      call !== undefined && call.name !== '' && call.id !== '' && id !== '' && name !== '' && call.id !== id;
    if (!isOther) return place;
    this.moved.set(index, this.free);
    return this.free;
  }

  private unnumberedPlace(id: string, name: string): number {
    const last = this.calls.get(this.last);
    if (last === undefined) return this.free;
    if (id !== '') {
      const isOfLast = last.id === '' && (name === '' || last.name === '');
      return this.placesById.get(id) ?? (isOfLast ? this.last : this.free);
    }
    return name !== '' && last.name !== '' ? this.free : this.last;
  }
}

/** A whole call, its members in the order in which OpenAI sends them; with an index, the first delta of one. */
export function toolCallBody({ kind, id, name, text }: SaidCall): JsonObject {
  return { id, type: kind, [kind]: { name, [TEXT_OF[kind]]: text } };
}

/** A later delta of a call, without the id, type and name: accumulators would concatenate or compare those. */
export function laterToolCallBody(kind: ToolKind, text: string): JsonObject {
  return { [kind]: { [TEXT_OF[kind]]: text } };
}

const stringOf = (value: Json | undefined): string => (typeof value === 'string' ? value : '');

/** The text of arguments. Some functions give the value itself where its JSON is due. */
const textOf = (value: Json | undefined): string =>
  typeof value === 'string' || value == null ? (value ?? '') : JSON.stringify(value);
