import type { UsageRecord } from '../usage/usage-store.js';

/** Watchers. They see everything that happens and can change nothing: their errors are swallowed, their results ignored. */
export type Hooks = { readonly [Name in keyof AllHooks]?: AllHooks[Name] | undefined };

/** The functions that may be given as hooks. */
export interface AllHooks {
  /** Called once for each admitted call, when its usage is settled. */
  onFinish(record: UsageRecord): void;
  /** Called for errors that the client is not told of: bugs, failing stores, broken upstreams. @default prints to stderr */
  onError(error: unknown, context: ErrorContext): void;
  /** Called for each call that a shadow limit would have refused. It was made all the same. */
  onShadowLimit(refusal: ShadowRefusal): void;
  /** Called with advice for the operator when the gateway is made. @default prints to stderr */
  onNotice(text: string): void;
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

/** The hooks, all there, none able to hurt a request. */
export function guardedHooks(hooks: Hooks): AllHooks {
  return {
    onFinish(record) {
      if (hooks.onFinish !== undefined) guard(() => hooks.onFinish?.(record));
    },
    onError: (error, context) =>
      guard(() => (hooks.onError === undefined ? printError(error, context) : hooks.onError(error, context))),
    onShadowLimit: (refusal) => guard(() => hooks.onShadowLimit?.(refusal)),
    onNotice: (text) => guard(() => (hooks.onNotice === undefined ? printNotice(text) : hooks.onNotice(text))),
  };
}

function guard(call: () => unknown): void {
  try {
    const result = call();
    // An async hook that fails would end the process as an unhandled rejection.
    if (result instanceof Promise) result.catch(() => {});
  } catch {
    // A watcher's failure is its own.
  }
}

function printError(error: unknown, { requestId }: ErrorContext): void {
  console.error(`[megallm] ${requestId ?? '-'}`, error);
}

function printNotice(text: string): void {
  console.error(`[megallm] ${text}`);
}
