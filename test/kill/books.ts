import assert from 'node:assert/strict';
import { CHARS_PER_TOKEN, type UpstreamBook, type UpstreamEntry } from './chaos-upstream.js';
import type { ClientEntry } from './clients.js';

/** What the ledger keeps of one call, as it stands in the file. */
export interface LedgerRow {
  readonly requestId: string;
  readonly keyId: string;
  readonly owner: string;
  readonly model: string;
  readonly operation: string;
  /** 0 or 1. */
  readonly isSettled: number;
  /** 0 where a process died before the ledger was told of its call: it is charged at what it reserved. */
  readonly isTold: number;
  readonly outcome: string | null;
  readonly counted: string | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  readonly costNanoUsd: number | null;
  readonly reservedInputTokens: number;
  readonly reservedOutputTokens: number | null;
  readonly reservedNanoUsd: number | null;
  readonly startedAt: number;
}

/** Three accounts of the same calls. */
export interface Books {
  readonly clients: readonly ClientEntry[];
  readonly upstream: UpstreamBook;
  readonly rows: readonly LedgerRow[];
  /** What tokens cost. */
  readonly costOf: (inputTokens: number, outputTokens: number) => number;
}

/** Output that may follow what the ledger was told of: a checkpoint every so many tokens, and one piece on top. */
const TOKENS_PER_CHECKPOINT = 256;
/** The gateway counts three bytes to a token. */
const BYTES_PER_TOKEN = 3;

/** Everything in which the books differ; nothing, when all is well. */
export function differences({ clients, upstream, rows, costOf }: Books): string[] {
  const found: string[] = [];
  const byId = new Map<number, LedgerRow>();
  for (const row of rows) {
    const id = row.reservedOutputTokens ?? -1;
    if (byId.has(id)) found.push(`${id}: two rows, ${row.requestId} and ${byId.get(id)?.requestId}`);
    byId.set(id, row);
  }
  const known = new Set(clients.map(({ id }) => id));
  for (const [id, row] of byId) if (!known.has(id)) found.push(`${id}: a row of no call, ${row.requestId}`);
  for (const id of upstream.keys()) if (!known.has(id)) found.push(`${id}: the upstream was asked by nobody`);
  for (const client of clients) {
    const asked = upstream.get(client.id);
    const row = byId.get(client.id);
    const problems = [...problemsOf(client, asked, row), ...(row === undefined ? [] : chargeProblems(row, costOf))];
    for (const problem of problems) found.push(`${problem}: ${JSON.stringify({ client, asked, row })}`);
  }
  return found;
}

function problemsOf(client: ClientEntry, asked: UpstreamEntry | undefined, row: LedgerRow | undefined): string[] {
  const found: string[] = [];
  const check = (holds: boolean, problem: string): void => {
    if (!holds) found.push(problem);
  };
  check(asked === undefined || asked.asked === 1, 'asked twice');
  check(asked === undefined || row !== undefined, 'the upstream was asked, the ledger has no row');
  check(client.status !== 200 || row !== undefined, 'an answer began without a row');
  check(client.status !== 429 || row === undefined, 'a refused call has a row');
  if (row === undefined) return found;
  check(client.requestId === undefined || client.requestId === row.requestId, 'another request id');
  check(row.keyId === client.keyId, 'another key');
  check(row.isSettled === 1, 'left open');
  const isExact = row.counted === 'exact';
  check(
    !isExact || (row.inputTokens === asked?.promptTokens && row.outputTokens === asked?.completionTokens),
    'exact, but not what the upstream says',
  );
  const hasAll = client.end === 'complete' || (client.status === 200 && !client.isStream && client.bytes > 0);
  check(!hasAll || (row.outcome === 'ok' && isExact), 'answered in full, but not settled as exact');
  check(
    client.end !== 'complete' ||
      (client.usage?.prompt_tokens === row.inputTokens && client.usage?.completion_tokens === row.outputTokens),
    'the client was told other usage',
  );
  const outputTokens = row.outputTokens ?? 0;
  check(outputTokens >= Math.floor(client.chars / CHARS_PER_TOKEN), 'charged less than was delivered');
  const most = Math.ceil((asked?.writtenChars ?? 0) / BYTES_PER_TOKEN) + TOKENS_PER_CHECKPOINT;
  check(isExact || row.isTold === 0 || outputTokens <= most, 'charged more than was written and one checkpoint');
  if (row.outcome === 'interrupted') {
    check(row.isTold === 1 || outputTokens === row.reservedOutputTokens, 'not told of, and not charged as reserved');
    check(row.isTold === 1 || client.chars === 0, 'delivered before the ledger was told');
  }
  check(outputTokens <= (row.reservedOutputTokens ?? outputTokens), 'charged more than was reserved');
  return found;
}

function chargeProblems(row: LedgerRow, costOf: Books['costOf']): string[] {
  const { inputTokens, outputTokens, costNanoUsd } = row;
  if (inputTokens === null || outputTokens === null) {
    // Nobody knows what a client that leaves before its answer has begun has made the upstream do.
    const most = row.outcome === 'aborted' ? row.reservedNanoUsd : null;
    return costNanoUsd === null || costNanoUsd === most ? [] : ['a cost without tokens'];
  }
  const found: string[] = [];
  if (costNanoUsd !== costOf(inputTokens, outputTokens)) found.push('another cost than that of its tokens');
  if (inputTokens > row.reservedInputTokens) found.push('more input than was reserved');
  if (outputTokens > (row.reservedOutputTokens ?? 0)) found.push('more output than was reserved');
  if ((costNanoUsd ?? 0) > (row.reservedNanoUsd ?? 0)) found.push('more money than was reserved');
  return found;
}

/** Fails with the first few of them. */
export function assertNone(found: readonly unknown[]): void {
  assert.deepEqual(found.slice(0, 5), [], `${found.length} in all`);
}

/** How many calls there were of each kind, for the report. */
export function tally({ clients, rows }: Pick<Books, 'clients' | 'rows'>): string {
  const ends = countsOf(clients.map(({ end }) => end ?? 'unknown'));
  const outcomes = countsOf(rows.map(({ outcome, counted }) => `${outcome} ${counted}`));
  return `clients: ${ends}; ledger: ${outcomes}`;
}

function countsOf(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
}
