import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import ts from 'typescript5';

/** Characters that many expressions know, and two that few do. */
const USUAL = ' \t\n\r"\\{}[]:;,.-/=<>a0A_é\u0001';
const SHORT_CHARS = 25_000;
const LONG_CHARS = 100_000;
/** A quadratic search makes 300 million steps in the short input and five billion in the long one, a linear one below a thousandth. */
const MOST_MS = 100;

test('no regular expression of the sources is worse than linear on its own worst inputs', () => {
  const found = expressionsOf('src');
  assert.ok(found.length > 100, `found only ${found.length} expressions`);
  const different = [...new Map(found.map((one) => [String(one.expression), one])).values()];
  const slow = different.flatMap(({ at, expression }) => {
    const worst = worstInput(expression);
    return worst === undefined ? [] : [`${at} ${expression} on ${JSON.stringify(worst)}`];
  });
  assert.deepEqual(slow, []);
});

test('the test finds expressions that are quadratic', () => {
  for (const quadratic of [/"(?:[^"\\]|\\.)*"\s*:\s*$/, /^[ \t]*;?[ \t]*$/, /\s+$/]) {
    assert.notEqual(worstInput(quadratic), undefined, String(quadratic));
  }
});

interface Found {
  readonly at: string;
  readonly expression: RegExp;
}

function expressionsOf(folder: string): Found[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  return files.flatMap((name) => {
    const path = join(folder, name);
    const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest, true);
    const found: Found[] = [];
    const visit = (node: ts.Node): void => {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      const at = `${path}:${line + 1}`;
      if (ts.isRegularExpressionLiteral(node)) found.push({ at, expression: evaluated(node, source) });
      if (ts.isNewExpression(node) && node.expression.getText() === 'RegExp') {
        found.push({ at, expression: evaluated(node, source) });
      }
      ts.forEachChild(node, visit);
    };
    visit(source);
    return found;
  });
}

/** The expression, with the constants of its file. One that is made of anything else cannot be tried, and fails here. */
function evaluated(node: ts.Node, source: ts.SourceFile): RegExp {
  const constants: string[] = [];
  if (ts.isNewExpression(node)) {
    for (const statement of source.statements) {
      if (ts.isVariableStatement(statement) && statement.end < node.pos) constants.push(statement.getText());
    }
  }
  const code = [...constants, node.getText()].map((text) => text.replace(/^export /, ''));
  const { outputText } = ts.transpileModule([...code.slice(0, -1), `result(${code.at(-1)});`].join('\n'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022 },
  });
  let made: unknown;
  new Function('result', outputText)((one: unknown) => {
    made = one;
  });
  assert.ok(made instanceof RegExp);
  return made;
}

/** The first unit that, repeated, takes more than linear time. */
function worstInput(expression: RegExp): string | undefined {
  for (const [prefix, unit] of unitsOf(expression)) {
    const input = (chars: number) => `${prefix}${unit.repeat(Math.ceil(chars / unit.length))}\u0002`;
    const shortMs = quickestMs(expression, input(SHORT_CHARS));
    if (shortMs > MOST_MS) return prefix + unit;
    // Most take a hundredth of this.
    if (shortMs > 2 && quickestMs(expression, input(LONG_CHARS)) > MOST_MS) return prefix + unit;
  }
  return undefined;
}

/** Of three times, as the machine may have had other work. A stack that overflows takes for ever. */
function quickestMs(expression: RegExp, input: string): number {
  let quickest = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 3 && quickest > 2; tries += 1) {
    const begun = performance.now();
    expression.lastIndex = 0;
    try {
      expression.exec(input);
    } catch {
      return Number.POSITIVE_INFINITY;
    }
    quickest = Math.min(quickest, performance.now() - begun);
  }
  return quickest;
}

/** What comes first, and what is repeated after it: runs of each character, of literal pieces, and of two of them. */
function unitsOf({ source }: RegExp): [string, string][] {
  const pieces = (source.match(/(?:\\?[^\\()[\]{}|*+?.^$]){1,40}/g) ?? [])
    .map(unescaped)
    .filter((piece) => piece !== '');
  const own = [...new Set([...pieces, ...pieces.flatMap((piece) => [...piece].slice(0, 2))])].slice(0, 12);
  const units: [string, string][] = [...new Set([...USUAL, ...own])].map((unit) => ['', unit]);
  for (const piece of own) {
    for (const other of [...' "\\a-', ...own.slice(0, 3)]) units.push([piece, other], ['', piece + other]);
  }
  return units;
}

function unescaped(piece: string): string {
  const named: Readonly<Record<string, string>> = {
    s: ' ',
    t: '\t',
    n: '\n',
    r: '\r',
    d: '0',
    w: 'a',
    S: 'a',
    D: 'a',
    W: ' ',
    b: '',
    B: '',
  };
  return piece.replace(/\\(.)/g, (_, letter: string) => named[letter] ?? letter);
}
