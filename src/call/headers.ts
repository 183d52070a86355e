import { finishedFacts, remainingAfter } from '../endpoints/model/relay.js';
import type { UsageRecord } from '../usage/usage-store.js';
import type { Attempt } from './attempt.js';
import type { Call } from './call.js';
import { type DebugFacts, debugHeaders } from './debug.js';
import { limitHeaders } from './limit-headers.js';
import type { KeyedExchange } from './open.js';

/** A call whose answer is to go out. */
export interface Answered {
  readonly call: Call;
  readonly attempt: Attempt;
}

/** The headers of an answer that goes out before its call is settled. */
export function headersOfBegun(exchange: KeyedExchange, { call, attempt }: Answered): string[] {
  return headersOf(exchange, attempt, { remaining: call.admission.verdict.remaining, facts: attempt.facts });
}

/** The headers of an answer that goes out when its call is settled. */
export function headersOfSettled(exchange: KeyedExchange, { call, attempt }: Answered, record: UsageRecord): string[] {
  const remaining = remainingAfter(call.admission, record);
  const facts = exchange.showsDebug ? finishedFacts(attempt.facts, call.admission, record) : attempt.facts;
  return headersOf(exchange, attempt, { remaining, facts });
}

function headersOf(
  { requestId, showsDebug, phases }: KeyedExchange,
  { ceilings }: Attempt,
  { remaining, facts }: { readonly remaining: readonly number[]; readonly facts: DebugFacts },
): string[] {
  const headers = limitHeaders({ ceilings, remaining });
  headers.push('x-request-id', requestId);
  if (showsDebug) headers.push(...debugHeaders(facts, phases));
  return headers;
}
