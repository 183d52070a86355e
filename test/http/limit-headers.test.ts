import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatDuration, limitHeaders as headersOf } from '../../src/call/headers.js';
import type { Limits } from '../../src/keys/key-store.js';
import { ceilingsOf } from '../../src/limits/levels.js';
import { periodsOf } from '../../src/limits/periods.js';

interface State {
  readonly limits: Limits;
  readonly also?: Limits;
  readonly remaining: readonly number[];
}

function limitHeaders({ limits, also, remaining }: State): Record<string, string> {
  const levels = [limits, ...(also === undefined ? [] : [also])].map(
    (one) => ({ kind: 'owner', id: 'owner:a', limits: one }) as const,
  );
  const list = headersOf({ ceilings: ceilingsOf(levels, periodsOf('UTC'), 0), remaining });
  const named: Record<string, string> = {};
  for (let at = 0; at < list.length; at += 2) named[list[at] ?? ''] = list[at + 1] ?? '';
  return named;
}

describe('formatDuration', () => {
  it("writes OpenAI's recorded and documented values", () => {
    const values: [number, string][] = [
      [0, '0s'],
      [-5, '0s'],
      [1, '1ms'],
      [6, '6ms'],
      [20, '20ms'],
      [999, '999ms'],
      [1_000, '1s'],
      [1_200, '1.2s'],
      [8_640, '8.64s'],
      [9_816, '9.816s'],
      [17_280, '17.28s'],
      [60_000, '1m0s'],
      [86_400, '1m26.4s'],
      [360_000, '6m0s'],
      [3_600_000, '1h0m0s'],
      [3_661_001, '1h1m1.001s'],
      [90_000_000, '25h0m0s'],
      [0.2, '1ms'],
    ];
    for (const [ms, text] of values) assert.equal(formatDuration(ms), text);
  });
});

describe('limitHeaders', () => {
  it('shows what is limited, reset being the time until the bucket is full', () => {
    assert.deepEqual(
      limitHeaders({ limits: { requestsPerMinute: 10_000, tokensPerMinute: 30_000 }, remaining: [9_999, 29_999.5] }),
      {
        'x-ratelimit-limit-requests': '10000',
        'x-ratelimit-remaining-requests': '9999',
        'x-ratelimit-reset-requests': '6ms',
        'x-ratelimit-limit-tokens': '30000',
        'x-ratelimit-remaining-tokens': '29999',
        'x-ratelimit-reset-tokens': '1ms',
      },
    );
  });

  it('takes the only remaining value for tokens when requests are not limited', () => {
    assert.equal(
      limitHeaders({ limits: { tokensPerMinute: 100 }, remaining: [40] })['x-ratelimit-remaining-tokens'],
      '40',
    );
    assert.deepEqual(limitHeaders({ limits: { concurrency: 3 }, remaining: [] }), {});
  });

  it('shows the level with the least left', () => {
    const limits = { requestsPerMinute: 60, tokensPerMinute: 1_000, inputTokensPerMinute: 5 };
    const headers = limitHeaders({
      limits,
      also: { requestsPerMinute: 100, usdPerDay: 1 },
      remaining: [9, 800, 1, 8, 2],
    });
    assert.equal(headers['x-ratelimit-limit-requests'], '100');
    assert.equal(headers['x-ratelimit-remaining-requests'], '8');
    assert.equal(headers['x-ratelimit-limit-tokens'], '1000');
  });

  it('never shows less than 0 nor more than a 32-bit integer, and a debt as a longer reset', () => {
    const headers = limitHeaders({ limits: { requestsPerMinute: 60, tokensPerMinute: 1e12 }, remaining: [-30, 1e12] });
    assert.equal(headers['x-ratelimit-remaining-requests'], '0');
    assert.equal(headers['x-ratelimit-reset-requests'], '1m30s');
    assert.equal(headers['x-ratelimit-limit-tokens'], '2147483647');
  });
});
