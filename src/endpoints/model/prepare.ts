import { type JsonObject, objectOf } from '../../base/json.js';
import { memberValue } from '../../base/json-document.js';
import { LARGE_BYTES, turn } from '../../base/turns.js';
import type { Call } from '../../call/call.js';
import { passesResponses } from '../../config/models.js';
import { writeBody } from '../../http/read-body.js';
import { dearestToolCall } from '../../models/pricing.js';
import { checkReferences } from '../../stores/ownership.js';
import { namesToolsTwice } from '../../wire/hosted-tools.js';
import { readMetadata } from '../../wire/members.js';
import { MODEL_ENDPOINTS } from '../../wire/model-endpoint.js';
import { previousResponseNotFound, unsupportedParameter } from '../../wire/request-errors.js';
import { chatBodyOf } from '../../wire/responses/chat-body.js';
import { conversationTooLarge, itemNotFound } from '../../wire/responses/errors.js';
import { inputItemsOf, itemReferences } from '../../wire/responses/items.js';
import { queuedResponse, responseHead } from '../../wire/responses/object.js';
import { type ResponsesRequest, readResponsesRequest } from '../../wire/responses/request.js';
import { conversationUpTo, findResponse, itemsById } from '../responses/stored.js';
import { passedResponse, translatedResponse } from '../responses/views.js';
import { readObject } from './read-call.js';
import { storedCompletion } from './stored-completions.js';

/**
 * Turns the request that was read into the one to be sent, and sets how its answer is shown.
 * @throws {GatewayError} 400 or 404 for objects that the call refers to and its owner does not have, 404 for an operation
 * that the model does not offer.
 */
export async function prepare(call: Call): Promise<void> {
  const { exchange, plan, upstream, endpoint } = call;
  const { config } = exchange.state;
  const body = call.body ?? objectOf(call.document.bytes);
  call.body = undefined;
  // An upstream keeps objects for all; here each is somebody's.
  if (upstream.forward !== undefined && call.hasReferences) await checkReferences(config, plan.owner, body);
  // Of members standing twice inside, the upstream gets the ones that were looked at.
  if (call.hasReferences || (plan.isBudgeted && namesToolsTwice(call.document))) {
    call.document = await writeBody(body, config.json.request);
  }
  call.readsMore = call.hasReferences;
  if (endpoint.operation !== 'responses') {
    const isStored = endpoint.operation === 'chat.completions' && memberValue(call.document, 'store') === true;
    if (!isStored) return;
    readMetadata(body.metadata);
    call.view = storedCompletion(call);
    return;
  }
  const request = readResponsesRequest(body);
  const isMissing = call.model.responses === undefined && exchange.state.missingResponses.has(upstream);
  if (passesResponses(call.model, upstream) && !isMissing) await preparePassed(call, request);
  else await prepareTranslated(call, request);
  call.isBackground = request.background;
}

async function preparePassed(call: Call, request: ResponsesRequest): Promise<void> {
  const { owner } = call.plan;
  const { config } = call.exchange.state;
  const { previousResponseId, body } = request;
  if (body.conversation !== undefined && body.conversation !== null) {
    throw unsupportedParameter("Unsupported parameter: 'conversation'. Use 'previous_response_id'.", 'conversation');
  }
  if (previousResponseId !== undefined) {
    const previous = await findResponse(config, owner, previousResponseId);
    // The upstream knows a response that was made here as little as another's.
    if (previous?.kind !== 'passed') throw previousResponseNotFound(previousResponseId);
  }
  const referred = itemReferences(request);
  const own = new Set((await itemsById(config, owner, referred)).map(({ id }) => id));
  const foreign = referred.find((id) => !own.has(id));
  if (foreign !== undefined) throw itemNotFound(foreign);
  call.view = passedResponse(call, request);
  call.readsMore ||= previousResponseId !== undefined || referred.length > 0;
  await boundToolCalls(call, body);
}

/** Names the most calls of hosted tools, which are paid for one by one, where money is limited and the client named none. */
async function boundToolCalls(call: Call, body: JsonObject): Promise<void> {
  const { plan, asks, exchange, model } = call;
  if (!plan.isBudgeted) return;
  const { defaultMaxToolCalls: maxToolCalls, json } = exchange.state.config;
  // What costs nothing needs no bound, which some upstreams do not know.
  const isBounded = asks.hasHostedTools !== true || asks.maxToolCalls !== undefined;
  if (isBounded || model.price === undefined || dearestToolCall(model.price, asks.hostedTools) === undefined) return;
  call.document = await writeBody({ ...body, max_tool_calls: maxToolCalls }, json.request);
  call.asks = { ...asks, maxToolCalls };
  call.addsToolBound = true;
}

/** Values of a request from which its translation is done in turns. */
const MUCH = 10_000;

async function prepareTranslated(call: Call, request: ResponsesRequest): Promise<void> {
  const { exchange, plan } = call;
  const { config } = exchange.state;
  const { previousResponseId } = request;
  const priorItems =
    previousResponseId === undefined
      ? []
      : await conversationUpTo(config, plan.owner, previousResponseId, (bytes) =>
          // As an object, a body, and a body that goes out.
          exchange.holdInTime(3 * bytes, exchange.request.signal),
        );
  const { owner } = plan;
  const known = {
    priorItems,
    referredItems: await itemsById(config, owner, itemReferences(request)),
    openThoughts: (sealed: string) => config.sealer.open(sealed, owner),
  };
  // Usage is the gateway's to ask for, as with every stream.
  // In the background the upstream streams to us, so that it is known when the answer begins.
  const asked = { ...request, stream: request.stream || request.background };
  const isMuch = call.document.members.valuesWithin > MUCH || call.document.bytes.length > LARGE_BYTES;
  if (isMuch) await turn();
  const { stream_options: _, ...chatBody } = chatBodyOf(asked, known);
  if (isMuch) await turn();
  const head = responseHead(exchange.requestId, request, config.clock.wallMs(), (thoughts) =>
    config.sealer.seal(thoughts, owner),
  );
  const input = await inputItemsOf(request, head.id, known);
  if (isMuch) await turn();
  const queued = request.background ? queuedResponse(head) : undefined;
  call.view = translatedResponse(call, { head, input, queued });
  call.endpoint = MODEL_ENDPOINTS['chat.completions'];
  call.replaceRead(await readObject(call.endpoint, chatBody, config.json.request));
  const isLonger = priorItems.length > 0 || known.referredItems.length > 0;
  if (isLonger && call.document.bytes.byteLength > config.maxBodyBytes) {
    throw conversationTooLarge(
      config.maxBodyBytes,
      previousResponseId === undefined ? 'input' : 'previous_response_id',
    );
  }
  call.readsMore = call.hasReferences;
}
