import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { CACHE } from './programs.mjs';

/** Compiles a source outside `dist/`, of which imports of the package lead into `dist/`. @returns the path of the file made. */
export async function compile(source) {
  const outfile = join(CACHE, source.replace(/^.*\//, '').replace(/\.ts$/, '.mjs'));
  await build({
    entryPoints: [fileURLToPath(new URL(`../${source}`, import.meta.url))],
    outfile,
    ...{ bundle: true, packages: 'external', platform: 'node', format: 'esm', target: 'node20', logLevel: 'error' },
  });
  return outfile;
}
