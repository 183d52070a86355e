import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { type BuildOptions, build } from 'esbuild';
import { application, link, run, unpackedPackage } from './packed.js';

const DRIVER = '@photostructure/sqlite';

/** The application, in a folder with a copy of the package: beside that stands the driver, which other tests must not find. */
async function ledgerApp(): Promise<string> {
  const app = await application('ledger.mjs');
  const place = join(app, 'node_modules');
  rmSync(place, { recursive: true });
  cpSync(dirname(await unpackedPackage()), place, { recursive: true, verbatimSymlinks: true });
  link(resolve('node_modules', DRIVER), app, DRIVER);
  return app;
}

/** Runs a program somewhere else than in its own folder, where no package is found. */
async function assertRecords(app: string, program: string, ...options: readonly string[]): Promise<void> {
  const elsewhere = mkdtempSync(join(app, '../elsewhere-'));
  const printed = await run(process.execPath, [...options, join(app, program)], elsewhere);
  assert.match(printed, /^200 .*"content":"hello"/m);
  assert.match(printed, /^recorded: key 1$/m);
}

function required(esm: string): string {
  return esm.replaceAll(/^import (\{.*\}) from ('.*');$/gm, 'const $1 = require($2);');
}

describe('a call that SQLite records in its thread is read back, from the packed package', () => {
  it('as an ES module, also with code that is preloaded', async () => {
    const app = await ledgerApp();
    await assertRecords(app, 'ledger.mjs');
    writeFileSync(join(app, 'preloaded.mjs'), 'globalThis.preloaded = true;');
    await assertRecords(app, 'ledger.mjs', '--import', join(app, 'preloaded.mjs'));
  });

  it('as CommonJS', async () => {
    const app = await ledgerApp();
    writeFileSync(join(app, 'ledger.cjs'), required(readFileSync(join(app, 'ledger.mjs'), 'utf8')));
    await assertRecords(app, 'ledger.cjs');
  });

  const bundles: Readonly<Record<string, Pick<BuildOptions, 'format' | 'minify' | 'banner'> & { outfile: string }>> = {
    'as CommonJS': { format: 'cjs', outfile: 'bundle.cjs' },
    'as CommonJS, minified': { format: 'cjs', minify: true, outfile: 'bundle.cjs' },
    'as an ES module with the usual `require`': {
      format: 'esm',
      outfile: 'bundle.mjs',
      banner: { js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);` },
    },
  };
  for (const [name, options] of Object.entries(bundles)) {
    it(`bundled by esbuild into one file, ${name}`, async () => {
      const app = await ledgerApp();
      await build({
        ...options,
        ...{ absWorkingDir: app, entryPoints: ['ledger.mjs'], bundle: true, platform: 'node', logLevel: 'silent' },
        external: [DRIVER],
      });
      // Beside the driver, and nothing else.
      const alone = mkdtempSync(join(app, '../alone-'));
      link(resolve('node_modules', DRIVER), alone, DRIVER);
      renameSync(join(app, options.outfile), join(alone, options.outfile));
      await assertRecords(alone, options.outfile);
    });
  }
});
