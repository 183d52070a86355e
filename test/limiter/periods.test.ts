import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { periodsOf } from '../../src/limits/periods.js';
import { runs } from '../helpers/depth.js';

const HOUR_MS = 3_600_000;

describe('E27 budget periods', () => {
  it('are days and months of UTC, half open', () => {
    const find = periodsOf('UTC');
    const to = Date.UTC(2026, 11, 1);
    assert.deepEqual(find('month', to - 1), { name: '2026-11', from: Date.UTC(2026, 10, 1), to });
    assert.deepEqual(find('day', to - 1), { name: '2026-11-30', from: Date.UTC(2026, 10, 30), to });
    assert.equal(find('day', to).name, '2026-12-01');
    assert.equal(find('month', Date.UTC(2026, 11, 31)).to, Date.UTC(2027, 0, 1));
    assert.equal(find('day', Date.UTC(2028, 1, 28, 12)).to, Date.UTC(2028, 1, 29), 'a leap day');
    assert.equal(find('month', Date.UTC(2028, 1, 29)).to, Date.UTC(2028, 2, 1));
  });

  it('have 23 and 25 hours where clocks are changed', () => {
    const find = periodsOf('Europe/Berlin');
    const spring = find('day', Date.UTC(2026, 2, 29, 12));
    assert.deepEqual([spring.name, (spring.to - spring.from) / HOUR_MS], ['2026-03-29', 23]);
    const autumn = find('day', Date.UTC(2026, 9, 25, 12));
    assert.deepEqual([autumn.name, (autumn.to - autumn.from) / HOUR_MS], ['2026-10-25', 25]);
    assert.equal(find('month', Date.UTC(2026, 2, 31, 23)).name, '2026-04', 'it is April there');
  });

  it('begin at their first instant where there is no midnight', () => {
    const find = periodsOf('America/Sao_Paulo');
    const day = find('day', Date.UTC(2018, 10, 4, 12));
    assert.equal(day.name, '2018-11-04');
    assert.equal(day.from, Date.UTC(2018, 10, 4, 3), 'at 01:00 there');
    assert.equal(day.to - day.from, 23 * HOUR_MS);
  });

  const zones = [
    'UTC',
    'Europe/Berlin',
    'America/New_York',
    'Asia/Kathmandu',
    'Pacific/Apia',
    'America/Sao_Paulo',
    'Australia/Lord_Howe',
    'Africa/Cairo',
    'America/Havana',
  ];

  it('follow one upon the other without gap or overlap, whatever the zone does', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.constantFrom('day' as const, 'month' as const),
        fc.integer({ min: Date.UTC(2010, 0, 1), max: Date.UTC(2040, 0, 1) }),
        (zone, span, at) => {
          const period = periodsOf(zone)(span, at);
          const next = periodsOf(zone)(span, period.to);
          assert.ok(period.from <= at && at < period.to, `${zone} ${span} ${at} in ${JSON.stringify(period)}`);
          assert.equal(next.from, period.to);
          assert.notEqual(next.name, period.name);
          assert.deepEqual(periodsOf(zone)(span, period.from), period);
          assert.deepEqual(periodsOf(zone)(span, period.to - 1), period);
        },
      ),
      runs(200),
    );
  });

  it('are of no zone that nobody knows', () => {
    assert.throws(() => periodsOf('Mars/Olympus'), RangeError);
  });
});
