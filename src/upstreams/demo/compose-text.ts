import { isJsonObject, type JsonObject, shownValue } from '../../base/json.js';
import { imagesOf, textOf } from './message-content.js';
import type { DemoRequest } from './read-request.js';
import { schemaBudget, schemaValue } from './schema/schema-value.js';

/** Longest part of a message that is quoted. */
const MAX_QUOTE_CHARS = 400;
const MAX_QUOTED_RESULTS = 16;
const SAY = /^\s*(?:please\s+)?(?:say|repeat)(?:\s+after\s+me)?\s*:?\s+(\S[\s\S]*?)\s*$/i;

/** Whether tools have just answered, so that it is time for words. */
export function followsToolResults({ messages }: DemoRequest): boolean {
  const role = messages.at(-1)?.role;
  return role === 'tool' || role === 'function';
}

/** The text of choice number `index`, before any ceiling or stop. */
export function composeText(request: DemoRequest, index: number): string {
  switch (request.format.kind) {
    case 'text':
      return proseOf(request, index);
    case 'object':
      return JSON.stringify({ demo: true, message: proseOf(request, index) });
    case 'schema':
      return JSON.stringify(schemaValue(request.format.schema, schemaBudget()));
  }
}

function proseOf(request: DemoRequest, index: number): string {
  const text = followsToolResults(request) ? textOnResults(request) : textOnMessage(request);
  return index === 0 ? text : `${text} (choice ${index + 1})`;
}

function textOnMessage(request: DemoRequest): string {
  const message = request.messages.findLast(({ role }) => role === 'user');
  const said = message === undefined ? '' : textOf(message);
  const asked = SAY.exec(said)?.[1];
  if (asked !== undefined) return unquoted(asked);
  const images = request.messages.reduce((sum, { role, content }) => sum + imagesOf({ role, content }).length, 0);
  return [
    `This is the built-in demo model, answering in place of ${request.modelId}; no real model was asked.`,
    said === '' ? 'Your message had no text.' : `You wrote: "${quoted(said)}"`,
    ...(images === 0 ? [] : [`You gave me ${images === 1 ? '1 image' : `${images} images`}, which I cannot see.`]),
    'Tell me to say something, and I will say exactly that. Configure an upstream to get real answers.',
  ].join(' ');
}

function textOnResults(request: DemoRequest): string {
  const names = new Map<string, string>();
  for (const { tool_calls } of request.messages) {
    for (const call of Array.isArray(tool_calls) ? tool_calls : []) {
      if (!isJsonObject(call)) continue;
      const called = call.type === 'custom' ? call.custom : call.function;
      if (isJsonObject(called)) names.set(shownValue(call.id), shownValue(called.name));
    }
  }
  const start = request.messages.findLastIndex(({ role }) => role !== 'tool' && role !== 'function') + 1;
  const results = request.messages
    .slice(start)
    .map((message) => `${nameOf(message, names)}: ${quoted(textOf(message))}`);
  const more = results.length - MAX_QUOTED_RESULTS;
  return [
    'This is the built-in demo model. The tools answered:',
    results.slice(0, MAX_QUOTED_RESULTS).join('; '),
    ...(more > 0 ? [`and ${more} more`] : []),
  ].join(' ');
}

function nameOf(message: JsonObject, names: ReadonlyMap<string, string>): string {
  if (typeof message.name === 'string') return message.name;
  return names.get(shownValue(message.tool_call_id)) ?? shownValue(message.tool_call_id);
}

function quoted(text: string): string {
  const chars = [...text.slice(0, MAX_QUOTE_CHARS * 2)];
  return chars.length <= MAX_QUOTE_CHARS ? text : `${chars.slice(0, MAX_QUOTE_CHARS).join('')}…`;
}

/** Without the quotes around the whole of it. */
function unquoted(text: string): string {
  const inside = /^(["'`])([^"'`]+)\1$/.exec(text) ?? /^([“«])([^”»]+)[”»]$/.exec(text);
  return inside?.[2] ?? text;
}
