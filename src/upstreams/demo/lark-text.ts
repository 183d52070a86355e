import { type GrammarBudget, type GrammarText, textOfRegex, unread } from './regex-text.js';

/** The shortest text of a part of a rule that is known so far. */
type Shortest = () => string | undefined;

const MAX_CHARS = 10_000;
const MAX_NESTING = 50;
const CHARS_PER_WORK = 16;
const TOKEN =
  /\s+|\/\/[^\n]*|#[^\n]*|"(?:[^"\\\n]|\\[^\n])*(?:"i?)?|\/(?:[^/\\\n]|\\[^\n])+(?:\/[a-z]*)?|(?:(?<=(?:^|\n)[ \t]*)[?!]{1,2})?[A-Za-z_]\w*|%\w+|->|\.\.|\d+|./gs;
const STRING = /^"(?:[^"\\]|\\.)*"i?$/;
const NAME = /^[?!]*[A-Za-z_]\w*$/;
const COMMON =
  'INT=1 DIGIT=1 NUMBER=1 SIGNED_INT=1 SIGNED_NUMBER=1 FLOAT=1.0 DECIMAL=1.0 SIGNED_FLOAT=1.0 HEXDIGIT=a LETTER=a LCASE_LETTER=a UCASE_LETTER=A WORD=demo CNAME=demo ESCAPED_STRING="demo" WS=\\u0020 WS_INLINE=\\u0020 LF=\\n CR=\\r NEWLINE=\\n SH_COMMENT=# CPP_COMMENT=// C_COMMENT=/**/ SQL_COMMENT=--';
const CONTROLS: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', f: '\f' };

/**
 * The shortest text of a grammar in the usual part of Lark's language: no templates, no imports but of `common`. Which
 * of two terminals a lexer would take for which is not looked at; where white space is ignored, words have some between.
 */
