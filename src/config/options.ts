import { isRecord, optionalBoolean, positiveInteger, unexpected, withMethod } from '../base/checks.js';
import { type Clock, deadlines, systemClock } from '../base/clock.js';
import { unavailable } from '../base/errors.js';
import { DEFAULT_JSON_BYTES, DEFAULT_JSON_VALUES, jsonBounds } from '../base/json-document.js';
import { sealerOf } from '../base/seal.js';
import { checkedCors } from '../http/cors.js';
import { checkedLingering } from '../http/lingering.js';
import { keyCheck } from '../keys/check-key.js';
import type { KeyStore } from '../keys/key-store.js';
import { checkedLimits, checkedTiers, DEFAULT_TIERS, UNLIMITED_TIER } from '../keys/limits.js';
import { type MemoryKeys, memoryKeys } from '../keys/memory.js';
import { createKey } from '../keys/secret.js';
import { learnedOutput } from '../limits/learned-output.js';
import { NO_LIMITS } from '../limits/levels.js';
import type { FindPeriod } from '../limits/limiter-store.js';
import { memoryLimiter } from '../limits/memory.js';
import { periodsOf } from '../limits/periods.js';
import { memoryIdempotency, memoryObjects } from '../stores/memory.js';
import { demo } from '../upstreams/demo/demo.js';
import { http } from '../upstreams/http.js';
import type { Upstream } from '../upstreams/upstream.js';
import { memoryUsage } from '../usage/memory.js';
import { checkedAdmin } from './admin-secret.js';
import { checkedModels } from './check-models.js';
import type { Config, GatewayOptions, WholeStore } from './config.js';
import { type Environment, readEnvironment } from './environment.js';
import { type AllHooks, guardedHooks } from './hooks.js';
import { defaultModels, modelTable } from './models.js';
import { storesInTime } from './stores-in-time.js';

/**
 * Fills in and checks the options, once, when the gateway is made.
 * @throws {TypeError} for unknown names and bad values, naming both.
 */
export function resolveOptions(given: GatewayOptions = {}): Config {
  refuseOther(given);
  // Every option is named here and in `GatewayOptions`, nowhere else.
  const {
    upstream,
    models,
    unlistedModels,
    store,
    keys,
    identify,
    admin,
    sealingSecret,
    tiers,
    globalLimits,
    budgetTimeZone = 'UTC',
    limiter,
    usage,
    objects,
    idempotency,
    hooks: watchers = {},
    basePath = '',
    unversionedPaths = false,
    cors,
    maxBodyBytes = 10_485_760,
    maxJsonValues = DEFAULT_JSON_VALUES,
    maxJsonBytes = DEFAULT_JSON_BYTES,
    maxUploadBytes = 536_870_912,
    maxHeldBytesPerKey = Math.max(67_108_864, maxBodyBytes),
    wrongKeysPerMinute = 20,
    maxHeldBytes = 1_073_741_824,
    lingering,
    bodyTimeoutMs = 30_000,
    defaultMaxOutputTokens = 4_096,
    defaultMaxToolCalls = 10,
    timeoutMs = 600_000,
    maxResponseBytes = 67_108_864,
    maxConcurrentCalls = 10_000,
    debug,
    environment: variables,
    clock = systemClock,
    ...unknown
  } = given;
  refuseUnknown(unknown);
  withMethod('clock', clock, 'wallMs', 'steadyMs', 'setTimer');
  const environment = readEnvironment(variables);
  const hooks = guardedHooks(watchers);
  const allTiers = new Map(Object.entries({ ...DEFAULT_TIERS, ...checkedTiers(tiers) }));
  checkTiersOfKeys(environment, allTiers);
  const stores = checkedStores({ keys, limiter, usage, objects, idempotency }, store);
  tellOfMemory(environment, stores, hooks);
  const keyStore = stores.keys ?? defaultKeys(environment, { store, identifies: identify !== undefined, hooks });
  keyStore.useTiers?.([...allTiers.keys()]);
  const callDeadlines = deadlines(clock, positiveInteger('timeoutMs', timeoutMs));
  const bounded = storesInTime(stores, { clock, timeoutMs, callDeadlines });
  return Object.freeze({
    upstream: checkedUpstream(upstream) ?? defaultUpstream(environment, { hooks, clock }),
    models: modelTable(
      models === undefined ? defaultModels() : checkedModels(models),
      passesUnlisted(unlistedModels, models),
      () => clock.wallMs(),
    ),
    keys: keyStore,
    identify: checkedFunction('identify', identify),
    checkKey: keyCheck({
      tiers: allTiers,
      unlimitedTier: tiers?.[UNLIMITED_TIER] === undefined ? UNLIMITED_TIER : undefined,
      onNotice: hooks.onNotice,
    }),
    admin: checkedAdmin(admin, environment),
    sealer: sealerOf(sealingSecret),
    tiers: allTiers,
    globalLimits: globalLimits === undefined ? NO_LIMITS : checkedLimits('globalLimits', globalLimits),
    findPeriod: checkedPeriods(budgetTimeZone),
    learned: learnedOutput(),
    limiter: bounded.limiter ?? memoryLimiter(),
    usage: bounded.usage ?? memoryUsage(),
    objects: bounded.objects ?? memoryObjects(),
    idempotency: bounded.idempotency ?? memoryIdempotency(),
    hooks,
    basePath: checkedBasePath(basePath),
    unversionedPaths: optionalBoolean('unversionedPaths', unversionedPaths) ?? false,
    cors: checkedCors(cors),
    maxBodyBytes: positiveInteger('maxBodyBytes', maxBodyBytes),
    maxJsonValues: positiveInteger('maxJsonValues', maxJsonValues),
    maxJsonBytes: positiveInteger('maxJsonBytes', maxJsonBytes),
    json: jsonBounds(maxJsonValues, maxJsonBytes),
    maxUploadBytes: positiveInteger('maxUploadBytes', maxUploadBytes),
    maxHeldBytesPerKey: positiveInteger('maxHeldBytesPerKey', maxHeldBytesPerKey),
    wrongKeysPerMinute: positiveInteger('wrongKeysPerMinute', wrongKeysPerMinute),
    maxHeldBytes: positiveInteger('maxHeldBytes', maxHeldBytes),
    lingering: checkedLingering(lingering),
    bodyDeadlines: deadlines(clock, positiveInteger('bodyTimeoutMs', bodyTimeoutMs)),
    defaultMaxOutputTokens: positiveInteger('defaultMaxOutputTokens', defaultMaxOutputTokens),
    defaultMaxToolCalls: positiveInteger('defaultMaxToolCalls', defaultMaxToolCalls),
    timeoutMs,
    callDeadlines,
    maxResponseBytes: positiveInteger('maxResponseBytes', maxResponseBytes),
    maxConcurrentCalls: positiveInteger('maxConcurrentCalls', maxConcurrentCalls),
    debug: optionalBoolean('debug', debug) ?? !environment.production,
    clock,
  });
}

