import { remainingBefore } from '../limits/admit.js';
import type { Admission } from '../limits/limiter-store.js';
import type { UsageRecord } from '../usage/usage-store.js';
import type { Call } from './call.js';
import type { Phases } from './exchange.js';

/** Facts of a call for whoever debugs, as far as they are known. Nothing here is secret. */
export interface DebugFacts {
  readonly requestId: string;
  readonly keyId?: string | undefined;
  readonly tier?: string | undefined;
  /** Public model id. */
  readonly model?: string | undefined;
  /** The upstream's name. Never its address or its own model id. */
  readonly upstream?: string | undefined;
  /** How often the upstream was asked. */
  readonly attempts?: number | undefined;
  readonly estimatedInputTokens?: number | undefined;
  readonly reservedTokens?: number | undefined;
  /** Contents of the key's buckets before this call. */
  readonly limitsBefore?: readonly number[] | undefined;
  readonly limitsAfter?: readonly number[] | undefined;
  readonly record?: UsageRecord | undefined;
}

/** The facts of a call as far as it has come. @param record of a call that is settled already. */
export function debugFacts(call: Call, record?: UsageRecord): DebugFacts {
  const { admission, remaining, requestId, keyId, tier } = call;
  if (remaining === undefined) return { requestId, keyId, tier };
  return {
    requestId,
    keyId,
    tier,
    model: call.asks.model,
    upstream: admission && call.upstream.name,
    attempts: call.attempts === 0 ? undefined : call.attempts,
    estimatedInputTokens: call.inputTokens,
    reservedTokens: admission && reservedTokens(admission),
    limitsBefore: admission === undefined ? call.remainingAtRefusal : remainingBefore(admission),
    limitsAfter: record === undefined ? remaining : call.remainingAfter(),
    record,
  };
}

/** Tokens set aside for a call; `undefined` when tokens are not limited. */
function reservedTokens({ outputCeiling, amounts }: Admission): number | undefined {
  return outputCeiling === undefined ? undefined : amounts.inputTokens + amounts.outputTokens;
}

/** The facts that `X-Debug: true` shows, as plain data: names as on the wire. */
export function debugReport(facts: DebugFacts, phases: Phases | undefined): Record<string, unknown> {
  const { record } = facts;
  return withoutAbsent({
    request_id: facts.requestId,
    key_id: facts.keyId,
    tier: facts.tier,
    model: facts.model,
    upstream: facts.upstream,
    attempts: facts.attempts,
    estimated_input_tokens: facts.estimatedInputTokens,
    reserved_tokens: facts.reservedTokens,
    limits_before: facts.limitsBefore?.map(Math.floor),
    limits_after: facts.limitsAfter?.map(Math.floor),
    input_tokens: record?.inputTokens,
    cached_input_tokens: record?.cachedInputTokens,
    output_tokens: record?.outputTokens,
    reasoning_tokens: record?.reasoningTokens,
    counted: record?.counted,
    cost_usd: record?.costNanoUsd === undefined ? undefined : record.costNanoUsd / 1e9,
    timings_ms: Object.fromEntries((phases?.done ?? []).map(([phase, durationMs]) => [phase, rounded(durationMs)])),
  });
}

/** The same as headers: `server-timing` for the phases, `x-debug-*` for the rest. */
export function debugHeaders(facts: DebugFacts, phases: Phases | undefined): string[] {
  const { timings_ms: _, ...report } = debugReport(facts, phases);
  const timing = (phases?.done ?? []).map(([phase, durationMs]) => `${phase};dur=${rounded(durationMs)}`).join(', ');
  const headers = ['server-timing', timing];
  for (const [name, value] of Object.entries(report)) {
    headers.push(`x-debug-${name.replaceAll('_', '-')}`, headerText(String(value)));
  }
  return headers;
}

/** An SSE comment, which every client skips. */
export function debugComment(facts: DebugFacts, phases: Phases | undefined): string {
  return `: x-debug ${JSON.stringify(debugReport(facts, phases))}\n\n`;
}

/** Printable ASCII only: a header with anything else makes Node throw. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (character) => encodeURIComponent(character.toWellFormed())).slice(0, 256);
}

function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000;
}

function withoutAbsent(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
