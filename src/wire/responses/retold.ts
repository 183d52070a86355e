import type { Json, JsonObject } from '../../base/json.js';
import { objectsAmong } from '../members.js';
import { responsesEvent } from './events.js';

/** Names of a part's events, and the member that bears its text. */
interface PartEvents {
  readonly part: string;
  readonly text: string;
  readonly member: 'text' | 'refusal';
}

const CONTENT = 'response.content_part';
const PART_EVENTS: ReadonlyMap<Json | undefined, PartEvents> = new Map<Json | undefined, PartEvents>([
  ['output_text', { part: CONTENT, text: 'response.output_text', member: 'text' }],
  ['reasoning_text', { part: CONTENT, text: 'response.reasoning_text', member: 'text' }],
  ['refusal', { part: CONTENT, text: 'response.refusal', member: 'refusal' }],
  [
    'summary_text',
    { part: 'response.reasoning_summary_part', text: 'response.reasoning_summary_text', member: 'text' },
  ],
]);
const CALL_EVENTS: ReadonlyMap<Json | undefined, readonly [events: string, member: string]> = new Map<
  Json | undefined,
  readonly [string, string]
>([
  ['function_call', ['response.function_call_arguments', 'arguments']],
  ['custom_tool_call', ['response.custom_tool_call_input', 'input']],
]);

/** The events of a stream that would end with this response, each text in one piece. */
export function retoldEvents(response: JsonObject): readonly string[] {
  const events: string[] = [];
  const emit = (type: string, members: JsonObject): void => {
    events.push(responsesEvent(type, events.length, members));
  };
  const begun = { ...response, status: 'in_progress', output: [], usage: null, completed_at: null, error: null };
  emit('response.created', { response: begun });
  emit('response.in_progress', { response: begun });
  for (const [output_index, item] of objectsAmong(response.output).entries()) {
    emit('response.output_item.added', { output_index, item: emptied(item) });
    retellCall(item, output_index, emit);
    for (const list of ['content', 'summary']) {
      for (const [index, part] of objectsAmong(item[list]).entries()) {
        const place = list === 'summary' ? { summary_index: index } : { content_index: index };
        retellPart(part, { item_id: item.id ?? '', output_index, ...place }, emit);
      }
    }
    emit('response.output_item.done', { output_index, item });
  }
  const { status } = response;
  emit(`response.${status === 'completed' || status === 'failed' ? status : 'incomplete'}`, { response });
  return events;
}

function emptied(item: JsonObject): JsonObject {
  const blanks: readonly (readonly [string, Json])[] = [
    ...['content', 'summary'].map((name) => [name, []] as const),
    ...['arguments', 'input'].map((name) => [name, ''] as const),
    ['result', null],
  ];
  return { ...item, status: 'in_progress', ...Object.fromEntries(blanks.filter(([name]) => item[name] !== undefined)) };
}

function retellCall(item: JsonObject, output_index: number, emit: (type: string, members: JsonObject) => void): void {
  const at = { item_id: item.id ?? '', output_index };
  if (item.type === 'image_generation_call') {
    for (const step of ['in_progress', 'completed']) emit(`response.${item.type}.${step}`, at);
  }
  const [events, member] = CALL_EVENTS.get(item.type) ?? [];
  if (events === undefined || member === undefined) return;
  const text = item[member] ?? '';
  emit(`${events}.delta`, { ...at, delta: text });
  emit(`${events}.done`, { ...at, [member]: text, ...(member === 'arguments' ? { name: item.name ?? '' } : {}) });
}

function retellPart(part: JsonObject, at: JsonObject, emit: (type: string, members: JsonObject) => void): void {
  const events = PART_EVENTS.get(part.type);
  if (events === undefined) return;
  const { member } = events;
  const text = part[member] ?? '';
  const more = part.type === 'output_text' ? { logprobs: part.logprobs ?? [] } : {};
  const blank = { ...part, [member]: '', ...(part.annotations === undefined ? {} : { annotations: [], logprobs: [] }) };
  emit(`${events.part}.added`, { ...at, part: blank });
  emit(`${events.text}.delta`, { ...at, delta: text, ...more });
  for (const [annotation_index, annotation] of objectsAmong(part.annotations).entries()) {
    emit('response.output_text.annotation.added', { ...at, annotation_index, annotation });
  }
  emit(`${events.text}.done`, { ...at, [member]: text, ...more });
  emit(`${events.part}.done`, { ...at, part });
}

/** Whether nothing more will become of a response. One without a status counts as done: nobody could tell when it were. */
export function isEnded({ status }: JsonObject): boolean {
  return status !== 'queued' && status !== 'in_progress';
}
