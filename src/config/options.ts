import { positiveInteger, unexpected, withMethod } from '../base/checks.js';
import { type Clock, deadlines, type StartDeadline, systemClock } from '../base/clock.js';
import { type AdminOptions, checkedAdmin } from '../endpoints/reports/admin.js';
import { type CorsOptions, checkedCors } from '../http/cors.js';
import type { Identify, KeyStore, Limits, TierLimits } from '../keys/key-store.js';
import { checkedLimits, checkedTiers, DEFAULT_TIERS } from '../keys/limits.js';
import { memoryKeys } from '../keys/memory.js';
import { createKey } from '../keys/secret.js';
import { learnedOutput } from '../limits/learned-output.js';
import { NO_LIMITS } from '../limits/levels.js';
import type { FindPeriod, LearnedOutput, LimiterStore } from '../limits/limiter-store.js';
import { memoryLimiter } from '../limits/memory.js';
import type { IdempotencyStore } from '../stores/answer-store.js';
import { memoryIdempotency, memoryObjects } from '../stores/memory.js';
import type { ObjectStore } from '../stores/object-store.js';
import { demo } from '../upstreams/demo/demo.js';
import { http } from '../upstreams/http.js';
import { unconfigured } from '../upstreams/unconfigured.js';
import type { Upstream } from '../upstreams/upstream.js';
import { memoryUsage } from '../usage/memory.js';
import type { UsageReader, UsageStore } from '../usage/usage-store.js';
import { type Environment, readEnvironment } from './environment.js';
import { guardedHooks, type Hooks } from './hooks.js';
import { defaultModels, type ModelOptions, type ModelTable, modelTable } from './models.js';
import { checkedBasePath, checkedPeriods, passesUnlisted } from './option-checks.js';

/** Everything a host can say. Every field may be left out: `megallm()` works, and is never an open proxy. */
export interface GatewayOptions {
  /**
   * Who answers the calls of models that name no upstream of their own.
   * @default `http` to `OPENAI_BASE_URL` with `OPENAI_API_KEY` when the key is set; else `demo()`, in production a 503
   */
  readonly upstream?: Upstream;
  /** What is served, by public id. @default `defaultModels()` */
  readonly models?: Readonly<Record<string, ModelOptions>>;
  /** A model name that is not in `models`: passed to `upstream` under that name, or refused with a 404. @default 'refuse' with `models`, else 'pass' */
  readonly unlistedModels?: 'pass' | 'refuse';
  /** Where API keys live. @default `MEGALLM_KEYS`; none set: one development key, printed once; in production none */
  readonly keys?: KeyStore;
  /** Maps the host's own user to a key; asked before `keys`. */
  readonly identify?: Identify;
  /** Opens the reports on all keys below `/v1/organization`. @default `MEGALLM_ADMIN_SECRET`; none set: they are not there */
  readonly admin?: AdminOptions;
  /** Limits by tier, beside and instead of the default tiers `basic`, `pro` and `enterprise`. */
  readonly tiers?: Readonly<Record<string, TierLimits>>;
  /** Limits of all calls together. @default none */
  readonly globalLimits?: Limits;
  /** Whose days and months budgets run in, such as `Europe/Berlin`. @default 'UTC' */
  readonly budgetTimeZone?: string;
  /** Where limit counters live. @default memoryLimiter() */
  readonly limiter?: LimiterStore;
  /** Where usage is kept. @default memoryUsage() */
  readonly usage?: UsageStore & Partial<UsageReader>;
  /** Whose responses, stored completions, files and so on are whose. @default memoryObjects() */
  readonly objects?: ObjectStore;
  /** Where answers are kept for requests with an `Idempotency-Key`, up to 1 MB each, for a day. @default memoryIdempotency() */
  readonly idempotency?: IdempotencyStore;
  readonly hooks?: Hooks;
  /** Path below which `/v1` stands, where the host does not strip it, such as `/ai`. @default '' */
  readonly basePath?: string;
  /** Whether the same paths without `/v1`, such as `/chat/completions`, are ours too. @default false */
  readonly unversionedPaths?: boolean;
  /** Web pages of these origins, such as `https://app.example.com`, may call the gateway from browsers. @default none */
  readonly cors?: CorsOptions;
  /** Largest request body. @default 10_485_760 */
  readonly maxBodyBytes?: number;
  /** Largest multipart body, which passes on as it comes. @default 536_870_912 */
  readonly maxUploadBytes?: number;
  /** For a request body to arrive whole. @default 30_000 */
  readonly bodyTimeoutMs?: number;
  /**
   * Output ceiling of a call whose tokens or money are limited and whose client named none, until 20 answers to that owner
   * and model are known: from then on what 95 of the latest 100 did not exceed, and at least 1,024. @default 4_096
   */
  readonly defaultMaxOutputTokens?: number;
  /** Longest call, from its admission to the end of its answer. @default 600_000 */
  readonly timeoutMs?: number;
  /** Largest answer of an upstream. @default 67_108_864 */
  readonly maxResponseBytes?: number;
  /** Most calls at once over all keys; more get a 503. @default 10_000 */
  readonly maxConcurrentCalls?: number;
  /** Whether keys that do not say so may see what `X-Debug: true` shows. @default false in production, true elsewhere */
  readonly debug?: boolean;
  /** @default the process's own */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** @default systemClock */
  readonly clock?: Clock;
}

