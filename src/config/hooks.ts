import { isPending } from '../base/awaitable.js';
import { isRecord, unexpected } from '../base/checks.js';
import { causeOf } from '../base/errors.js';
import type { UsageRecord } from '../usage/usage-store.js';

/** Watchers. They see everything that happens and can change nothing: their errors go to `onError`, their results are ignored. */
export type Hooks = { readonly [Name in keyof AllHooks]?: AllHooks[Name] | undefined };

/** The functions that may be given as hooks. */
export interface AllHooks {
  /** Called once for each admitted call, when its usage is settled. */
  onFinish(record: UsageRecord): void;
  /** Called for errors that the client is not told of: bugs, failing stores, broken upstreams. @default prints to stderr */
  onError(error: unknown, context: ErrorContext): void;
  /** Called for each request that is refused: with a status from 400 to 498, or 503. */
  onRefused(refusal: Refusal): void;
  /** Called for each call that a shadow limit would have refused. It was made all the same. */
  onShadowLimit(refusal: ShadowRefusal): void;
  /** Called with advice for the operator, when the gateway is made or something is first seen. @default prints to stderr */
  onNotice(text: string): void;
}

/** A request that was refused. */
export interface Refusal {
  readonly requestId: string;
  /** `undefined` while nobody knows the caller. */
  readonly keyId: string | undefined;
  /** As `ownerOf` names it: `owner:` or `key:` and a name. */
  readonly owner: string | undefined;
  readonly status: number;
  /** The error's `code`; `undefined` where it has none. */
  readonly code: string | undefined;
  readonly method: string;
  /** Path below `/v1`, without its query. */
  readonly path: string;
  /** The public model id, as the caller wrote it; `undefined` before it is known. */
  readonly model: string | undefined;
  /** The upstream's name; `undefined` before one is chosen. */
  readonly upstream: string | undefined;
  /** The client's address, as the host knows it. */
  readonly address: string | undefined;
}

/** A limit in the shadow that was too small for a call. */
export interface ShadowRefusal {
  readonly requestId: string;
  readonly keyId: string;
  readonly owner: string;
  /** The public model id. */
  readonly model: string;
  /** The measure that there was too much of. */
  readonly limit: 'requests' | 'tokens' | 'inputTokens' | 'outputTokens' | 'usdPerDay' | 'usdPerMonth' | 'concurrency';
  /** Level of the ceiling; `undefined` for concurrency. */
  readonly level: 'owner' | 'key' | 'tier' | 'all' | undefined;
  /** After how long the call would have been admitted; `Infinity`: never. */
  readonly retryAfterMs: number;
}

/** Where an error came from. Never a secret, a prompt or an address. */
export interface ErrorContext {
  readonly requestId: string | undefined;
  readonly keyId: string | undefined;
}

const NAMES: Readonly<Record<keyof AllHooks, true>> = {
  onFinish: true,
  onError: true,
  onRefused: true,
  onShadowLimit: true,
  onNotice: true,
};

/**
 * The hooks, all there, none able to hurt a request: what one of them throws goes to `onError`.
 * @throws {TypeError} for a name that is no hook's, and for a hook that is no function.
 */
export function guardedHooks(hooks: Hooks): AllHooks {
  const { onFinish, onError = printError, onRefused, onShadowLimit, onNotice = printNotice } = checkedHooks(hooks);

  function reportFailure(error: unknown, context: ErrorContext): void {
    // Nobody is left to tell of a failure of `onError` itself.
    watch(
      () => onError.call(hooks, error, context),
      () => {},
    );
  }
  /** Calls a hook; what it throws now or later is reported. */
  function guard<T>(hook: ((told: T) => unknown) | undefined, told: T, context?: Partial<ErrorContext>): void {
    if (hook !== undefined) run(hook, told, context);
  }
  function run<T>(hook: (told: T) => unknown, told: T, context: Partial<ErrorContext> | undefined): void {
    const failed = (error: unknown): void =>
      reportFailure(causeOf(error), { requestId: context?.requestId, keyId: context?.keyId });
    try {
      const result = hook.call(hooks, told);
      // An async hook that fails would end the process as an unhandled rejection.
      if (isPending(result)) Promise.resolve(result).then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }
  return {
    onFinish: (record) => guard(onFinish, record, record),
    onError: reportFailure,
    onRefused: (refusal) => guard(onRefused, refusal, refusal),
    onShadowLimit: (refusal) => guard(onShadowLimit, refusal, refusal),
    onNotice: (text) => guard(onNotice, text),
  };
}

function checkedHooks(hooks: Hooks): Hooks {
  if (!isRecord(hooks)) throw unexpected('hooks', 'to be an object of functions', hooks);
  for (const name in hooks) {
    const hook: unknown = Reflect.get(hooks, name);
    if (!Object.hasOwn(NAMES, name)) {
      throw new TypeError(`Unknown hook \`hooks.${name}\`: there are ${Object.keys(NAMES).join(', ')}`);
    }
    if (hook !== undefined && typeof hook !== 'function') throw unexpected(`hooks.${name}`, 'to be a function', hook);
  }
  return hooks;
}

/** Calls `onError`; its own failures go to `failed`. */
function watch(call: () => unknown, failed: (error: unknown) => void): void {
  try {
    const result = call();
    // An async hook that fails would end the process as an unhandled rejection.
    if (isPending(result)) Promise.resolve(result).then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}

function printError(error: unknown, { requestId }: ErrorContext): void {
  console.error(`[megallm] ${requestId ?? '-'}`, error);
}

function printNotice(text: string): void {
  console.error(`[megallm] ${text}`);
}
