import type { Awaitable } from '../../base/awaitable.js';
import type { KeyQuery } from '../../keys/key-store.js';
import type { InterruptedEnd, Reservation, Verdict } from '../../limits/limiter-store.js';
import type { BudgetScope, Period, UsageGroup, UsageQuery } from '../../usage/usage-store.js';
import type { SumDifference } from '../usage-columns.js';
import type { SqlValue } from './driver.js';
import type { Moment } from './shared-clock.js';

/** Questions that the thread of the file answers, each with one argument, which is copied. */
export interface Engine {
  /** @param values as `startRow` has them. */
  open(values: readonly SqlValue[]): Awaitable<void>;
  /** @param values as `recordRow` has them. */
  settle(values: readonly SqlValue[]): Awaitable<void>;
  checkpoint(given: { readonly requestId: string; readonly outputTokens: number }): Awaitable<void>;
  report(query: UsageQuery): Awaitable<readonly UsageGroup[]>;
  spent(given: { readonly scope: BudgetScope; readonly period: Period }): Awaitable<number>;
  reserve(given: { readonly reservation: Reservation; readonly now: number }): Awaitable<Verdict>;
  settleReservation(given: {
    readonly id: string;
    readonly amounts: readonly number[];
    readonly now: number;
  }): Awaitable<void>;
  /** @returns the record of the key, as JSON. */
  findKey(hash: string): Awaitable<string | undefined>;
  listKeys(query: KeyQuery): Awaitable<readonly string[]>;
  writeKey(given: KeyRow): Awaitable<boolean>;
  keyAudits(keyId: string): Awaitable<readonly string[]>;
  findObject(name: ObjectName): Awaitable<ObjectRow | undefined>;
  listObjects(of: Omit<ObjectName, 'id'>): Awaitable<readonly ObjectRow[]>;
  listObjectIds(of: Omit<ObjectName, 'id'>): Awaitable<readonly string[]>;
  putObject(given: ObjectName & ObjectRow): Awaitable<void>;
  removeObject(name: ObjectName): Awaitable<void>;
  claim(given: {
    readonly id: string;
    readonly fingerprint: string;
    readonly now: number;
    readonly claimMs: number;
  }): Awaitable<ClaimRow>;
  finish(given: {
    readonly id: string;
    readonly fingerprint: string;
    readonly owner: string;
    /** JSON; `undefined`: there is none, and the claim is given back. */
    readonly answer: string | undefined;
    readonly expiresAt: number;
  }): Awaitable<void>;
  /** Keeps the lease of the process, settles what dead ones left, and looks after the log. */
  tend(given: undefined): void;
  /** Commits what waits, lets reports that were begun end, and closes the file. */
  close(given: undefined): Awaitable<void>;
}

/** A key's record and its audit row, as JSON. */
export interface KeyRow {
  readonly id: string;
  readonly owner: string | null;
  readonly createdAt: number;
  readonly version: number;
  readonly hashes: readonly string[];
  readonly record: string;
  readonly audit: string;
}

export interface ObjectName {
  readonly owner: string;
  readonly kind: string;
  readonly id: string;
}

export interface ObjectRow {
  readonly id: string;
  readonly createdAt: number;
  /** JSON. */
  readonly body: string;
}

/** A claim's answer, in which a kept answer is JSON. */
export type ClaimRow =
  | { readonly kind: 'claimed' | 'in-flight' | 'other-request' }
  | { readonly kind: 'answered'; readonly answer: string };

/** Facts with which a thread begins. */
export interface ThreadData {
  readonly file: string;
  readonly synchronous: 'full' | 'normal';
  /** Where the package with the driver is; `undefined`: it is Node's own. */
  readonly driver: string | undefined;
  /** Id of the store's instance: a thread that is started again goes on in its name. */
  readonly instance: string;
  /** `performance.timeOrigin` of the process. */
  readonly processStartedAt: number;
  readonly maxObjectsPerOwner: number;
  readonly maxObjectBytes: number;
  readonly maxAnswerBytes: number;
  /** Whether the store goes by the machine's own clock, which the thread can read itself. */
  readonly isMachines: boolean;
  /** One reading of the store's clock, and of the machine's monotonic one at the same moment. */
  readonly now: Moment;
}

/** Facts with which a thread begins that only verifies a file. */
export interface Verification {
  /** The file. */
  readonly verifies: string;
  /** As in `ThreadData`. */
  readonly driver: string | undefined;
}

/** Questions that gathered in a few turns of the event loop, numbered from `first` on. */
export interface Batch {
  /** Unix time in milliseconds, by the store's clock. */
  readonly wallMs: number;
  readonly first: number;
  readonly names: readonly (keyof Engine)[];
  readonly given: readonly unknown[];
}

/** Things that the thread tells. */
export type Told =
  | { readonly kind: 'ready' }
  | { readonly kind: 'unable'; readonly error: SentError }
  | Answers
  | { readonly kind: 'verified'; readonly differences: readonly SumDifference[] }
  | { readonly kind: 'interrupted'; readonly calls: readonly InterruptedEnd[] };

/** Answers to questions, those of a group of writes together. */
export interface Answers {
  readonly kind: 'answers';
  readonly ids: readonly number[];
  /** In the order of the ids. */
  readonly values: readonly unknown[];
  readonly failures: readonly { readonly id: number; readonly error: SentError }[];
}

/** An error on its way between threads: errors of drivers lose their fields there. */
export interface SentError {
  readonly isTypeError: boolean;
  readonly message: string;
  readonly code: unknown;
  readonly cause: SentError | undefined;
}

const MAX_CAUSES = 4;

export function sentError(error: unknown, causes = MAX_CAUSES): SentError {
  if (!(error instanceof Error))
    return { isTypeError: false, message: String(error), code: undefined, cause: undefined };
  const { message, cause } = error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const hasCause = cause !== undefined && causes > 0;
  return {
    isTypeError: error instanceof TypeError,
    message,
    code,
    cause: hasCause ? sentError(cause, causes - 1) : undefined,
  };
}

export function receivedError({ isTypeError, message, code, cause }: SentError): Error {
  const options = cause === undefined ? {} : { cause: receivedError(cause) };
  const error = isTypeError ? new TypeError(message, options) : new Error(message, options);
  return code === undefined ? error : Object.assign(error, { code });
}