/** The options with nothing left open. */
export interface Config {
  readonly upstream: Upstream;
  readonly models: ModelTable;
  readonly keys: KeyStore;
  readonly identify: Identify | undefined;
  /** The SHA-256 of the admin's secret. */
  readonly admin: Buffer | undefined;
  readonly tiers: ReadonlyMap<string, TierLimits>;
  readonly globalLimits: Limits;
  readonly findPeriod: FindPeriod;
  readonly learned: LearnedOutput;
  readonly limiter: LimiterStore;
  readonly usage: UsageStore & Partial<UsageReader>;
  readonly objects: ObjectStore;
  readonly idempotency: IdempotencyStore;
  readonly hooks: Required<Hooks>;
  readonly basePath: string;
  readonly unversionedPaths: boolean;
  readonly cors: CorsOptions | undefined;
  readonly maxBodyBytes: number;
  readonly maxUploadBytes: number;
  /** For a request body to arrive whole. */
  readonly startBodyDeadline: StartDeadline;
  readonly defaultMaxOutputTokens: number;
  readonly timeoutMs: number;
  /** For a call of `timeoutMs`. */
  readonly startCallDeadline: StartDeadline;
  readonly maxResponseBytes: number;
  readonly maxConcurrentCalls: number;
  readonly debug: boolean;
  readonly clock: Clock;
}

const OPTION_NAMES = new Set([
  'upstream',
  'models',
  'unlistedModels',
  'keys',
  'identify',
  'admin',
  'tiers',
  'globalLimits',
  'budgetTimeZone',
  'limiter',
  'usage',
  'objects',
  'idempotency',
  'hooks',
  'basePath',
  'unversionedPaths',
  'cors',
  'maxBodyBytes',
  'maxUploadBytes',
  'bodyTimeoutMs',
  'defaultMaxOutputTokens',
  'timeoutMs',
  'maxResponseBytes',
  'maxConcurrentCalls',
  'debug',
  'environment',
  'clock',
]);

/**
 * Fills in and checks the options, once, when the gateway is made.
 * @throws {TypeError} for unknown names and bad values, naming both.
 */
