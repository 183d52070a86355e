import { unexpected } from '../base/checks.js';
import type { ApiKey } from '../keys/key-store.js';
import type { ListedOperation } from '../models/known-model.js';
import { findKnownModel, KNOWN_MODELS, priceInForce } from '../models/known-models.js';
import { DEFAULT_SERVICE_TIER, isPricedTier, type Price, type Pricing, toPrice } from '../models/pricing.js';
import { DEFAULT_OPERATIONS, type Upstream } from '../upstreams/upstream.js';
import type { ModelOperation } from '../wire/operations.js';
import { modelNotAllowed, modelNotFound, unsupportedOperation } from '../wire/request-errors.js';

/** One model as the host offers it. What a field leaves out is taken from what is publicly known of the upstream's model. */
export interface ModelOptions {
  /** The upstream that answers. @default the gateway's `upstream` */
  readonly upstream?: Upstream | undefined;
  /** The upstream's own id for it. The client never sees it. @default the public id */
  readonly upstreamModel?: string | undefined;
  /** Further public ids of the same model. */
  readonly aliases?: readonly string[] | undefined;
  /** Tokens of input and output together. */
  readonly contextLength?: number | undefined;
  readonly maxOutputTokens?: number | undefined;
  /** Absent: what is known of the model, at the price in force when a call begins; not known either: cost is unknown, never 0. */
  readonly pricing?: Pricing | undefined;
  /** Price that the host pays for the model itself, kept with every call beside `pricing`, which budgets are held against. @default unknown */
  readonly cost?: Pricing | undefined;
  /**
   * The service tier of calls that name none, or `auto`: as the project is set up at the provider. A dearer one that is not
   * said here costs more than is reserved. @default 'default'
   */
  readonly defaultServiceTier?: string | undefined;
  /** @default the public id */
  readonly displayName?: string | undefined;
  /** @default the vendor of known models, such as 'openai', else 'system' */
  readonly ownedBy?: string | undefined;
  /** @default what is known of the model, else true for function calling and streaming only */
  readonly capabilities?: { readonly [Name in keyof Capabilities]?: Capabilities[Name] | undefined } | undefined;
  /** The operation it is there for. @default what is known of the model, else 'chat.completions' */
  readonly operation?: ListedOperation | undefined;
  /**
   * Whether calls to `/v1/responses` are passed on to the upstream, or translated to chat completions.
   * @default 'pass' where the upstream says that it has `responses`
   */
  readonly responses?: 'pass' | 'translate' | undefined;
  /** Unix time in milliseconds. @default what is known of the model, else when the gateway was made */
  readonly createdAt?: number | undefined;
}

export interface Capabilities {
  readonly functionCalling: boolean;
  readonly vision: boolean;
  readonly streaming: boolean;
  readonly structuredOutput: boolean;
}

/** A model with nothing left open. */
export interface Model {
  /** The public id; an alias resolves to its model's. */
  readonly id: string;
  readonly aliases: readonly string[];
  /** `undefined`: the gateway's own. */
  readonly upstream: Upstream | undefined;
  readonly upstreamModel: string;
  readonly contextLength: number | undefined;
  readonly maxOutputTokens: number | undefined;
  readonly pricing: Pricing | undefined;
  readonly price: Price | undefined;
  /** Unix time in milliseconds at which another price follows, or `Infinity`. */
  readonly priceUntilMs: number;
  /** The host's own price. */
  readonly cost: Price | undefined;
  /** `undefined`: the provider's ordinary one. */
  readonly defaultServiceTier: string | undefined;
  readonly displayName: string;
  readonly ownedBy: string;
  readonly capabilities: Capabilities;
  readonly operation: ListedOperation;
  /** `undefined`: as the upstream says. */
  readonly responses: 'pass' | 'translate' | undefined;
  readonly createdAt: number;
}

export interface ModelTable {
  /** The model that calls to this name go to; `undefined` when it is not served. */
  find(name: string): Model | undefined;
  /** The model of the table with that public id or alias. */
  findListed(name: string): Model | undefined;
  readonly listed: readonly Model[];
}

