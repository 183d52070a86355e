import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { range } from '../helpers/in-parallel.js';
import { tableRows } from '../helpers/pages.js';

const TABLE = 'test/faults/README.md';
/** The rows of the catalogue that the table answers for, by their letter: so many from 1. */
const ROWS = { A: 13, B: 4, E: 28, F: 16, I: 10, J: 12 };

/** A promise may be reworded, but none may get lost. */
const LEAST_PROMISES = 34;

interface Row {
  readonly id: string;
  readonly tests: string;
}

const rows: readonly Row[] = readFileSync(TABLE, 'utf8')
  .split('\n')
  .flatMap((line) => {
    const cells = line.split(' | ');
    const id = /^\| ([A-Z]\d+)$/.exec(cells[0] ?? '')?.[1];
    if (id === undefined) return [];
    assert.equal(cells.length, 4, line);
    return [{ id, tests: (cells[3] ?? '').replace(/ \|$/, '') }];
  });

/** The files that a row names, each with the beginnings of its tests' names. */
function namedIn({ id, tests }: Row): { readonly file: string; readonly names: readonly string[] }[] {
  return tests.split('; ').map((part) => {
    const [, file = '', quoted = ''] = /^`(test\/[\w./-]+\.ts)` (“.+”)$/.exec(part) ?? assert.fail(`${id}: ${part}`);
    return { file, names: quoted.slice(1, -1).split('”, “') };
  });
}

/** Whether the file has a test, or a suite, whose name begins so. */
function hasTest(source: string, name: string): boolean {
  const spelt = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('`', '\\\\?`');
  // The name may be the first of a row of values, too: one test for each of them.
  return new RegExp(`(?:\\b(?:it|test|describe|\\w+Hosts?)\\(|\\[)\\s*['"\`]${spelt}`).test(source);
}

describe('the table of faults', () => {
  it('has each row once, in order', () => {
    const expected = Object.entries(ROWS).flatMap(([letter, count]) => range(count).map((n) => `${letter}${n + 1}`));
    assert.deepEqual(
      rows.map(({ id }) => id),
      expected,
    );
  });

  it('names tests that exist, or says why there is none', () => {
    assert.deepEqual(rows.filter(({ tests }) => !/^– \w+/.test(tests)).flatMap(missingIn), []);
  });
});

/** What a row names and is not there. */
function missingIn(row: Row): string[] {
  return namedIn(row).flatMap(({ file, names }) => {
    const source = existsSync(file) ? readFileSync(file, 'utf8') : '';
    return names.flatMap((name) => (hasTest(source, name) ? [] : [`${row.id}: ${file} “${name}”`]));
  });
}

describe('the promises of SECURITY.md', () => {
  it('name the tests that prove them, and those are there', () => {
    const promises = tableRows('SECURITY.md', 'promise').map(([id = '', tests = '']) => ({ id, tests }));
    assert.ok(promises.length >= LEAST_PROMISES, `${promises.length} promises`);
    assert.deepEqual(promises.flatMap(missingIn), []);
  });
});