/** @throws {TypeError} for what are no options at all. */
function refuseOther(given: unknown): void {
  if (typeof given === 'function' && 'gateway' in given) throw sharesGateway();
  if (!isRecord(given)) throw unexpected('options', 'to be an object', given);
}

function sharesGateway(): TypeError {
  return new TypeError('Unknown option `gateway`: to share one, write `megallm(other.gateway)`');
}

/** @param unknown the options that nobody named; the type says that every known one was. */
function refuseUnknown(unknown: Readonly<Record<string, never>>): void {
  const [name] = Object.keys(unknown);
  if (name === 'gateway') throw sharesGateway();
  if (name !== undefined) throw new TypeError(`Unknown option \`${name}\``);
}

/** Whether names that are not in `models` go to the upstream all the same. */
function passesUnlisted(unlistedModels: GatewayOptions['unlistedModels'], models: GatewayOptions['models']): boolean {
  if (unlistedModels === undefined) return models === undefined;
  if (unlistedModels === 'pass' || unlistedModels === 'refuse') return unlistedModels === 'pass';
  throw unexpected('unlistedModels', "'pass' or 'refuse'", unlistedModels);
}

/** @throws {TypeError} for a key of the environment whose tier nobody knows. */
function checkTiersOfKeys({ keys }: Environment, tiers: Config['tiers']): void {
  for (const { id, tier } of keys) {
    if (tier !== undefined && !tiers.has(tier))
      throw unexpected(`MEGALLM_KEYS, the tier of ${id}`, 'to be a tier', tier);
  }
}

/** @throws {TypeError} for a time zone that nobody knows. */
function checkedPeriods(timeZone: string): FindPeriod {
  try {
    return periodsOf(timeZone);
  } catch {
    throw unexpected('budgetTimeZone', "to be a time zone such as 'Europe/Berlin'", timeZone);
  }
}

/** @throws {TypeError} for anything but a plain path. */
function checkedBasePath(path: string): string {
  if (path === '' || (typeof path === 'string' && /^(?:\/[\w.~-]+)+$/.test(path))) return path;
  throw unexpected('basePath', "to be '' or a path such as '/ai'", path);
}

