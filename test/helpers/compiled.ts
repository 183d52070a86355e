import { join } from 'node:path';

/** Where the compiled sources stand; imports of `megallm-middleware` from here lead to them. */
export const COMPILED = join(import.meta.dirname, '../..');

/** Arguments of Node for a process that runs a source of ours, such as `test/helpers/sqlite-child.ts`. */
export function programArgs(source: string): string[] {
  return ['--enable-source-maps', compiledFile(source)];
}

/** The compiled file of a source. */
export function compiledFile(source: string): string {
  return join(COMPILED, source.replace(/\.ts$/, '.js'));
}