/** The models on offer when the host names none: OpenAI's, save old ones and those of the `-pro` class. Spread it to add to it: `{ ...defaultModels(), 'my-model': {} }`. */
export function defaultModels(): Record<string, ModelOptions> {
  return Object.fromEntries(KNOWN_MODELS.flatMap(({ id, listed }) => (listed === true ? [[id, {}]] : [])));
}

/**
 * Looks names up in a `Map`: a model called `constructor` is not found.
 * @param passUnlisted names that are not in the table are models too, under their own id.
 * @param nowMs tells the time by which known prices come into force.
 * @throws {TypeError} when two models share a name, and for a price that is none.
 */
export function modelTable(
  models: Readonly<Record<string, ModelOptions>>,
  passUnlisted: boolean,
  nowMs: () => number = () => 0,
): ModelTable {
  return new Table(models, passUnlisted, nowMs);
}

/** Names beside the table that are kept as models, so that calls to them do not make them anew. */
const MAX_PASSED = 256;

class Table implements ModelTable {
  private readonly models: readonly (readonly [string, ModelOptions])[];
  private readonly madeAtMs: number;
  private readonly byName = new Map<string, Model>();
  private readonly passed = new Map<string, Model>();
  private all: readonly Model[] = [];
  private priceUntilMs = 0;

  constructor(
    models: Readonly<Record<string, ModelOptions>>,
    private readonly passUnlisted: boolean,
    private readonly nowMs: () => number,
  ) {
    // Copied, as a host may change its object before the next price comes into force.
    this.models = Object.entries(models).map(([id, options]) => [id, { ...options }]);
    this.madeAtMs = nowMs();
    this.resolve();
  }

  get listed(): readonly Model[] {
    this.keepPricesInForce();
    return this.all;
  }

  find(name: string): Model | undefined {
    const listed = this.findListed(name);
    if (listed !== undefined || !this.passUnlisted) return listed;
    const nowMs = this.nowMs();
    const kept = this.passed.get(name);
    if (kept !== undefined && nowMs < kept.priceUntilMs) return kept;
    const model = resolveModel(name, {}, this.madeAtMs, nowMs);
    if (this.passed.size >= MAX_PASSED) this.passed.clear();
    this.passed.set(name, model);
    return model;
  }

  findListed(name: string): Model | undefined {
    this.keepPricesInForce();
    return this.byName.get(name);
  }

  private keepPricesInForce(): void {
    if (this.priceUntilMs !== Number.POSITIVE_INFINITY && this.nowMs() >= this.priceUntilMs) this.resolve();
  }

  private resolve(): void {
    const nowMs = this.nowMs();
    this.byName.clear();
    this.all = this.models.map(([id, options]) => {
      const model = resolveModel(id, options, this.madeAtMs, nowMs);
      for (const name of [id, ...(options.aliases ?? [])]) {
        if (this.byName.has(name)) {
          throw new TypeError(`Expected \`models\` to name each model once, got "${name}" twice`);
        }
        this.byName.set(name, model);
      }
      return model;
    });
    this.priceUntilMs = this.all.reduce(
      (first, { priceUntilMs }) => Math.min(first, priceUntilMs),
      Number.POSITIVE_INFINITY,
    );
  }
}

