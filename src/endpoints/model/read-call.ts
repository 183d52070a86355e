import type { JsonObject } from '../../base/json.js';
import type { JsonDocument, JsonOutline } from '../../base/json-document.js';
import type { Call } from '../../call/call.js';
import type { ReadCall } from '../../call/terms.js';
import { parseBody, writeBody } from '../../http/read-body.js';
import { estimateInput } from '../../wire/input-estimate.js';
import type { ModelEndpoint } from '../../wire/model-endpoint.js';
import { hasReferences, PLAIN_NAME } from '../../wire/references.js';
import { duplicateMember } from '../../wire/request-errors.js';

/** Members whose values something depends on here. */
const ACTED_ON = new Set(
  `model stream stream_options n best_of max_tokens max_completion_tokens max_output_tokens store background
   previous_response_id conversation service_tier speed tools tool_choice max_tool_calls prompt
   web_search_options plugins search_parameters enable_search compound_custom`.split(/\s+/),
);

/** Reads the bytes of a request. The object parsed from them is let go here: only the bytes live as long as the call. */
export function readCall(endpoint: ModelEndpoint, bytes: Uint8Array): ReadCall {
  const isResponse = endpoint.operation === 'responses';
  const { document, outline } = parseBody(bytes, isResponse ? 'decoded' : 'as-bytes');
  checkSpelling(document);
  return readDocument(endpoint, document, outline, isResponse || document.members.has('store'));
}

/** Whether a call needs more than its bytes: an ordinary completion is made without waiting for anything. */
export function needsPreparing({ endpoint, document, hasReferences, upstream }: Call): boolean {
  if (endpoint.operation === 'responses' || document.members.has('store')) return true;
  return upstream.forward !== undefined && hasReferences;
}

/** Reads an object of our own that is to be sent. */
export function readObject(endpoint: ModelEndpoint, object: JsonObject): ReadCall {
  const document = writeBody(object);
  return readDocument(endpoint, document, { body: document.object ?? object, isDecoded: true }, false);
}

function readDocument(
  endpoint: ModelEndpoint,
  document: JsonDocument,
  outline: JsonOutline,
  keepsBody: boolean,
): ReadCall {
  const isOfTexts = endpoint.operation !== 'chat.completions' && endpoint.operation !== 'responses';
  const estimate = estimateInput(outline, document);
  return {
    document,
    asks: endpoint.read(outline),
    inputTokens: estimate.tokens,
    mostInputTokens: estimate.mostTokens,
    hasReferences: !isOfTexts && hasReferences(outline.body),
    body: keepsBody && outline.isDecoded ? outline.body : undefined,
  };
}

/** Servers in Go take names in any case, and the last of them: names that the gateway acts on have one spelling only. */
function checkSpelling({ members }: JsonDocument): void {
  for (let member = members.first; member !== undefined; member = member.next) {
    const { name } = member;
    if (PLAIN_NAME.test(name)) continue;
    if (ACTED_ON.has(name.toUpperCase().toLowerCase())) throw duplicateMember(name.slice(0, 64));
  }
}

/** Names of a body's members. */
export function* memberNames({ members }: JsonDocument): Generator<string> {
  for (let member = members.first; member !== undefined; member = member.next) yield member.name;
}
