import type { JsonObject } from '../../base/json.js';
import { type JsonDocument, memberValue, replaceMembers } from '../../base/json-document.js';

/** One event in latin1, its data, and the JSON that the data is. */
export interface ReadEvent {
  readonly event: string;
  readonly data: string;
  readonly document: JsonDocument;
}

/** What of an event the client must not see: usage that it did not ask for, and the upstream's name of the model. */
export interface EventView {
  readonly hideUsage: boolean;
  readonly showModel: string | undefined;
}

/** The event as it is to be shown, in latin1: as it came, where nothing must be hidden. */
export function visibleEvent({ event, data, document }: ReadEvent, { hideUsage, showModel }: EventView): string {
  const changes: JsonObject = showModel !== undefined && document.members.has('model') ? { model: showModel } : {};
  const leftOut = hiddenMembers(document, hideUsage);
  if (leftOut.length > 1) return sseText(withoutMembers(document, changes, leftOut));
  if (leftOut.length > 0 || changes.model !== undefined) {
    return sseText(replaceMembers(document, changes, leftOut[0]).toString('latin1'));
  }
  // Lines such as `id:` break some SDKs (wire.md §2.2): only the data is passed on.
  return event.startsWith('data:') && !/[\r\n](?:id|retry|event):/.test(event) ? event : `data: ${data}\n\n`;
}

/** Who did not ask for usage does not see that somebody did; an error that is none makes two SDKs throw (wire.md §2.2). */
function hiddenMembers(document: JsonDocument, hideUsage: boolean): string[] {
  const names = hideUsage ? ['usage', 'error'] : ['error'];
  return names.filter((name) => document.members.has(name) && memberValue(document, name) === null);
}

/** Rare enough to be written anew, in latin1. */
function withoutMembers({ bytes }: JsonDocument, changes: JsonObject, leftOut: readonly string[]): string {
  const kept = Object.entries({ ...JSON.parse(bytes.toString('utf8')), ...changes }).filter(
    ([name]) => !leftOut.includes(name),
  );
  return Buffer.from(JSON.stringify(Object.fromEntries(kept))).toString('latin1');
}

function sseText(json: string): string {
  return `data: ${json}\n\n`;
}
