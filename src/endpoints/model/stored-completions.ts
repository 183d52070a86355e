import type { Awaitable } from '../../base/awaitable.js';
import { type GatewayError, toGatewayError } from '../../base/errors.js';
import { isJsonObject, type JsonObject, objectOf } from '../../base/json.js';
import { type AnswerPiece, type AnswerView, AS_IT_IS, asWritten, chunksIn, objectIn } from '../../call/answer-view.js';
import type { Call } from '../../call/call.js';
import type { Exchange } from '../../call/exchange.js';
import { parseBody } from '../../http/read-body.js';
import { queryOf } from '../../http/url.js';
import { checkOwned, disown, findOwned, listedIds, type ObjectName, own } from '../../stores/ownership.js';
import type { AnswerChunk } from '../../upstreams/answer.js';
import type { UsageRecord } from '../../usage/usage-store.js';
import {
  chatCompletion,
  chatHead,
  storedMessages,
  storedCompletion as toStored,
  usageBody,
} from '../../wire/chat/answer.js';
import { collectChunks } from '../../wire/chat/collect-chunks.js';
import { chatCompletionId } from '../../wire/ids.js';
import {
  DEFAULT_LIMIT,
  integerParameter,
  listPage,
  MAX_LIMIT,
  metadataFilter,
  pageBody,
  pagesBackwards,
} from '../../wire/list-page.js';
import { readMetadata } from '../../wire/members.js';
import { missingParameter } from '../../wire/request-errors.js';
import { takeRequest } from '../listing.js';

const KIND = 'chat.completion';
/** Bytes that a collected chunk takes besides its own. */
const CHUNK_OVERHEAD_BYTES = 128;

/** Shows a completion as it is, and keeps it for its owner before the client has the end of it. */
export function storedCompletion(call: Call): AnswerView {
  return new StoredCompletion(call);
}

class StoredCompletion implements AnswerView {
  private readonly call: Call;
  private readonly requestBytes: Uint8Array;
  readonly takes = 'chunks';
  private readonly chunks: AnswerChunk[] = [];
  private heldBytes = 0;
  private lacksRoom: GatewayError | undefined = undefined;
  /** Whether the upstream gives its stream no id; `undefined`: it has said nothing yet. */
  private lacksId: boolean | undefined = undefined;

  constructor(call: Call) {
    this.call = call;
    this.requestBytes = call.document.bytes;
  }

  async whole(body: AnswerChunk): Promise<AnswerPiece> {
    let shown = body;
    await this.keep(async () => {
      const completion = await objectIn(body, this.call.answerBounds);
      if (hasId(completion)) return completion;
      const named = this.withId(completion);
      shown = named;
      return named;
    });
    return asWritten(shown);
  }

  piece(given: AnswerChunk): AnswerPiece {
    const chunk = this.named(given);
    const piece = asWritten(chunk);
    this.collect(piece instanceof Uint8Array ? piece : chunk, piece.length);
    return piece;
  }

  /** Collects a part of the answer. What finds no room is not kept: the answer goes on. */
  private collect(chunk: AnswerChunk, bytes: number): void {
    if (this.lacksRoom !== undefined) return;
    const { call, chunks } = this;
    try {
      call.holdBytes(bytes + CHUNK_OVERHEAD_BYTES);
      // The upstream's buffer may be used again.
      chunks.push(chunk instanceof Uint8Array ? Buffer.from(chunk) : chunk);
      this.heldBytes += bytes + CHUNK_OVERHEAD_BYTES;
    } catch (error) {
      this.lacksRoom = toGatewayError(error);
      chunks.length = 0;
      call.holdBytes(-this.heldBytes);
    }
  }

  async end(record: UsageRecord, comment: string): Promise<AnswerPiece> {
    await this.keep(() => this.collected(record));
    return AS_IT_IS.end(record, comment);
  }

  error(error: GatewayError, debug: object | undefined): Awaitable<AnswerPiece | undefined> {
    return AS_IT_IS.error(error, debug);
  }

  /** The chunks with an id, without which their reader could not ask for the completion. */
  private named(chunk: AnswerChunk): AnswerChunk {
    this.lacksId ??= lacksId(chunksIn(chunk));
    return this.lacksId === true ? Array.from(chunksIn(chunk), (one) => this.withId(one)) : chunk;
  }

  private withId({ id: _, ...members }: JsonObject): JsonObject {
    return { id: chatCompletionId(this.call.requestId), ...members };
  }

  /** Keeps an answer that is there and paid for: an error here costs the client only its being kept. */
  private async keep(complete: () => Awaitable<JsonObject>): Promise<void> {
    const { exchange, requestId, keyId, plan } = this.call;
    const { config } = exchange.state;
    try {
      const completion = await complete();
      const request = objectOf(this.requestBytes);
      const id = String(completion.id);
      const stored = {
        id,
        completion: toStored(request, completion, requestId),
        messages: storedMessages(request, id),
      };
      await own(config, { owner: plan.owner, kind: KIND, id }, stored);
    } catch (error) {
      config.hooks.onError(error, { requestId, keyId });
    }
  }

  private *collectedChunks(): Generator<JsonObject> {
    for (const chunk of this.chunks) yield* chunksIn(chunk);
  }

