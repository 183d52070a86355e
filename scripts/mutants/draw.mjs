// Draws one-line mutants of the sources: which lines, and what becomes of them, is settled by a seed.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript5';

const ROOMS = ['limits', 'keys', 'usage', 'upstreams', 'http', 'call', 'stores'];
const LEFT_OUT = /^src\/upstreams\/demo\//;

const { SyntaxKind } = ts;
/** Operators, and what they are mistaken for. */
const MISTAKEN = new Map([
  [SyntaxKind.LessThanToken, '<='],
  [SyntaxKind.LessThanEqualsToken, '<'],
  [SyntaxKind.GreaterThanToken, '>='],
  [SyntaxKind.GreaterThanEqualsToken, '>'],
  [SyntaxKind.EqualsEqualsEqualsToken, '!=='],
  [SyntaxKind.ExclamationEqualsEqualsToken, '==='],
  [SyntaxKind.AmpersandAmpersandToken, '||'],
  [SyntaxKind.BarBarToken, '&&'],
  [SyntaxKind.PlusToken, '-'],
  [SyntaxKind.MinusToken, '+'],
  [SyntaxKind.AsteriskToken, '/'],
  [SyntaxKind.SlashToken, '*'],
  [SyntaxKind.PlusEqualsToken, '-='],
  [SyntaxKind.MinusEqualsToken, '+='],
  [SyntaxKind.PlusPlusToken, '--'],
  [SyntaxKind.MinusMinusToken, '++'],
]);
/** The same inside the text of SQL and Lua, which the stores hold in templates. */
const MISTAKEN_IN_TEXT = { '<': '<=', '<=': '<', '>': '>=', '>=': '>', AND: 'OR', and: 'or', '+': '-', '-': '+' };
const IN_TEXT = / (<=|>=|<|>|AND|and|\+|-) /g;
const MISTAKEN_NAMES = { min: 'max', max: 'min', floor: 'ceil', ceil: 'floor', some: 'every', every: 'some' };

/** Numbers below a limit, the same for the same seed. */
export function dice(seed) {
  let throws = 0;
  return (limit) => {
    const digest = createHash('sha256').update(`${seed}:${throws++}`).digest();
    return digest.readUIntBE(0, 6) % limit;
  };
}

/**
 * Mutants in the order in which they are drawn: each time a line of code that was not drawn before, all alike, and of the
 * ways to change it one.
 */
export function* drawMutants(root, seed) {
  const lines = mutableLines(root);
  const below = dice(seed);
  while (lines.length > 0) {
    const [{ file, line, changes }] = lines.splice(below(lines.length), 1);
    yield { file, line, ...changes[below(changes.length)] };
  }
}

function mutableLines(root) {
  return ROOMS.flatMap((room) => sourcesIn(root, `src/${room}`)).flatMap((file) => {
    const byLine = new Map();
    for (const change of changesOf(root, file)) byLine.set(change.line, [...(byLine.get(change.line) ?? []), change]);
    return [...byLine].sort(([one], [other]) => one - other).map(([line, changes]) => ({ file, line, changes }));
  });
}

function sourcesIn(root, folder) {
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter((file) => file.endsWith('.ts') && !LEFT_OUT.test(file))
    .sort();
}

/** Every change of one line of a file that is a mutant: where it begins, how much it takes away, and what it puts there. */
function changesOf(root, file) {
  const text = readFileSync(join(root, file), 'utf8');
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const changes = [];
  const lineOf = (offset) => source.getLineAndCharacterOfPosition(offset).line + 1;
  const change = (kind, from, to, put) => {
    if (lineOf(from) === lineOf(to)) changes.push({ kind, line: lineOf(from), from, to, put });
  };
  visit(source);
  return changes;

  function visit(node) {
    if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return;
    for (const [kind, from, to, put] of changesAt(node, source)) change(kind, from, to, put);
    ts.forEachChild(node, visit);
  }
}

