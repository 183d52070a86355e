import type { JsonObject } from '../base/json.js';
import type { JsonDocument } from '../base/json-document.js';
import { Members } from '../base/json-scan.js';
import type { Model } from '../config/models.js';
import type { PricedUnits } from '../models/pricing.js';
import type { Upstream } from '../upstreams/upstream.js';
import type { ModelRequest } from '../wire/model-request.js';

/** The request of a call, once it was read. */
export interface ReadCall {
  readonly document: JsonDocument;
  readonly asks: ModelRequest;
  readonly inputTokens: number;
  /** The most that these can come to, for money. */
  readonly mostInputTokens: number;
  /** Whether the body speaks of files or other objects that somebody owns. */
  readonly hasReferences: boolean;
  /** The body as an object, where it is parsed in full: for preparing the call alone. */
  readonly body?: JsonObject | undefined;
}

/** The request of a call without a body that is read. */
export const NOTHING_READ: ReadCall = {
  document: { bytes: Buffer.alloc(0), members: new Members() },
  asks: { model: '', stream: false, includeUsage: false, maxOutputTokens: undefined, n: 1 },
  inputTokens: 0,
  mostInputTokens: 0,
  hasReferences: false,
};

/** The parts of a model that its calls are metered by. */
export type CalledModel = Pick<
  Model,
  'id' | 'price' | 'maxOutputTokens' | 'contextLength' | 'upstreamModel' | 'responses'
> &
  Partial<Pick<Model, 'cost' | 'defaultServiceTier'>>;

/** The model of a call that has none yet. */
export const NO_MODEL: CalledModel = {
  id: '',
  price: undefined,
  maxOutputTokens: undefined,
  contextLength: undefined,
  upstreamModel: '',
  responses: undefined,
};

/** The model and upstream of a call that is no ordinary call to a model, and how it is metered. */
export interface ChosenTerms {
  readonly model: CalledModel;
  readonly upstream: Upstream;
  /** Whether tokens of the model are used at all, and so have to be paid for. */
  readonly asksModel: boolean;
  /** Most input tokens, for money. @default as many as the bytes that they were estimated from */
  readonly worstInputTokens?: number | undefined;
  /** Output tokens to reserve where the client named no ceiling. @default a learned number */
  readonly usualOutputTokens?: number | undefined;
  /** Pictures and characters that the request asks for, which may be paid for by the piece. */
  readonly units?: PricedUnits | undefined;
}
