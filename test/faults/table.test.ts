import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { range } from '../helpers/in-parallel.js';

const TABLE = 'test/faults/README.md';
/** The rows of the catalogue that the table answers for, by their letter: so many from 1. */
const ROWS = { A: 13, B: 4, E: 28, F: 16, I: 10 };

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
    const missing: string[] = [];
    for (const row of rows) {
      if (/^– \w+/.test(row.tests)) continue;
      for (const { file, names } of namedIn(row)) {
        const source = existsSync(file) ? readFileSync(file, 'utf8') : '';
        for (const name of names) if (!hasTest(source, name)) missing.push(`${row.id}: ${file} “${name}”`);
      }
    }
    assert.deepEqual(missing, []);
  });
});

describe('the promises of the project', () => {
  for (const page of ['SECURITY.md', 'README.md']) {
    it(`name test files that exist, in ${page}`, () => {
      const files = [...readFileSync(page, 'utf8').matchAll(/\btest\/[\w./-]+\.ts\b/g)].map(([file]) => file);
      assert.ok(files.length > 0, 'it names some');
      assert.deepEqual(
        files.filter((file) => !existsSync(file)),
        [],
      );
    });
  }
});
