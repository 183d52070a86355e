import { positiveInteger, unexpected, withMethod } from '../base/checks.js';
import { type Clock, deadlines, systemClock } from '../base/clock.js';
import { unavailable } from '../base/errors.js';
import { sealerOf } from '../base/seal.js';
import { checkedCors } from '../http/cors.js';
import { checkedLingering } from '../http/lingering.js';
import type { KeyStore } from '../keys/key-store.js';
import { checkedLimits, checkedTiers, DEFAULT_TIERS } from '../keys/limits.js';
import { memoryKeys } from '../keys/memory.js';
import { createKey } from '../keys/secret.js';
import { learnedOutput } from '../limits/learned-output.js';
import { NO_LIMITS } from '../limits/levels.js';
import type { FindPeriod, LimiterStore } from '../limits/limiter-store.js';
import { memoryLimiter } from '../limits/memory.js';
import { periodsOf } from '../limits/periods.js';
import { memoryIdempotency, memoryObjects } from '../stores/memory.js';
import { demo } from '../upstreams/demo/demo.js';
import { http } from '../upstreams/http.js';
import type { Upstream } from '../upstreams/upstream.js';
import { memoryUsage } from '../usage/memory.js';
import { checkedAdmin } from './admin-secret.js';
import type { Config, GatewayOptions } from './config.js';
import { type Environment, readEnvironment } from './environment.js';
import { type AllHooks, guardedHooks } from './hooks.js';
import { defaultModels, modelTable } from './models.js';

/**
 * Fills in and checks the options, once, when the gateway is made.
 * @throws {TypeError} for unknown names and bad values, naming both.
 */
export function resolveOptions(given: GatewayOptions = {}): Config {
  // Every option is named here and in `GatewayOptions`, nowhere else.
  const {
    upstream,
    models,
    unlistedModels,
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
    maxUploadBytes = 536_870_912,
    maxHeldBytesPerKey = Math.max(67_108_864, maxBodyBytes),
    maxHeldBytes = 1_073_741_824,
    lingering,
    bodyTimeoutMs = 30_000,
    defaultMaxOutputTokens = 4_096,
    timeoutMs = 600_000,
    maxResponseBytes = 67_108_864,
    maxConcurrentCalls = 10_000,
    debug,
    environment: variables,
    clock = systemClock,
    ...unknown
  } = given;
  refuseUnknown(unknown);
  const environment = readEnvironment(variables);
  const hooks = guardedHooks(watchers);
  const allTiers = new Map(Object.entries({ ...DEFAULT_TIERS, ...checkedTiers(tiers) }));
  checkTiersOfKeys(environment, allTiers);
  return Object.freeze({
    upstream: withMethod('upstream', upstream, 'send') ?? defaultUpstream(environment, { hooks, clock }),
    models: modelTable(models ?? defaultModels(), passesUnlisted(unlistedModels, models), () => clock.wallMs()),
    keys: withMethod('keys', keys, 'find') ?? defaultKeys(environment, identify !== undefined, hooks),
    identify,
    admin: checkedAdmin(admin, environment),
    sealer: sealerOf(sealingSecret),
    tiers: allTiers,
    globalLimits: globalLimits === undefined ? NO_LIMITS : checkedLimits('globalLimits', globalLimits),
    findPeriod: checkedPeriods(budgetTimeZone),
    learned: learnedOutput(),
    limiter: withMethod('limiter', limiter, 'reserve') ?? defaultLimiter(environment, hooks),
    usage: withMethod('usage', usage, 'settle') ?? memoryUsage(),
    objects: withMethod('objects', objects, 'find') ?? memoryObjects(),
    idempotency: withMethod('idempotency', idempotency, 'claim') ?? memoryIdempotency(),
    hooks,
    basePath: checkedBasePath(basePath),
    unversionedPaths,
    cors: checkedCors(cors),
    maxBodyBytes: positiveInteger('maxBodyBytes', maxBodyBytes),
    maxUploadBytes: positiveInteger('maxUploadBytes', maxUploadBytes),
    maxHeldBytesPerKey: positiveInteger('maxHeldBytesPerKey', maxHeldBytesPerKey),
    maxHeldBytes: positiveInteger('maxHeldBytes', maxHeldBytes),
    lingering: checkedLingering(lingering),
    bodyDeadlines: deadlines(clock, positiveInteger('bodyTimeoutMs', bodyTimeoutMs)),
    defaultMaxOutputTokens: positiveInteger('defaultMaxOutputTokens', defaultMaxOutputTokens),
    timeoutMs: positiveInteger('timeoutMs', timeoutMs),
    callDeadlines: deadlines(clock, timeoutMs),
    maxResponseBytes: positiveInteger('maxResponseBytes', maxResponseBytes),
    maxConcurrentCalls: positiveInteger('maxConcurrentCalls', maxConcurrentCalls),
    debug: debug ?? !environment.production,
    clock,
  });
}

/** @param unknown the options that nobody named; the type says that every known one was. */
function refuseUnknown(unknown: Readonly<Record<string, never>>): void {
  const [name] = Object.keys(unknown);
  if (name === 'gateway') throw new TypeError('Unknown option `gateway`: to share one, write `megallm(other.gateway)`');
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

function defaultLimiter({ clusterWorker }: Environment, hooks: AllHooks): LimiterStore {
  if (clusterWorker) {
    hooks.onNotice(
      'Each worker of this cluster has limits of its own: set the `limiter` option to a store they share.',
    );
  }
  return memoryLimiter();
}

function defaultKeys({ keys, production }: Environment, identifies: boolean, hooks: AllHooks): KeyStore {
  if (keys.length > 0 || identifies) return memoryKeys(keys);
  if (production) {
    hooks.onNotice('No API keys: set MEGALLM_KEYS or the `keys` option. Until then calls are answered with 401.');
    return memoryKeys();
  }
  const { secret, hash, key } = createKey({ id: 'development' });
  hooks.onNotice(`No API keys are set. For development, use: ${secret}`);
  return memoryKeys([{ ...key, hash }]);
}
