import { type Clock, systemClock } from '../../../base/clock.js';
import type { ForwardCall, ForwardReply, Upstream } from '../../upstream.js';
import { batchEndpoints } from './batch-endpoints.js';
import { DEFAULT_BOUNDS, type DemoBounds } from './demo-bounds.js';
import { demoStorage } from './demo-storage.js';
import { answerAt } from './endpoints.js';
import { fileEndpoints } from './file-endpoints.js';
import { imageEndpoints } from './image-endpoints.js';
import { speechEndpoint } from './speech-endpoint.js';
import { transcriptionEndpoints } from './transcription-endpoints.js';
import { uploadEndpoints } from './upload-endpoints.js';
import { vectorStoreEndpoints } from './vector-store-endpoints.js';

/** Bounds, each with its default, and the clock. */
export interface DemoForwardOptions extends Partial<DemoBounds> {
  /** @default the machine's own */
  readonly clock?: Clock;
}

/**
 * Answers OpenAI's endpoints for files, uploads, batches, vector stores, images and audio from memory, without network
 * and key. All keys share one account: what belongs to whom is the gateway's to know. The same requests in the same
 * order get the same answers, times aside.
 * @param send answers the requests in batches, such as the demo's own `send`.
 */
export function demoForward(
  send: Upstream['send'],
  { clock = systemClock, ...bounds }: DemoForwardOptions = {},
): (call: ForwardCall) => Promise<ForwardReply> {
  const storage = demoStorage({ ...DEFAULT_BOUNDS, ...bounds }, clock);
  const answer = answerAt({
    ...fileEndpoints(storage),
    ...uploadEndpoints(storage),
    ...batchEndpoints(storage, send),
    ...vectorStoreEndpoints(storage),
    ...imageEndpoints(storage),
    ...speechEndpoint(),
    ...transcriptionEndpoints(storage),
  });
  return async (call) => {
    call.signal.throwIfAborted();
    return answer(call);
  };
}
