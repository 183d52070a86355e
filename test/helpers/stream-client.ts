import assert from 'node:assert/strict';
import { createParser } from 'eventsource-parser';
import { within } from './deadline.js';
import { SECRET } from './gateway-options.js';
import { CALL, type Scene } from './scene.js';

/** Asks for a stream; resolves with the head of the answer. `more`: further members of the body. */
export function streamResponse(
  { host }: Scene,
  more: Readonly<Record<string, unknown>> = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  const request = fetch(`${host.baseUrl}/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${SECRET}`, 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ ...CALL, stream: true, ...more }),
  });
  return within(request, 'the head of the answer');
}

/** The whole of a stream's text. */
export async function streamText(scene: Scene, more: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const response = await streamResponse(scene, more);
  return within(response.text(), 'the end of the stream');
}

/** The body's text as it arrives. */
export async function* textsOf(response: Response): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  assert.ok(response.body !== null);
  for await (const bytes of response.body) yield decoder.decode(bytes, { stream: true });
}

/** The data of each event, as a parser that is not ours reads them. */
export function eventsOf(text: string): string[] {
  const events: string[] = [];
  const parser = createParser({ onEvent: (event) => events.push(event.data) });
  parser.feed(text);
  return events;
}

/** The events that are chunks. */
export function chunksOf(events: readonly string[]): Record<string, unknown>[] {
  return events.filter((event) => event !== '[DONE]').map((event) => JSON.parse(event));
}

/** What the model said in all. */
export function textOf(events: readonly string[]): string {
  const chunks = events.filter((event) => event !== '[DONE]').map((event) => JSON.parse(event));
  return chunks.map((chunk) => chunk.choices?.[0]?.delta?.content ?? '').join('');
}

/** The code of the stream's error event, when it ends with one. */
export function errorCodeOf(events: readonly string[]): string | undefined {
  const last = events.at(-1);
  if (last === undefined || last === '[DONE]') return undefined;
  return JSON.parse(last).error?.code;
}

/** What a client sees of these events that did not ask for usage. */
export function withoutUsage(events: readonly string[]): string[] {
  return events.filter((event) => !event.includes('prompt_tokens')).map((event) => event.replace(',"usage":null', ''));
}
