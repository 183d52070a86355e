import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { learnedOutput } from '../../src/limits/learned-output.js';

const CEILING = 1_000_000;

describe('learnedOutput', () => {
  it('says nothing until it has seen 20 answers', () => {
    const learned = learnedOutput();
    for (let answer = 0; answer < 19; answer += 1) learned.observe('ann', 'm', 100, CEILING);
    assert.equal(learned.ceilingOf('ann', 'm'), undefined);
    learned.observe('ann', 'm', 100, CEILING);
    assert.equal(learned.ceilingOf('ann', 'm'), 100);
  });

  it('tells owners and models apart, whatever they are called', () => {
    const learned = learnedOutput();
    for (let answer = 0; answer < 20; answer += 1) learned.observe('ann', 'm', 100, CEILING);
    assert.equal(learned.ceilingOf('bob', 'm'), undefined);
    assert.equal(learned.ceilingOf('ann', 'n'), undefined);
    assert.equal(learned.ceilingOf('ann\nm', ''), undefined);
  });

  it('is not exceeded by 95 of the latest 100 answers, as a sorted list of them has it', () => {
    const tokens = fc.array(fc.integer({ min: 0, max: 5_000 }), { minLength: 20, maxLength: 300 });
    fc.assert(
      fc.property(tokens, (answers) => {
        const learned = learnedOutput();
        for (const answer of answers) learned.observe('ann', 'm', answer, CEILING);
        // It looks every tenth time.
        const seen = answers.slice(0, answers.length - (answers.length % 10)).slice(-100);
        const sorted = seen.toSorted((one, other) => one - other);
        assert.equal(learned.ceilingOf('ann', 'm'), sorted[Math.ceil(0.95 * sorted.length) - 1]);
      }),
    );
  });

  it('remembers a quarter of all pairs for one owner, those used last, and loses no other owner’s', () => {
    const learned = learnedOutput(8);
    const see = (owner: string, model: string): void => {
      for (let answer = 0; answer < 20; answer += 1) learned.observe(owner, model, 100, CEILING);
    };
    see('bob', 'm');
    for (const model of ['a', 'b', 'a', 'c', 'd', 'e', 'f', 'g', 'h', 'i']) see('ann', model);
    const known = ['a', 'b', 'g', 'h', 'i'].filter((model) => learned.ceilingOf('ann', model) !== undefined);
    assert.deepEqual(known, ['h', 'i']);
    assert.equal(learned.ceilingOf('bob', 'm'), 100);
  });

  it('counts an answer that was cut off double: nobody knows how long it would have been', () => {
    const learned = learnedOutput();
    for (let answer = 0; answer < 20; answer += 1) learned.observe('ann', 'm', 1_024, 1_024);
    assert.equal(learned.ceilingOf('ann', 'm'), 2_048);
    for (let answer = 0; answer < 100; answer += 1) learned.observe('ann', 'm', 1_500, 2_048);
    assert.equal(learned.ceilingOf('ann', 'm'), 1_500, 'and forgets it again');
  });

  it('remembers so many, and forgets first what was used least lately', () => {
    const learned = learnedOutput(2);
    for (const owner of ['ann', 'bob', 'ann', 'cyd']) {
      for (let answer = 0; answer < 20; answer += 1) learned.observe(owner, 'm', 100, CEILING);
    }
    assert.deepEqual(
      ['ann', 'bob', 'cyd'].map((owner) => learned.ceilingOf(owner, 'm')),
      [100, undefined, 100],
    );
  });
});
