import type { Cancellation } from '../base/cancellation.js';
import type { StepSource } from '../base/steps.js';
import type { ModelOperation } from '../wire/operations.js';
import type { Upstream } from './upstream.js';

/** A call for an upstream of ours that wants the body only as text. */
export interface DirectCall {
  readonly operation: ModelOperation;
  readonly bytes: Buffer;
  /** Whether events are asked for, to be passed on as they come; else the answer is read to its end. */
  readonly stream: boolean;
  /** Largest whole answer. */
  readonly maxBytes: number;
  readonly cancellation: Cancellation;
}

/** What a direct call is answered with. The steps break off as soon as the call is aborted, in whatever state. */
export type DirectReply =
  | { readonly kind: 'read'; readonly contentType: string; readonly bytes: Buffer }
  | { readonly kind: 'steps'; readonly contentType: string; readonly steps: StepSource<Uint8Array> };

export type SendDirect = (call: DirectCall) => Promise<DirectReply>;

/** Not enumerable, so that a wrapper that copies the upstream (`{ ...upstream, send }`) is not bypassed. */
const DIRECT = Symbol('direct');

/** The upstream with a shorter way in: without the body as an object, an `AbortSignal`, and a watch over each step. */
export function withDirect(upstream: Upstream, send: SendDirect): Upstream {
  return Object.defineProperty(upstream, DIRECT, { value: send });
}

/** The upstream's shorter way in, if it has one. */
export function directOf(upstream: Upstream): SendDirect | undefined {
  return Reflect.get(upstream, DIRECT);
}
