import { isJsonObject, type Json } from '../../base/json.js';
import { type JsonDocument, memberValue, replaceMembers } from '../../base/json-document.js';
import { mayTellUsage, NOTHING_TOLD, shownUsage } from '../shown-usage.js';
import type { WatchOptions } from '../watched-stream.js';
import { isFinished, readFinishReason } from './answer.js';
import { LEGACY_OBJECT, legacyChoices } from './legacy-choices.js';

/** The `object` of a chat's chunk. */
export const CHAT_CHUNK = 'chat.completion.chunk';

/** One event in latin1, its data, and the JSON that the data is. */
export interface ReadEvent {
  readonly event: string;
  readonly data: string;
  readonly document: JsonDocument;
}

/**
 * The event as the client may see it, in latin1. Usage that the client did not ask for and the upstream's name of the
 * model are hidden; all else stays as it came.
 */
export function visibleEvent(
  { event, data, document }: ReadEvent,
  { hideUsage, showModel, isLegacy = false }: Pick<WatchOptions, 'hideUsage' | 'showModel' | 'isLegacy'>,
): string {
  const namesUsage = data.includes('"usage"');
  const { changed, leftOut } =
    namesUsage || mayTellUsage(document.members)
      ? shownUsage(
          (name) => document.members.has(name),
          (name) => (name === 'choices' && !namesUsage ? undefined : memberValue(document, name)),
          hideUsage,
        )
      : NOTHING_TOLD;
  const changes: { [name: string]: Json } = { ...changed };
  if (showModel !== undefined && document.members.has('model')) changes.model = showModel;
  const choices = withKnownReasons(changes.choices ?? choicesOfReasons(document, data));
  if (choices !== undefined) changes.choices = choices;
  if (isLegacy) {
    const texts = legacyChoices(changes.choices ?? memberValue(document, 'choices'));
    if (texts !== undefined) changes.choices = texts;
    if (memberValue(document, 'object') === CHAT_CHUNK) changes.object = LEGACY_OBJECT;
  }
  const hidden = hasNullError(document) ? [...leftOut, 'error'] : leftOut;
  if (hidden.length > 0 || Object.keys(changes).length > 0) {
    return sseText(replaceMembers(document, changes, ...hidden).toString('latin1'));
  }
  // After an `id:` or `retry:` line openai-python fails at the next blank line: only the data is passed on.
  return event.startsWith('data:') && !/[\r\n](?:id|retry|event):/.test(event) ? event : sseText(data);
}

/** Whether the event has an `error` of null, which makes the SDKs for Go and Java throw. */
function hasNullError(document: JsonDocument): boolean {
  return document.members.has('error') && memberValue(document, 'error') === null;
}

/** The choices, where one of them may have a finish reason of another vendor. */
function choicesOfReasons(document: JsonDocument, data: string): Json | undefined {
  const span = document.members.get('choices');
  // As a rule there is none in all of the event.
  if (span === undefined || !mayHaveReason(data)) return undefined;
  const text = document.bytes.toString('latin1', span.start, span.end);
  return mayHaveReason(text) ? memberValue(document, 'choices') : undefined;
}

/** Whether a finish reason is told. A name may be written with escapes. */
function mayHaveReason(text: string): boolean {
  return /"finish_reason"\s*:\s*"/.test(text) || text.includes('\\u00');
}

/** The choices with each finish reason as OpenAI calls it; `undefined` where they have no other. */
export function withKnownReasons(choices: Json | undefined): readonly Json[] | undefined {
  if (!Array.isArray(choices)) return undefined;
  let isChanged = false;
  const known = choices.map((choice: Json) => {
    if (!isJsonObject(choice) || typeof choice.finish_reason !== 'string') return choice;
    const reason = isFinished(choice) ? (readFinishReason(choice.finish_reason) ?? choice.finish_reason) : null;
    if (reason === choice.finish_reason) return choice;
    isChanged = true;
    return { ...choice, finish_reason: reason };
  });
  return isChanged ? known : undefined;
}

function sseText(json: string): string {
  return `data: ${json}\n\n`;
}
