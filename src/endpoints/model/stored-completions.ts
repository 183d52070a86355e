import { type Awaitable, guarded, whenReady } from '../../base/awaitable.js';
import { isJsonObject, type JsonObject, objectOf } from '../../base/json.js';
import type { KeyedExchange } from '../../call/open.js';
import type { Config } from '../../config/options.js';
import { readJsonBody } from '../../http/read-body.js';
import { ownerOf } from '../../keys/key-store.js';
import { checkOwned, disown, put, storeFailure } from '../../stores/ownership.js';
import type { UsageRecord } from '../../usage/usage-store.js';
import { chatCompletion, chatHead, storedCompletion, storedMessages, usageBody } from '../../wire/chat/answer.js';
import { collectChunks } from '../../wire/chat/collect-chunks.js';
import { listPage, metadataFilter } from '../../wire/list-page.js';
import { readMetadata } from '../../wire/members.js';
import { missingParameter } from '../../wire/request-errors.js';
import { eventObjects } from '../../wire/sse.js';
import type { LocalCall } from '../local-routes.js';
import { AS_IT_IS, type Presentation } from './answer-view.js';

const KIND = 'chat.completion';

/** Presents a completion as it is, and keeps it for its owner before the client has the end of it. */
export function storingCompletion(exchange: KeyedExchange, config: Config, requestBytes: Uint8Array): Presentation {
  const { requestId, key } = exchange;
  const pieces: Buffer[] = [];
  let size = 0;

  /** The answer is there and paid for: what goes wrong here costs the client only its being kept. */
  function keep(completion: () => Awaitable<JsonObject>): Awaitable<void> {
    return guarded(
      () =>
        whenReady(completion(), (body) => put(config, { owner: ownerOf(key), kind: KIND, id: String(body.id) }, body)),
      (error) => config.hooks.onError(error, { requestId, keyId: key.id }),
    );
  }

  function stored(completion: unknown): JsonObject {
    const request = objectOf(requestBytes);
    const object = isJsonObject(completion) ? completion : {};
    const messages = storedMessages(request, String(object.id));
    return { id: object.id ?? requestId, completion: storedCompletion(request, object, requestId), messages };
  }

  async function collected(record: UsageRecord): Promise<JsonObject> {
    const { model, inputTokens, outputTokens } = record;
    const head = chatHead(requestId, model, config.clock.wallMs());
    const chunks = eventObjects(Buffer.concat(pieces).toString('utf8'));
    const answer = await collectChunks(chunks, head, config.maxResponseBytes);
    const isKnown = inputTokens !== undefined && outputTokens !== undefined;
    const usage = isKnown ? usageBody({ ...record, inputTokens, outputTokens }) : undefined;
    return stored(chatCompletion({ ...answer, usage: answer.usage ?? usage }));
  }

  return {
    ...AS_IT_IS,
    whole: (body) =>
      whenReady(
        keep(() => stored(objectOf(body))),
        () => body,
      ),
    piece(piece) {
      size += piece.length;
      if (size <= config.maxResponseBytes) pieces.push(Buffer.from(piece));
      return piece;
    },
    end: (record) =>
      whenReady(
        keep(() => collected(record)),
        () => AS_IT_IS.end(record),
      ),
  };
}

/** `GET /chat/completions`: newest last, as OpenAI does. */
export async function listCompletions({ exchange, config, query }: LocalCall): Promise<JsonObject> {
  const owned = await guarded(() => config.objects.list(ownerOf(exchange.key), KIND), storeFailure);
  const hasMetadata = metadataFilter(query);
  const model = query.get('model');
  const completions = owned
    .map(({ body }) => body.completion)
    .filter(isJsonObject)
    .filter((completion) => hasMetadata(completion) && (model === null || completion.model === model));
  return listPage(completions, query, { defaultOrder: 'asc' });
}

/** `GET /chat/completions/{id}` */
export async function retrieveCompletion(call: LocalCall): Promise<JsonObject> {
  const { completion } = await find(call);
  return isJsonObject(completion) ? completion : {};
}

/** `POST /chat/completions/{id}`: new metadata. */
export async function updateCompletion(call: LocalCall): Promise<JsonObject> {
  const { exchange, config, id } = call;
  const body = await readJsonBody(exchange.request, config);
  if (body.metadata === undefined) throw missingParameter('metadata');
  const metadata = readMetadata(body.metadata);
  const found = await find(call);
  const completion = { ...(isJsonObject(found.completion) ? found.completion : {}), metadata };
  await put(config, { owner: ownerOf(exchange.key), kind: KIND, id }, { ...found, completion });
  return completion;
}

/** `DELETE /chat/completions/{id}` */
export async function deleteCompletion(call: LocalCall): Promise<JsonObject> {
  const { exchange, config, id } = call;
  await find(call);
  await disown(config, { owner: ownerOf(exchange.key), kind: KIND, id });
  return { object: 'chat.completion.deleted', id, deleted: true };
}

/** `GET /chat/completions/{id}/messages` */
export async function listCompletionMessages(call: LocalCall): Promise<JsonObject> {
  const { messages } = await find(call);
  const items = Array.isArray(messages) ? messages.filter(isJsonObject) : [];
  return listPage(items, call.query, { defaultOrder: 'asc' });
}

async function find({ exchange, config, id }: LocalCall): Promise<JsonObject> {
  return (await checkOwned(config, { owner: ownerOf(exchange.key), kind: KIND, id })).body;
}