function resolveModel(id: string, options: ModelOptions, madeAtMs: number, nowMs: number): Model {
  const known = findKnownModel(options.upstreamModel ?? id) ?? findKnownModel(id);
  const inForce = options.pricing === undefined && known !== undefined ? priceInForce(known, nowMs) : undefined;
  const pricing = options.pricing ?? inForce?.pricing;
  const price = pricing === undefined ? undefined : toPrice(pricing, `models.${id}.pricing`);
  const operation = options.operation ?? known?.operation ?? 'chat.completions';
  const { functionCalling, vision, streaming, structuredOutput } = options.capabilities ?? {};
  return {
    id,
    aliases: options.aliases ?? [],
    upstream: options.upstream,
    upstreamModel: options.upstreamModel ?? id,
    contextLength: options.contextLength ?? known?.contextLength,
    maxOutputTokens: options.maxOutputTokens ?? known?.maxOutputTokens,
    pricing,
    price,
    priceUntilMs: inForce?.untilMs ?? Number.POSITIVE_INFINITY,
    cost: options.cost === undefined ? undefined : toPrice(options.cost, `models.${id}.cost`),
    defaultServiceTier: checkedDefaultTier(id, options.defaultServiceTier, price),
    displayName: options.displayName ?? id,
    ownedBy: options.ownedBy ?? known?.ownedBy ?? 'system',
    capabilities: {
      functionCalling: functionCalling ?? operation === 'chat.completions',
      streaming: streaming ?? (operation !== 'embeddings' && operation !== 'moderations'),
      vision: vision ?? known?.vision ?? false,
      structuredOutput: structuredOutput ?? known?.structuredOutput ?? false,
    },
    operation,
    responses: options.responses,
    createdAt: options.createdAt ?? (known?.created === undefined ? madeAtMs : known.created * 1_000),
  };
}

/** @throws {TypeError} for a tier whose price is not known: no reservation could hold it. */
function checkedDefaultTier(id: string, tier: unknown, price: Price | undefined): string | undefined {
  if (tier === undefined || tier === DEFAULT_SERVICE_TIER) return undefined;
  if (typeof tier === 'string' && (price === undefined || isPricedTier(price, tier))) return tier;
  throw unexpected(`models.${id}.defaultServiceTier`, "to be one of the model's `pricing.serviceTiers`", tier);
}

/** Whether a key may call the model by this name, its id or an alias: either may be on the key's list. */
export function mayCall({ models }: Pick<ApiKey, 'models'>, { id }: Model, name: string): boolean {
  // Stores without types say `null` for an absent field.
  return models === undefined || models === null || models.includes(id) || models.includes(name);
}

/** The model as it is shown to who knows it by this name. */
export function modelNamed(model: Model, name: string): Model {
  return { ...model, id: name, displayName: model.displayName === model.id ? name : model.displayName };
}

/** Longest name that is told back. */
const MAX_SHOWN = 256;

/** The model of that name, for a key that may call it. @throws {GatewayError} 404 or 403. */
export function findModel(models: ModelTable, key: ApiKey, name: string): Model {
  const model = models.find(name);
  if (model === undefined) throw modelNotFound(name.slice(0, MAX_SHOWN));
  if (!mayCall(key, model, name)) throw modelNotAllowed(name.slice(0, MAX_SHOWN));
  return model;
}

/**
 * The model of that name, for a body that goes to the gateway's own upstream as it comes: neither another name nor another
 * upstream can be given to a form on its way, or to a file.
 * @throws {GatewayError} 404 or 403.
 */
export function findUnrouted(models: ModelTable, key: ApiKey, name: string): Model {
  const model = findModel(models, key, name);
  if (model.upstream !== undefined || model.upstreamModel !== name) throw modelNotFound(name.slice(0, MAX_SHOWN));
  return model;
}

/** Whether the model's upstream answers `/v1/responses` itself. */
export function passesResponses(
  { responses }: Pick<Model, 'responses'>,
  { operations = DEFAULT_OPERATIONS }: Upstream,
): boolean {
  if (responses !== undefined) return responses === 'pass';
  return operations.includes('responses');
}

/** @throws {GatewayError} 404 when the upstream was never made for the operation. */
export function checkOffered(operation: ModelOperation, model: Pick<Model, 'responses'>, upstream: Upstream): void {
  const { operations = DEFAULT_OPERATIONS } = upstream;
  const isTranslated = operation === 'responses' && !passesResponses(model, upstream);
  if (!operations.includes(isTranslated ? 'chat.completions' : operation)) throw unsupportedOperation(operation);
}
