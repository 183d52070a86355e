import type { JsonObject } from '../../base/json.js';
import type { CallContext } from '../upstream.js';
import type { TokenDecoder } from './decode-tokens.js';
import type { DemoModel } from './demo-models.js';
import type { Tokenizer } from './tokenizer.js';

/** What the demo needs beside the body of a call. */
export interface DemoContext extends Pick<CallContext, 'requestId' | 'signal'> {
  readonly tokenizerOf: (encoding: DemoModel['encoding']) => Promise<Tokenizer>;
  /** Called only when a client sends tokens in place of text. */
  readonly decoder: () => Promise<TokenDecoder>;
}

/** An answer, whole or in chunks that are yet to be paced. */
export type DemoReply =
  | { readonly kind: 'whole'; readonly body: JsonObject }
  | { readonly kind: 'chunks'; readonly chunks: Iterable<JsonObject> };
