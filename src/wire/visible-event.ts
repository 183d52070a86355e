import type { JsonObject } from '../json.js';
import { type JsonDocument, memberValue, replaceMembers } from '../json-document.js';

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
  // Who did not ask for usage does not see that somebody did.
  const unasked = hideUsage && memberValue(document, 'usage') === null ? 'usage' : undefined;
  if (unasked !== undefined || changes.model !== undefined) {
    return `data: ${replaceMembers(document, changes, unasked).toString('latin1')}\n\n`;
  }
  // Lines such as `id:` break some SDKs (wire.md §2.2): only the data is passed on.
  return event.startsWith('data:') && !/[\r\n](?:id|retry|event):/.test(event) ? event : `data: ${data}\n\n`;
}
