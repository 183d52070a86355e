import type { Clock, Deadlines } from '../base/clock.js';
import type { GatewayJson } from '../base/json-document.js';
import type { Sealer } from '../base/seal.js';
import type { CorsOptions } from '../http/cors.js';
import type { LingeringBounds, LingeringOptions } from '../http/lingering.js';
import type { CheckKey } from '../keys/check-key.js';
import type { Identify, KeyStore, Limits, TierLimits } from '../keys/key-store.js';
import type { FindPeriod, LearnedOutput, LimiterStore } from '../limits/limiter-store.js';
import type { IdempotencyStore } from '../stores/answer-store.js';
import type { ObjectStore } from '../stores/object-store.js';
import type { Upstream } from '../upstreams/upstream.js';
import type { UsageReader, UsageStore } from '../usage/usage-store.js';
import type { AdminOptions } from './admin-secret.js';
import type { AllHooks, Hooks } from './hooks.js';
import type { ModelOptions, ModelTable } from './models.js';

/** The parts of a store for everything, such as `sqliteStore()` and `postgresStore()` open. What else it has is its host's. */
export interface WholeStore {
  readonly keys?: KeyStore | undefined;
  readonly limiter?: LimiterStore | undefined;
  readonly usage?: (UsageStore & Partial<UsageReader>) | undefined;
  readonly objects?: ObjectStore | undefined;
  readonly idempotency?: IdempotencyStore | undefined;
}

/**
 * Everything a host can say. Every field may be left out: `megallm()` works, and is never an open proxy.
 * @typeParam Native the request of the host's framework, as `identify` gets it.
 */
