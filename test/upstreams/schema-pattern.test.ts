import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { textOfPattern } from '../../src/upstreams/demo/schema/schema-pattern.js';
import { matchesPattern } from '../../src/upstreams/demo/schema/schema-pattern-match.js';
import { parsedPattern } from '../../src/upstreams/demo/schema/schema-pattern-parse.js';

const QUANTIFIERS = ['*', '+', '?', '*?', '+?', '??', '{2}', '{0,2}', '{1,}', '{1,2}?'];
const ATOMS = [
  'a',
  'b',
  '.',
  '\\d',
  '\\w',
  '\\s',
  '[ab]',
  '[^a]',
  '[a-c0]',
  '^',
  '$',
  '\\b',
  '\\B',
  '\\-',
  '\\u0061',
  '-',
];
const { pattern: anyPattern } = fc.letrec<{ pattern: string }>((tie) => {
  const inner = tie('pattern');
  const group = fc.tuple(fc.constantFrom('(', '(?:'), inner).map(([opening, part]) => `${opening}${part})`);
  return {
    pattern: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(...ATOMS, '\\1'),
      fc.tuple(inner, inner).map((parts) => parts.join('')),
      fc.tuple(inner, inner).map((parts) => parts.join('|')),
      group,
      fc.tuple(fc.constantFrom('(?=', '(?!', '(?<=', '(?<!'), inner).map(([opening, part]) => `${opening}${part})`),
      fc.tuple(group, fc.constantFrom(...QUANTIFIERS)).map((parts) => parts.join('')),
    ),
  };
});
const texts = fc.array(fc.stringMatching(/^[abc0\- ]{0,6}$/), { minLength: 4, maxLength: 4 });

function regExpOf(source: string): RegExp | undefined {
  try {
    return new RegExp(source, 'u');
  } catch {
    return undefined;
  }
}

describe('a pattern', () => {
  it('matches what RegExp says it matches', () => {
    fc.assert(
      fc.property(anyPattern, texts, (source, candidates) => {
        const expected = regExpOf(source);
        const pattern = parsedPattern(source);
        if (expected === undefined || pattern === undefined) return;
        for (const text of candidates) {
          const found = matchesPattern(pattern, text, { work: 10_000 });
          if (found !== undefined) assert.equal(found, expected.test(text), `${source} on ${JSON.stringify(text)}`);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('may take something in the round after one that took nothing', () => {
    const pattern = parsedPattern('(?<!([^a]|\\B){2})');
    assert.ok(pattern !== undefined);
    assert.equal(matchesPattern(pattern, '-0', { work: 10_000 }), false);
  });

  it('is matched by the text made of it', () => {
    fc.assert(
      fc.property(anyPattern, (source) => {
        const text = textOfPattern(source, { minLength: 0, maxLength: 50, variant: 0 });
        if (text !== undefined) assert.match(text, regExpOf(source) ?? /^/);
      }),
      { numRuns: 1_000 },
    );
  });

  it('that takes for ever is given up', () => {
    const pattern = parsedPattern('^((a+)+)+$');
    assert.ok(pattern !== undefined);
    assert.equal(matchesPattern(pattern, `${'a'.repeat(60)}!`, { work: 10_000 }), undefined);
    assert.equal(matchesPattern(pattern, 'a'.repeat(60), { work: 10_000 }), true);
  });

  it('is found in a long text', () => {
    const pattern = parsedPattern('^[a-z ]*\\d$');
    assert.ok(pattern !== undefined);
    assert.equal(matchesPattern(pattern, `${'a b'.repeat(3_000)}1`, { work: 10_000 }), true);
  });

  for (const source of ['(', ')', '[a', '*', '(?i)a', 'a\\', '\\2(a)', 'x'.repeat(1_001)]) {
    it(`such as ${source.slice(0, 10)} is not read`, () => {
      assert.equal(parsedPattern(source), undefined);
      assert.equal(textOfPattern(source, { minLength: 0, maxLength: 50, variant: 0 }), undefined);
    });
  }
});
