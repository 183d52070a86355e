import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript5';

/** The declarations that a user of the package can name, and what is wrong with them. */
export interface PublicApi {
  /** Every declaration without its comments, by subpath and name. */
  readonly text: string;
  /** Types that stand in a public declaration, and that no subpath exports. */
  readonly unexported: readonly string[];
  /** Optional fields that do not take `undefined` under `exactOptionalPropertyTypes`. */
  readonly exact: readonly string[];
}

const printer = ts.createPrinter({ removeComments: true });

/** Reads the ES module's declarations of the package in that folder. */
export function publicApi(folder: string): PublicApi {
  const entries = entriesOf(folder);
  const program = ts.createProgram([...entries.values()], {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    types: ['node'],
  });
  const checker = program.getTypeChecker();
  const actual = (symbol: ts.Symbol): ts.Symbol =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;

  /** Where each is exported first. */
  const homes = new Map<ts.Symbol, string>();
  let text = '';
  for (const [subpath, file] of entries) {
    text += `\n==== ${subpath} ====\n`;
    for (const exported of exportsOf(file)) {
      const symbol = actual(exported);
      const home = homes.get(symbol);
      if (home === undefined) homes.set(symbol, subpath);
      text += `\n${
        home === undefined
          ? declarationsOf(symbol)
              .map((declaration) => printed(declaration, checker))
              .join('\n')
          : `${exported.name}: see ${home}`
      }\n`;
    }
  }

  const unexported = new Set<string>();
  const exact = new Set<string>();
  for (const symbol of homes.keys()) {
    for (const declaration of declarationsOf(symbol)) visit(declaration, symbol.name);
  }
  return { text: text.trimStart(), unexported: [...unexported].sort(), exact: [...exact].sort() };

  /** Whether a type's argument has more than methods. */
  function hasFields(node: ts.Node): boolean {
    const [argument] = ts.isTypeReferenceNode(node) ? (node.typeArguments ?? []) : [];
    const properties = argument === undefined ? [] : checker.getTypeAtLocation(argument).getProperties();
    return properties.some(({ flags }) => !(flags & ts.SymbolFlags.Method));
  }

  function exportsOf(file: string): ts.Symbol[] {
    const source = program.getSourceFile(file);
    const module = source === undefined ? undefined : checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${file} is no module`);
    return checker.getExportsOfModule(module).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  function visit(node: ts.Node, owner: string): void {
    const name = nameIn(node);
    const named = name === undefined ? undefined : checker.getSymbolAtLocation(name);
    if (named !== undefined) {
      const symbol = actual(named);
      const isOurs = declarationsOf(symbol).some((declaration) =>
        declaration.getSourceFile().fileName.startsWith(join(folder, 'dist')),
      );
      const isType = (symbol.flags & ts.SymbolFlags.Type & ~ts.SymbolFlags.TypeParameter) !== 0;
      if (isOurs && isType && !homes.has(symbol)) unexported.add(`${symbol.name}, in ${owner}`);
      if (symbol.name === 'Partial' && !isOurs && hasFields(node)) exact.add(`${node.getText()}, in ${owner}`);
    }
    if (ts.isPropertySignature(node) && node.questionToken !== undefined && !takesUndefined(node.type)) {
      exact.add(`${owner}.${node.name.getText()}`);
    }
    if (
      ts.isMappedTypeNode(node) &&
      node.questionToken?.kind === ts.SyntaxKind.QuestionToken &&
      !takesUndefined(node.type)
    ) {
      exact.add(`${node.getText()}, in ${owner}`);
    }
    ts.forEachChild(node, (child) => visit(child, owner));
  }
}

/** The declarations of each subpath's ES module. */
function entriesOf(folder: string): Map<string, string> {
  const { name, exports } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const entries = new Map<string, string>();
  for (const [subpath, target] of Object.entries<{ import: { types: string } } | string>(exports)) {
    if (typeof target !== 'string') entries.set(name + subpath.slice(1), join(folder, target.import.types));
  }
  return entries;
}

function declarationsOf(symbol: ts.Symbol): readonly ts.Declaration[] {
  return symbol.declarations ?? [];
}

function printed(declaration: ts.Declaration, checker: ts.TypeChecker): string {
  if (ts.isTypeAliasDeclaration(declaration) && ts.isIndexedAccessTypeNode(declaration.type)) {
    // `(typeof LIST)[number]` would hide the names.
    const flags = ts.TypeFormatFlags.InTypeAlias | ts.TypeFormatFlags.NoTruncation;
    const type = checker.typeToString(checker.getTypeAtLocation(declaration.type), undefined, flags);
    return `export type ${declaration.name.text} = ${type};`;
  }
  // A variable's declaration is the inside of its statement.
  const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  return printer.printNode(ts.EmitHint.Unspecified, node, node.getSourceFile());
}

/** The name of a type, where a node is one. */
function nameIn(node: ts.Node): ts.Node | undefined {
  if (ts.isTypeReferenceNode(node)) return node.typeName;
  if (ts.isExpressionWithTypeArguments(node)) return node.expression;
  return undefined;
}

function takesUndefined(type: ts.TypeNode | undefined): boolean {
  if (type === undefined) return true;
  const kinds = ts.isUnionTypeNode(type) ? type.types.map(({ kind }) => kind) : [type.kind];
  return kinds.some((kind) => kind === ts.SyntaxKind.UndefinedKeyword || kind === ts.SyntaxKind.UnknownKeyword);
}