export function resolveOptions(options: GatewayOptions = {}): Config {
  for (const name of Object.keys(options)) {
    if (!OPTION_NAMES.has(name)) throw new TypeError(`Unknown option \`${name}\``);
  }
  const environment = readEnvironment(options.environment);
  const hooks = guardedHooks(options.hooks ?? {});
  const { production } = environment;
  const tiers = new Map(Object.entries({ ...DEFAULT_TIERS, ...checkedTiers(options.tiers) }));
  for (const { id, tier } of environment.keys) {
    if (tier !== undefined && !tiers.has(tier))
      throw unexpected(`MEGALLM_KEYS, the tier of ${id}`, 'to be a tier', tier);
  }
  const { clock = systemClock } = options;
  const timeoutMs = positiveInteger('timeoutMs', options.timeoutMs ?? 600_000);
  return Object.freeze({
    upstream: withMethod('upstream', options.upstream, 'send') ?? defaultUpstream(environment, hooks),
    models: modelTable(options.models ?? defaultModels(), passesUnlisted(options), clock.wallMs()),
    keys: withMethod('keys', options.keys, 'find') ?? defaultKeys(environment, options, hooks),
    identify: options.identify,
    admin: checkedAdmin(options.admin, environment),
    tiers,
    globalLimits: options.globalLimits === undefined ? NO_LIMITS : checkedLimits('globalLimits', options.globalLimits),
    findPeriod: checkedPeriods(options.budgetTimeZone ?? 'UTC'),
    learned: learnedOutput(),
    limiter: withMethod('limiter', options.limiter, 'reserve') ?? defaultLimiter(environment, hooks),
    usage: withMethod('usage', options.usage, 'settle') ?? memoryUsage(),
    objects: withMethod('objects', options.objects, 'find') ?? memoryObjects(),
    idempotency: withMethod('idempotency', options.idempotency, 'claim') ?? memoryIdempotency(),
    hooks,
    basePath: checkedBasePath(options.basePath ?? ''),
    unversionedPaths: options.unversionedPaths ?? false,
    cors: checkedCors(options.cors),
    maxBodyBytes: positiveInteger('maxBodyBytes', options.maxBodyBytes ?? 10_485_760),
    maxUploadBytes: positiveInteger('maxUploadBytes', options.maxUploadBytes ?? 536_870_912),
    startBodyDeadline: deadlines(clock, positiveInteger('bodyTimeoutMs', options.bodyTimeoutMs ?? 30_000)),
    defaultMaxOutputTokens: positiveInteger('defaultMaxOutputTokens', options.defaultMaxOutputTokens ?? 4_096),
    timeoutMs,
    startCallDeadline: deadlines(clock, timeoutMs),
    maxResponseBytes: positiveInteger('maxResponseBytes', options.maxResponseBytes ?? 67_108_864),
    maxConcurrentCalls: positiveInteger('maxConcurrentCalls', options.maxConcurrentCalls ?? 10_000),
    debug: options.debug ?? !production,
    clock,
  });
}

function defaultUpstream(environment: Environment, hooks: Required<Hooks>): Upstream {
  if (environment.openaiApiKey !== undefined) {
    return http({ baseUrl: environment.openaiBaseUrl, apiKey: environment.openaiApiKey, name: 'openai' });
  }
  if (!environment.production) return demo();
  hooks.onNotice('No upstream: set OPENAI_API_KEY or the `upstream` option. Until then calls are answered with 503.');
  return unconfigured();
}

function defaultLimiter({ clusterWorker }: Environment, hooks: Required<Hooks>): LimiterStore {
  if (clusterWorker) {
    hooks.onNotice(
      'Each worker of this cluster has limits of its own: set the `limiter` option to a store they share.',
    );
  }
  return memoryLimiter();
}

function defaultKeys({ keys, production }: Environment, options: GatewayOptions, hooks: Required<Hooks>): KeyStore {
  if (keys.length > 0 || options.identify !== undefined) return memoryKeys(keys);
  if (production) {
    hooks.onNotice('No API keys: set MEGALLM_KEYS or the `keys` option. Until then calls are answered with 401.');
    return memoryKeys();
  }
  const { secret, hash, key } = createKey({ id: 'development' });
  hooks.onNotice(`No API keys are set. For development, use: ${secret}`);
  return memoryKeys([{ ...key, hash }]);
}