export function textOfLark(definition: string, budget: GrammarBudget): GrammarText {
  if (definition.length > MAX_CHARS) return unread(`grammars of more than ${MAX_CHARS} characters`);
  const cost = Math.ceil(definition.length / CHARS_PER_WORK);
  budget.work -= cost;
  const tokens = (definition.match(TOKEN) ?? []).filter((token) => !/^(?:\s|\/\/|#)/.test(token));
  const rules = new Map<string, Shortest>();
  const texts = new Map<string, string>(
    COMMON.split(' ').map((pair) => [`common.${pair.replace(/=.*/, '')}`, unescaped(pair.replace(/^\w+=/, ''))]),
  );
  const ignored: Shortest[] = [];
  const used = new Set<string>();
  let gap = '';
  let at = 0;
  let what: string | undefined;

  const next = (): string => tokens[at++] ?? 'the end';
  const taken = (token: string): boolean => tokens[at] === token && at++ >= 0;

  function fail(reason: string): Shortest {
    what ??= reason.slice(0, 100);
    at = tokens.length;
    return () => undefined;
  }

  function statement(): void {
    const token = next();
    if (token === '%ignore') ignored.push(choice(0));
    else if (token === '%import') imports();
    else if (!NAME.test(token)) fail(`'${token}' where a rule should begin`);
    else {
      if (taken('.')) at += 1;
      if (!taken(':')) fail(`'${next()}' after '${token}'`);
      rules.set(token.replace(/^[?!]+/, ''), choice(0));
    }
  }

  function imports(): void {
    const path = next();
    const end = tokens.indexOf(')', at);
    if (tokens[at] === '(' && end === -1) fail('an %import without its closing bracket');
    const names = taken('.') ? [next()] : tokens.slice(at + 1, end).filter((name) => name !== ',');
    if (taken('(')) at = end + 1;
    const alias = taken('->') ? next() : undefined;
    for (const name of names) {
      const text = texts.get(`${path}.${name}`);
      if (text === undefined) fail(`%import ${path}.${name}`);
      rules.set(alias ?? name, () => text);
    }
  }

  function choice(nesting: number): Shortest {
    if (nesting > MAX_NESTING) return fail('groups nested so deeply');
    const branches = [sequence(nesting)];
    while (taken('|')) branches.push(sequence(nesting));
    return () => branches.map((branch) => branch()).reduce(shorter);
  }

  function sequence(nesting: number): Shortest {
    const parts: Shortest[] = [];
    while (at < tokens.length && !/^(?:[|)\]]|%\w+)$/.test(tokens[at] ?? '') && !beginsRule()) {
      if (taken('->')) at += 1;
      else parts.push(repeated(atom(nesting)));
    }
    return () => parts.reduce<string | undefined>((before, part) => joined(before, part()), '');
  }

  function beginsRule(): boolean {
    return (
      NAME.test(tokens[at] ?? '') && (tokens[at + 1] === ':' || (tokens[at + 1] === '.' && tokens[at + 3] === ':'))
    );
  }

  function repeated(part: Shortest): Shortest {
    if (taken('?') || taken('*')) return () => '';
    if (taken('+') || !taken('~')) return part;
    const count = Number(next());
    if (taken('..')) at += 1;
    if (!(count <= MAX_CHARS)) return fail("'~' without a number, or with one so large");
    return () => {
      const text = part();
      if (text === undefined || text.length * count > MAX_CHARS) return undefined;
      return count === 0 ? '' : (text + between(text, text)).repeat(count - 1) + text;
    };
  }

  function atom(nesting: number): Shortest {
    const token = next();
    if (token === '(' || token === '[') {
      const part = choice(nesting + 1);
      if (!taken(token === '(' ? ')' : ']')) return fail(`'${next()}' where a group should end`);
      return token === '(' ? part : () => '';
    }
    if (STRING.test(token)) {
      if (taken('..')) at += 1;
      const text = unescaped(token.replace(/^"|"i?$/g, ''));
      return () => text;
    }
    const [, source, flags = ''] = /^\/(.+)\/([a-z]*)$/.exec(token) ?? [];
    if (source !== undefined) {
      const made = flags.includes('x') ? unread('the flag x') : textOfRegex(source.replaceAll('\\/', '/'), budget);
      return made.kind === 'text' ? () => made.text : fail(made.what);
    }
    if (!NAME.test(token)) return fail(`'${token}' in a rule`);
    used.add(token);
    return () => texts.get(token);
  }

  function joined(before: string | undefined, after: string | undefined): string | undefined {
    if (before === undefined || after === undefined || before.length + after.length > MAX_CHARS) return undefined;
    return before + between(before, after) + after;
  }

  function between(before: string, after: string): string {
    return gap !== '' && /\w/.test(before.at(-1) ?? '') && /^\w/.test(after) ? gap : '';
  }

  /** Finds the shortest text of each, from those that need no other on. There and back, as rules are written either way. */
  function settle(some: [string, Shortest][]): void {
    for (let changed = true; changed && budget.work > 0; budget.work -= cost) {
      changed = false;
      for (const [name, part] of some.reverse()) {
        const before = texts.get(name);
        const text = shorter(before, part());
        if (text === undefined || text === before) continue;
        texts.set(name, text);
        changed = true;
      }
    }
  }

  while (at < tokens.length) statement();
  for (const name of used) if (!rules.has(name)) what ??= `'${name}', which is not defined`;
  if (what !== undefined || !rules.has('start')) return unread(what ?? "a grammar with no rule 'start'");
  settle([...rules].filter(([name]) => /^_?[A-Z]/.test(name)));
  gap = ignored.map((part) => part()).find((text) => text !== undefined && /^\s+$/.test(text)) ?? '';
  settle([...rules].filter(([name]) => !/^_?[A-Z]/.test(name)));
  const text = texts.get('start');
  if (text !== undefined) return { kind: 'text', text };
  return unread(
    budget.work > 0 ? "a rule 'start' without an end, or with none that is near" : 'so many or such grammars',
  );
}

function shorter(a: string | undefined, b: string | undefined): string | undefined {
  return a === undefined || (b !== undefined && b.length < a.length) ? b : a;
}

function unescaped(text: string): string {
  return text.replace(/\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|(.))/gi, (_, four, two, char = '') => {
    const code = four ?? two;
    return code === undefined ? (CONTROLS[char] ?? char) : String.fromCharCode(Number.parseInt(code, 16));
  });
}