function changesAt(node, source) {
  const from = node.getStart(source);
  const to = node.end;
  const text = node.getText(source);
  const around = node.parent;
  if (ts.isExpressionStatement(node)) {
    // `super(…)` cannot be left out.
    return node.expression.expression?.kind === SyntaxKind.SuperKeyword ? [] : [['statement removed', from, to, '{}']];
  }
  if (ts.isReturnStatement(node)) return changedReturn(node, from, to);
  if (ts.isThrowStatement(node)) return [['throw removed', from, to, '{}']];
  if (ts.isBreakOrContinueStatement(node)) {
    return ts.isCaseOrDefaultClause(around) ? [] : [[`${text.split(/[ ;]/)[0]} removed`, from, to, '{}']];
  }
  if (ts.isBinaryExpression(node)) return changedOperator(node, source);
  if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) return changedUnary(node, from, to);
  if (ts.isAwaitExpression(node)) return [['await dropped', from, node.expression.getStart(source), '']];
  if (node.kind === SyntaxKind.TrueKeyword) return [['boolean flipped', from, to, 'false']];
  if (node.kind === SyntaxKind.FalseKeyword) return [['boolean flipped', from, to, 'true']];
  if (ts.isNumericLiteral(node)) return [['constant changed', from, to, `(${text} + 1)`]];
  if (ts.isStringLiteral(node)) return emptied(node, from, to);
  if (ts.isTemplateLiteralToken(node)) return changedText(from, to, source);
  if (ts.isConditionalExpression(node)) return negated(node.condition, source);
  if (ts.isIfStatement(node) || ts.isWhileStatement(node) || ts.isDoStatement(node)) {
    return negated(node.expression, source);
  }
  if (ts.isForStatement(node) && node.condition !== undefined) return negated(node.condition, source);
  if (ts.isSpreadAssignment(node) || ts.isPropertyAssignment(node) || ts.isShorthandPropertyAssignment(node)) {
    return removedMember(node, from, to, source);
  }
  if (ts.isPropertyAccessExpression(node)) return mistakenName(node, source);
  return [];
}

function changedReturn({ expression, parent }, from, to) {
  if (expression === undefined) return [['early return removed', from, to, '{}']];
  const isEarly = ts.isIfStatement(parent) || (ts.isBlock(parent) && ts.isIfStatement(parent.parent));
  return isEarly ? [['early return removed', from, to, '{}']] : [['nothing returned', from, to, 'return undefined;']];
}

function changedOperator({ left, operatorToken, right }, source) {
  const { kind } = operatorToken;
  const put = MISTAKEN.get(kind);
  const at = [operatorToken.getStart(source), operatorToken.end];
  if (put !== undefined) return [['operator changed', ...at, put]];
  if (kind === SyntaxKind.QuestionQuestionToken) return [['`??` dropped', left.end, right.end, '']];
  return [];
}

function changedUnary({ operator, operand }, from, to) {
  if (operator === SyntaxKind.ExclamationToken) return [['`!` dropped', from, operand.pos, '']];
  const put = MISTAKEN.get(operator);
  if (put === undefined || operator === SyntaxKind.PlusToken || operator === SyntaxKind.MinusToken) return [];
  return operand.pos > from ? [['operator changed', from, from + 2, put]] : [['operator changed', to - 2, to, put]];
}

function negated(condition, source) {
  const from = condition.getStart(source);
  return [['condition negated', from, condition.end, `!(${condition.getText(source)})`]];
}

/** A text that is compared, looked up or passed on, not one that is told to people. */
function emptied(node, from, to) {
  const isName = ts.isPropertyAssignment(node.parent) && node.parent.name === node;
  return isName || node.text === '' || node.text.includes(' ') ? [] : [['text emptied', from, to, "''"]];
}

function changedText(from, to, source) {
  if (!source.fileName.startsWith('src/stores/')) return [];
  return [...source.text.slice(from, to).matchAll(IN_TEXT)].map((found) => {
    const begin = from + found.index + 1;
    return ['text of a query changed', begin, begin + found[1].length, MISTAKEN_IN_TEXT[found[1]]];
  });
}

/** With its comma, if one follows on the line. */
function removedMember(node, from, to, source) {
  if (!ts.isObjectLiteralExpression(node.parent)) return [];
  const end = source.text[to] === ',' ? to + 1 : to;
  return [['member removed', from, end, '']];
}

function mistakenName({ name }, source) {
  const put = Object.hasOwn(MISTAKEN_NAMES, name.text) ? MISTAKEN_NAMES[name.text] : undefined;
  return put === undefined ? [] : [['function changed', name.getStart(source), name.end, put]];
}
