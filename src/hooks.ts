import type { UsageRecord } from './usage/usage-store.js';

/** Watchers. They see what happens and can change nothing: what they throw is swallowed, what they return is ignored. */
export interface Hooks {
  /** Called once for each admitted call, when its usage is settled. */
  onFinish?(record: UsageRecord): void;
  /** Called for what the client was not told: bugs, failing stores, broken upstreams. @default prints to stderr */
  onError?(error: unknown, context: ErrorContext): void;
  /** Called with advice for the operator, once each at the start. @default prints to stderr */
  onNotice?(text: string): void;
}

/** Where an error came from. Never a secret, a prompt or an address. */
export interface ErrorContext {
  readonly requestId: string | undefined;
  readonly keyId: string | undefined;
}
