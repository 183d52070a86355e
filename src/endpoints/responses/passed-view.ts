import { type Awaitable, guarded, whenReady } from '../../base/awaitable.js';
import { errorBody } from '../../base/errors.js';
import { type JsonObject, objectOf } from '../../base/json.js';
import type { KeyedExchange } from '../../call/open.js';
import type { Config } from '../../config/options.js';
import { ownerOf } from '../../keys/key-store.js';
import { failureEvents } from '../../wire/responses/errors.js';
import type { ResponsesStream } from '../../wire/responses/passed-stream.js';
import type { ResponsesRequest } from '../../wire/responses/request.js';
import type { Presentation } from '../model/answer-view.js';
import { claimResponse } from './stored.js';

/** Presents a response as the upstream made it. It is the caller's before the caller knows of it. */
export function passedResponse(
  exchange: KeyedExchange,
  config: Config,
  { model, store, background, stream }: Pick<ResponsesRequest, 'model' | 'store' | 'background' | 'stream'>,
): Presentation {
  const { requestId, key } = exchange;
  let watched: ResponsesStream | undefined;
  let isClaimed = false;

  function claim(response: JsonObject | undefined): Awaitable<void> {
    if (!store || typeof response?.id !== 'string') return;
    isClaimed = true;
    return guarded(
      () => claimResponse(config, ownerOf(key), response, model),
      (error) => {
        // Only its owner could come back for it.
        if (background && !stream) throw error;
        config.hooks.onError(error, { requestId, keyId: key.id });
      },
    );
  }

  return {
    begin(stream) {
      if ('lastSequenceNumber' in stream) watched = stream as ResponsesStream;
    },
    whole: (body) => whenReady(claim(objectOf(body)), () => body),
    piece: (piece) => (isClaimed ? piece : whenReady(claim(watched?.response), () => piece)),
    // Once more, now that its items are known.
    end: () => whenReady(claim(watched?.response), () => ''),
    error: (error) =>
      failureEvents((watched?.lastSequenceNumber ?? -1) + 1, watched?.response ?? {}, errorBody(error).error).text,
  };
}