export interface GatewayOptions<Native = unknown> {
  /**
   * The upstream of models that name none of their own. A text is the `baseUrl` of an `http` upstream without a key.
   * @default `http` to `OPENAI_BASE_URL` with `OPENAI_API_KEY` when the key is set; else `demo()`, in production a 503
   */
  readonly upstream?: Upstream | string | undefined;
  /** The models on offer, by public id. @default `defaultModels()` */
  readonly models?: Readonly<Record<string, ModelOptions>> | undefined;
  /** A model name that is not in `models`: passed to `upstream` under that name, or refused with a 404. @default 'refuse' with `models`, else 'pass' */
  readonly unlistedModels?: 'pass' | 'refuse' | undefined;
  /**
   * Where everything lives that the options below do not place elsewhere, such as `await sqliteStore({ file })`. Closing it
   * is the host's. Its keys open the gateway beside those of `MEGALLM_KEYS`.
   */
  readonly store?: WholeStore | undefined;
  /** Where API keys live. @default `MEGALLM_KEYS`; none set: one development key, printed once; in production none */
  readonly keys?: KeyStore | undefined;
  /** Maps the host's own user to a key; asked before `keys`. */
  readonly identify?: Identify<Native> | undefined;
  /** Opens the reports on all keys below `/v1/organization`. @default `MEGALLM_ADMIN_SECRET`; none set: they are not there */
  readonly admin?: AdminOptions | undefined;
  /**
   * Secret behind what clients hold for us and only we can read: `encrypted_content` of thoughts in translated responses. At
   * least 32 characters, the same in all processes. @default random: after a restart what was sealed before is ignored
   */
  readonly sealingSecret?: string | undefined;
  /** Limits by tier, beside and instead of the default tiers `basic`, `pro` and `enterprise`. */
  readonly tiers?: Readonly<Record<string, TierLimits>> | undefined;
  /** Limits of all calls together. @default none */
  readonly globalLimits?: Limits | undefined;
  /** Time zone of the days and months of budgets, such as `Europe/Berlin`. @default 'UTC' */
  readonly budgetTimeZone?: string | undefined;
  /** Where limit counters live. @default memoryLimiter() */
  readonly limiter?: LimiterStore | undefined;
  /** Where usage is kept. @default memoryUsage() */
  readonly usage?: (UsageStore & Partial<UsageReader>) | undefined;
  /** Records which owner each response, stored completion and file belongs to. @default memoryObjects() */
  readonly objects?: ObjectStore | undefined;
  /** Where answers are kept for requests with an `Idempotency-Key`, up to 1 MB each, for a day. @default memoryIdempotency() */
  readonly idempotency?: IdempotencyStore | undefined;
  readonly hooks?: Hooks | undefined;
  /** Path below which `/v1` stands, where the host does not strip it, such as `/ai`. @default '' */
  readonly basePath?: string | undefined;
  /** Whether the same paths without `/v1`, such as `/chat/completions`, are ours too. @default false */
  readonly unversionedPaths?: boolean | undefined;
  /** Web pages of these origins, such as `https://app.example.com`, may call the gateway from browsers. @default none */
  readonly cors?: CorsOptions | undefined;
  /** Largest request body. @default 10_485_760 */
  readonly maxBodyBytes?: number | undefined;
  /**
   * Most values, whole lists and objects among them, of JSON that is parsed in one piece, a request or an answer: others wait
   * meanwhile. Lists of token numbers and answers that pass as they came may have more; else it is a 400, or a 502.
   * @default 200_000
   */
  readonly maxJsonValues?: number | undefined;
  /** Most bytes of such JSON; more are a 413, or a 502. @default 16_777_216 */
  readonly maxJsonBytes?: number | undefined;
  /** Largest multipart body, which passes on as it comes. @default 536_870_912 */
  readonly maxUploadBytes?: number | undefined;
  /**
   * Most bytes of one key in memory at once: request bodies with their copies, answers while they are read and until their clients have
   * them. Beyond it an upstream is held back, for ten seconds at most, and requests get a 429. One call alone always finds room for
   * what its own bounds allow.
   * @default 67_108_864, or `maxBodyBytes` where that is more
   */
  readonly maxHeldBytesPerKey?: number | undefined;
  /** The same of all keys together; more requests get a 503. @default 1_073_741_824 */
  readonly maxHeldBytes?: number | undefined;
  /**
   * Wrong keys in a minute from one address that are answered at once; answers to more of them wait up to four seconds. More than the
   * default where all clients have one address, as behind a proxy that the host does not trust. @default 20
   */
  readonly wrongKeysPerMinute?: number | undefined;
  /** Bounds of what is read and dropped of a request that was answered before its end, so that the answer arrives. */
  readonly lingering?: LingeringOptions | undefined;
  /** For a request body to arrive whole. @default 30_000 */
  readonly bodyTimeoutMs?: number | undefined;
  /**
   * Output ceiling of a call whose tokens or money are limited and whose client named none, until 20 answers to that owner
   * and model are known: from then on what 95 of the latest 100 did not exceed, and at least 1,024. @default 4_096
   */
  readonly defaultMaxOutputTokens?: number | undefined;
  /** Most calls of hosted tools of a response whose client named no `max_tool_calls`, where money is limited. @default 10 */
  readonly defaultMaxToolCalls?: number | undefined;
  /** Longest call, from its admission to the end of its answer; also the longest wait for each of the host's promises. @default 600_000 */
  readonly timeoutMs?: number | undefined;
  /** Largest answer of an upstream. @default 67_108_864 */
  readonly maxResponseBytes?: number | undefined;
  /** Most calls at once over all keys; more get a 503. @default 10_000 */
  readonly maxConcurrentCalls?: number | undefined;
  /** Whether keys that do not say so may see what `X-Debug: true` shows. @default false in production, true elsewhere */
  readonly debug?: boolean | undefined;
  /** @default the process's own */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** @default systemClock */
  readonly clock?: Clock | undefined;
}

/** Options that the gateway keeps in another form than the host gave them in. */
type Reshaped =
  | 'upstream'
  | 'store'
  | 'models'
  | 'unlistedModels'
  | 'identify'
  | 'admin'
  | 'sealingSecret'
  | 'tiers'
  | 'budgetTimeZone'
  | 'hooks'
  | 'cors'
  | 'lingering'
  | 'bodyTimeoutMs'
  | 'environment';

type Complete<Options> = { readonly [Name in keyof Options]-?: Exclude<Options[Name], undefined> };

/** The options with nothing left open: every field that is not named here is as `GatewayOptions` says. */
export interface Config extends Complete<Omit<GatewayOptions, Reshaped>> {
  readonly upstream: Upstream;
  readonly models: ModelTable;
  readonly checkKey: CheckKey;
  readonly identify: Identify | undefined;
  readonly sealer: Sealer;
  /** The bounds of JSON that is parsed: `maxJsonValues`, `maxJsonBytes`. */
  readonly json: GatewayJson;
  /** The SHA-256 of the admin's secret. */
  readonly admin: Buffer | undefined;
  readonly tiers: ReadonlyMap<string, TierLimits>;
  readonly findPeriod: FindPeriod;
  readonly learned: LearnedOutput;
  readonly hooks: AllHooks;
  readonly cors: CorsOptions | undefined;
  readonly lingering: LingeringBounds;
  /** The time in which each request body must arrive whole. */
  readonly bodyDeadlines: Deadlines;
  /** The `timeoutMs` of each call. */
  readonly callDeadlines: Deadlines;
}
