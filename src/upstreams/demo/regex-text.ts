import { textOfPattern } from './schema/schema-pattern.js';

/** A text of a grammar, or what the grammar has that is not known here. */
export type GrammarText =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'unread'; readonly what: string };

const MAX_CHARS = 10_000;
const PATTERN_WORK = 200;
/** An escape, a class, the opening of a group, or a single character. */
const TOKEN =
  /\\(?:x\{[^}]{0,40}\}|[pP]\{[^}]{0,40}\}|.)|\[\^?\]?(?:\\.|[^\]\\])*|\(\?(?:P?<\w*>|[a-zA-Z-]*[:)]|<?[=!])?|./gsu;

/** What may still be spent on the grammars of one request; whoever wrote them is a stranger. */
export interface GrammarBudget {
  work: number;
}

/** About as much as takes a tenth of a second. */
export const grammarBudget = (): GrammarBudget => ({ work: 20_000 });

/** A short text for a regular expression in the syntax of Rust's `regex`, which OpenAI uses. */
export function textOfRegex(definition: string, budget: GrammarBudget): GrammarText {
  budget.work -= PATTERN_WORK + definition.length;
  if (budget.work < 0) return unread('patterns that are so long or so many');
  let what: string | undefined;
  const translation = definition.replace(TOKEN, (token) => {
    const known = translated(token);
    if (typeof known === 'string') return known;
    what ??= known.what;
    return '';
  });
  if (what !== undefined) return unread(what);
  const text = textOfPattern(`^(?:${translation})$`, { minLength: 1, maxLength: MAX_CHARS, variant: 0 });
  return text === undefined
    ? unread('a pattern so long or so odd, or one that does not parse')
    : { kind: 'text', text };
}

/** The grammar asks for what is not known here. */
export function unread(what: string): GrammarText & { readonly kind: 'unread' } {
  return { kind: 'unread', what };
}

/** The same in the syntax of JSON schemas. What only widens the pattern is left out: a text without it fits as well. */
function translated(token: string): string | ReturnType<typeof unread> {
  if (/^\\[1-9k]/.test(token)) return unread('back-references');
  if (token === '\\A') return '^';
  if (token === '\\z') return '$';
  if (token.startsWith('\\x{')) return `\\u${token.slice(2)}`;
  if (/^\(\?<?[=!]$/.test(token)) return unread('look-around');
  if (/^\(\?P?<\w+>$/.test(token)) return '(?:';
  if (token.startsWith('(?')) return translatedFlags(token);
  if (!token.startsWith('[')) return token;
  if (/(?:[^\\]\[|&&|--|~~)/.test(token)) return unread('a class in a class, or an operation on classes');
  // In Rust a bracket that comes first is one of the characters.
  return token.replace(/^(\[\^?)\]/, '$1\\]');
}

function translatedFlags(token: string): string | ReturnType<typeof unread> {
  const [, set, end] = /^\(\?([a-zA-Z]*)(?:-[a-zA-Z]*)?([:)])$/.exec(token) ?? [];
  if (set === undefined) return unread(`the group ${token}`);
  const odd = /[^imsuUR]/.exec(set)?.[0];
  if (odd !== undefined) return unread(`the flag ${odd}`);
  return end === ':' ? '(?:' : '';
}
