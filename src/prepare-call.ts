import { parseBody } from './http/read-body.js';
import { isJsonObject, type JsonObject } from './json.js';
import { type JsonDocument, memberValue } from './json-document.js';
import type { KeyedExchange } from './metered-call.js';
import type { Model } from './models/model-table.js';
import { unsupportedOperation } from './object-errors.js';
import type { Config } from './options.js';
import { checkOwned, checkReferences } from './owned-objects.js';
import { ownerOf } from './owner.js';
import { passedResponse } from './passed-response.js';
import { AS_IT_IS, type Presentation } from './presentation.js';
import { unsupportedParameter } from './request-errors.js';
import { storingCompletion } from './stored-completions.js';
import { conversationUpTo, itemsById } from './stored-responses.js';
import { translatedResponse } from './translated-response.js';
import { DEFAULT_OPERATIONS, type Upstream } from './upstreams/upstream.js';
import { MODEL_ENDPOINTS, type ModelEndpoint } from './wire/model-endpoint.js';
import type { ModelRequest } from './wire/model-request.js';
import { chatBodyOf } from './wire/responses-chat-body.js';
import { itemNotFound } from './wire/responses-errors.js';
import { inputItemsOf, itemReferences } from './wire/responses-items.js';
import { queuedResponse, responseHead } from './wire/responses-object.js';
import { type ResponsesRequest, readResponsesRequest } from './wire/responses-request.js';

/** A request that was read. */
export interface ReadCall {
  readonly endpoint: ModelEndpoint;
  readonly document: JsonDocument;
  readonly asks: ModelRequest;
  readonly inputTokens: number;
}

/** A call as it is to be made, and how its answer is to be shown. */
export interface PreparedCall extends ReadCall {
  readonly presentation: Presentation;
  /** What the client is answered at once, where the work is done afterwards. */
  readonly queued: JsonObject | undefined;
}

/** What the bytes ask for. What was parsed of them is let go here: only the bytes live as long as the call. */
export function readCall(endpoint: ModelEndpoint, bytes: Uint8Array): ReadCall {
  const { document, outline } = parseBody(bytes);
  return {
    endpoint,
    document,
    asks: endpoint.read(outline),
    inputTokens: endpoint.estimateInput(outline, document),
  };
}

/** Whether a call needs more than its bytes: an ordinary completion is prepared without waiting for anything. */
export function isPlain({ endpoint, document }: ReadCall, { forward }: Upstream): boolean {
  if (endpoint.operation === 'responses' || document.members.has('store')) return false;
  return forward === undefined || !document.bytes.includes('file_id') || endpoint.operation !== 'chat.completions';
}

/**
 * Makes of what was read what is to be sent.
 * @throws {GatewayError} 400 or 404 for what the call refers to and its owner does not have, 404 for what the model does not offer.
 */
export async function prepareCall(
  read: ReadCall,
  exchange: KeyedExchange,
  config: Config,
  { model, upstream }: { readonly model: Model; readonly upstream: Upstream },
): Promise<PreparedCall> {
  const { operation } = read.endpoint;
  const owner = ownerOf(exchange.key);
  const body = objectOf(read.document);
  // What an upstream keeps for all is somebody's here.
  if (upstream.forward !== undefined) await checkReferences(config, owner, body);
  if (operation !== 'responses') {
    const isStored = operation === 'chat.completions' && memberValue(read.document, 'store') === true;
    const presentation = isStored ? storingCompletion(exchange, config, read.document.bytes) : AS_IT_IS;
    return { ...read, presentation, queued: undefined };
  }
  const request = readResponsesRequest(body);
  if (passesResponses(model, upstream)) return passed(read, exchange, config, request);
  return translated(exchange, config, request);
}

/** Whether the model's upstream answers `/v1/responses` itself. */
export function passesResponses(
  { responses }: Pick<Model, 'responses'>,
  { operations = DEFAULT_OPERATIONS }: Upstream,
): boolean {
  if (responses !== undefined) return responses === 'pass';
  return operations.includes('responses');
}

/** @throws {GatewayError} 404 when the upstream was never made for it. */
export function checkOffered(endpoint: ModelEndpoint, { operations = DEFAULT_OPERATIONS }: Upstream): void {
  const { operation } = endpoint;
  const isOffered = operations.includes(operation);
  if (!isOffered && !(operation === 'responses' && operations.includes('chat.completions'))) {
    throw unsupportedOperation(operation);
  }
}

async function passed(
  read: ReadCall,
  exchange: KeyedExchange,
  config: Config,
  request: ResponsesRequest,
): Promise<PreparedCall> {
  const owner = ownerOf(exchange.key);
  const { previousResponseId, body } = request;
  if (body.conversation !== undefined && body.conversation !== null) {
    throw unsupportedParameter("Unsupported parameter: 'conversation'. Use 'previous_response_id'.", 'conversation');
  }
  if (previousResponseId !== undefined) await checkOwned(config, { owner, kind: 'response', id: previousResponseId });
  const referred = itemReferences(request);
  const own = new Set((await itemsById(config, owner, referred)).map(({ id }) => id));
  const foreign = referred.find((id) => !own.has(id));
  if (foreign !== undefined) throw itemNotFound(foreign);
  return { ...read, presentation: passedResponse(exchange, config, request), queued: undefined };
}

async function translated(exchange: KeyedExchange, config: Config, request: ResponsesRequest): Promise<PreparedCall> {
  const owner = ownerOf(exchange.key);
  const { previousResponseId } = request;
  const priorItems = previousResponseId === undefined ? [] : await conversationUpTo(config, owner, previousResponseId);
  const known = { priorItems, referredItems: await itemsById(config, owner, itemReferences(request)) };
  // Usage is the gateway's to ask for, as with every stream.
  const { stream_options: _, ...chatBody } = chatBodyOf(request, known);
  const read = readCall(MODEL_ENDPOINTS['chat.completions'], Buffer.from(JSON.stringify(chatBody)));
  const head = responseHead(exchange.requestId, request, config.clock.wallMs());
  const input = inputItemsOf(request, head.id, known);
  const queued = request.background && !request.stream ? queuedResponse(head) : undefined;
  return { ...read, presentation: translatedResponse(exchange, config, { head, input }), queued };
}

function objectOf({ bytes }: JsonDocument): JsonObject {
  const body: unknown = JSON.parse(bytes.toString('utf8'));
  return isJsonObject(body) ? body : {};
}
