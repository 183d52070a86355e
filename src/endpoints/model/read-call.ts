import { type JsonObject, objectOf } from '../../base/json.js';
import { type JsonDocument, memberValue } from '../../base/json-document.js';
import type { KeyedExchange } from '../../call/open.js';
import type { Model } from '../../config/models.js';
import type { Config } from '../../config/options.js';
import { parseBody } from '../../http/read-body.js';
import { ownerOf } from '../../keys/key-store.js';
import { checkReferences } from '../../stores/ownership.js';
import { DEFAULT_OPERATIONS, type Upstream } from '../../upstreams/upstream.js';
import { imagesIn } from '../../wire/estimate.js';
import { readMetadata } from '../../wire/members.js';
import { MODEL_ENDPOINTS, type ModelEndpoint } from '../../wire/model-endpoint.js';
import type { ModelRequest } from '../../wire/model-request.js';
import { hasReferences, PLAIN_NAME } from '../../wire/references.js';
import {
  duplicateMember,
  previousResponseNotFound,
  unsupportedOperation,
  unsupportedParameter,
} from '../../wire/request-errors.js';
import { chatBodyOf } from '../../wire/responses/chat-body.js';
import { itemNotFound } from '../../wire/responses/errors.js';
import { inputItemsOf, itemReferences } from '../../wire/responses/items.js';
import { queuedResponse, responseHead } from '../../wire/responses/object.js';
import { type ResponsesRequest, readResponsesRequest } from '../../wire/responses/request.js';
import { passedResponse } from '../responses/passed-view.js';
import { conversationUpTo, findResponse, itemsById } from '../responses/stored.js';
import { translatedResponse } from '../responses/views.js';
import { AS_IT_IS, type Presentation } from './answer-view.js';
import { storingCompletion } from './stored-completions.js';

/** A request that was read. */
export interface ReadCall {
  readonly endpoint: ModelEndpoint;
  readonly document: JsonDocument;
  readonly asks: ModelRequest;
  readonly inputTokens: number;
  /** Images that the model is shown. */
  readonly images: number;
  /** Whether the body speaks of files or other objects that somebody owns. */
  readonly hasReferences: boolean;
}

/** A call as it is to be made, and how its answer is to be shown. */
export interface PreparedCall extends ReadCall {
  readonly presentation: Presentation;
  /** Whether the call goes on when its client leaves. */
  readonly isBackground: boolean;
  /** Whether the model reads more than the body: earlier responses and files, which the upstream keeps. */
  readonly readsMore: boolean;
  /** The response before anybody works on it, where the gateway makes it in the background. */
  readonly queued: JsonObject | undefined;
}

/** Members of whose values something depends here. */
const ACTED_ON = new Set(
  `model stream stream_options n best_of max_tokens max_completion_tokens max_output_tokens store background
   previous_response_id conversation`.split(/\s+/),
);

/** What the bytes ask for. What was parsed of them is let go here: only the bytes live as long as the call. */
export function readCall(endpoint: ModelEndpoint, bytes: Uint8Array): ReadCall {
  const { document, outline } = parseBody(bytes);
  checkSpelling(document);
  const isOfTexts = endpoint.operation !== 'chat.completions' && endpoint.operation !== 'responses';
  return {
    endpoint,
    document,
    asks: endpoint.read(outline),
    inputTokens: endpoint.estimateInput(outline, document),
    images: isOfTexts ? 0 : imagesIn(outline.body.messages) + imagesIn(outline.body.input),
    hasReferences: !isOfTexts && hasReferences(outline.body),
  };
}

/** Whether a call needs more than its bytes: an ordinary completion is prepared without waiting for anything. */
export function isPlain({ endpoint, document, hasReferences }: ReadCall, { forward }: Upstream): boolean {
  if (endpoint.operation === 'responses' || document.members.has('store')) return false;
  return forward === undefined || !hasReferences;
}

/**
 * Makes of what was read what is to be sent.
 * @throws {GatewayError} 400 or 404 for what the call refers to and its owner does not have, 404 for what the model does not offer.
 */
export async function prepareCall(
  given: ReadCall,
  exchange: KeyedExchange,
  config: Config,
  { model, upstream }: { readonly model: Model; readonly upstream: Upstream },
): Promise<PreparedCall> {
  const { operation } = given.endpoint;
  const owner = ownerOf(exchange.key);
  const body = objectOf(given.document.bytes);
  // What an upstream keeps for all is somebody's here.
  if (upstream.forward !== undefined && given.hasReferences) await checkReferences(config, owner, body);
  // Of members standing twice inside, the upstream gets the ones that were looked at.
  const read = given.hasReferences ? { ...given, document: documentOf(body) } : given;
  if (operation !== 'responses') {
    const isStored = operation === 'chat.completions' && memberValue(read.document, 'store') === true;
    if (isStored) readMetadata(body.metadata);
    const presentation = isStored ? storingCompletion(exchange, config, read.document.bytes) : AS_IT_IS;
    return { ...read, presentation, isBackground: false, readsMore: read.hasReferences, queued: undefined };
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
export function checkOffered(
  { operation }: Pick<ModelEndpoint, 'operation'>,
  model: Pick<Model, 'responses'>,
  upstream: Upstream,
): void {
  const { operations = DEFAULT_OPERATIONS } = upstream;
  const isTranslated = operation === 'responses' && !passesResponses(model, upstream);
  if (!operations.includes(isTranslated ? 'chat.completions' : operation)) throw unsupportedOperation(operation);
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
  if (previousResponseId !== undefined) {
    const previous = await findResponse(config, owner, previousResponseId);
    // What was made here, the upstream knows as little as another's.
    if (previous?.kind !== 'passed') throw previousResponseNotFound(previousResponseId);
  }
  const referred = itemReferences(request);
  const own = new Set((await itemsById(config, owner, referred)).map(({ id }) => id));
  const foreign = referred.find((id) => !own.has(id));
  if (foreign !== undefined) throw itemNotFound(foreign);
  const presentation = passedResponse(exchange, config, request);
  const readsMore = read.hasReferences || previousResponseId !== undefined || referred.length > 0;
  return { ...read, presentation, isBackground: request.background, readsMore, queued: undefined };
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
  const { background: isBackground } = request;
  const queued = isBackground ? queuedResponse(head) : undefined;
  const presentation = translatedResponse(exchange, config, { head, input });
  return { ...read, presentation, isBackground, readsMore: read.hasReferences, queued };
}

/** Servers in Go take names in any case, and the last of them: what the gateway acts on may be spelt in one way only. */
function checkSpelling({ members }: JsonDocument): void {
  for (const name of members.keys()) {
    if (PLAIN_NAME.test(name)) continue;
    if (ACTED_ON.has(name.toUpperCase().toLowerCase())) throw duplicateMember(name.slice(0, 64));
  }
}

function documentOf(body: JsonObject): JsonDocument {
  return parseBody(Buffer.from(JSON.stringify(body))).document;
}
