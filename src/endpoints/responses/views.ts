import { type Awaitable, guarded, whenReady } from '../../base/awaitable.js';
import { errorBody } from '../../base/errors.js';
import { type JsonObject, objectOf } from '../../base/json.js';
import type { KeyedExchange } from '../../call/open.js';
import type { Config } from '../../config/options.js';
import { ownerOf } from '../../keys/key-store.js';
import type { UsageRecord } from '../../usage/usage-store.js';
import { failedResponse } from '../../wire/responses/errors.js';
import { completedResponse, inProgressResponse, type ResponseHead } from '../../wire/responses/object.js';
import { ResponseEncoder } from '../../wire/responses/stream.js';
import { eventObjects } from '../../wire/sse.js';
import type { Presentation } from '../model/answer-view.js';
import { keepResponse } from './stored.js';

/** A response that a chat completion is to become. */
export interface Translated {
  readonly head: ResponseHead;
  /** The items of its input, as they are kept with it. */
  readonly input: readonly JsonObject[];
}

/** Presents a chat completion as a response, and keeps it for its owner before the client has the end of it. */
export function translatedResponse(exchange: KeyedExchange, config: Config, { head, input }: Translated): Presentation {
  const { requestId, key } = exchange;
  const encoder = new ResponseEncoder(head);
  let isStarted = false;
  let isDropped = false;
  let keeping: Awaitable<void>;

  /** The answer is there and paid for: what goes wrong here costs the client only its being kept. */
  function keep(response: JsonObject): Awaitable<void> {
    if (!head.request.store || isDropped) return;
    keeping = guarded(
      () => keepResponse(config, ownerOf(key), { response, input }),
      (error) => config.hooks.onError(error, { requestId, keyId: key.id }),
    );
    return keeping;
  }

  function start(): string {
    const text = isStarted ? '' : encoder.encodeStart();
    isStarted = true;
    return text;
  }

  return {
    whole(body) {
      const response = completedResponse(head, objectOf(body), config.clock.wallMs());
      return whenReady(keep(response), () => JSON.stringify(response));
    },
    piece(piece) {
      let text = start();
      for (const chunk of eventObjects(Buffer.from(piece).toString('utf8'))) text += encoder.encodeChunk(chunk);
      return text === '' ? undefined : text;
    },
    end(record) {
      const begun = start();
      const { text, response } = encoder.encodeEnd(usageOf(record), config.clock.wallMs());
      return whenReady(keep(response), () => begun + text);
    },
    error(error) {
      const begun = start();
      const { text, response } = encoder.encodeFailure(errorBody(error).error);
      return whenReady(keep(response), () => begun + text);
    },
    queued: (response) => keepResponse(config, ownerOf(key), { response, input }),
    failed: (error) => keep(failedResponse(inProgressResponse(head), errorBody(error).error)),
    drop() {
      isDropped = true;
      return keeping;
    },
  };
}

/** In the words of chat completions. */
function usageOf({
  inputTokens,
  cachedInputTokens,
  outputTokens,
  reasoningTokens,
}: UsageRecord): JsonObject | undefined {
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedInputTokens ?? 0 },
    completion_tokens_details: { reasoning_tokens: reasoningTokens ?? 0 },
  };
}