  private async collected(record: UsageRecord): Promise<JsonObject> {
    const { model, inputTokens, outputTokens } = record;
    const { requestId, exchange, answerBounds } = this.call;
    const maxResponseBytes = Math.min(this.call.maxResponseBytes, answerBounds.maxBytes);
    if (this.lacksRoom !== undefined) throw this.lacksRoom;
    const head = chatHead(requestId, model, exchange.state.config.clock.wallMs());
    const answer = await collectChunks(this.collectedChunks(), head, maxResponseBytes);
    const isKnown = inputTokens !== undefined && outputTokens !== undefined;
    const usage = isKnown ? usageBody({ ...record, inputTokens, outputTokens }) : undefined;
    return chatCompletion({ ...answer, usage: answer.usage ?? usage });
  }
}

const hasId = ({ id }: JsonObject): boolean => typeof id === 'string' && id !== '';

/** Whether chunks of an answer say that it has no id; `undefined`: they are none of its choices'. */
function lacksId(chunks: Iterable<JsonObject>): boolean | undefined {
  for (const chunk of chunks) {
    if (hasId(chunk)) return false;
    // Azure's first chunk tells of its filters, before there is an id.
    if (Array.isArray(chunk.choices) && chunk.choices.length > 0) return true;
  }
  return undefined;
}

/** `GET /chat/completions`: newest last, as OpenAI does. */
export async function listCompletions(exchange: Exchange): Promise<JsonObject> {
  await takeRequest(exchange, 'chat.completion');
  const { plan, request, state } = exchange;
  const query = queryOf(request.url);
  const { config } = state;
  const { owner } = plan;
  const ids = await listedIds(config, { owner, kind: KIND });
  const hasMetadata = metadataFilter(query);
  const model = query.get('model');
  const isWanted = (completion: JsonObject): boolean =>
    hasMetadata(completion) && (model === null || completion.model === model);
  const read = async (id: string): Promise<ReadCompletion> => {
    const body = (await findOwned(config, { owner, kind: KIND, id }))?.body;
    const completion = body?.completion;
    if (!isJsonObject(completion) || !isWanted(completion)) return { completion: undefined, bytes: 0 };
    return { completion, bytes: Buffer.byteLength(JSON.stringify(completion)) };
  };
  return readPage(ids, query, read);
}

interface ReadCompletion {
  /** `undefined`: it is gone, or not wanted. */
  readonly completion: JsonObject | undefined;
  readonly bytes: number;
}

/** Most bytes of a page, unless its first completion alone has more: the rest is for the next page. */
const MAX_PAGE_BYTES = 16_777_216;

/** Reads one completion after the other until the page is full, and lets others have their turn in between. */
async function readPage(
  ids: readonly string[],
  query: URLSearchParams,
  read: (id: string) => Promise<ReadCompletion>,
): Promise<JsonObject> {
  const options = { defaultOrder: 'asc', defaultLimit: ids.length + 1, maxLimit: ids.length + 1 } as const;
  const limit = integerParameter(query, 'limit', { min: 1, max: MAX_LIMIT }) ?? DEFAULT_LIMIT;
  // Without its limit: those that are not wanted do not count.
  const cursors = new URLSearchParams(query);
  cursors.delete('limit');
  const rest = listPage(
    ids.map((id) => ({ id })),
    cursors,
    options,
  );
  const candidates = (Array.isArray(rest.data) ? rest.data : []).filter(isJsonObject).map(({ id }) => String(id));
  const isBackwards = pagesBackwards(query);
  const page: JsonObject[] = [];
  let pageBytes = 0;
  let hasMore = false;
  for (const id of isBackwards ? candidates.toReversed() : candidates) {
    const { completion, bytes } = await read(id);
    if (completion !== undefined) {
      hasMore = page.length === limit || (page.length > 0 && pageBytes + bytes > MAX_PAGE_BYTES);
      if (hasMore) break;
      page.push(completion);
      pageBytes += bytes;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  return pageBody(isBackwards ? page.toReversed() : page, hasMore);
}

/** `GET /chat/completions/{id}` */
export async function retrieveCompletion(exchange: Exchange): Promise<JsonObject> {
  const { completion } = await findCompletion(exchange);
  return isJsonObject(completion) ? completion : {};
}

/** `POST /chat/completions/{id}`: new metadata. */
export async function updateCompletion(exchange: Exchange): Promise<JsonObject> {
  const { document } = await parseBody(await exchange.body(), exchange.state.config.json.request);
  const body = objectOf(document.bytes);
  if (body.metadata === undefined) throw missingParameter('metadata');
  const metadata = readMetadata(body.metadata);
  const found = await findCompletion(exchange);
  const completion = { ...(isJsonObject(found.completion) ? found.completion : {}), metadata };
  await own(exchange.state.config, nameIn(exchange), { ...found, completion });
  return completion;
}

/** `DELETE /chat/completions/{id}` */
export async function deleteCompletion(exchange: Exchange): Promise<JsonObject> {
  await findCompletion(exchange);
  await disown(exchange.state.config, nameIn(exchange));
  return { object: 'chat.completion.deleted', id: exchange.id, deleted: true };
}

/** `GET /chat/completions/{id}/messages` */
export async function listCompletionMessages(exchange: Exchange): Promise<JsonObject> {
  await takeRequest(exchange, 'chat.completion');
  const { messages } = await findCompletion(exchange);
  const items = Array.isArray(messages) ? messages.filter(isJsonObject) : [];
  return listPage(items, queryOf(exchange.request.url), { defaultOrder: 'asc' });
}

async function findCompletion(exchange: Exchange): Promise<JsonObject> {
  return (await checkOwned(exchange.state.config, nameIn(exchange))).body;
}

/** The completion that the path names. */
function nameIn({ plan, id }: Exchange): ObjectName {
  return { owner: plan.owner, kind: KIND, id };
}
