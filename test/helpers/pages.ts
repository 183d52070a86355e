import { readdirSync, readFileSync } from 'node:fs';

/** Pages that users read: the README and what it links to. */
export const PAGES: readonly string[] = [
  'README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .sort()
    .map((name) => `docs/${name}`),
];

/** One fenced block of a page. */
export interface Block {
  readonly language: string;
  /** Of its first line of code, from 1. */
  readonly line: number;
  readonly code: string;
}

/** Code that runs together: a block that begins with an import, and the blocks without one that follow it. */
export interface Program {
  readonly page: string;
  readonly line: number;
  /** Each line of it stands where it stands on the page, so that whatever is reported of a line is true of the page. */
  readonly code: string;
  /** Shell blocks up to the next program: what a reader types while it runs. */
  readonly shell: readonly Block[];
}

export function blocksOf(page: string): Block[] {
  const text = readFileSync(page, 'utf8');
  return [...text.matchAll(/^```(\S*)\n([\s\S]*?)^```$/gm)].map(({ 1: language = '', 2: code = '', index }) => ({
    language,
    line: text.slice(0, index).split('\n').length + 1,
    code,
  }));
}

/** The programs of a page. Shell blocks before the first of them belong to one without code. */
export function programsOf(page: string): Program[] {
  const programs: Program[] = [];
  for (const block of blocksOf(page)) {
    const last = programs.at(-1) ?? { page, line: block.line, code: '', shell: [] };
    if (block.language === 'sh') programs.splice(-1, 1, { ...last, shell: [...last.shell, block] });
    if (block.language !== 'ts') continue;
    if (/^import /.test(block.code)) programs.push({ page, line: block.line, code: onLine(block), shell: [] });
    else programs.splice(-1, 1, { ...last, code: last.code + onLine(block, last.code) });
  }
  return programs;
}

/** The block's code after as many empty lines as bring it to its own. */
function onLine({ line, code }: Block, before = ''): string {
  return '\n'.repeat(line - before.split('\n').length) + code;
}

/** Rows of the tables of a page whose first column has this heading, cell by cell. */
export function tableRows(page: string, heading: string): string[][] {
  const rows: string[][] = [];
  let isInside = false;
  for (const line of readFileSync(page, 'utf8').split('\n')) {
    if (!line.startsWith('|')) isInside = false;
    const cells = line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (isInside && !/^-+$/.test(cells[0] ?? '')) rows.push(cells);
    if (cells[0] === heading) isInside = true;
  }
  return rows;
}
