import type { Awaitable } from '../../base/awaitable.js';
import type { JsonObject } from '../../base/json.js';
import {
  type JsonDocument,
  type JsonOutline,
  type JsonResult,
  parseDocument,
  withoutByteOrderMark,
} from '../../base/json-document.js';
import type { JsonBounds, JsonRefusal } from '../../base/json-scan.js';
import { parseInTurns, scanInTurns } from '../../base/json-turns.js';
import { LARGE_BYTES, turn } from '../../base/turns.js';
import type { Call } from '../../call/call.js';
import type { ReadCall } from '../../call/terms.js';
import { readable, unreadableBody, writeBody } from '../../http/read-body.js';
import { namesToolsTwice } from '../../wire/hosted-tools.js';
import { estimateInput } from '../../wire/input-estimate.js';
import type { InputEstimate } from '../../wire/input-sum.js';
import type { ModelEndpoint } from '../../wire/model-endpoint.js';
import { hasReferences, PLAIN_NAME } from '../../wire/references.js';
import { duplicateMember } from '../../wire/request-errors.js';
import { scanRequest } from '../../wire/request-scan.js';
import { countTokenNumbers } from '../../wire/token-numbers.js';

/** Members whose values something depends on here. */
export const ACTED_ON: ReadonlySet<string> = new Set(
  `model stream stream_options n best_of max_tokens max_completion_tokens max_output_tokens store background
   previous_response_id conversation service_tier speed tools tool_choice max_tool_calls prompt
   web_search_options plugins search_parameters enable_search compound_custom`.split(/\s+/),
);

/**
 * Reads the bytes of a request, many of them in turns. The object parsed from them is let go here: only the bytes live as
 * long as the call.
 * @throws {GatewayError} 400, 413
 */
export function readCall(endpoint: ModelEndpoint, bytes: Uint8Array, bounds: JsonBounds): Awaitable<ReadCall> {
  if (bytes.byteLength > LARGE_BYTES) return readLarge(endpoint, bytes, bounds);
  return readScanned(endpoint, bytes, bounds) ?? readParsed(endpoint, bytes, bounds);
}

/** Reads a request of ordinary make; `undefined` for any other, and for one that is needed as an object. */
function readScanned(endpoint: ModelEndpoint, bytes: Uint8Array, bounds: JsonBounds): ReadCall | undefined {
  if (endpoint.operation === 'responses') return undefined;
  const scanned = scanRequest(withoutByteOrderMark(bytes), bounds, ACTED_ON);
  if (scanned === undefined || scanned.document.members.has('store')) return undefined;
  const { document, body, estimate } = scanned;
  return {
    document,
    asks: endpoint.read({ body, isDecoded: true }),
    inputTokens: estimate.tokens,
    mostInputTokens: estimate.mostTokens,
    hasReferences: false,
    body: undefined,
  };
}

/** The same of any request, by parsing all of it. */
export function readParsed(endpoint: ModelEndpoint, bytes: Uint8Array, bounds: JsonBounds): Awaitable<ReadCall> {
  const isResponse = endpoint.operation === 'responses';
  const result = parseDocument(bytes, bounds, isResponse ? 'decoded' : 'as-bytes');
  if (isTooMuch(result) && isOfTexts(endpoint)) return readNumbers(endpoint, bytes, { bounds, refusal: result });
  const { document, outline } = readable(result, bounds);
  checkSpelling(document);
  return readDocument(endpoint, document, outline, isResponse || document.members.has('store'));
}

async function readLarge(endpoint: ModelEndpoint, bytes: Uint8Array, bounds: JsonBounds): Promise<ReadCall> {
  const isResponse = endpoint.operation === 'responses';
  const result = await parseInTurns(bytes, bounds, isResponse ? 'decoded' : 'as-bytes');
  if (isTooMuch(result) && isOfTexts(endpoint)) return readNumbers(endpoint, bytes, { bounds, refusal: result });
  const { document, outline } = readable(result, bounds);
  checkSpelling(document);
  const estimate = estimateInput(outline, document);
  await turn();
  return readDocument(endpoint, document, outline, isResponse || document.members.has('store'), estimate);
}

/** Members that may be lists of token numbers. */
const TOKEN_LISTS = ['input', 'prompt'];

/** Reads a request with so many token numbers that they pass unparsed. */
async function readNumbers(
  endpoint: ModelEndpoint,
  bytes: Uint8Array,
  { bounds, refusal }: { readonly bounds: JsonBounds; readonly refusal: JsonRefusal },
): Promise<ReadCall> {
  const document = await scanInTurns(bytes, bounds);
  if ('kind' in document) throw unreadableBody(document, bounds);
  const name = TOKEN_LISTS.find((list) => document.members.has(list)) ?? '';
  const span = document.members.get(name);
  const numbers = span === undefined ? undefined : await countTokenNumbers(document.bytes, span);
  if (span === undefined || numbers === undefined) throw unreadableBody(refusal, bounds);
  const { bytes: all } = document;
  const rest = [all.subarray(0, span.start), Buffer.from(numbers.outline), all.subarray(span.end)];
  const { outline } = readable(parseDocument(Buffer.concat(rest), bounds), bounds);
  checkSpelling(document);
  return readDocument(endpoint, document, outline, false, estimateInput(outline, document, numbers.count));
}

/** Whether a call needs more than its bytes: an ordinary completion is made without waiting for anything. */
export function needsPreparing({ endpoint, document, hasReferences, plan, upstream }: Call): boolean {
  if (endpoint.operation === 'responses' || document.members.has('store')) return true;
  if (plan.isBudgeted && namesToolsTwice(document)) return true;
  return upstream.forward !== undefined && hasReferences;
}

/** Reads an object of our own that is to be sent. */
export async function readObject(endpoint: ModelEndpoint, object: JsonObject, bounds: JsonBounds): Promise<ReadCall> {
  const document = await writeBody(object, bounds);
  return readDocument(endpoint, document, { body: document.object ?? object, isDecoded: true }, false);
}

function readDocument(
  endpoint: ModelEndpoint,
  document: JsonDocument,
  outline: JsonOutline,
  keepsBody: boolean,
  estimate: InputEstimate = estimateInput(outline, document),
): ReadCall {
  return {
    document,
    asks: endpoint.read(outline),
    inputTokens: estimate.tokens,
    mostInputTokens: estimate.mostTokens,
    hasReferences: !isOfTexts(endpoint) && hasReferences(outline.body),
    body: keepsBody && outline.isDecoded ? outline.body : undefined,
  };
}

/** Whether the input is nothing but texts, or their tokens. */
function isOfTexts({ operation }: ModelEndpoint): boolean {
  return operation !== 'chat.completions' && operation !== 'responses';
}

function isTooMuch(result: JsonResult): result is JsonRefusal {
  return result.kind === 'refused' && (result.reason === 'keys' || result.reason === 'size');
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