function defaultUpstream(
  environment: Environment,
  { hooks, clock }: { readonly hooks: AllHooks; readonly clock: Clock },
): Upstream {
  if (environment.openaiApiKey !== undefined) {
    return http({ baseUrl: environment.openaiBaseUrl, apiKey: environment.openaiApiKey, name: 'openai' });
  }
  if (!environment.production) return demo({ clock });
  hooks.onNotice('No upstream: set OPENAI_API_KEY or the `upstream` option. Until then calls are answered with 503.');
  return unconfigured();
}

/** Stands in for a missing upstream: every call is a 503 that says so. */
function unconfigured(): Upstream {
  return {
    name: 'unconfigured',
    send: async () => {
      throw unavailable('upstream_unavailable', 'No upstream is configured on this server.');
    },
  };
}

/** Stores whose loss or division is felt, with what each worker then has alone. */
const SHARED_PARTS = {
  limiter: 'limits',
  usage: 'usage and budgets',
  objects: 'responses and files',
  idempotency: 'replays',
} as const;

/** Says which stores are in memory where several processes serve the same users. */
function tellOfMemory({ clusterWorker }: Environment, stores: WholeStore, hooks: AllHooks): void {
  const { limiter } = stores;
  // A limiter that has connections to close is there for several processes.
  const isDivided = clusterWorker || (limiter !== undefined && 'close' in limiter);
  if (!isDivided) return;
  const parts = Object.entries(SHARED_PARTS).filter(([part]) => Reflect.get(stores, part) === undefined);
  if (parts.length === 0) return;
  const named = parts.map(([part, what]) => `\`${part}\` (${what})`).join(', ');
  hooks.onNotice(
    `In memory, so that each process has its own: ${named}. Set the \`store\` option, or each of these, to what all processes share.`,
  );
}

/** The stores that the host gave, each checked: its own option before the whole store's part. */
function checkedStores(parts: WholeStore, store: WholeStore | undefined): WholeStore {
  const own = checkedParts('', parts);
  if (store === undefined) return own;
  if (!isRecord(store)) throw unexpected('store', 'to be a store, such as `await sqliteStore({ file })`', store);
  const whole = checkedParts('store.', store);
  if (Object.values(whole).every((part) => part === undefined)) {
    throw unexpected('store', `to have one of ${Object.keys(whole).join(', ')}`, store);
  }
  return {
    // The store's keys stand beside those of the environment.
    keys: own.keys,
    limiter: own.limiter ?? whole.limiter,
    usage: own.usage ?? whole.usage,
    objects: own.objects ?? whole.objects,
    idempotency: own.idempotency ?? whole.idempotency,
  };
}

function checkedParts(prefix: string, { keys, limiter, usage, objects, idempotency }: WholeStore): WholeStore {
  return {
    keys: withMethod(`${prefix}keys`, keys, 'find'),
    limiter: withMethod(`${prefix}limiter`, limiter, 'reserve', 'settle'),
    usage: withMethod(`${prefix}usage`, usage, 'open', 'settle'),
    objects: withMethod(`${prefix}objects`, objects, 'find', 'list', 'put', 'remove'),
    idempotency: withMethod(`${prefix}idempotency`, idempotency, 'claim', 'finish'),
  };
}

function checkedUpstream(upstream: GatewayOptions['upstream']): Upstream | undefined {
  return typeof upstream === 'string' ? http({ baseUrl: upstream }) : withMethod('upstream', upstream, 'send');
}

function checkedFunction<T>(name: string, value: T | undefined): T | undefined {
  if (value === undefined || typeof value === 'function') return value;
  throw unexpected(name, 'to be a function', value);
}

interface KeySources {
  readonly store: WholeStore | undefined;
  /** Whether the host maps its own users to keys. */
  readonly identifies: boolean;
  readonly hooks: AllHooks;
}

function defaultKeys(environment: Environment, { store, identifies, hooks }: KeySources): KeyStore {
  const kept = store?.keys;
  const given = environmentKeys(environment, identifies || kept !== undefined, hooks);
  if (kept === undefined) return given;
  return {
    find: (hash) => given.find(hash) ?? kept.find(hash),
    useTiers: (names) => kept.useTiers?.(names),
  };
}

/** @param areOthers whether there are callers without these keys. */
function environmentKeys({ keys, production }: Environment, areOthers: boolean, hooks: AllHooks): MemoryKeys {
  if (keys.length > 0 || areOthers) return memoryKeys(keys);
  if (production) {
    hooks.onNotice('No API keys: set MEGALLM_KEYS or the `keys` option. Until then calls are answered with 401.');
    return memoryKeys();
  }
  const { secret, hash, key } = createKey({ id: 'development' });
  hooks.onNotice(`No API keys are set. For development, use: ${secret}`);
  return memoryKeys([{ ...key, hash }]);
}
